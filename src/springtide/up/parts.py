"""The platform taken apart: each of its parts as a process of its own, against any API server.

`springtide server` is the embedded API alone; `springtide scheduler`, `controllers` and `node` need nothing
but a kubeconfig, be it of that server or of a real cluster. What a part runs is the same code that `platform`
runs in one process.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from springtide import collecting, scheduling
from springtide.node import ProcessNode, ProcessNodeSettings, SimulatedNodes, load_nodes
from springtide.up.node_api import open_node_api
from springtide.up.part_runtime import Begun, PartSettings, part_runtime
from springtide.up.rooms import EMBEDDED, OWN, register_domains, register_embedded
from springtide.up.running import background, first


async def run_scheduler(settings: PartSettings, begun: Begun, *, policy: str = "") -> None:
    """The scheduling engine alone, until cancelled.

    On the embedded server it places pods that name no scheduler too, since nothing else would. Raises
    LeadershipLost, ValueError for an unknown policy, and ApiError if the server refuses at the start.
    """
    async with part_runtime(settings, "springtide-scheduler") as (runtime, embedded):
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
    async with part_runtime(settings, "springtide-controllers") as (runtime, embedded):
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
        runtime, _ = await stack.enter_async_context(part_runtime(settings, ""))
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
