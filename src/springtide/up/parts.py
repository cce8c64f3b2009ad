"""The platform taken apart: each of its parts as a process of its own, against any API server.

`springtide server` is the embedded API alone; `springtide scheduler`, `controllers` and `node` need nothing
but a kubeconfig, be it of that server or of a real cluster. What a part runs is the same code that `platform`
runs in one process.
"""

from __future__ import annotations

import platform as machine
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client import start_http_server

from springtide import collecting, scheduling
from springtide.api.version import is_embedded
from springtide.client import Connection, connect
from springtide.collecting import CollectSettings
from springtide.node import ProcessNode, ProcessNodeSettings, SimulatedNodes, load_nodes
from springtide.runtime import (
    LeaderSettings,
    Runtime,
    RuntimeSettings,
    SystemClock,
    configure_logging,
    logger,
)
from springtide.up.node_api import open_node_api
from springtide.up.rooms import EMBEDDED, OWN, register_domains, register_embedded
from springtide.up.running import background, first

log = logger("up.parts")

Begun = Callable[[str], None]
"""Called once with a sentence that says what runs where."""


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


async def run_scheduler(settings: PartSettings, begun: Begun, *, policy: str = "") -> None:
    """The scheduling engine alone, until cancelled.

    On the embedded server it places pods that name no scheduler too, since nothing else would. Raises
    LeadershipLost, ValueError for an unknown policy, and ApiError if the server refuses at the start.
    """
    async with _runtime(settings, "springtide-scheduler") as (runtime, embedded):
        chosen = scheduling.Settings(
            scheduler_names=EMBEDDED if embedded else OWN, provisioned_volumes=not embedded
        )
        if policy:
            chosen = replace(chosen, policy=policy)
        scheduling.register(runtime, chosen)
        begun(f"scheduling for {settings.connection.server}")
        await runtime.run()


async def run_controllers(settings: PartSettings, begun: Begun, *, builtin: bool | None = None) -> None:
    """The controllers of all domains, until cancelled.

    `builtin` adds those that every cluster has of its own (Deployments, Jobs, garbage …); None: only if the
    server is the embedded one. Raises LeadershipLost, and ApiError if the server refuses at the start.
    """
    async with _runtime(settings, "springtide-controllers") as (runtime, embedded):
        register_domains(runtime, EMBEDDED if embedded else OWN)
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
        server = settings.connection
        nodes = (
            ProcessNode(runtime, replace(process, api_server=server.server, connection=server))
            if simulate is None
            else SimulatedNodes(runtime, load_nodes(simulate))
        )
        if isinstance(nodes, ProcessNode):
            collecting.register(runtime, collecting.beside(process))
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


async def run_collect(settings: PartSettings, begun: Begun, *, collect: CollectSettings) -> None:
    """The collectors of one node alone, beside a kubelet, until cancelled.

    Raises ApiError if the server refuses at the start.
    """
    async with _runtime(settings, "") as (runtime, _):
        collecting.register(runtime, collect)
        begun(f"collecting on node {collect.node} for {settings.connection.server}")
        await runtime.run()


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
