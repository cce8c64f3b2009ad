"""The real server over a memory store with the controllers a test asks for, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from springtide.api.core import Namespace, Node, Pod
from springtide.api.crds import bundled
from springtide.api.kueue import Admission, Workload
from springtide.api.meta import Condition, Object, ObjectMeta, find_condition, set_condition
from springtide.api.struct import encode, replace
from springtide.client import AlreadyExists, Client
from springtide.runtime import LoopClock, Runtime
from springtide.server import InProcessTransport, LogOptions
from springtide.store import Store
from springtide.training import builtin_runtimes
from tests import builders
from tests.embedded import in_memory, server_in_memory, working

T = TypeVar("T", bound=Object)


class Logs:
    """Logs of pods by name; a pod without one has no log to read."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self.texts = dict(texts)

    async def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        if pod not in self.texts:
            raise LookupError(f"pod {pod} has no log")
        yield self.texts[pod]


@dataclass
class ControlPlane:
    """What a test does to it; the test plays the rooms whose controllers are not there."""

    client: Client
    runtime: Runtime
    store: Store
    clock: LoopClock

    async def settle(self, seconds: float = 0.5) -> None:
        """Let the controllers come to rest."""
        await asyncio.sleep(seconds)

    async def put(self, obj: Object) -> None:
        """Create an object (or find it) and give it the status it has here."""
        with suppress(AlreadyExists):
            await self.client.create(obj)
        await self.status(obj, encode(obj).get("status") or {})

    async def status(self, obj: Object, status: Mapping[str, Any]) -> None:
        """Merge fields into an object's status."""
        meta = obj.metadata
        if status:
            body = {"status": dict(status)}
            await self.client.patch(type(obj), meta.name, meta.namespace, body, subresource="status")

    async def tell(self, workload: Workload, type_: str, status: str = "True", **more: Any) -> None:
        """Another room sets a condition of a workload."""
        fresh = await self.client.get(Workload, workload.metadata.name, workload.metadata.namespace)
        new = Condition(type=type_, status=status, **{"reason": type_, **more})
        conditions = set_condition(fresh.status.conditions, new, self.clock.now())
        await self.status(fresh, {"conditions": [encode(one) for one in conditions]})

    async def admit(self, workload: Workload, *nodes: str) -> None:
        """Scheduling admits a workload of one pod set, one pod a node."""
        made = builders.admitted(workload, dict.fromkeys(nodes, 1))
        assert isinstance(made.status.admission, Admission)
        await self.status(workload, {"admission": encode(made.status.admission)})
        await self.tell(workload, "QuotaReserved")
        await self.tell(workload, "Admitted")

    async def revision(self) -> str:
        """The newest resourceVersion there is."""
        return (await self.client.list(Pod)).resource_version


@asynccontextmanager
async def control_plane(
    *registers: Callable[[Runtime], None], logs: Mapping[str, bytes] | None = None
) -> AsyncIterator[ControlPlane]:
    """A server with CRDs, runtimes and two nodes, and these rooms' controllers running."""
    clock = LoopClock()
    store = in_memory(clock)
    async with server_in_memory(clock, store=store, log_source=Logs(logs or {})) as server:
        client = Client(InProcessTransport(server))
        for obj in (Namespace(metadata=ObjectMeta(name="default")), *bundled(), *builtin_runtimes()):
            with suppress(AlreadyExists):
                await client.create(obj)
        plane = ControlPlane(client.with_manager("test"), Runtime(client, clock), store, clock)
        for name in ("n0", "n1"):
            await plane.put(_without_uid(builders.node(name)))
        for register in registers:
            register(plane.runtime)
        async with working(plane.runtime):
            await plane.settle()
            yield plane


def _without_uid(node: Node) -> Node:
    return replace(node, metadata=replace(node.metadata, uid=""))


def condition_of(obj: Any, type_: str) -> Condition | None:
    """A condition of an object that has a status."""
    return find_condition(obj.status.conditions, type_)
