"""Who uses what it asks for, and who stands further back because it does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from springtide import scheduling, workloads
from springtide.api import labels
from springtide.api.configuration import SchedulerConfiguration, SchedulerConfigurationSpec
from springtide.api.kueue import LocalQueue, Workload
from springtide.api.meta import ObjectMeta, find_condition
from springtide.api.metrics import ContainerMetrics, PodMetrics
from springtide.api.struct import replace
from springtide.runtime import Runtime
from springtide.scheduling.ordering import RIGHT_SIZED
from springtide.scheduling.scores import Score, part_used, parts_by_queue, score_of
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
    pods = [("d/big", {"cpu": 9000}), ("d/small", {"cpu": 1000}), ("d/unknown", {"cpu": 9000})]
    used = {"d/big": {"cpu": 0}, "d/small": {"cpu": 1000}}
    parts = parts_by_queue(pods, used, dict.fromkeys(("d/big", "d/small", "d/unknown"), "d/team"))
    assert parts == {"d/team": pytest.approx(0.1)}


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
