"""A big cluster in use for long: `python -m tests.endurance.soak`, `… --http`.

2,000 nodes with their leases, 16,000 pods and 50 watchers (of all pods, of a namespace, of a node) while pods
come, go and report. In simulation 30 virtual minutes pass; with --http 5 real ones, against a server in a
process of its own behind HTTPS. Prints memory over time, the latency of each verb (in simulation: processor
time) and, over HTTPS, how long after its answer a change was heard of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from springtide.runtime.clock import LoopClock
from springtide.server import Request, Response, Server, Stream
from springtide.simulation import loop
from springtide.store import MemoryLog, Store
from tests.endurance.kills import Victim, session_to

Json = dict[str, Any]
NAMESPACES = 40
_MERGE = "application/merge-patch+json"
_FLAT = 1.1
"""Memory counts as flat if the last quarter of the time uses at most so much of the second quarter's.

History is kept for five minutes or 32 MB, whichever is less; until then memory has to grow.
"""


@dataclass(frozen=True)
class Size:
    """How big, how long, how busy."""

    nodes: int = 2000
    pods: int = 16_000
    watchers: int = 50
    seconds: float = 1800.0
    changes_a_second: float = 40.0
    writers: int = 8
    samples: int = 30


class InProcess:
    """The server in this process, on virtual time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.process = psutil.Process()

    async def ask(self, method: str, path: str, body: Any, media_type: str) -> tuple[int, bytes]:
        data = json.dumps(body).encode() if body is not None else b""
        answer = await self._server.handle(Request(method, path, {}, {"content-type": media_type}, data))
        assert isinstance(answer, Response)
        return answer.status, answer.body

    async def watch(self, path: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        answer = await self._server.handle(Request("GET", path, {"watch": "true", **query}))
        assert isinstance(answer, Stream)
        async for chunk in answer.chunks:
            for line in chunk.splitlines():
                yield line


class OverHttps:
    """The server in another process."""

    def __init__(self, session: aiohttp.ClientSession, process: psutil.Process) -> None:
        self._session = session
        self.process = process

    async def ask(self, method: str, path: str, body: Any, media_type: str) -> tuple[int, bytes]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"content-type": media_type}
        async with self._session.request(method, path, data=data, headers=headers) as response:
            return response.status, await response.read()

    async def watch(self, path: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        async with self._session.get(path, params={"watch": "true", **query}) as response:
            async for line in response.content:
                yield line


Transport = InProcess | OverHttps


class Soak:
    """One run."""

    def __init__(self, seed: int, size: Size, transport: Transport, now: Callable[[], float]) -> None:
        self.order = random.Random(seed)
        self.size = size
        self.transport = transport
        self.now = now
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.lags: list[float] = []
        self.memory: list[int] = []
        self.counted: Counter[str] = Counter()
        self._pods: list[str] = []
        self._number = 0
        self._over = False

    async def run(self) -> None:
        """Fill the cluster, then keep it busy."""
        await self._fill()
        watching = [asyncio.create_task(self._watch(number)) for number in range(self.size.watchers)]
        began = self.now()
        writing = [asyncio.create_task(self._write(began)) for _ in range(self.size.writers)]
        for _ in range(self.size.samples):
            await asyncio.sleep(self.size.seconds / self.size.samples)
            self.memory.append(self.transport.process.memory_info().rss)
        await asyncio.gather(*writing)
        self._over = True
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)

    async def ask(
        self, verb: str, method: str, path: str, body: Any = None, media_type: str = "application/json"
    ) -> int:
        began = time.perf_counter()
        status, answer = await self.transport.ask(method, path, body, media_type)
        self.latencies[verb].append(time.perf_counter() - began)
        self.counted[f"answers {status}"] += 1
        assert status < 500, answer
        return status

    async def _fill(self) -> None:
        for number in range(NAMESPACES):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}}
            await self.ask("fill", "POST", "/api/v1/namespaces", namespace)
        steps: list[Callable[[], Awaitable[None]]] = [
            *((lambda number=number: self._add_node(number)) for number in range(self.size.nodes)),
            *(self._add_pod for _ in range(self.size.pods)),
            *((lambda at=at: self._tell("fill", at)) for at in range(self.size.pods)),
        ]
        waiting = iter(steps)

        async def work() -> None:
            for step in waiting:
                await step()

        await asyncio.gather(*(work() for _ in range(16)))

    async def _add_node(self, number: int) -> None:
        name = f"node-{number}"
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        await self.ask("fill", "POST", "/api/v1/nodes", node)
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
        await self.ask("fill", "POST", _LEASES, {**lease, "spec": {"holderIdentity": name}})

    async def _add_pod(self) -> None:
        self._number += 1
        namespace, name = f"team-{self._number % NAMESPACES}", f"pod-{self._number}"
        spec = {
            "nodeName": f"node-{self._number % self.size.nodes}",
            "containers": [{"name": "main", "image": "python:3.12", "command": ["sleep", "1"]}],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "soak"}}}
        path = f"/api/v1/namespaces/{namespace}/pods"
        status = await self.ask("create pod", "POST", path, {**pod, "spec": spec})
        assert status == 201
        self._pods.append(f"{path}/{name}")

    async def _write(self, began: float) -> None:
        pause = self.size.writers / self.size.changes_a_second
        while self.now() - began < self.size.seconds:
            await self._change()
            await asyncio.sleep(self.order.uniform(0.5, 1.5) * pause)

    async def _change(self) -> None:
        drawn = self.order.random()
        at = self.order.randrange(len(self._pods))
        if drawn < 0.5:
            await self._tell("patch pod status", at)
        elif drawn < 0.75:
            path = f"{_LEASES}/node-{self.order.randrange(self.size.nodes)}"
            renewed = f"2026-01-01T00:00:00.{self.order.randrange(10**6):06}Z"
            await self.ask("patch lease", "PATCH", path, {"spec": {"renewTime": renewed}}, _MERGE)
        elif drawn < 0.85:
            await self.ask("get pod", "GET", self._pods[at])
        elif drawn < 0.9:
            await self.ask("list namespace", "GET", self._pods[at].rpartition("/")[0])
        else:
            gone, self._pods[at] = self._pods[at], self._pods[-1]
            self._pods.pop()
            await self.ask("delete pod", "DELETE", gone, {"gracePeriodSeconds": 0})
            await self._add_pod()
            await self._tell("patch pod status", len(self._pods) - 1)

    async def _tell(self, verb: str, at: int) -> None:
        """A pod's status, which every pod has: without it they would grow as the run goes on."""
        message = {"status": {"phase": "Running", "message": f"{self.now():.6f}"}}
        await self.ask(verb, "PATCH", f"{self._pods[at]}/status", message, _MERGE)

    async def _watch(self, number: int) -> None:
        """A tenth watch all pods, three tenths a namespace, the others a node; all come back for more."""
        path, query = "/api/v1/pods", {"allowWatchBookmarks": "true"}
        if number % 10 in (1, 2, 3):
            path = f"/api/v1/namespaces/team-{number % NAMESPACES}/pods"
        elif number % 10:
            query["fieldSelector"] = f"spec.nodeName=node-{number % self.size.nodes}"
        revision = ""
        while not self._over:
            seconds = str(self.order.randint(40, 120))
            start = {"resourceVersion": revision} if revision else {"sendInitialEvents": "true", **_FRESH}
            self.counted["watches"] += 1
            try:
                async for line in self.transport.watch(path, {**query, **start, "timeoutSeconds": seconds}):
                    revision = self._hear(json.loads(line), first=not revision) or revision
            except aiohttp.ClientError:
                self.counted["watches broken"] += 1

    def _hear(self, event: Json, *, first: bool) -> str:
        if event["type"] == "ERROR":
            self.counted["watches told 410"] += 1
            return ""
        self.counted["events"] += 1
        metadata = event["object"]["metadata"]
        message = (event["object"].get("status") or {}).get("message", "")
        if message and event["type"] == "MODIFIED" and isinstance(self.transport, OverHttps):
            self.lags.append(self.now() - float(message))
        initial = first and "annotations" not in metadata and event["type"] == "ADDED"
        return "" if initial else str(metadata["resourceVersion"])


