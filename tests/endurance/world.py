"""Clients at work on a server whose log is slow, fails and crashes, in virtual time, recorded by a seed.

Writers compare and swap, patch, create and delete; readers get and list; watchers fall behind, drop their
connection and resume. One integer decides who does what, how long a commit takes and who runs first.
Called by `histories`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from springtide.runtime.clock import LoopClock
from springtide.server import Request, Response, Server, Stream
from springtide.simulation import loop
from springtide.store import History as Kept
from springtide.store import MemoryLog, Record, Store, WriteFailed
from tests.endurance.operations import (
    Action,
    Change,
    Data,
    Heard,
    History,
    Listing,
    Operation,
    Outcome,
    Watching,
)

KEYS = ("a", "b", "c", "d")
COLLECTION = "/api/v1/namespaces/default/configmaps"
RESOURCE = "configmaps"
SELECTOR = "side=left"
MERGE = {"content-type": "application/merge-patch+json", "user-agent": "endurance"}
PLAIN = {"content-type": "application/json", "user-agent": "endurance"}

Json = dict[str, Any]


class Disconnected(Exception):
    """The server died before it answered."""


@dataclass(frozen=True)
class Scale:
    """How much happens in one run."""

    writers: int = 4
    readers: int = 2
    watchers: int = 3
    operations: int = 14
    """Requests of each writer and reader."""
    crashes: int = 2
    failures: int = 2
    revisions_kept: tuple[int, ...] = (4, 25)
    """One of these by seed: so little history that watches are told 410."""
    watcher_events: tuple[int, ...] = (3, 8)
    """And so small queues that they are cut off."""


@dataclass
class _Cache:
    """What a watching client knows, as of which revision."""

    client: int
    selecting: bool
    revision: int = 0
    state: dict[str, Data] = field(default_factory=dict)
    stale: bool = True
    settled: bool = False

    def take(self, heard: Heard) -> None:
        self.revision = max(self.revision, heard.revision)
        if heard.type == "DELETED":
            self.state.pop(heard.key, None)
        elif heard.type != "BOOKMARK":
            self.state[heard.key] = heard.data


class FlakyLog(MemoryLog):
    """Commits take their time, sometimes fail; and everything ever committed is remembered."""

    def __init__(self, order: random.Random) -> None:
        super().__init__(commit_after_seconds=0.01)
        self._order = order
        self.archive: list[Record] = []

    def append(self, record: Record) -> None:
        self.commit_after_seconds = self._order.choice((0.001, 0.01, 0.05, 0.2))
        super().append(record)

    def crash(self) -> None:
        """Of what waits, some was written and nobody was told; the rest is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for record in self._pending[: self._order.randint(0, len(self._pending))]:
            self._durable[record.revision] = record
            self.archive.append(record)
        self._pending.clear()

    def _commit(self) -> None:
        if self._failure is None:
            self.archive.extend(self._pending)
        super()._commit()


