"""The real API server in the test's process, and rooms registered on it, in virtual time.

`embedded` is the scene of most rooms; other scenes are made of `server_in_memory`, `working` and `ask`.

    async with embedded(scheduling.register, workloads.register) as platform:
        await platform.create(node("a"), workload())
        await platform.settle()

Nodes are played by the test: `play` puts pods into a phase as a node would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Pod
from springtide.api.crds import bundled
from springtide.api.kueue import Workload
from springtide.api.meta import Object
from springtide.api.struct import encode
from springtide.client import Client
from springtide.runtime import Clock, LoopClock, Runtime
from springtide.server import InProcessTransport, Server
from springtide.store import MemoryLog, Store

T = TypeVar("T", bound=Object)


@dataclass
class Platform:
    """A server with rooms running on it."""

    client: Client
    runtime: Runtime
    store: Store

    async def create(self, *objects: Object) -> None:
        """Create objects, their status included."""
        for obj in objects:
            made = await self.client.create(_without_status(obj))
            status = encode(obj).get("status")
            if status:
                body = {"status": status}
                kind, metadata = type(obj), made.metadata
                await self.client.patch(kind, metadata.name, metadata.namespace, body, subresource="status")

    async def settle(self, seconds: float = 5.0) -> None:
        """Let this much virtual time pass."""
        await asyncio.sleep(seconds)

    async def get(self, kind: type[T], name: str, namespace: str = "default") -> T:
        return await self.client.get(kind, name, namespace)

    async def pods(self) -> list[Pod]:
        """All pods, by name."""
        return sorted((await self.client.list(Pod)).items, key=lambda found: found.metadata.name)

    async def play(self, phase: str, *names: str) -> None:
        """Put pods (all, unless named) into a phase; running ones are ready."""
        ready = "True" if phase == "Running" else "False"
        status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
        for found in await self.pods():
            name = found.metadata.name
            if not names or name.startswith(names):
                await self.client.patch(
                    Pod, name, found.metadata.namespace, {"status": status}, subresource="status"
                )

    async def end_deleted(self) -> None:
        """Remove pods whose deletion was asked for, as a node does once their processes are gone."""
        for found in await self.pods():
            if found.metadata.deletion_timestamp is not None:
                await self.client.delete(
                    Pod, found.metadata.name, found.metadata.namespace, grace_period_seconds=0
                )

    async def condition(self, name: str, **conditions: tuple[str, str]) -> None:
        """Set conditions of a workload as another room would: type=(status, reason)."""
        fields = {
            "status": {
                "conditions": [
                    {
                        "type": type_,
                        "status": status,
                        "reason": reason,
                        "message": "",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }
                    for type_, (status, reason) in conditions.items()
                ]
            }
        }
        await self.client.with_manager("health").apply(
            Workload, name, "default", fields, subresource="status"
        )


@asynccontextmanager
async def embedded(
    *register: Callable[[Runtime], Any], without_groups: Container[str] = ()
) -> AsyncIterator[Platform]:
    """A fresh server with all CRDs, but those of some groups, and these rooms running on it."""
    clock = LoopClock()
    store = in_memory(clock)
    async with server_in_memory(clock, store=store) as server:
        client = Client(InProcessTransport(server))
        for crd in bundled():
            if crd.spec.group in without_groups:
                continue
            fields = encode(crd)
            fields.pop("status", None)
            await client.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
        runtime = Runtime(client, clock)
        for room in register:
            room(runtime)
        async with working(runtime):
            yield Platform(client, runtime, store)


def in_memory(clock: Clock) -> Store:
    return Store(MemoryLog(), monotonic=clock.monotonic)


@asynccontextmanager
async def server_in_memory(
    clock: Clock, *, store: Store | None = None, **parts: Any
) -> AsyncIterator[Server]:
    """A server alone, over a fresh store unless one is given; `parts` are further arguments of `Server`."""
    store = store or in_memory(clock)
    server = Server(store, clock=clock, **parts)
    await server.start()
    try:
        yield server
    finally:
        await store.close()


@asynccontextmanager
async def working(runtime: Runtime) -> AsyncIterator[None]:
    """The controllers of a runtime work until the block ends; what ended them before is raised."""
    task = asyncio.create_task(runtime.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def ask(
    client: Client, method: str, path: str, body: Any = None, kind: str = "application/json"
) -> dict[str, Any]:
    """A request in plain JSON; raises what the client makes of a refusal."""
    data = json.dumps(body).encode() if body is not None else b""
    answer = await client.request(method, path, body=data, content_type=kind)
    return dict(json.loads(answer.body))


def _without_status(obj: T) -> T:
    from springtide.api.struct import decode

    raw = encode(obj)
    raw.pop("status", None)
    raw["metadata"].pop("uid", None)
    return decode(type(obj), raw)
