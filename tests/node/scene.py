"""A process node against a real API server in memory, for the tests of this room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from springtide.api.core import Event, Pod
from springtide.api.podstatus import ContainerStatus
from springtide.api.struct import decode
from springtide.client import Client, NotFound
from springtide.node import ProcessNode, ProcessNodeSettings
from springtide.node.launcher import Launcher
from springtide.runtime import Clock, Runtime, SystemClock
from springtide.server import InProcessTransport, Server
from tests.embedded import server_in_memory

PATIENCE_SECONDS = 20.0
NODE = "here"


@dataclass
class Scene:
    """The server's client and the node; pods are written as YAML would be."""

    client: Client
    runtime: Runtime
    node: ProcessNode
    settings: ProcessNodeSettings

    async def create(self, name: str, *containers: dict[str, Any], **spec: Any) -> Pod:
        """A pod on this node. Restarts never unless asked."""
        fields: dict[str, Any] = {
            "restartPolicy": "Never",
            "nodeName": NODE,
            "containers": list(containers),
        } | spec
        metadata = fields.pop("metadata", {})
        for one in (*containers, *spec.get("initContainers", [])):
            one.setdefault("image", "none")
        body = {"metadata": {"name": name, "namespace": "default", **metadata}, "spec": fields}
        return await self.client.create(decode(Pod, body))

    async def pod(self, name: str) -> Pod:
        return await self.client.get(Pod, name, "default")

    async def until(self, name: str, holds: Callable[[Pod], Any]) -> Pod:
        """The pod as soon as it is as wanted."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    pod = await self.pod(name)
                    if holds(pod):
                        return pod
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"still waiting for {name}: {(await self.pod(name)).status}") from None

    async def finished(self, name: str) -> Pod:
        return await self.until(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))

    async def running(self, name: str) -> Pod:
        return await self.until(name, lambda pod: pod.status.phase == "Running")

    async def gone(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    await self.pod(name)
                except NotFound:
                    if f"default/{name}" not in self.node.pods:
                        return
                await asyncio.sleep(0.02)

    async def logs(self, name: str, **options: Any) -> str:
        chunks = [chunk async for chunk in self.client.logs("default", name, **options)]
        return b"".join(chunks).decode(errors="surrogateescape")

    async def events(self, reason: str, containing: str = "") -> list[str]:
        """Messages of the events with this reason and text, once there is one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = await self.client.list(Event, "default")
                messages = [
                    event.message
                    for event in found.items
                    if event.reason == reason and containing in event.message
                ]
                if messages:
                    return messages
                await asyncio.sleep(0.02)


def shell(script: str, name: str = "main", **fields: Any) -> dict[str, Any]:
    """A container that runs a shell script; `$$` is the shell's id (Kubernetes would read one dollar)."""
    return {"name": name, "command": ["sh", "-c", script.replace("$$", "$$$$")], **fields}


def python(script: str, name: str = "main", **fields: Any) -> dict[str, Any]:
    """A container that runs Python code."""
    return {"name": name, "command": ["python", "-c", script], **fields}


def container(pod: Pod, name: str = "main") -> ContainerStatus:
    """The status of one container; an empty one while there is none."""
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return next((status for status in statuses if status.name == name), ContainerStatus(name=name))


@asynccontextmanager
async def node_on(
    server: Server,
    folder: Path,
    *,
    clock: Clock | None = None,
    launcher: Launcher | None = None,
    **changes: Any,
) -> AsyncIterator[Scene]:
    """A node on this server; left, it stops as the platform would stop it."""
    clock = clock or SystemClock()
    settings = ProcessNodeSettings(name=NODE, data_dir=folder / "node", working_dir=folder / "work")
    settings = replace(settings, **{"stop_seconds": 0.5} | changes)
    settings.working_dir.mkdir(exist_ok=True)
    client = Client(InProcessTransport(server))
    runtime = Runtime(client, clock)
    node = ProcessNode(runtime, settings, launcher)
    server.reach_nodes_through(node)
    running = asyncio.create_task(runtime.run())
    try:
        ready = asyncio.create_task(node.ready())
        await asyncio.wait([ready, running], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield Scene(client, runtime, node, settings)
    finally:
        await node.stop()
        running.cancel()
        await asyncio.wait([running])


@asynccontextmanager
async def node_alone(folder: Path, **changes: Any) -> AsyncIterator[Scene]:
    """A server and its one node."""
    clock = changes.pop("clock", None) or SystemClock()
    async with server_in_memory(clock) as server, node_on(server, folder, clock=clock, **changes) as scene:
        yield scene
