"""The composition root: wires store, server, controllers and node into one process, for `springtide up`.

Reads top to bottom in the order things start: the data folder is opened and locked, the API answers, the
first objects are there, the caches are warm, the node is Ready. Stopping goes the other way round.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol

import psutil

from springtide import collecting
from springtide.client import Client, write_context
from springtide.node import ProcessNode, ProcessNodeSettings, SimulatedNodes, load_nodes
from springtide.runtime import Runtime, SystemClock, configure_logging, logger
from springtide.server import InProcessTransport
from springtide.server.remote_nodes import LocalNodes
from springtide.up.bootstrap import bootstrap, publish_server
from springtide.up.control_plane import admin_connection, open_https, open_server
from springtide.up.node_api import reach_nodes
from springtide.up.rooms import register_controllers
from springtide.up.running import background, first
from springtide.up.settings import Ready, UpSettings

log = logger("up.platform")


class _Nodes(LocalNodes, Protocol):
    """What both kinds of node give: readiness, an orderly end, and an API of their own."""

    async def ready(self) -> int:
        """Wait until all nodes are Ready; returns how many there are."""
        ...

    async def stop(self) -> None:
        """End all pods' processes and say that the nodes are gone."""
        ...


async def serve(settings: UpSettings, ready: Callable[[Ready], None]) -> None:
    """Run the platform until cancelled; `ready` is called once.

    Raises StoreError for an unusable data folder, KubeconfigError, and OSError for a port that is taken.
    """
    clock = SystemClock()
    began = clock.monotonic()
    configure_logging(level=settings.log_level)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            open_server(settings.data_dir, clock, settings.database_bytes)
        )
        https, credentials = await stack.enter_async_context(
            open_https(server, settings.data_dir, clock, port=settings.port)
        )
        connection = admin_connection(https.url, credentials)
        write_context(settings.data_dir / "kubeconfig", connection, shared=False)
        if settings.kubeconfig is not None:
            write_context(settings.kubeconfig, connection)
        client = Client(InProcessTransport(server))
        await bootstrap(client.with_manager("bootstrap"))
        await publish_server(client.with_manager("bootstrap"), https.url)
        runtime = Runtime(client, clock)
        server.measure_too(runtime.metrics())
        register_controllers(runtime)
        nodes = _nodes(runtime, settings, https.url)
        await stack.enter_async_context(reach_nodes(server, credentials, clock, nodes))
        running = await stack.enter_async_context(background(runtime.run()))
        stack.push_async_callback(nodes.stop)
        count = await first(nodes.ready(), running)
        stack.callback(server.shut_down)  # the first thing at the end
        ready(_ready(settings, https.url, clock.monotonic() - began, count))
        await running


def _nodes(runtime: Runtime, settings: UpSettings, api_server: str) -> _Nodes:
    """This machine as a node, or the nodes of a file."""
    if settings.simulate is not None:
        return SimulatedNodes(runtime, load_nodes(settings.simulate))
    name = platform.node().lower() or "localhost"
    process = ProcessNodeSettings(
        name=name,
        data_dir=settings.data_dir / "node",
        working_dir=settings.workdir,
        api_server=api_server,
    )
    collecting.register(runtime, collecting.beside(process))
    return ProcessNode(runtime, process)


def _ready(settings: UpSettings, url: str, seconds: float, nodes: int) -> Ready:
    resident = psutil.Process().memory_info().rss
    log.info("ready", address=url, seconds=round(seconds, 3), nodes=nodes)
    return Ready(
        url=url,
        kubeconfig=settings.data_dir / "kubeconfig",
        data_dir=settings.data_dir,
        pid=os.getpid(),
        start_seconds=seconds,
        resident_bytes=resident,
        nodes=nodes,
    )
