"""Who uses what it asks for, and who stands further back because it does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from springtide import scheduling, workloads
from springtide.api import labels
from springtide.api.configuration import SchedulerConfiguration, SchedulerConfigurationSpec
from springtide.api.core import Container, Pod, PodSpec, ResourceRequirements
from springtide.api.kueue import LocalQueue, Workload
from springtide.api.meta import ObjectMeta, find_condition
from springtide.api.metrics import ContainerMetrics, PodMetrics
from springtide.api.nodehealth import Collector, CollectorState, NodeHealth, NodeHealthStatus, PodActivity
from springtide.api.struct import replace
from springtide.node import Behaviour, SimulatedNodes, SimulationSettings
from springtide.runtime import Runtime
from springtide.scheduling.measured import GpuUse, Measured, gpu_use, measured
from springtide.scheduling.ordering import RIGHT_SIZED
from springtide.scheduling.scores import Look, PodUse, Score, looks, part_used, score_of
from springtide.scheduling.timing import Timing
from tests.builders import at, cluster_queue, local_queue, node, pod_set, pod_spec, workload
from tests.embedded import embedded
from tests.scheduling.world import World

GI = 2**30


@pytest.mark.parametrize(
    ("story", "asked", "used", "part"),
    [
        ("all of it", {"cpu": 1000, "memory": GI}, {"cpu": 1000, "memory": GI}, 1.0),
        ("half of either", {"cpu": 1000, "memory": GI}, {"cpu": 500, "memory": GI // 2}, 0.5),
        ("more than it asked for is no merit", {"cpu": 1000, "memory": GI}, {"cpu": 9000}, 0.5),
        ("asks for GPUs alone", {"nvidia.com/gpu": 8}, {"cpu": 100}, None),
    ],
)
def test_what_part_is_used(
    story: str, asked: dict[str, int], used: dict[str, int], part: float | None
) -> None:
    assert part_used(asked, used) == part, story


def test_pods_count_by_what_they_ask_for() -> None:
    big, small = PodUse("d/team", {"cpu": 9000}, {"cpu": 0}), PodUse("d/team", {"cpu": 1000}, {"cpu": 1000})
    unknown = PodUse("d/team", {"cpu": 9000}, None)
    assert looks([big, small, unknown]) == {"d/team": Look(0.1)}


@pytest.mark.parametrize(
    ("story", "gpus", "look"),
    [
        ("a GPU is worth sixteen cores", GpuUse(1000, 0.0), Look(16 / 32, 0.0, asks_gpus=True)),
        ("a half of one eight", GpuUse(500, 1.0), Look(1.0, 1.0, asks_gpus=True)),
        ("not measured: neither idle nor used", GpuUse(1000, None), Look(1.0, None, asks_gpus=True)),
        ("none asked for", None, Look(1.0)),
    ],
)
def test_gpus_count_by_what_they_are_worth_and_only_if_measured(
    story: str, gpus: GpuUse | None, look: Look
) -> None:
    assert looks([PodUse("d/q", {"cpu": 16000}, {"cpu": 16000}, gpus)]) == {"d/q": look}, story


def test_a_score_stays_where_nothing_at_all_is_measured_and_says_so() -> None:
    score = Score(0.4, at(0)).taking(Look(None, None, asks_gpus=True), at(86400))
    assert (score.value, score.at) == (0.4, at(0))
    assert score.gpus_in_words == "not measured"
    assert score.taking(Look(0.4, 0.25, asks_gpus=True), at(86400)).gpus_in_words == "25%"
    assert Score().gpus_in_words == ""


@pytest.mark.parametrize(
    ("story", "asked", "found", "part"),
    [
        ("half of two GPUs", {"gpu": 2}, Measured(1000, 0), 0.5),
        ("one of two works", {"gpu": 2}, Measured(900, 0), 0.45),
        ("all of its thirty hundredths", {"gpu": 1, "gpucores": 30}, Measured(300, 0), 1.0),
        ("a tenth of its thirty hundredths", {"gpu": 1, "gpucores": 30}, Measured(30, 0), 0.1),
        ("more than its part is no merit", {"gpu": 1, "gpucores": 30}, Measured(900, 0), 1.0),
        ("memory alone", {"gpu": 1, "gpumem": 4000}, Measured(900, 1000), 0.25),
        ("both", {"gpu": 1, "gpucores": 50, "gpumem": 4000}, Measured(250, 1000), 0.375),
        ("one of both is measured", {"gpu": 1, "gpucores": 50, "gpumem": 4000}, Measured(None, 1000), 0.25),
        ("nothing is", {"gpu": 1}, Measured(None, None), None),
        ("nobody looked", {"gpu": 1}, None, None),
    ],
)
def test_a_part_of_a_gpu_counts_by_its_part(
    story: str, asked: dict[str, int], found: Measured | None, part: float | None
) -> None:
    used = gpu_use(asking(**asked), found)
    assert used is not None
    assert used.part == (part if part is None else pytest.approx(part)), story
    assert gpu_use(asking(), Measured(900, 900)) is None


def asking(**gpus: int) -> Pod:
    """A pod that asks for these resources of HAMi's."""
    limits: dict[str, Any] = {f"nvidia.com/{name}": amount for name, amount in gpus.items()}
    box = Container(name="c", image="python:3.12", resources=ResourceRequirements(limits=limits))
    return Pod(spec=PodSpec(containers=[box], restart_policy="Never"))