class World:
    """One run."""

    def __init__(self, seed: int, scale: Scale) -> None:
        self.order = random.Random(seed)
        self.scale = scale
        self.history = History()
        self._kept = Kept(
            revisions=self.order.choice(scale.revisions_kept),
            watcher_events=self.order.choice(scale.watcher_events),
        )
        self.log = FlakyLog(self.order)
        self.server: Server | None = None
        self.up = asyncio.Event()
        self._moments = itertools.count(1)
        self._values = itertools.count(1)
        self._inflight: set[asyncio.Task[Any]] = set()
        self._last_revision = 0
        """Revision of the last list, once everything has come to rest."""

    async def run(self) -> History:
        """Play everything and return what was recorded."""
        await self._start()
        clients = itertools.count(1)
        busy = [
            *(self._write(next(clients)) for _ in range(self.scale.writers)),
            *(self._read(next(clients)) for _ in range(self.scale.readers)),
        ]
        watching = [asyncio.create_task(self._watch(next(clients))) for _ in range(self.scale.watchers)]
        faults = asyncio.create_task(self._break())
        await asyncio.gather(*(asyncio.create_task(one) for one in busy))
        await faults
        self._last_revision, _ = await self._list(0, cached=False)
        await asyncio.gather(*watching)
        self.history.truth = [_change(one) for one in self.log.archive if one.resource == RESOURCE]
        return self.history

    def moment(self) -> int:
        return next(self._moments)

    async def _start(self) -> None:
        clock = LoopClock(seed=self.order.randrange(1 << 30))
        store = Store(self.log, monotonic=clock.monotonic, history=self._kept)
        self.server = Server(store, clock=clock)
        await self.server.start()
        self.up.set()

    async def _break(self) -> None:
        """Crashes and full disks, spread over the run."""
        faults = ["crash"] * self.scale.crashes + ["fail"] * self.scale.failures
        self.order.shuffle(faults)
        for fault in faults:
            await self._pause(1.5)
            if fault == "fail":
                self.log.fail_writes(WriteFailed("the disk is full"))
                await self._pause(0.5)
                self.log.fail_writes(None)
                continue
            self.up.clear()
            self.server = None
            self.log.crash()
            for task in tuple(self._inflight):
                task.cancel()
            await self._pause(0.3)
            await self._start()

    async def _pause(self, most_seconds: float) -> None:
        await asyncio.sleep(self.order.random() * most_seconds)

    # requests

    async def _ask(
        self, method: str, path: str, query: Json | None = None, body: Any = None, patch: bool = False
    ) -> tuple[int, Json]:
        """One request. Raises Disconnected if the server died meanwhile."""
        await self.up.wait()
        assert self.server is not None
        data = msgspec.json.encode(body) if body is not None else b""
        request = Request(method, path, query or {}, MERGE if patch else PLAIN, data)
        task = asyncio.ensure_future(self.server.handle(request))
        self._inflight.add(task)
        try:
            answer = await task
        except asyncio.CancelledError:
            raise Disconnected from None
        finally:
            self._inflight.discard(task)
        assert isinstance(answer, Response)
        return answer.status, msgspec.json.decode(answer.body)

    async def _write(self, client: int) -> None:
        """A writer, which now and then also reads what it bases its next write on."""
        known: dict[str, int] = {}
        for _ in range(self.scale.operations):
            await self._pause(0.2)
            key = self.order.choice(KEYS)
            action = self.order.choices(list(Action), weights=(3, 6, 4, 3, 3, 1))[0]
            expected = known.get(key, 0) if action is not Action.CREATE and self.order.random() < 0.7 else 0
            done = await self._operate(client, key, action, expected)
            if done.outcome is Outcome.OK and done.revision:
                known[key] = done.revision
            elif done.outcome is Outcome.MISSING:
                known.pop(key, None)

    async def _operate(self, client: int, key: str, action: Action, expected: int) -> Operation:
        number = next(self._values)
        done = Operation(client, key, action, self.moment(), (f"v{number}", f"w{number}"))
        done.expected = 0 if action in (Action.GET, Action.CREATE) else expected
        self.history.operations.append(done)
        method, path, body = _request(done, self.order.choice(("left", "right")))
        try:
            status, answer = await self._ask(method, path, body=body, patch=method == "PATCH")
        except Disconnected:
            return done
        done.returned = self.moment()
        done.outcome = _OUTCOMES.get(status, Outcome.UNKNOWN)
        if status == 409:
            done.outcome = Outcome.EXISTS if answer["reason"] == "AlreadyExists" else Outcome.CONFLICT
        if done.outcome is Outcome.OK and answer["kind"] == "ConfigMap" and action is not Action.DELETE:
            done.revision, done.seen = _version(answer), _data(answer)
        return done

    async def _read(self, client: int) -> None:
        for _ in range(self.scale.operations):
            await self._pause(0.3)
            if self.order.random() < 0.5:
                await self._operate(client, self.order.choice(KEYS), Action.GET, 0)
            else:
                with suppress(Disconnected):
                    await self._list(client, cached=self.order.random() < 0.4)

    async def _list(self, client: int, *, cached: bool) -> tuple[int, dict[str, Data]]:
        """A list, in pages at times; recorded."""
        query: Json = {"resourceVersion": "0"} if cached else {}
        if not cached and self.order.random() < 0.5:
            query["limit"] = str(self.order.randint(1, 3))
        invoked, items = self.moment(), {}
        status, answer = await self._ask("GET", COLLECTION, query)
        first = answer
        while status == 200:
            items.update({one["metadata"]["name"]: (_version(one), _data(one)) for one in answer["items"]})
            token = answer["metadata"].get("continue", "")
            if not token:
                break
            await self._pause(0.4)
            status, answer = await self._ask("GET", COLLECTION, {**query, "continue": token})
        if status == 410:  # the pages took longer than history is kept
            return await self._list(client, cached=cached)
        revision = _version(first)
        # only a list of one page is as new as its end; pages are all of the moment of the first
        cached = cached or first is not answer
        self.history.listings.append(Listing(client, invoked, self.moment(), revision, items, cached))
        return revision, {name: data for name, (_, data) in items.items()}

    # watches

    async def _watch(self, client: int) -> None:
        """A client with a cache: list, watch, drop, resume; told 410, it lists anew."""
        cache = _Cache(client, selecting=self.order.random() < 0.4)
        while not cache.settled:
            try:
                if cache.stale and (cache.selecting or self.order.random() < 0.5):
                    cache.revision, cache.state = await self._stream_state(cache.selecting)
                elif cache.stale:
                    cache.revision, cache.state = await self._list(client, cached=self.order.random() < 0.5)
                cache.stale = False
                await self._follow(cache)
            except Disconnected:
                await self._pause(0.2)
        self.history.finals.append((cache.selecting, cache.state))

    async def _stream_state(self, selecting: bool) -> tuple[int, dict[str, Data]]:
        """The state as a watch with `sendInitialEvents` tells it, up to the bookmark that ends it."""
        state: dict[str, Data] = {}
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        async for event in self._events({**query, "resourceVersion": ""}, selecting):
            if event["type"] == "BOOKMARK" and event["object"]["metadata"].get("annotations"):
                return _version(event["object"]), state
            state[event["object"]["metadata"]["name"]] = _data(event["object"])
        raise Disconnected

    async def _follow(self, cache: _Cache) -> None:
        """One connection, until it ends or all is over."""
        watching = Watching(cache.client, cache.selecting, cache.revision, dict(cache.state))
        self.history.watchings.append(watching)
        drops = self.order.random() < 0.5
        async for event in self._events({"resourceVersion": str(cache.revision)}, cache.selecting):
            if event["type"] == "ERROR":
                assert event["object"]["code"] == 410, event
                cache.stale = watching.expired = True
                return
            heard = _heard(event)
            watching.heard.append(heard)
            cache.take(heard)
            if self._last_revision:
                cache.settled = cache.revision >= self._last_revision
                if cache.settled:
                    return
                continue
            if self.order.random() < 0.3:
                await self._pause(0.6)  # falls behind
            if drops and self.order.random() < 0.1:
                return

    async def _events(self, query: Json, selecting: bool) -> Any:
        """The events of one watch connection. Raises Disconnected if the server dies."""
        await self.up.wait()
        assert self.server is not None
        full = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "40", **query}
        if selecting:
            full["labelSelector"] = SELECTOR
        answer = await self.server.handle(Request("GET", COLLECTION, full, PLAIN))
        assert isinstance(answer, Stream), answer
        try:
            while True:
                task = asyncio.ensure_future(anext(answer.chunks, b""))
                self._inflight.add(task)
                try:
                    chunk = await task
                except asyncio.CancelledError:
                    raise Disconnected from None
                finally:
                    self._inflight.discard(task)
                if not chunk:
                    return
                for line in chunk.splitlines():
                    yield msgspec.json.decode(line)
        finally:
            await answer.chunks.aclose()