_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_FRESH = {"resourceVersionMatch": "NotOlderThan", "resourceVersion": ""}


def simulate(seed: int, size: Size) -> Soak:
    """Virtual time: `size.seconds` of it."""

    async def main() -> Soak:
        clock = LoopClock(seed=seed)
        store = Store(MemoryLog(commit_after_seconds=0.002), monotonic=clock.monotonic)
        server = Server(store, clock=clock)
        await server.start()
        soak = Soak(seed, size, InProcess(server), clock.monotonic)
        await soak.run()
        await store.close()
        return soak

    return loop.run(main(), seed=seed)


@asynccontextmanager
async def _served() -> AsyncIterator[OverHttps]:
    with tempfile.TemporaryDirectory(prefix="springtide-soak-") as root:
        victim = Victim(Path(root) / "data")
        try:
            await victim.start()
            async with session_to(victim) as session:
                yield OverHttps(session, psutil.Process(victim.pid))
        finally:
            victim.end()


async def over_https(seed: int, size: Size) -> Soak:
    """Real time, real connections."""
    async with _served() as transport:
        soak = Soak(seed, size, transport, time.monotonic)
        await soak.run()
        return soak


def rows(soak: Soak, *, http: bool) -> list[Json]:
    """What came of it."""
    quarter = max(1, len(soak.memory) // 4)
    early, late = statistics.mean(soak.memory[quarter : 2 * quarter]), statistics.mean(soak.memory[-quarter:])
    head = {"proof": "soak", "how": "https" if http else "simulation"}
    listed = [
        {
            **head,
            "memory_mb": [round(one / 1e6) for one in soak.memory],
            "grown": round(late / early, 3),
            "flat": late / early <= _FLAT,
        },
        {**head, **soak.counted},
    ]
    for verb, seconds in sorted(soak.latencies.items()):
        listed.append({**head, "verb": verb, **_spread(seconds)})
    if http:
        listed.append({**head, "watch lag": "from before the request to the event", **_spread(soak.lags)})
    return listed


def _spread(seconds: list[float]) -> Json:
    ordered = sorted(seconds)
    at = {
        f"p{share}_ms": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 90, 99)
    }
    return {"count": len(ordered), **{name: round(value * 1000, 2) for name, value in at.items()}}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=Size.nodes)
    parser.add_argument("--pods", type=int, default=Size.pods)
    parser.add_argument("--watchers", type=int, default=Size.watchers)
    parser.add_argument("--minutes", type=float, help="30 in simulation, 5 over HTTPS")
    parser.add_argument("--rate", type=float, help="requests a second; 40 in simulation, 100 over HTTPS")
    options = parser.parse_args()
    seconds = 60 * (options.minutes or (5 if options.http else 30))
    rate = options.rate or (100 if options.http else Size.changes_a_second)
    size = Size(options.nodes, options.pods, options.watchers, seconds, rate)
    run = over_https(options.seed, size) if options.http else None
    soak = asyncio.run(run) if run is not None else simulate(options.seed, size)
    found = rows(soak, http=options.http)
    for row in found:
        print(json.dumps(row))
    return 0 if found[0]["flat"] else 1


if __name__ == "__main__":
    sys.exit(main())
