"""Simulated nodes: pods live as told, in virtual time, against a real API server in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from springtide.api.coordination import Lease
from springtide.api.core import Node, Pod
from springtide.api.meta import ObjectMeta, is_true
from springtide.api.nodes import NodeStatus
from springtide.api.podstatus import ContainerStateTerminated
from springtide.api.struct import decode
from springtide.client import Client, NotFound
from springtide.node import Behaviour, SimulatedNodes, SimulationSettings
from springtide.node.behaviour import BadBehaviour, behaviour_of, seconds
from springtide.node.simulated import _host_address
from springtide.runtime import LoopClock, Runtime
from springtide.server import InProcessTransport, Server
from tests.embedded import server_in_memory
from tests.node.scene import container


@dataclass
class Cluster:
    """Simulated nodes and a client."""

    client: Client
    nodes: SimulatedNodes
    server: Server

    async def create(self, name: str, node: str = "node-0", **behaviour: str) -> Pod:
        annotations = {
            f"simulation.springtide.dev/{key.replace('_', '-')}": value for key, value in behaviour.items()
        }
        return await self.client.create(pod(name, node, annotations))

    async def pod(self, name: str) -> Pod:
        return await self.client.get(Pod, name, "default")

    async def ended(self, name: str) -> ContainerStateTerminated:
        state = container(await self.pod(name)).state.terminated
        assert state is not None
        return state


def pod(name: str, node: str, annotations: dict[str, str] | None = None, **spec: Any) -> Pod:
    main = {"name": "main", "image": "none", "command": ["train"]}
    fields = {"restartPolicy": "Never", "nodeName": node, "containers": [main], **spec}
    metadata = {"name": name, "namespace": "default", "annotations": annotations or {}}
    return decode(Pod, {"metadata": metadata, "spec": fields})


def node(name: str) -> Node:
    amounts: dict[str, str | int | float] = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(capacity=amounts, allocatable=amounts))


@asynccontextmanager
async def cluster(count: int = 2, **settings: Any) -> AsyncIterator[Cluster]:
    clock = LoopClock()
    async with server_in_memory(clock) as server:
        client = Client(InProcessTransport(server))
        runtime = Runtime(client, clock)
        nodes = SimulatedNodes(
            runtime, [node(f"node-{index}") for index in range(count)], SimulationSettings(**settings)
        )
        running = asyncio.create_task(runtime.run())
        try:
            assert await nodes.ready() == count
            yield Cluster(client, nodes, server)
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_a_pod_starts_runs_and_succeeds() -> None:
    async with cluster() as world:
        await world.create("job", start_delay="5s", duration="1m")
        await asyncio.sleep(4)
        assert (await world.pod("job")).status.phase == "Pending"
        await asyncio.sleep(2)
        running = await world.pod("job")
        assert running.status.phase == "Running"
        assert is_true(running.status.conditions, "Ready")
        assert running.status.pod_ip.startswith("10.64.")
        await asyncio.sleep(58)
        assert (await world.pod("job")).status.phase == "Running"
        await asyncio.sleep(2)
        assert (await world.pod("job")).status.phase == "Succeeded"
        ended = await world.ended("job")
        assert ended.started_at is not None
        assert ended.finished_at is not None
        assert (ended.finished_at - ended.started_at).total_seconds() == 60


ENDINGS = [
    ({"duration": "10", "exit_code": "3"}, (3, "Error")),
    ({"duration": "10", "fail_after": "4s"}, (1, "Error")),
    ({"duration": "10", "fail_after": "4s", "exit_code": "9"}, (9, "Error")),
    ({"duration": "10", "oom": "true"}, (137, "OOMKilled")),
    ({"duration": "10", "fail_after": "1h"}, (0, "Completed")),
]


@pytest.mark.parametrize(("behaviour", "expected"), ENDINGS)
async def test_how_pods_end(behaviour: dict[str, str], expected: tuple[int, str]) -> None:
    async with cluster() as world:
        await world.create("job", **behaviour)
        await asyncio.sleep(11)
        ended = await world.ended("job")
        assert (ended.exit_code, ended.reason) == expected


async def test_deletion_takes_the_stop_delay_but_never_longer_than_the_grace() -> None:
    async with cluster() as world:
        await world.create("quick")
        await world.create("slow", stop_delay="5s")
        await world.create("stuck", stop_delay="10h")
        await asyncio.sleep(1)
        for name in ("quick", "slow", "stuck"):
            await world.client.delete(Pod, name, "default", grace_period_seconds=20)
        await asyncio.sleep(1)
        with pytest.raises(NotFound):
            await world.pod("quick")
        assert (await world.pod("slow")).status.phase == "Running"
        await asyncio.sleep(5)
        with pytest.raises(NotFound):
            await world.pod("slow")
        await world.pod("stuck")
        await asyncio.sleep(20)
        with pytest.raises(NotFound):
            await world.pod("stuck")


async def test_the_restart_policy_holds() -> None:
    async with cluster() as world:
        annotations = {"simulation.springtide.dev/duration": "5s", "simulation.springtide.dev/exit-code": "1"}
        await world.client.create(pod("crash", "node-0", annotations, restartPolicy="OnFailure"))
        await asyncio.sleep(4)
        assert container(await world.pod("crash")).restart_count == 0
        await asyncio.sleep(4)
        assert container(await world.pod("crash")).restart_count == 1
        await asyncio.sleep(4)
        waiting = container(await world.pod("crash")).state.waiting
        assert waiting is not None
        assert waiting.reason == "CrashLoopBackOff"
        await asyncio.sleep(9)
        assert container(await world.pod("crash")).restart_count == 2


async def test_a_dead_node_is_silent_and_its_pods_have_failed_when_it_is_back() -> None:
    async with cluster(heartbeat_seconds=10.0) as world:
        await world.create("job", duration="60s")
        await asyncio.sleep(1)
        world.nodes.kill("node-0")
        before = await world.client.get(Lease, "node-0", "kube-node-lease")
        await asyncio.sleep(100)
        assert await world.client.get(Lease, "node-0", "kube-node-lease") == before
        assert (await world.pod("job")).status.phase == "Running"
        world.nodes.restore("node-0")
        await asyncio.sleep(1)
        job = await world.pod("job")
        assert (job.status.phase, job.status.reason) == ("Failed", "NodeRestarted")
        assert await world.client.get(Lease, "node-0", "kube-node-lease") != before


async def test_pods_run_on_while_the_platform_is_away() -> None:
    async with cluster() as world:
        await world.create("job", duration="60s")
        await asyncio.sleep(20)
        runtime = Runtime(world.client, LoopClock())
        again = SimulatedNodes(runtime, [node("node-0"), node("node-1")])
        await world.nodes.stop()
        running = asyncio.create_task(runtime.run())
        await again.ready()
        await asyncio.sleep(39)
        assert (await world.pod("job")).status.phase == "Running"
        await asyncio.sleep(2)
        assert (await world.pod("job")).status.phase == "Succeeded"
        running.cancel()
        await asyncio.wait([running])


async def test_progress_is_reported() -> None:
    async with cluster() as world:
        await world.create("job", duration="100s", progress="10s")
        await asyncio.sleep(41)
        report = json.loads((await world.pod("job")).metadata.annotations["springtide.dev/progress"])
        assert report["progressPercentage"] == 40
        assert report["estimatedRemainingSeconds"] == 60


async def test_a_report_tells_when_work_was_last_saved() -> None:
    async with cluster() as world:
        await world.create("job", duration="100s", progress="10s", checkpoint="15s")
        await asyncio.sleep(11)
        first = json.loads((await world.pod("job")).metadata.annotations["springtide.dev/progress"])
        assert "checkpointTime" not in first
        await asyncio.sleep(30)
        later = json.loads((await world.pod("job")).metadata.annotations["springtide.dev/progress"])
        since = datetime.fromisoformat(later["time"]) - datetime.fromisoformat(later["checkpointTime"])
        assert since.total_seconds() == 10


async def test_a_behaviour_nobody_understands_fails_the_pod_and_says_why() -> None:
    async with cluster() as world:
        await world.create("job", duration="soon")
        await asyncio.sleep(1)
        job = await world.pod("job")
        assert (job.status.phase, job.status.reason) == ("Failed", "BadSimulation")
        assert "simulation.springtide.dev/duration: 'soon' is not a duration" in job.status.message


async def test_a_reconcile_without_news_writes_nothing() -> None:
    async with cluster(heartbeat_seconds=0.0) as world:
        await world.create("job", duration="1h")
        await asyncio.sleep(5)
        version = (await world.client.list(Pod, "default")).resource_version
        world.nodes._controller.queue.add("default/job")
        await asyncio.sleep(5)
        assert (await world.client.list(Pod, "default")).resource_version == version


async def test_a_thousand_nodes_and_two_thousand_pods() -> None:
    async with cluster(1000, default=Behaviour(duration_seconds=30)) as world:
        for index in range(2000):
            await world.create(f"job-{index}", node=f"node-{index % 1000}")
        await asyncio.sleep(40)
        pods = (await world.client.list(Pod, "default")).items
        assert [one.status.phase for one in pods] == ["Succeeded"] * 2000
        assert len({one.status.pod_ip for one in pods}) == 2000


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: seconds("duration", "-3"), "'-3' is not a duration: write seconds"),
    (
        lambda: behaviour_of(pod("x", "n", {"simulation.springtide.dev/exit-code": "999"}), Behaviour()),
        "0 to 255",
    ),
    (
        lambda: behaviour_of(pod("x", "n", {"simulation.springtide.dev/oom": "yes"}), Behaviour()),
        "true or false",
    ),
    (
        lambda: behaviour_of(pod("x", "n", {"simulation.springtide.dev/length": "1"}), Behaviour()),
        "is unknown",
    ),
    (lambda: behaviour_of(pod("x", "n", {"springtide.dev/simulated": "{"}), Behaviour()), "is not JSON"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_behaviours_name_the_annotation(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BadBehaviour, match=message):
        call()


def test_one_annotation_may_hold_the_whole_behaviour() -> None:
    text = json.dumps({"duration": "2m", "exit-code": 4, "oom": False})
    found = behaviour_of(pod("x", "n", {"springtide.dev/simulated": text}), Behaviour())
    assert found == Behaviour(duration_seconds=120, exit_code=4)


def test_nodes_have_addresses_as_api_servers_demand_them() -> None:
    found = [_host_address(number) for number in (0, 253, 254, 254 * 256, 100_000)]
    assert found == ["10.128.0.1", "10.128.0.254", "10.128.1.1", "10.129.0.1", "10.129.137.179"]
    assert all(ip_address(one) in ip_network("10.128.0.0/9") for one in found)
