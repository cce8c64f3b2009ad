"""A control plane with simulated nodes on virtual time, and a short way to speak of apps kinds in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from springtide.api.core import Event, Node, Pod
from springtide.api.meta import ObjectMeta
from springtide.api.nodes import NodeStatus
from springtide.client import Client, NotFound
from springtide.node import SimulatedNodes
from springtide.node.behaviour import Behaviour
from springtide.node.simulated import SimulationSettings
from springtide.runtime import LoopClock, Runtime
from springtide.server import InProcessTransport
from springtide.up.bootstrap import bootstrap
from springtide.up.rooms import register_controllers
from tests.embedded import ask, server_in_memory, working

Json = dict[str, Any]
APPS = "/apis/apps/v1/namespaces/default"
FOREVER = 10**7


@dataclass
class Scene:
    """What a test does to the cluster and asks of it."""

    client: Client
    clock: LoopClock
    nodes: SimulatedNodes

    async def create(self, plural: str, body: Json) -> Json:
        return await self._send("POST", f"{APPS}/{plural}", body)

    async def get(self, place: str) -> Json | None:
        try:
            return await self._send("GET", f"{APPS}/{place}")
        except NotFound:
            return None

    async def patch(self, place: str, body: Json, kind: str = "merge") -> Json:
        return await self._send("PATCH", f"{APPS}/{place}", body, f"application/{kind}-patch+json")

    async def delete(self, place: str, propagation: str = "Background") -> None:
        await self._send("DELETE", f"{APPS}/{place}", {"propagationPolicy": propagation})

    async def listed(self, plural: str) -> list[Json]:
        items: list[Json] = (await self._send("GET", f"{APPS}/{plural}"))["items"]
        return items

    async def pods(self, *, ending: bool = False) -> list[Pod]:
        """Pods of the default namespace that are not ending, by name."""
        found = (await self.client.list(Pod, "default")).items
        kept = [pod for pod in found if ending or pod.metadata.deletion_timestamp is None]
        return sorted(kept, key=lambda pod: pod.metadata.name)

    async def events(self, about: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about objects of this kind."""
        found = (await self.client.list(Event, "default")).items
        return [(one.reason, one.message) for one in found if one.involved_object.kind == about]

    async def until(self, holds: Callable[[], Any], what: str = "", seconds: float = 300) -> None:
        """Wait until an async predicate holds."""
        deadline = self.clock.monotonic() + seconds
        while not await holds():
            assert self.clock.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            await asyncio.sleep(0.5)

    async def settled(self, place: str, seconds: float = 300) -> Json:
        """The deployment or set once all its pods are there, new and available."""

        async def done() -> bool:
            found = await self.get(place)
            return found is not None and is_settled(found)

        await self.until(done, f"{place} settled", seconds)
        found = await self.get(place)
        assert found is not None
        return found

    async def _send(
        self, method: str, path: str, body: Json | None = None, kind: str = "application/json"
    ) -> Json:
        return await ask(self.client, method, path, body, kind)


def is_settled(obj: Json) -> bool:
    status, wanted = obj.get("status", {}), obj["spec"].get("replicas", 1)
    counts = [status.get(name, 0) for name in ("replicas", "readyReplicas", "availableReplicas")]
    if obj["kind"] != "ReplicaSet":
        counts.append(status.get("updatedReplicas", 0))
    current = status.get("observedGeneration", 0) >= obj["metadata"]["generation"]
    return current and all(count == wanted for count in counts)


@asynccontextmanager
async def scene(nodes: int = 3, *, room: int = 110, start_delay: float = 1.0) -> AsyncIterator[Scene]:
    """A running cluster whose pods run for ever unless they say otherwise."""
    clock = LoopClock()
    async with server_in_memory(clock) as server:
        client = Client(InProcessTransport(server))
        await bootstrap(client.with_manager("bootstrap"))
        runtime = Runtime(client, clock)
        register_controllers(runtime)
        behaviour = Behaviour(duration_seconds=FOREVER, start_delay_seconds=start_delay)
        simulated = SimulatedNodes(
            runtime,
            [node(f"node-{index}", room) for index in range(nodes)],
            SimulationSettings(default=behaviour),
        )
        async with working(runtime):
            await simulated.ready()
            yield Scene(client.with_manager("tester"), clock, simulated)


def node(name: str, room: int = 110, **labelled: str) -> Node:
    capacity = {"cpu": "64", "memory": "256Gi", "pods": str(room)}
    return Node(
        metadata=ObjectMeta(name=name, labels={"kubernetes.io/hostname": name, **labelled}),
        status=NodeStatus(capacity=dict(capacity), allocatable=dict(capacity)),
    )


def template(image: str = "app:1", **spec: Any) -> Json:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": image}], **spec},
    }


def workload(
    kind: str, name: str = "web", *, image: str = "app:1", pod: Json | None = None, **spec: Any
) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image, **(pod or {})),
            **spec,
        },
    }


def image(tag: str) -> Json:
    """A patch that changes the template."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": tag}]}}}}
