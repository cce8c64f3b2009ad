"""A control plane in one process on virtual time: real server, in-memory store, builtin controllers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from springtide import builtin
from springtide.client import Client, NotFound
from springtide.runtime import LoopClock, Runtime
from springtide.server import InProcessTransport
from tests.embedded import ask, server_in_memory, working

Json = dict[str, Any]


@dataclass
class Cluster:
    """What a test does to the cluster and asks of it."""

    client: Client
    clock: LoopClock

    async def create(self, obj: Json) -> Json:
        """Create an object given as JSON; its path follows from its kind."""
        return await self._send("POST", _collection(obj), obj)

    async def get(self, path: str) -> Json | None:
        """The object at a path, if any."""
        try:
            return await self._send("GET", path)
        except NotFound:
            return None

    async def delete(self, path: str, propagation: str = "Background") -> None:
        await self._send("DELETE", path, {"kind": "DeleteOptions", "propagationPolicy": propagation})

    async def patch(self, path: str, body: Json) -> Json:
        return await self._send("PATCH", path, body, "application/merge-patch+json")

    async def revision(self) -> str:
        """The newest resourceVersion there is."""
        return str((await self._send("GET", "/api/v1/pods"))["metadata"]["resourceVersion"])

    async def _send(
        self, method: str, path: str, body: Json | None = None, kind: str = "application/json"
    ) -> Json:
        return await ask(self.client, method, path, body, kind)


@asynccontextmanager
async def cluster(settle_seconds: float = 1.0, *, controllers: bool = True) -> AsyncIterator[Cluster]:
    """A running cluster; everything ends with the block."""
    clock = LoopClock()
    async with server_in_memory(clock) as server:
        client = Client(InProcessTransport(server))
        async with running(client, clock) if controllers else nullcontext():
            await asyncio.sleep(settle_seconds if controllers else 0)
            yield Cluster(client.with_manager("test"), clock)


@asynccontextmanager
async def running(client: Client, clock: LoopClock) -> AsyncIterator[Runtime]:
    """The builtin controllers over a server, as a process that can be stopped and started again."""
    runtime = Runtime(client, clock)
    builtin.register(runtime)
    async with working(runtime):
        yield runtime


def config_map(
    name: str, *owners: Json, namespace: str = "default", blocking: bool = False, **metadata: Any
) -> Json:
    """A ConfigMap owned by these objects."""
    references = [reference(owner, blocking=blocking) for owner in owners]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": references, **metadata},
    }


def reference(owner: Json, *, blocking: bool = False, uid: str = "") -> Json:
    """An owner reference to an object as the server returned it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": uid or owner["metadata"]["uid"],
        "blockOwnerDeletion": blocking,
    }


def config_map_path(name: str, namespace: str = "default") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"


_PLURALS: dict[str, Callable[[str], str]] = {
    "ConfigMap": lambda namespace: f"/api/v1/namespaces/{namespace}/configmaps",
    "Pod": lambda namespace: f"/api/v1/namespaces/{namespace}/pods",
    "Namespace": lambda _: "/api/v1/namespaces",
    "Node": lambda _: "/api/v1/nodes",
    "Lease": lambda namespace: f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
    "CustomResourceDefinition": lambda _: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Ship": lambda namespace: f"/apis/sea.example.com/v1/namespaces/{namespace}/ships",
    "Service": lambda namespace: f"/api/v1/namespaces/{namespace}/services",
}


def _collection(obj: Json) -> str:
    return _PLURALS[obj["kind"]](obj["metadata"].get("namespace", "default"))


SHIPS: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ships.sea.example.com"},
    "spec": {
        "group": "sea.example.com",
        "scope": "Namespaced",
        "names": {"plural": "ships", "singular": "ship", "kind": "Ship", "listKind": "ShipList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                        },
                    }
                },
            }
        ],
    },
}