_OUTCOMES = {
    200: Outcome.OK,
    201: Outcome.OK,
    404: Outcome.MISSING,
    409: Outcome.CONFLICT,
    503: Outcome.UNKNOWN,
}


def _request(one: Operation, side: str) -> tuple[str, str, Json | None]:
    """Method, path and body of an operation."""
    path = f"{COLLECTION}/{one.key}"
    metadata: Json = {"name": one.key, "labels": {"side": side}}
    if one.expected:
        metadata["resourceVersion"] = str(one.expected)
    v, w = one.data
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": v, "w": w}}
    match one.action:
        case Action.GET:
            return "GET", path, None
        case Action.CREATE:
            return "POST", COLLECTION, whole
        case Action.PUT:
            return "PUT", path, whole
        case Action.PATCH_V:
            return "PATCH", path, {"metadata": metadata, "data": {"v": v}}
        case Action.PATCH_W:
            return "PATCH", path, {"metadata": metadata, "data": {"w": w}}
        case Action.DELETE:
            options = {"preconditions": {"resourceVersion": str(one.expected)}} if one.expected else {}
            return "DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options}


def _change(record: Record) -> Change:
    obj = msgspec.json.decode(record.value)
    selected = obj["metadata"].get("labels", {}).get("side") == "left"
    return Change(record.revision, record.key.partition("/")[2], _data(obj), selected, record.deleted)


def _heard(event: Json) -> Heard:
    metadata = event["object"]["metadata"]
    revision = int(metadata["resourceVersion"])
    if event["type"] in ("BOOKMARK", "DELETED"):
        return Heard(event["type"], metadata.get("name", ""), revision)
    return Heard(event["type"], metadata["name"], revision, _data(event["object"]))


def _version(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


def _data(obj: Json) -> Data:
    data = obj.get("data") or {}
    return data.get("v", ""), data.get("w", "")


def play(seed: int, scale: Scale | None = None) -> History:
    """One run, the same for the same seed."""

    async def main() -> History:
        return await World(seed, scale or Scale()).run()

    return loop.run(main(), seed=seed)
