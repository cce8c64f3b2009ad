"""The platform taken apart: each of its parts as a process of its own, against any API server.

`springtide server` is the embedded API alone; `springtide scheduler`, `controllers` and `node` need nothing
but a kubeconfig, be it of that server or of a real cluster. What a part runs is the same code that `platform`
runs in one process.
"""

from __future__ import annotations

import asyncio
import os
import platform as machine
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from prometheus_client import start_http_server

from springtide import scheduling
from springtide.api.version import is_embedded
from springtide.client import Client, Connection, connect, write_context
from springtide.node import ProcessNode, ProcessNodeSettings, SimulatedNodes, load_nodes
from springtide.runtime import (
    LeaderSettings,
    Runtime,
    RuntimeSettings,
    SystemClock,
    configure_logging,
    logger,
)
from springtide.server import InProcessTransport
from springtide.up.bootstrap import bootstrap, publish_server
from springtide.up.control_plane import admin_connection, open_https, open_server
from springtide.up.identities import write_identities
from springtide.up.node_api import open_node_api, reach_nodes
from springtide.up.rooms import EMBEDDED, OWN, register_domains, register_embedded
from springtide.up.running import background, first
from springtide.up.settings import DATABASE_BYTES, DEFAULT_PORT, Ready

log = logger("up.parts")

Begun = Callable[[str], None]
"""Called once with a sentence that says what runs where."""


@dataclass(frozen=True)
class ServerSettings:
    """The embedded API server alone."""

    data_dir: Path
    """Database, certificates and kubeconfig. Created if missing; one server a folder."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine's."""
    port: int = DEFAULT_PORT
    """Port to listen on; 0 picks a free one."""
    names: tuple[str, ...] = ()
    """Further host names and addresses that clients reach it by; they are put into its certificate."""
    kubeconfig: Path | None = None
    """A kubeconfig to merge the context into, beside `<data_dir>/kubeconfig`; None: only that one."""
    database_bytes: int = DATABASE_BYTES
    """Size of the database in use from which on only deleting is accepted; 0: no limit."""
    log_level: str = "info"
    """What it logs: debug, info, warning or error."""


@dataclass(frozen=True)
class PartSettings:
    """A part that works against an API server."""

    connection: Connection
    """The server, and who this part is there."""
    leader_elect: bool = True
    """Work only while holding a Lease in kube-system, so that several may be started and one works."""
    identity: str = field(default_factory=lambda: f"{machine.node()}_{uuid.uuid4()}")
    """Who this process is among the candidates for the Lease."""
    metrics_port: int = 0
    """Port on 127.0.0.1 for Prometheus' `/metrics`; 0: none."""
    log_level: str = "info"
    """What it logs: debug, info, warning or error."""


async def serve_api(settings: ServerSettings, ready: Callable[[Ready], None]) -> None:
    """Serve the embedded API until cancelled; `ready` is called once.

    Raises StoreError for an unusable data folder, KubeconfigError, and OSError for an address that is taken.
    """
    clock = SystemClock()
    began = clock.monotonic()
    configure_logging(level=settings.log_level)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            open_server(settings.data_dir, clock, settings.database_bytes)
        )
        https, credentials = await stack.enter_async_context(
            open_https(
                server, settings.data_dir, clock, host=settings.host, port=settings.port, names=settings.names
            )
        )
        await stack.enter_async_context(reach_nodes(server, credentials, clock))
        client = Client(InProcessTransport(server)).with_manager("bootstrap")
        await bootstrap(client)
        await publish_server(client, https.url)
        connection = admin_connection(https.url, credentials)
        write_context(settings.data_dir / "kubeconfig", connection, shared=False)
        write_identities(settings.data_dir, connection, credentials, clock.now())
        if settings.kubeconfig is not None:
            write_context(settings.kubeconfig, connection)
        seconds = clock.monotonic() - began
        log.info("serving", address=https.url, seconds=round(seconds, 3))
        ready(
            Ready(
                url=https.url,
                kubeconfig=settings.data_dir / "kubeconfig",
                data_dir=settings.data_dir,
                pid=os.getpid(),
                start_seconds=seconds,
                resident_bytes=psutil.Process().memory_info().rss,
                nodes=0,
            )
        )
        stack.callback(server.shut_down)  # the first thing at the end
        await asyncio.Event().wait()


async def run_scheduler(settings: PartSettings, begun: Begun, *, policy: str = "") -> None:
    """The scheduling engine alone, until cancelled.

    On the embedded server it places pods that name no scheduler too, since nothing else would. Raises
    LeadershipLost, ValueError for an unknown policy, and ApiError if the server refuses at the start.
    """
    async with _runtime(settings, "springtide-scheduler") as (runtime, embedded):
        chosen = scheduling.Settings(scheduler_names=EMBEDDED if embedded else OWN)
        if policy:
            chosen = scheduling.Settings(scheduler_names=chosen.scheduler_names, policy=policy)
        scheduling.register(runtime, chosen)
        begun(f"scheduling for {settings.connection.server}")
        await runtime.run()


async def run_controllers(settings: PartSettings, begun: Begun, *, builtin: bool | None = None) -> None:
    """The controllers of all domains, until cancelled.

    `builtin` adds those that every cluster has of its own (Deployments, Jobs, garbage …); None: only if the
    server is the embedded one. Raises LeadershipLost, and ApiError if the server refuses at the start.
    """
    async with _runtime(settings, "springtide-controllers") as (runtime, embedded):
        register_domains(runtime)
        if embedded if builtin is None else builtin:
            register_embedded(runtime)
        begun(f"controlling {settings.connection.server}")
        await runtime.run()


async def run_node(
    settings: PartSettings, begun: Begun, *, process: ProcessNodeSettings, simulate: Path | None = None
) -> None:
    """One process node, or the simulated nodes of a file, until cancelled; its pods' processes end too."""
    async with AsyncExitStack() as stack:
        runtime, _ = await stack.enter_async_context(_runtime(settings, ""))
        nodes: ProcessNode | SimulatedNodes
        nodes = (
            ProcessNode(runtime, replace(process, api_server=settings.connection.server))
            if simulate is None
            else SimulatedNodes(runtime, load_nodes(simulate))
        )
        if isinstance(nodes, ProcessNode):
            door = open_node_api(
                nodes.kubelet, process.data_dir / "pki", runtime.clock, clients=settings.connection.ca_data
            )
            nodes.listens(await stack.enter_async_context(door))
        running = await stack.enter_async_context(background(runtime.run()))
        stack.push_async_callback(nodes.stop)
        count = await first(nodes.ready(), running)
        what = f"node {process.name}" if simulate is None else f"{count} simulated nodes"
        begun(f"{what} of {settings.connection.server}")
        await running


@asynccontextmanager
async def _runtime(settings: PartSettings, lease: str) -> AsyncIterator[tuple[Runtime, bool]]:
    """A runtime over the connection, and whether its server is embedded. `lease` empty: no election."""
    configure_logging(level=settings.log_level)
    client = connect(settings.connection)
    try:
        elected = (
            LeaderSettings(identity=settings.identity, name=lease)
            if lease and settings.leader_elect
            else None
        )
        runtime = Runtime(client, SystemClock(), RuntimeSettings(leader=elected))
        embedded = is_embedded((await client.request("GET", "/version")).body)
        if settings.metrics_port:
            listening, _ = start_http_server(
                settings.metrics_port, addr="127.0.0.1", registry=runtime.metrics()
            )
            try:
                yield runtime, embedded
            finally:
                listening.shutdown()
        else:
            yield runtime, embedded
    finally:
        await client.close()
