"""What jobs use of the GPUs they ask for, as `queue` and `explain` show it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from springtide.api import labels
from springtide.api.core import Container, Pod, PodSpec, ResourceRequirements
from springtide.api.kueue import WorkloadStatus
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import Collector, NodeHealth, NodeHealthStatus, PodActivity
from springtide.api.struct import replace
from springtide.api.trainer import TrainJob
from springtide.cli.job_gpus import JobGpus, summed
from springtide.client import Client
from springtide.runtime.clock import EPOCH
from tests.cli import scene
from tests.cli.scene import Scene, condition, create_with_status, pod_status, trainjob, workload

NOW = EPOCH + timedelta(seconds=30)
TWO = {"nvidia.com/gpu": 2}


def spec(asked: dict[str, int]) -> PodSpec:
    limits: dict[str, Any] = dict(asked)
    box = Container(name="node", image="python", resources=ResourceRequirements(limits=limits))
    return PodSpec(node_name="laptop", containers=[box])


def pod(rank: int, asked: dict[str, int], phase: str = "Running") -> Pod:
    made = scene.pod("digits", rank)
    notes = {**made.metadata.labels, labels.WORKLOAD: "trainjob-digits"}
    metadata = replace(made.metadata, labels=notes, uid=f"u{rank}")
    return replace(made, metadata=metadata, spec=spec(asked), status=pod_status(phase))


def health(*millis: int | None, uids: tuple[str, ...] = ("u0", "u1")) -> NodeHealth:
    pods = [
        PodActivity(name=f"default/{uid}", uid=uid, sample_time=EPOCH, gpu_millis=used)
        for uid, used in zip(uids, millis, strict=False)
    ]
    status = NodeHealthStatus(collectors=[Collector(name="nvidia")], pods=pods)
    return NodeHealth(metadata=ObjectMeta(name="laptop"), status=status)


@pytest.mark.parametrize(
    ("story", "pods", "measured", "told"),
    [
        ("both pods", (pod(0, TWO), pod(1, TWO)), health(1000, 2000), "3 of 4 (75%)"),
        ("one of two", (pod(0, TWO), pod(1, TWO)), health(500, None), "0.5 of 2 (25%), 2 not measured"),
        ("none", (pod(0, TWO),), health(None), "2, not measured"),
        ("idle is a measure", (pod(0, TWO),), health(0), "0 of 2 (0%)"),
        (
            "a part of a GPU",
            (pod(0, {"nvidia.com/gpu": 1, "nvidia.com/gpucores": 30}),),
            health(150),
            "0.15 of 0.3 (50%)",
        ),
        (
            "pods that ended hold nothing",
            (pod(0, TWO), pod(1, TWO, "Succeeded")),
            health(1000),
            "1 of 2 (50%)",
        ),
    ],
)
def test_what_a_job_uses_is_the_sum_of_its_pods(
    story: str, pods: tuple[Pod, ...], measured: NodeHealth, told: str
) -> None:
    assert str(summed(pods, [measured], NOW)["default/trainjob-digits"]) == told, story


def test_jobs_without_gpus_have_nothing_to_tell() -> None:
    assert summed([pod(0, {})], [health(500)], NOW) == {}


def running(millis: int | None) -> Scene:
    """A job of one pod with two GPUs that runs."""

    async def run(client: Client) -> None:
        job = await client.get(TrainJob, "digits", "default")
        made = workload(job, pods=1)
        (group,) = made.spec.pod_sets
        group = replace(group, template=replace(group.template, spec=replace(spec(TWO), node_name="")))
        status = WorkloadStatus(conditions=[condition("QuotaReserved"), condition("PodsReady")])
        await create_with_status(
            client, replace(made, spec=replace(made.spec, pod_sets=[group]), status=status)
        )
        await create_with_status(client, pod(0, TWO))
        uid = (await client.get(Pod, pod(0, TWO).metadata.name, "default")).metadata.uid
        await create_with_status(client, health(millis, uids=(uid,)))

    return Scene().given(trainjob("digits", nodes=1)).do(run)


def test_queue_and_explain_show_what_a_running_job_uses() -> None:
    played = running(500)
    shown = played.run("queue").stdout
    head, row = shown.splitlines()[1:]
    assert "GPUS USED" in head, shown
    assert "0.5 of 2 (25%)" in row, shown
    (view,) = json.loads(played.run("queue", "-o", "json").stdout)
    assert view["entries"][0]["gpus"] == {"asked": 2.0, "used": 0.5, "measured": 2.0}
    assert "GPUs     uses 0.5 of 2 (25%)" in played.run("explain", "digits").stdout


def test_where_nobody_measures_queues_look_as_before_and_explain_says_so() -> None:
    played = running(None)
    assert "GPUS USED" not in played.run("queue").stdout
    assert "GPUs     2, not measured" in played.run("explain", "digits").stdout


def test_numbers_in_words() -> None:
    assert str(JobGpus(1024, 12.345, 1024)) == "12.3 of 1024 (1%)"
