"""`kill -9` under load: `python -m tests.endurance.kills [--kills 200] [--seed 1]`.

A real API server with its database, behind HTTPS, is killed at random moments and started again on the
same folder, while writers create, update, patch, delete and set the status of pods, and watchers follow them:

- every object's operations must have an order that explains every answer (`linearizability`): so nothing
  acknowledged is lost and nothing deleted comes back. Requests cut off by a kill may have happened or not;
- pods nobody writes to any more stay exactly as they are over all later kills;
- no answer bears an older revision than one given before;
- every watch resumes without a gap, or is told 410: each acknowledged write within what it covered was told.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.endurance import linearizability
from tests.endurance.operations import Action, Listing, Operation, Outcome
from tests.endurance.pods import COLLECTION, Follower, data_of, request_of, version_of

WRITERS = 6
WATCHERS = 3
KEYS_AN_EPOCH = 12
KILLS_AN_EPOCH = 2
_PATIENCE_SECONDS = 60.0
_ALIVE_SECONDS = ((0.02, 0.9), (0.5, 1.6))
"""Spans of how long a server lives after it listens: while it is still starting, and while it is busy."""
_LAST = "pod-9999-00"
"""Written when all else is done: who has heard of it has heard everything."""

Json = dict[str, Any]


class Victim:
    """The server: started again by its nursery each time it was killed."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.up = asyncio.Event()
        self.pid = 0
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.endurance.nursery", str(folder), str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def start(self) -> None:
        """Returns as soon as it listens; it may still be busy starting."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write("start\n")
        self._nursery.stdin.flush()
        self.pid = int(await asyncio.to_thread(self._nursery.stdout.readline))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.005)
                continue
            writer.close()
            self.up.set()
            return

    def kill(self) -> None:
        self.up.clear()
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        with contextlib.suppress(
            ProcessLookupError
        ):  # it may have ended by itself, which is reported elsewhere
            self.kill()
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait()
        self._nursery.stdout.close()


class Load:
    """The clients of one run, and what they saw."""

    def __init__(self, seed: int, victim: Victim) -> None:
        self.order = random.Random(seed)
        self.victim = victim
        self.epoch = 0
        self.operations: list[Operation] = []
        self.finals: list[Listing] = []
        self.newest = 0
        self.quiet = False
        self.ended = False
        self.wrong: list[str] = []
        self.followers = [Follower(number) for number in range(WATCHERS)]
        self._moments = itertools.count(1)
        self._values = itertools.count(1)

    def key(self) -> str:
        """One of the pods that are written to at present."""
        return f"pod-{self.epoch:04}-{self.order.randrange(KEYS_AN_EPOCH):02}"

    def keys(self) -> list[str]:
        """All pods there ever may have been."""
        return [
            f"pod-{epoch:04}-{number:02}"
            for epoch in range(self.epoch + 1)
            for number in range(KEYS_AN_EPOCH)
        ]

    def see(self, revision: int) -> None:
        self.newest = max(self.newest, revision)

    async def write(self, client: int, session: aiohttp.ClientSession) -> None:
        """One writer, until the end."""
        known: dict[str, Json] = {}
        while not self.quiet:
            await self.victim.up.wait()
            action = self.order.choices(list(Action), weights=(2, 5, 3, 3, 3, 2))[0]
            key = self.key()
            number = next(self._values)
            one = Operation(client, key, action, next(self._moments), (f"v{number}", f"w{number}"))
            if action in (Action.PUT, Action.PATCH_V, Action.DELETE) and self.order.random() < 0.6:
                one.expected = version_of(known[key]) if key in known else 0
            base = known.get(key) if action is Action.PUT else None
            if action is Action.PUT:
                one.action = Action.PATCH_V  # it writes what a patch of `v` writes: status is not its own
            self.operations.append(one)
            answer = await self._perform(one, session, base)
            if one.revision:
                known[key] = answer

    async def _perform(self, one: Operation, session: aiohttp.ClientSession, base: Json | None) -> Json:
        request = request_of(one, base)
        answer: Json = {}
        try:
            async with session.request(**request) as response:
                answer = await response.json()
        except (aiohttp.ClientError, ConnectionError, ValueError):
            await asyncio.sleep(0.01)
            return {}
        one.returned = next(self._moments)
        one.outcome = _outcome(response.status, answer)
        if one.outcome is Outcome.UNKNOWN and response.status not in (429, 503):
            self.wrong.append(f"{one.action} was answered with {response.status}: {answer.get('message')}")
        if answer.get("kind") == "Pod" and one.action is not Action.DELETE:
            one.revision, one.seen = version_of(answer), data_of(answer)
            self.see(one.revision)
        return answer

    async def follow(self, follower: Follower, session: aiohttp.ClientSession) -> None:
        """One watcher, until the end."""
        while not self.ended:
            await self.victim.up.wait()
            try:
                if follower.stale:
                    follower.start(*await self.list(session))
                await follower.follow(session, self.see)
            except (TimeoutError, aiohttp.ClientError, ConnectionError, ValueError):
                await asyncio.sleep(0.01)

    async def list(self, session: aiohttp.ClientSession) -> tuple[int, dict[str, tuple[int, Any]]]:
        """All pods now. Notes if the answer is older than one given before."""
        newest = self.newest
        async with session.get(COLLECTION) as response:
            answer = await response.json()
        if response.status != 200:
            raise ValueError(f"a list was answered with {response.status}")
        revision = version_of(answer)
        if revision < newest:
            self.wrong.append(f"revisions go back: a list at {revision} after an answer with {newest}")
        self.see(revision)
        return revision, {one["metadata"]["name"]: (version_of(one), data_of(one)) for one in answer["items"]}

    async def listed(self, session: aiohttp.ClientSession) -> dict[str, tuple[int, Any]]:
        """The same, whatever happens, as a part of the history."""
        while True:
            invoked = next(self._moments)
            try:
                revision, items = await self.list(session)
            except (aiohttp.ClientError, ConnectionError, ValueError):
                await asyncio.sleep(0.02)
                continue
            self.finals = [Listing(0, invoked, next(self._moments), revision, items, cached=False)]
            return items


def _outcome(status: int, answer: Json) -> Outcome:
    if status == 409:
        return Outcome.EXISTS if answer["reason"] == "AlreadyExists" else Outcome.CONFLICT
    return {200: Outcome.OK, 201: Outcome.OK, 404: Outcome.MISSING}.get(status, Outcome.UNKNOWN)


@asynccontextmanager
async def session_to(victim: Victim) -> AsyncIterator[aiohttp.ClientSession]:
    token = (victim.folder / "pki" / "admin.token").read_text().strip()
    trust = ssl.create_default_context(cafile=victim.folder / "pki" / "ca.crt")
    async with aiohttp.ClientSession(
        f"https://127.0.0.1:{victim.port}",
        headers={"authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(ssl=trust, limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=60, sock_read=60),
    ) as session:
        session._retry_connection = False  # a request that is sent twice unseen has no place in a history
        yield session


async def check(seed: int, kills: int, folder: Path) -> tuple[list[str], Counter[str]]:
    """So many kills; returns what is wrong, and how much there was of what."""
    victim = Victim(folder)
    try:
        await victim.start()
        async with session_to(victim) as session:
            load = Load(seed, victim)
            clients = [asyncio.create_task(load.write(number, session)) for number in range(1, WRITERS + 1)]
            watching = [asyncio.create_task(load.follow(one, session)) for one in load.followers]
            await _kill(kills, load, session)
            load.quiet = True
            await asyncio.gather(*clients)
            final = await _catch_up(load, session)
            load.ended = True
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    finally:
        victim.end()
    wrong = [*load.wrong, *linearizability.violations(load.operations, load.finals, load.keys())]
    for follower in load.followers:
        wrong += follower.faults(load.operations, final)
    counted: Counter[str] = Counter(kills=kills, revisions=load.newest, pods=len(final))
    counted.update(f"operations {one.outcome}" for one in load.operations)
    for follower in load.followers:
        counted.update(follower.counted)
    return wrong, counted


async def _kill(kills: int, load: Load, session: aiohttp.ClientSession) -> None:
    """Kill and start again; what nobody writes to any more must stay as it is."""
    settled: dict[str, tuple[int, Any]] = {}
    for number in range(kills):
        await asyncio.sleep(load.order.uniform(*load.order.choice(_ALIVE_SECONDS)))
        load.victim.kill()
        await load.victim.start()
        if number % KILLS_AN_EPOCH:
            continue
        items = await load.listed(session)
        for key, found in settled.items():
            if items.get(key) != found:
                load.wrong.append(f"{key} was {found} and is {items.get(key)}, though nobody wrote to it")
        current = f"pod-{load.epoch:04}-"
        older = {key: found for key, found in items.items() if not key.startswith(current)}
        for key in older.keys() - settled.keys():
            if int(key[4:8]) < load.epoch - 1:
                load.wrong.append(f"{key} came back")
        settled = {key: found for key, found in older.items() if int(key[4:8]) < load.epoch}
        load.epoch += 1


async def _catch_up(load: Load, session: aiohttp.ClientSession) -> dict[str, tuple[int, Any]]:
    """Write a last pod and let every watcher hear of it; returns what there is then."""
    last = Operation(0, _LAST, Action.CREATE, 0, ("last", ""))
    async with session.request(**request_of(last, None)) as response:
        assert response.status == 201, await response.text()
    for _ in range(600):
        if all(_LAST in follower.cache for follower in load.followers):
            break
        await asyncio.sleep(0.05)
    return await load.listed(session)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="springtide-kills-") as root:
        wrong, counted = asyncio.run(check(options.seed, options.kills, Path(root) / "data"))
    for one in wrong:
        print(json.dumps({"proof": "kills", "wrong": one}))
    seconds = round(time.perf_counter() - began, 1)
    row = {"proof": "kills", "seed": options.seed, **counted, "wrong": len(wrong), "seconds": seconds}
    print(json.dumps(row))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
