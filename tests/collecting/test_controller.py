"""NodeHealth is written at once for news, seldom otherwise; a stuck source is Silent and stops nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Pod
from springtide.api.crds import bundled
from springtide.api.nodehealth import NodeHealth, PodActivity, StackSample
from springtide.api.struct import decode, encode
from springtide.client import Client, NotFound
from springtide.collecting import Collection, CollectSettings, Round, Unavailable
from springtide.collecting.reporting import Report
from springtide.collecting.worker import Inline, Runner, Worker
from springtide.runtime import Clock, LoopClock, Runtime, SystemClock
from springtide.runtime.clock import EPOCH
from springtide.server import InProcessTransport
from tests.collecting.scripted import Scripted, Stuck, observation
from tests.embedded import server_in_memory, working

NODE = "here"


@asynccontextmanager
async def collecting(
    *sources: Scripted, clock: Clock | None = None, runner: Callable[[str], Runner] = Inline
) -> AsyncIterator[Client]:
    clock = clock or LoopClock()
    async with served(clock) as client:
        runtime = Runtime(client, clock)
        Collection(runtime, CollectSettings(NODE, Path("/nowhere"), Path("/nowhere")), sources, runner)
        async with working(runtime):
            yield client


@asynccontextmanager
async def served(clock: Clock) -> AsyncIterator[Client]:
    """A server that knows NodeHealth."""
    async with server_in_memory(clock) as server:
        client = Client(InProcessTransport(server))
        crd = next(one for one in bundled() if one.spec.names.kind == "NodeHealth")
        fields = encode(crd)
        fields.pop("status", None)
        await client.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
        yield client


async def pod(client: Client, name: str = "job-0") -> Pod:
    body: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "default", "labels": {"springtide.dev/workload": "job"}},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "none"}]},
    }
    return await client.create(decode(Pod, body))


async def health(client: Client) -> NodeHealth:
    return await client.get(NodeHealth, NODE)


async def version(client: Client) -> str:
    return (await health(client)).metadata.resource_version


async def test_what_is_seen_is_written_with_its_collector_and_pod() -> None:
    source = Scripted(Round(), name="logs")
    async with collecting(source) as client:
        made = await pod(client)
        await asyncio.sleep(5)
        source._rounds = [Round(seen=(observation("BOOM", pod_uid=made.metadata.uid),)), Round()]
        await asyncio.sleep(2)
        status = (await health(client)).status
        assert [(one.line, one.collector, one.pod) for one in status.observations] == [
            ("BOOM", "logs", "default/job-0")
        ]
        assert [(one.name, one.state) for one in status.collectors] == [("logs", "Working")]


async def test_a_node_with_nothing_to_say_is_written_twice_a_minute_so_that_its_end_would_show() -> None:
    async with collecting(Scripted()) as client:
        await asyncio.sleep(5)
        first = await version(client)
        await asyncio.sleep(18)
        assert await version(client) == first
        await asyncio.sleep(10)
        again = await health(client)
        assert again.metadata.resource_version != first
        assert again.status.collectors[0].time is not None
        assert again.status.collectors[0].time >= EPOCH + timedelta(seconds=20)


async def test_a_pod_that_falls_quiet_is_told_at_once_and_one_that_goes_on_only_now_and_then() -> None:
    source = Scripted(Round(), name="activity")
    async with collecting(source) as client:
        uid = (await pod(client)).metadata.uid

        async def lives(seconds: int) -> set[str]:
            versions = set()
            for _ in range(seconds):
                now = EPOCH + timedelta(seconds=asyncio.get_running_loop().time())
                source._rounds = [Round(activity={uid: {"busy_time": now, "stopped": False}})]
                await asyncio.sleep(1)
                versions.add(await version(client))
            return versions

        await asyncio.sleep(2)
        await lives(20)
        assert len(await lives(60)) <= 7
        before = await version(client)
        source._rounds = [Round(activity={uid: {"stopped": False}})]
        await asyncio.sleep(8)
        assert await version(client) != before, "quiet after five seconds, told within three more"
        before = await version(client)
        source._rounds = [Round(activity={uid: {"stopped": True}})]
        await asyncio.sleep(2.5)
        assert (await health(client)).status.pods[0].stopped
        assert await version(client) != before


async def test_moments_never_go_back() -> None:
    source = Scripted(name="activity")
    async with collecting(source) as client:
        uid = (await pod(client)).metadata.uid
        source._rounds = [
            Round(activity={uid: {"log_time": EPOCH + timedelta(seconds=9)}}),
            Round(activity={uid: {"log_time": EPOCH + timedelta(seconds=3)}}),
        ]
        await asyncio.sleep(30)
        assert (await health(client)).status.pods[0].log_time == EPOCH + timedelta(seconds=9)


async def test_what_a_machine_does_not_have_is_unavailable_with_the_reason_and_tried_again() -> None:
    source = Scripted(Unavailable("no driver is loaded"), Round(), name="nvidia")
    async with collecting(source, Scripted(name="kernel")) as client:
        await asyncio.sleep(3)
        found = {one.name: (one.state, one.message) for one in (await health(client)).status.collectors}
        assert found == {"kernel": ("Working", ""), "nvidia": ("Unavailable", "no driver is loaded")}
        await asyncio.sleep(65)
        assert {one.state for one in (await health(client)).status.collectors} == {"Working"}


async def test_a_source_that_fails_says_how_and_the_others_go_on() -> None:
    broken, fine = Scripted(OSError(5, "Input/output error"), name="disk"), Scripted(name="kernel")
    async with collecting(broken, fine) as client:
        await asyncio.sleep(20)
        found = {one.name: one for one in (await health(client)).status.collectors}
        assert (found["disk"].state, found["kernel"].state) == ("Silent", "Working")
        assert "Input/output error" in found["disk"].message
        assert len(fine.looks) > 15


async def test_what_was_seen_before_a_restart_stays_and_numbers_go_on() -> None:
    clock = LoopClock()
    async with served(clock) as client:
        for line in ("BOOM one", "BOOM two"):
            runtime = Runtime(client, clock)
            source = Scripted(Round(seen=(observation(line),)), Round(), name="kernel")
            Collection(runtime, CollectSettings(NODE, Path("/nowhere"), Path("/nowhere")), [source], Inline)
            async with working(runtime):
                await asyncio.sleep(5)
        kept = [(one.id, one.line) for one in (await health(client)).status.observations]
        assert kept == [("00000001", "BOOM one"), ("00000002", "BOOM two")]


async def test_what_health_writes_into_the_object_stays() -> None:
    async with collecting(Scripted()) as client:
        await asyncio.sleep(3)
        history = [{"diagnosis": "default/job-0", "fault": "GpuOffBus"}]
        await client.with_manager("health").apply(
            NodeHealth, NODE, "", {"status": {"history": history}}, subresource="status"
        )
        await asyncio.sleep(60)
        status = (await health(client)).status
        assert [one.diagnosis for one in status.history] == ["default/job-0"]
        assert status.collectors


@pytest.mark.realtime
async def test_a_stuck_source_is_silent_until_it_answers_and_holds_up_nobody() -> None:
    stuck, fine = Stuck(), Scripted(name="fine")
    fine.period_seconds = 0.05
    async with collecting(stuck, fine, clock=SystemClock(), runner=Worker) as client:

        async def until(state: str) -> str:
            async with asyncio.timeout(20):
                while True:
                    await asyncio.sleep(0.05)
                    try:
                        found = {one.name: one for one in (await health(client)).status.collectors}
                    except NotFound:
                        continue
                    if "stuck" in found and found["stuck"].state == state:
                        return found["stuck"].message

        said = await until("Silent")
        assert "no answer within 0.1 s" in said
        looks = len(fine.looks)
        await asyncio.sleep(0.5)
        assert len(fine.looks) >= looks + 3
        stuck.free.set()
        assert await until("Working") == ""


def test_the_oldest_stacks_go_where_one_object_cannot_hold_them_all() -> None:
    report = Report()
    for number in range(40):
        sample = StackSample(time=EPOCH + timedelta(seconds=number), process=1, frames=["f" * 1024] * 40)
        name = f"default/job-{number:02}"
        report.pods[name] = PodActivity(name=name, uid=name, stacks=[sample])
    kept = [pod.name for pod in report.status(EPOCH).pods if pod.stacks]
    assert len(report.status(EPOCH).pods) == 40
    assert kept == [f"default/job-{number:02}" for number in range(28, 40)]
