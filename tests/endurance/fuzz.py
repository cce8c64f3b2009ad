"""Random requests against a real server: `python -m tests.endurance.fuzz [--requests 100000] [--seed 1]`.

A `springtide server` process is sent, over many HTTPS connections, requests made from its own discovery and
OpenAPI documents: good ones, and ones with wrong types, odd texts, broken JSON, patches of all four types
against what there is, CRDs and rules damaged at random, queries, headers and paths of all kinds. Then:

- no answer is a fault (5xx) but 503, 504 and 507; every answer of 400 and above is a Status, without a trace;
- the server's log tells of no fault, and the server lives;
- a calm client beside it is answered in bounded time (printed), memory is bounded (printed);
- the server is killed and started again: it holds exactly what it held, and all that the calm client wrote.

One JSON row is printed for each kind of answer that is wrong, with a request that led to it, and one in all.
The attacks that are made on purpose are `hostile`'s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.endurance.fuzz_requests import Author
from tests.endurance.fuzz_shapes import Shapes
from tests.endurance.fuzz_verdict import fault
from tests.endurance.fuzz_victim import CALM, Victim, everything, settle, watched
from tests.endurance.fuzz_wire import Answer, Broken, Sent, Wire

Json = dict[str, Any]

CONNECTIONS = 16
EPOCH_REQUESTS = 400
"""Requests of one connection before it gives up what it made, and starts anew."""
MOST_MEMORY_MIB = 600.0
LONGEST_WAIT_SECONDS = 5.0


class Attack:
    """One run's requests and what came back."""

    def __init__(self, victim: Victim, shapes: Shapes, seed: int, requests: int) -> None:
        self._victim, self._shapes, self._seed, self.left = victim, shapes, seed, requests
        self.statuses: Counter[int] = Counter()
        self.wrong: dict[str, Json] = {}
        self.slowest: tuple[float, str] = (0.0, "")
        self.hung_up = 0

    async def lane(self, number: int) -> None:
        """One connection, until no requests are left."""
        wire, author = self._victim.wire(), Author(self._shapes, self._seed, number)
        while self.left > 0 and self._victim.alive:
            for request in author.opening():
                await self._ask(wire, author, request)
            for _ in range(EPOCH_REQUESTS):
                if self.left <= 0 or not self._victim.alive:
                    break
                await self._ask(wire, author, author.next())
            for request in author.closing():
                await self._ask(wire, author, request)
        wire.close()

    async def _ask(self, wire: Wire, author: Author, request: Sent) -> None:
        self.left -= 1
        began = time.perf_counter()
        try:
            answer = await wire.ask(request)
        except Broken:
            self.hung_up += 1
            return
        except TimeoutError:
            self._say("no answer", request, b"")
            return
        self.slowest = max(self.slowest, (time.perf_counter() - began, _shown(request)))
        self.statuses[answer.status] += 1
        author.heard(request, answer)
        if why := fault(request, answer):
            self._say(_kind_of(why, answer), request, answer.body)

    def _say(self, why: str, request: Sent, body: bytes) -> None:
        row = self.wrong.setdefault(
            why,
            {"wrong": why, "count": 0, "request": _shown(request), "answer": body[:400].decode("latin-1")},
        )
        row["count"] += 1


def _kind_of(why: str, answer: Answer) -> str:
    try:
        message = str(json.loads(answer.body).get("message", ""))[:80]
    except (ValueError, AttributeError):
        message = ""
    return f"{why.partition(' ')[0]} {answer.status} {message}"


def _shown(request: Sent) -> str:
    head = b" ".join((request.method, request.target[:300])).decode("latin-1")
    return f"{head} {dict(request.headers)} {request.body[:1500]!r}"


async def check(victim: Victim, requests: int, seed: int) -> tuple[list[Json], Json]:
    """One run; returns the rows of what is wrong, and the row of the run."""
    await settle(victim)
    shapes = await Shapes.learned(victim)
    said = len(victim.faults_said())
    async with watched(victim) as watch:
        attack = Attack(victim, shapes, seed, requests)
        await asyncio.gather(*(attack.lane(number) for number in range(CONNECTIONS)))
    row = watch.row()
    wrong = list(attack.wrong.values()) + [{"wrong": one} for one in watch.wrong[:5]]
    places: dict[str, str] = {}
    for line in victim.faults_said()[said:]:
        places.setdefault(line.partition(" method=")[0], line)
    wrong += [{"wrong": "the server said", "line": line} for line in places.values()]
    if not victim.alive:
        wrong.append({"wrong": f"the server died: {victim.ended_with}"})
    else:
        wrong += await _outlives_a_kill(victim, set(watch.acknowledged))
    if row["rss_peak_mib"] > MOST_MEMORY_MIB:
        wrong.append({"wrong": f"the server used {row['rss_peak_mib']} MiB"})
    if row["calm_max_ms"] > LONGEST_WAIT_SECONDS * 1000:
        wrong.append({"wrong": f"the calm client waited {row['calm_max_ms']} ms"})
    return wrong, {
        "proof": "fuzz",
        "seed": seed,
        "requests": sum(attack.statuses.values()) + attack.hung_up,
        "answers": {str(status): count for status, count in sorted(attack.statuses.items())},
        "hung_up": attack.hung_up,
        "slowest_seconds": round(attack.slowest[0], 2),
        **row,
        "wrong": len(wrong),
    }


async def _outlives_a_kill(victim: Victim, acknowledged: set[str]) -> list[Json]:
    before = await everything(victim)
    victim.kill()
    victim.start()
    after = await everything(victim)
    wrong: list[Json] = []
    if changed := {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}:
        wrong.append({"wrong": "what is stored changed over a kill", "objects": sorted(changed)[:20]})
    if lost := {name for name in acknowledged if f"/api/v1/configmaps/{CALM}/{name}" not in after}:
        wrong.append({"wrong": "what was acknowledged is missing", "objects": sorted(lost)[:20]})
    return wrong


def run(requests: int, seed: int, folder: Path) -> tuple[list[Json], Json]:
    """The same, with a server of its own."""
    victim = Victim(folder)
    victim.start()
    try:
        return asyncio.run(check(victim, requests, seed))
    finally:
        victim.kill()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="springtide-fuzz-") as root:
        folder = Path(root) / "data"
        wrong, row = run(options.requests, options.seed, folder)
        for one in wrong:
            print(json.dumps(one))
        print(json.dumps(row))
        if wrong:
            print(folder.with_suffix(".log").read_text(errors="replace")[-30_000:], file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
