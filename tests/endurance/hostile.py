"""Attacks on a real API server: `python -m tests.endurance.hostile [NAME …]` prints a JSON row for each.

Each row says what was answered how often, how long the calm client beside the attack waited, and what memory
the server used. A row's `wrong` must be empty: no fault, no answer of 400 and above that is no Status, no
trace in an answer, nobody else kept waiting too long. The request that took longest is named.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.endurance.fuzz_verdict import fault
from tests.endurance.fuzz_victim import Victim, settle, watched
from tests.endurance.fuzz_wire import Broken, Sent
from tests.endurance.hostile_bodies import BODIES
from tests.endurance.hostile_connections import CONNECTIONS
from tests.endurance.hostile_definitions import definitions

Json = dict[str, Any]

LANES = 4
"""Requests of one attack under way at once."""
LONGEST_WAIT_SECONDS = 5.0
"""How long the calm client may wait: one expensive request at a time stands in its way."""
MOST_MEMORY_MIB = 600.0
"""What one user may have under way, the buffers of some hundred connections, and what the attacks stored."""

BOMBS = {**BODIES, "CRD and CEL bombs": definitions}


async def bombard(victim: Victim, requests: list[Sent]) -> tuple[list[str], Json]:
    """Send all, some at once; what is wrong, and what was answered."""
    wrong: list[str] = []
    statuses: Counter[int] = Counter()
    slowest = (0.0, "")
    queue = list(enumerate(requests))[::-1]

    async def lane() -> None:
        nonlocal slowest
        wire = victim.wire()
        while queue:
            number, request = queue.pop()
            began = time.perf_counter()
            try:
                answer = await wire.ask(request)
            except (Broken, TimeoutError) as error:
                await asyncio.sleep(0.2)
                if not victim.alive:
                    wrong.append(f"the server died of {_shown(number, request)}")
                    return
                if isinstance(error, TimeoutError):
                    wrong.append(f"no answer to {_shown(number, request)}")
                statuses[0] += 1
                continue
            slowest = max(slowest, (time.perf_counter() - began, _shown(number, request)))
            statuses[answer.status] += 1
            if why := fault(request, answer):
                wrong.append(f"{why} to {_shown(number, request)}")
        wire.close()

    await asyncio.gather(*(lane() for _ in range(LANES)))
    counted = {str(status): count for status, count in sorted(statuses.items())}
    return wrong, {
        "requests": len(requests),
        "answers": counted,
        "slowest": [round(slowest[0], 2), slowest[1]],
    }


def _shown(number: int, request: Sent) -> str:
    start = request.body[:60].decode("latin-1")
    return f"#{number} {request.method.decode()} {request.target[:100].decode('latin-1')} {start!r}"


async def attack(victim: Victim, name: str) -> Json:
    """One attack, and its row."""
    said = len(victim.faults_said())
    async with watched(victim) as watch:
        await asyncio.sleep(0.2)
        if name in BOMBS:
            wrong, counted = await bombard(victim, await asyncio.to_thread(BOMBS[name]))
        else:
            wrong, counted = await CONNECTIONS[name](victim)
        await asyncio.sleep(0.3)
    row = watch.row()
    wrong += watch.wrong[:5]
    if row["calm_max_ms"] > LONGEST_WAIT_SECONDS * 1000:
        wrong.append(f"the calm client waited {row['calm_max_ms']} ms")
    if row["rss_peak_mib"] > MOST_MEMORY_MIB:
        wrong.append(f"the server used {row['rss_peak_mib']} MiB")
    if not victim.alive:
        wrong.append(f"the server died: {victim.ended_with}")
    wrong += [f"the server said: {line}" for line in victim.faults_said()[said:]]
    return {"attack": name, **counted, **row, "wrong": wrong}


async def play(victim: Victim, names: list[str]) -> list[Json]:
    """Rows are printed as they come."""
    await settle(victim)
    rows = []
    for name in names:
        rows.append(await attack(victim, name))
        print(json.dumps(rows[-1]), flush=True)
        if not victim.alive:
            victim.start()
            await settle(victim)
    return rows


def main(arguments: list[str]) -> int:
    known = [*BOMBS, *CONNECTIONS]
    if unknown := set(arguments) - set(known):
        print(f"{__doc__}\nAttacks: {', '.join(known)}")
        return 0 if "--help" in unknown else 2
    with tempfile.TemporaryDirectory(prefix="springtide-hostile-") as root:
        victim = Victim(Path(root) / "data")
        victim.start()
        try:
            rows = asyncio.run(play(victim, arguments or known))
        finally:
            victim.kill()
        if any(row["wrong"] for row in rows):
            print(victim.said.read_text(errors="replace")[-20_000:], file=sys.stderr)
    return 1 if any(row["wrong"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