@pytest.mark.parametrize(
    ("story", "state", "age", "found"),
    [
        ("just now", CollectorState.WORKING, 30, {"u": Measured(250, None)}),
        ("long ago", CollectorState.WORKING, 600, {}),
        ("its collector is stuck", CollectorState.SILENT, 30, {}),
        ("its driver is gone", CollectorState.UNAVAILABLE, 30, {}),
    ],
)
def test_only_what_was_measured_lately_counts(
    story: str, state: CollectorState, age: float, found: dict[str, Measured]
) -> None:
    health = health_of(gpu_millis=250, second=1000 - age, state=state)
    assert measured([health], at(1000)) == found, story


def health_of(
    *, gpu_millis: int, second: float, uid: str = "u", state: CollectorState = CollectorState.WORKING
) -> NodeHealth:
    activity = PodActivity(name="default/p", uid=uid, sample_time=at(second), gpu_millis=gpu_millis)
    status = NodeHealthStatus(collectors=[Collector(name="nvidia", state=state.value)], pods=[activity])
    return NodeHealth(metadata=ObjectMeta(name="a"), status=status)


def test_a_score_comes_half_the_way_in_a_day() -> None:
    score = Score().follow(0.2, at(0))
    assert score == Score(1.0, at(0)), "nothing is known of the time before"
    later = score.follow(0.2, at(86400))
    assert later.value == pytest.approx(0.6)
    assert score.follow(0.2, at(43200)).follow(0.2, at(86400)).value == pytest.approx(later.value)


def scored(name: str, value: float) -> LocalQueue:
    queue = local_queue(name)
    notes = {labels.RESOURCE_SCORE: Score(value, at(0)).spelled()}
    return replace(queue, metadata=replace(queue.metadata, annotations=notes))


def test_the_annotation_is_read_as_it_is_written() -> None:
    assert score_of(scored("a", 0.25)) == Score(0.25, at(0))
    broken = replace(local_queue("b"), metadata=ObjectMeta(annotations={labels.RESOURCE_SCORE: "[]"}))
    assert score_of(broken) == Score()


@pytest.mark.parametrize(
    ("gpus", "told"),
    [
        (0.05, "uses 20% of what it asks for, GPUs: 5%, and is further back"),
        (None, "uses 20% of the CPU and memory it asks for, GPUs: not measured, and is further back"),
    ],
)
def test_who_waits_is_told_of_its_gpus(gpus: float | None, told: str) -> None:
    notes = {labels.RESOURCE_SCORE: Score(0.2, at(0), gpus, asks_gpus=True).spelled()}
    queue = local_queue("q")
    world = World(node("n", cpu=8), replace(queue, metadata=replace(queue.metadata, annotations=notes)))
    world.options["timing"] = Timing(ordering=RIGHT_SIZED)
    world.add(workload("big", pod_set(1, pod_spec(cpu=9)), queue="q", job="big"))
    world.cycle()
    assert world.condition("default/big").message.endswith(told)


