"""What a Job's Workload looks like: minimums, plugins, volumes, topology; without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from springtide.api import labels
from springtide.api.core import EnvVar
from springtide.api.kueue import Workload
from springtide.api.struct import replace
from springtide.api.volcano_batch import Job
from springtide.volcano.groups import group_for
from springtide.volcano.ineffective import ineffective_fields
from springtide.volcano.status import go_duration
from springtide.volcano.tasks import tasks_of
from springtide.volcano.templates import UnresolvableError, claims_for, workload_for
from springtide.workloads.pods import pod_for, slots_of
from tests.builders import admitted
from tests.volcano.scene import job, rule, task


def made(*tasks: dict[str, Any], **spec: Any) -> Workload:
    return workload_for(with_uid(job("job", *tasks, **spec)), None)


def with_uid(obj: Job) -> Job:
    return replace(obj, metadata=replace(obj.metadata, uid="u1"))


def env(workload: Workload, pod_set: str) -> dict[str, EnvVar]:
    (found,) = (one for one in workload.spec.pod_sets if one.name == pod_set)
    return {one.name: one for one in found.template.spec.containers[0].env}


@pytest.mark.parametrize(
    ("least_of_job", "tasks", "fewest"),
    [
        (0, [("ps", 1, None), ("worker", 4, None)], [1, 4]),
        (5, [("ps", 1, None), ("worker", 4, None)], [1, 4]),
        (3, [("ps", 1, None), ("worker", 4, None)], [1, 2]),
        (3, [("worker", 4, None), ("ps", 1, None)], [2, 1]),
        (1, [("ps", 1, None), ("worker", 4, None)], [1, 1]),
        (0, [("ps", 1, 1), ("worker", 4, 2)], [1, 2]),
        (4, [("ps", 1, 1), ("worker", 4, 2)], [1, 3]),
        (9, [("ps", 1, 1), ("worker", 4, 2)], [1, 4]),
        (2, [("a", 2, 0), ("b", 2, 0)], [1, 1]),
    ],
)
def test_with_how_few_pods_each_task_will_do(
    least_of_job: int, tasks: list[tuple[str, int, int | None]], fewest: list[int]
) -> None:
    given = [
        task(name, replicas, **({} if least is None else {"minAvailable": least}))
        for name, replicas, least in tasks
    ]
    found = job("job", *given, minAvailable=least_of_job)
    assert [one.fewest for one in tasks_of(found)] == fewest


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ([task("a", 0)], "no task with replicas"),
        ([task("a"), task("a")], "'a' twice"),
        ([task("a", dependsOn={"name": ["b"]})], "dependsOn names 'b'"),
        ([task("a", dependsOn={"name": ["b"]}), task("b", dependsOn={"name": ["a"]})], "in a circle"),
    ],
)
def test_tasks_that_cannot_be_are_refused_in_words(tasks: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(UnresolvableError, match=problem):
        made(*tasks)


def test_a_task_without_a_name_is_numbered_and_one_without_pods_is_left_out() -> None:
    unnamed = {key: value for key, value in task("x").items() if key != "name"}
    assert [one.name for one in tasks_of(job("job", task("none", 0), unnamed))] == ["default1"]


def test_pytorch_counts_ranks_from_the_master_on() -> None:
    workload = made(task("master"), task("worker", 2), plugins={"pytorch": ["--port=29500"]})
    workload = admitted(workload, {"a": 1}, {"a": 2})
    ranks = [pod_for(workload, slot).metadata.annotations[labels.RANK] for slot in slots_of(workload) or []]
    assert ranks == ["0", "1", "2"]
    variables = env(workload, "worker")
    assert {name: variables[name].value for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE")} == {
        "MASTER_ADDR": "job-master-0.job",
        "MASTER_PORT": "29500",
        "WORLD_SIZE": "3",
    }
    source = variables["RANK"].value_from
    assert source is not None
    assert source.field_ref is not None
    assert source.field_ref.field_path == f"metadata.annotations['{labels.RANK}']"


def test_tensorflow_says_which_task_of_the_cluster_a_pod_is() -> None:
    workload = made(task("ps"), task("worker", 2), plugins={"tensorflow": []})
    text = env(workload, "worker")["TF_CONFIG"].value.replace("$(VC_TF_INDEX)", "1")
    assert json.loads(text) == {
        "cluster": {
            "ps": ["job-ps-0.job:2222"],
            "worker": ["job-worker-0.job:2222", "job-worker-1.job:2222"],
        },
        "task": {"type": "worker", "index": 1},
    }


def test_what_a_container_sets_itself_stays() -> None:
    own = task("worker")
    own["template"]["spec"]["containers"][0]["env"] = [{"name": "VC_TASK_INDEX", "value": "mine"}]
    assert env(made(own, plugins={"env": []}), "worker")["VC_TASK_INDEX"].value == "mine"


def test_volumes_are_claims_in_all_pods() -> None:
    volumes = [
        {"mountPath": "/data", "volumeClaimName": "data"},
        {"mountPath": "/out", "volumeClaim": {"accessModes": ["ReadWriteOnce"]}},
    ]
    found = with_uid(job("job", task("worker"), volumes=volumes))
    (claim,) = claims_for(found)
    (pod_set,) = workload_for(found, None).spec.pod_sets
    spec = pod_set.template.spec
    named = {one.name: one.persistent_volume_claim for one in spec.volumes}
    assert set(named) == {"data", claim.metadata.name}
    assert claim.metadata.name.startswith("job-volume-")
    mounts = {one.mount_path: one.name for one in spec.containers[0].volume_mounts}
    assert mounts == {"/data": "data", "/out": claim.metadata.name}
    with pytest.raises(UnresolvableError, match=r"spec.volumes\[0\] has neither"):
        made(volumes=[{"mountPath": "/x"}])


def test_the_network_and_partitions_are_levels_and_slices_and_pods_are_numbered() -> None:
    tier = {"mode": "hard", "highestTierAllowed": 2}
    partition = {"totalPartitions": 2, "partitionSize": 2, "networkTopology": {"highestTierAllowed": 1}}
    found = with_uid(job("job", task("worker", 4, partitionPolicy=partition), networkTopology=tier))
    workload = workload_for(found, None)
    asked = workload.spec.pod_sets[0].topology_request
    assert asked is not None
    assert (asked.required, asked.pod_set_slice_required_topology, asked.pod_set_slice_size) == (
        "topology.volcano.sh/tier-2",
        "topology.volcano.sh/tier-1",
        2,
    )
    workload = admitted(workload, {"a": 4})
    numbers = [pod_for(workload, slot).metadata.labels for slot in slots_of(workload) or []]
    assert [one[labels.VOLCANO_PARTITION] for one in numbers] == ["0", "0", "1", "1"]
    (policy,) = group_for(found).spec.sub_group_policy
    assert (policy.name, policy.sub_group_size, policy.match_label_keys) == (
        "worker",
        2,
        [labels.VOLCANO_PARTITION],
    )


def test_annotations_of_the_job_and_its_estimate_reach_the_engine() -> None:
    about = {"annotations": {labels.SLA_WAITING_TIME: "1h"}, "labels": {labels.PREEMPTABLE: "false"}}
    found = workload_for(job("job", about=about, runningEstimate="2h", queue="q"), 7)
    notes = found.metadata.annotations
    assert (notes[labels.SLA_WAITING_TIME], notes[labels.PREEMPTABLE]) == ("1h", "false")
    assert (notes[labels.RUNNING_ESTIMATE], notes[labels.VOLCANO_QUEUE]) == ("2h", "q")
    assert found.spec.priority == 7


def test_what_has_an_effect_is_not_complained_of() -> None:
    rules = [rule("RestartJob", "*"), rule("RestartPod", "PodFailed"), rule("CompleteJob", "TaskCompleted")]
    assert not ineffective_fields(job("job", policies=rules, plugins={"env": [], "svc": [], "pytorch": []}))


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (61, "1m1s"), (3600, "1h0m0s"), (-1, "0s")])
def test_durations_are_written_as_go_does(seconds: int, text: str) -> None:
    assert go_duration(seconds) == text
