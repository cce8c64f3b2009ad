"""The cluster that benchmarks of schedulers work on, and a watch that says when each pod was bound.

Used by `binds` and `gangs`. Nodes are objects only: Ready, without taints, eight GPUs each.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from load.exchange import Call, Door, merge_patch, next_chunk, send_all

GPUS = 8
NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/default/pods"
_NAME = re.compile(rb'"name":"([^"]+)"')
_VERSION = re.compile(rb'"resourceVersion":"(\d+)"')


def node(name: str, number: int = 0) -> dict[str, Any]:
    """One machine of 8 GPUs, 128 CPUs and 1 TiB, ten to a rack."""
    room = {"cpu": "128", "memory": "1Ti", "nvidia.com/gpu": str(GPUS), "pods": "110"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    labels = {"kubernetes.io/hostname": name, "topology.springtide.dev/rack": f"rack-{number // 10}"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
    }


async def create_nodes(door: Door, count: int) -> None:
    """Create them, and take away the taint with which servers make them."""
    names = [f"node-{number:05}" for number in range(count)]
    bodies = (json.dumps(node(name, number)).encode() for number, name in enumerate(names))
    await send_all(door, [Call("POST", NODES, body) for body in bodies])
    await send_all(door, [merge_patch(f"{NODES}/{name}", {"spec": {"taints": None}}) for name in names])
    await send_all(
        door,
        [
            merge_patch(f"{NODES}/{name}/status", {"status": node(name, number)["status"]})
            for number, name in enumerate(names)
        ],
    )


async def allow_pods(door: Door) -> None:
    """A real API server admits pods only where the default service account is."""
    path = "/api/v1/namespaces/default/serviceaccounts"
    account = b'{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}'
    try:
        await send_all(door, [Call("GET", f"{path}/default", b"")], 1)
    except RuntimeError:
        await send_all(door, [Call("POST", path, account)], 1)


class Sightings:
    """When a watch first showed each object that its field selector chooses, by name."""

    def __init__(self, door: Door, selector: str, wanted: int, path: str = PODS) -> None:
        self.at: dict[str, float] = {}
        self.resumed = 0
        """How often the server dropped the watch, as it does with those that are slow to read."""
        self.opened = asyncio.Event()
        self._done = asyncio.Event()
        self._door = door
        self._selector = selector
        self._path = path
        self._wanted = wanted
        self._version = ""
        self._rest = b""

    async def follow(self) -> None:
        """Watch until cancelled. Raises RuntimeError for a refused watch."""
        while True:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._door.port, ssl=self._door.trust, server_hostname="127.0.0.1", limit=2**22
            )
            writer.write(self._request())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            self.opened.set()
            self._rest = b""
            while data := await next_chunk(reader):
                self._feed(data)
            self.resumed += 1
            writer.close()

    async def all_seen(self, patience_seconds: float) -> None:
        """Until the last one wanted was seen. Raises RuntimeError if that takes longer than patience."""
        try:
            async with asyncio.timeout(patience_seconds):
                await self._done.wait()
        except TimeoutError:
            text = f"only {len(self.at)} pods were seen within {patience_seconds:g} s"
            raise RuntimeError(text) from None

    def _feed(self, data: bytes) -> None:
        now = time.perf_counter()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            name, version = _NAME.search(line), _VERSION.search(line)
            if version is not None:
                self._version = version.group(1).decode()
            if name is not None and line.startswith(b'{"type":"ADDED"'):
                self.at.setdefault(name.group(1).decode(), now)
        if len(self.at) >= self._wanted:
            self._done.set()

    def _request(self) -> bytes:
        since = f"&resourceVersion={self._version}" if self._version else ""
        accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        return (
            f"GET {self._path}?watch=1&fieldSelector={self._selector}{since} HTTP/1.1\r\nhost: localhost\r\n"
            f"user-agent: bench/1\r\naccept: {accept}\r\nauthorization: Bearer {self._door.token}\r\n\r\n"
        ).encode()


@asynccontextmanager
async def watching(door: Door, selector: str, wanted: int, path: str = PODS) -> AsyncIterator[Sightings]:
    """Watch by field selector, metadata only, so that looking on costs the server little."""
    seen = Sightings(door, selector, wanted, path)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(seen.follow())
        await seen.opened.wait()
        yield seen
        following.cancel()