@pytest.mark.parametrize(("score", "first"), [(0.2, "frugal"), (1.0, "wasteful")])
def test_who_wastes_stands_further_back_and_is_told(score: float, first: str) -> None:
    world = World(node("n", cpu=8), scored("wasteful", score), local_queue("frugal"))
    world.options["timing"] = Timing(ordering=RIGHT_SIZED)
    jobs = [
        workload(name, pod_set(1, pod_spec(cpu=8)), queue=name, created=created, job=name)
        for created, name in enumerate(("wasteful", "frugal"))
    ]
    world.add(*jobs)
    world.cycle()
    assert world.is_admitted(f"default/{first}")
    if first == "frugal":
        told = world.condition("default/wasteful").message
        assert told.endswith("its LocalQueue uses 20% of the CPU and memory it asks for, and is further back")


class Metered:
    """A client of a cluster whose metrics API says that every pod uses a quarter of a CPU."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.pods: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def list(self, kind: Any, *args: Any, **options: Any) -> Any:
        if kind is not PodMetrics:
            return await self._client.list(kind, *args, **options)
        usage = [ContainerMetrics(name="main", usage={"cpu": "250m"})]
        found = [
            PodMetrics(metadata=ObjectMeta(name=name, namespace="default"), containers=usage)
            for name in self.pods
        ]
        return type("Listing", (), {"items": found})()


async def test_scores_follow_what_the_metrics_api_says() -> None:
    metered: list[Metered] = []

    def rooms(runtime: Runtime) -> None:
        scheduling.register(runtime)
        workloads.register(runtime)
        metered.append(Metered(runtime.client))
        runtime.client = metered[0]  # type: ignore[assignment]

    async with embedded(rooms) as platform:
        await platform.create(cluster_queue(), local_queue(), node("a", cpu=2), workload("w", pod_set(2)))
        await platform.settle()
        metered[0].pods = [one.metadata.name for one in await platform.pods()]
        await platform.settle(300)
        assert labels.RESOURCE_SCORE not in (await platform.get(LocalQueue, "default")).metadata.annotations
        chosen = SchedulerConfigurationSpec(ordering="right-sized")
        await platform.create(
            SchedulerConfiguration(metadata=ObjectMeta(name="default"), spec=chosen),
        )
        await platform.settle(timedelta(days=1).total_seconds() / 24)
        score = score_of(await platform.get(LocalQueue, "default"))
        assert score.value == pytest.approx(0.25 + 0.75 * 0.5 ** (1 / 24), abs=0.002)
        told = find_condition((await platform.get(Workload, "w")).status.conditions, "Admitted")
        assert told is not None


async def test_what_the_collectors_of_a_simulated_node_measure_is_in_the_score() -> None:
    nodes: list[SimulatedNodes] = []

    def rooms(runtime: Runtime) -> None:
        scheduling.register(runtime)
        workloads.register(runtime)
        lasting = SimulationSettings(default=Behaviour(duration_seconds=86400))
        nodes.append(SimulatedNodes(runtime, [node("a", cpu=8, gpu=2)], lasting))

    chosen = SchedulerConfiguration(
        metadata=ObjectMeta(name="default"), spec=SchedulerConfigurationSpec(ordering="right-sized")
    )
    async with embedded(rooms) as platform:
        await platform.create(cluster_queue(), local_queue(), chosen)
        await platform.create(workload("w", pod_set(1, asking(gpu=2).spec)))
        await platform.settle(90)
        score = score_of(await platform.get(LocalQueue, "default"))
        assert (score.value, score.gpus_in_words) == (1.0, "not measured")
        (running,) = await platform.pods()
        nodes[0].evidence.collector("a", "nvidia", CollectorState.WORKING)
        for _ in range(10):
            nodes[0].evidence.activity(running.key, gpu_millis=500, gpu_memory_mib=100)
            await platform.settle(60)
        score = score_of(await platform.get(LocalQueue, "default"))
        assert score.gpus_in_words == "25%"
        assert score.value == pytest.approx(0.25 + 0.75 * 0.5 ** (600 / 86400), abs=0.0006)
        await platform.settle(240)
        silent = score_of(await platform.get(LocalQueue, "default"))
        assert silent.gpus_in_words == "not measured", "nobody told anything of the pod for minutes"
        assert silent.value == pytest.approx(score.value, abs=0.002)
        kept = silent.value
        await platform.settle(300)
        assert score_of(await platform.get(LocalQueue, "default")).value == kept, "unmeasured is not idle"
