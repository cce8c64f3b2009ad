"""`springtide explain` of what waits: every output below stands in the guide, word for word.

A scene is a cluster of objects on which the scheduler's own cycles have run until nothing changed.
`python -m tests.cli.test_waiting` writes the answers of now into the guide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from springtide.api.core import Pod, PodSpec
from springtide.api.kueue import AdmissionCheck, ClusterQueue, Workload, WorkloadStatus
from springtide.api.meta import Object, ObjectMeta, OwnerReference
from springtide.api.pods import PodSchedulingGate
from springtide.api.struct import decode, encode, replace
from springtide.client import Client
from springtide.client.execute import execute
from springtide.scheduling import plan
from springtide.scheduling.feeds import feeds, state_of
from springtide.scheduling.state import ClusterState
from tests.builders import (
    at,
    cluster_queue,
    gpu_node,
    local_queue,
    node,
    pod,
    pod_set,
    pod_spec,
    resource_flavor,
    taint,
    workload,
)
from tests.cli.scene import Scene

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "waiting.md"
GPU = "nvidia.com/gpu"


@dataclass
class Case:
    """A cluster, and one on it that waits."""

    title: str
    objects: Sequence[Object]
    reason: str
    name: str = "workload/train"
    first: Sequence[Object] = ()
    """What is there, and runs, before the rest comes."""
    says: Sequence[str] = field(default_factory=tuple)
    """Parts of the answer that matter."""
    cycles: int = 5


def train(*sets: Any, **more: Any) -> Workload:
    return unborn(workload("train", *sets, **more))


def unborn(obj: Workload) -> Workload:
    """As a client sends it: without an owner that is not there."""
    return replace(obj, metadata=replace(obj.metadata, uid="", owner_references=[]))


def racks(number: int, per_rack: int, gpus: int = 8) -> list[Object]:
    return [
        node(f"r{rack}-n{index}", cpu=64, gpu=gpus, labelled={"rack": f"r{rack}"})
        for rack in range(number)
        for index in range(per_rack)
    ]


def of_eight(count: int, *, within: str = "") -> Any:
    return pod_set(count, pod_spec(cpu=4, gpu=8), within=within)


def preempting(name: str = "default", **spec: Any) -> ClusterQueue:
    raw = encode(cluster_queue(name, {GPU: 16, "cpu": 999}))
    raw["spec"].update(spec)
    return decode(ClusterQueue, raw)


def with_checks(queue: ClusterQueue, *names: str) -> ClusterQueue:
    raw = encode(queue)
    raw["spec"]["admissionChecksStrategy"] = {"admissionChecks": [{"name": name} for name in names]}
    return decode(ClusterQueue, raw)


def lasting(job: Workload, seconds: int) -> Workload:
    return replace(job, spec=replace(job.spec, maximum_execution_time_seconds=seconds))


def told(type_: str, status: str) -> dict[str, str]:
    """A condition."""
    return {
        "type": type_,
        "status": status,
        "reason": type_,
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def with_port(port: int) -> PodSpec:
    raw = encode(pod_spec(cpu=1))
    raw["containers"][0]["ports"] = [{"containerPort": port, "hostPort": port}]
    return decode(PodSpec, raw)


def apart(name: str) -> Pod:
    """A pod that suffers no other of its kind on its node."""
    raw = encode(pod_spec(cpu=1))
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    raw["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    made = pod(name, decode(PodSpec, raw))
    return replace(made, metadata=ObjectMeta(name=name, namespace="default", labels={"app": "db"}))


OPEN = (cluster_queue(), local_queue(), resource_flavor())
LIMITED = (cluster_queue(quota={GPU: 16, "cpu": 999}), local_queue(), resource_flavor())

CASES = (
    Case(
        "No room now",
        [train(of_eight(3))],
        "TopologyPlacementFailed",
        first=[*OPEN, *racks(1, 4), unborn(workload("other", of_eight(2)))],
        says=["with 2 pods instead of 3", "with 1 more node like"],
    ),
    Case(
        "No node is large enough",
        [*OPEN, *racks(1, 2), train(pod_set(1, pod_spec(gpu=16)))],
        "TopologyPlacementFailed",
        says=["no node can ever hold it: asks 16 nvidia.com/gpu, largest node has 8"],
    ),
    Case(
        "Free GPUs, but not side by side",
        [train(pod_set(1, pod_spec(gpu=8)))],
        "TopologyPlacementFailed",
        first=[
            *OPEN,
            *racks(1, 2),
            unborn(workload("a", pod_set(1, pod_spec(gpu=4, selector={"kubernetes.io/hostname": "r0-n0"})))),
            unborn(workload("b", pod_set(1, pod_spec(gpu=4, selector={"kubernetes.io/hostname": "r0-n1"})))),
        ],
        says=["has 4 free of 8"],
    ),
    Case(
        "Not within one rack",
        [*OPEN, *racks(2, 2), train(of_eight(3, within="rack"))],
        "TopologyPlacementFailed",
        says=["within one rack", "without its required topology"],
    ),
    Case(
        "No node matches",
        [
            *OPEN,
            *racks(1, 2),
            train(pod_set(1, pod_spec(gpu=1, selector={"gpu": "h100"}))),
        ],
        "TopologyPlacementFailed",
        says=["node selector gpu=h100", "without its node selector"],
    ),
    Case(
        "All nodes are tainted",
        [*OPEN, node("a", taints=[taint("maintenance")]), train(pod_set(1, pod_spec(cpu=1)))],
        "TopologyPlacementFailed",
        says=["tainted, e.g. with maintenance", "if it tolerated all taints"],
    ),
    Case(
        "No part of a GPU is free that large",
        [train(pod_set(1, pod_spec(gpu=1, more={"nvidia.com/gpumem": 30000})))],
        "TopologyPlacementFailed",
        first=[
            *OPEN,
            gpu_node("a", gpus=2),
            *(
                unborn(workload(f"w{n}", pod_set(1, pod_spec(gpu=1, more={"nvidia.com/gpumem": 20000}))))
                for n in range(4)
            ),
        ],
        says=["nvidia.com/gpu"],
    ),
    Case(
        "The quota is used by others",
        [train(of_eight(1))],
        "WaitingForQuota",
        first=[*LIMITED, *racks(1, 4), unborn(workload("other", of_eight(2)))],
        says=["without limits of quota in ClusterQueue default"],
    ),
    Case(
        "More than the whole quota",
        [*LIMITED, *racks(1, 4), train(of_eight(3))],
        "ExceedsMaxQuota",
        says=["with 2 pods instead of 3"],
    ),
    Case(
        "The queue has no such resource",
        [*LIMITED, *racks(1, 1), train(pod_set(1, pod_spec(cpu=1, memory="1Gi")))],
        "NoMatchingFlavor",
        says=["memory"],
    ),
    Case(
        "Others make way",
        [train(of_eight(2), priority=10)],
        "WaitingForPreemptedWorkloads",
        first=[
            preempting(preemption={"withinClusterQueue": "LowerPriority"}),
            local_queue(),
            resource_flavor(),
            *racks(1, 2),
            unborn(workload("other", of_eight(2))),
        ],
        says=["default/other"],
        cycles=0,
    ),
    Case(
        "Behind the head of a strict queue",
        [
            cluster_queue(strict=True),
            local_queue(),
            resource_flavor(),
            *racks(1, 1),
            unborn(workload("head", of_eight(2), priority=5)),
            train(pod_set(1, pod_spec(cpu=1))),
        ],
        "PendingEvaluation",
        says=["StrictFIFO", "if nobody were before it (default/head)"],
    ),
    Case(
        "It would put off who is before it",
        [train(pod_set(1, pod_spec(cpu=4, gpu=8)))],
        "PendingEvaluation",
        first=[
            *OPEN,
            *racks(1, 2),
            lasting(unborn(workload("running", of_eight(1), priority=9)), 3600),
            unborn(workload("large", of_eight(2), priority=5)),
        ],
        says=["it might put off default/large", "maximumExecutionTimeSeconds of at most 3600"],
    ),
    Case(
        "An admission check is not ready",
        [
            with_checks(cluster_queue(), "budget"),
            decode(
                AdmissionCheck,
                {
                    "metadata": {"name": "budget"},
                    "spec": {"controllerName": "example.com/budget"},
                    "status": {"conditions": [told("Active", "True")]},
                },
            ),
            local_queue(),
            *racks(1, 1),
            train(pod_set(1, pod_spec(cpu=1))),
        ],
        "UnsatisfiedChecks",
        says=["waits for budget"],
    ),
    Case(
        "It failed to become ready, and waits before its next try",
        [
            *OPEN,
            *racks(1, 1),
            replace(
                train(pod_set(1, pod_spec(cpu=1))),
                status=decode(
                    WorkloadStatus,
                    {"requeueState": {"count": 2, "requeueAt": "2026-01-01T01:00:00Z"}},
                ),
            ),
        ],
        "WaitingForBackoff",
        says=["01:00:00"],
    ),
    Case(
        "Another pod has its port",
        [replace(pod("web", with_port(8080)), metadata=ObjectMeta(name="web", namespace="default"))],
        "Unschedulable",
        name="pod/web",
        first=[
            node("a"),
            replace(pod("old", with_port(8080)), metadata=ObjectMeta(name="old", namespace="default")),
        ],
        says=["host port 8080"],
    ),
    Case(
        "Pods that keep apart",
        [apart("b")],
        "Unschedulable",
        name="pod/b",
        first=[node("a"), apart("a")],
        says=["pods must not share a kubernetes.io/hostname"],
    ),
    Case(
        "Its queue is stopped",
        [cluster_queue(stop="Hold"), local_queue(), *racks(1, 1), train(pod_set(1, pod_spec(cpu=1)))],
        "Suspended",
        says=["stopPolicy"],
    ),
    Case(
        "Its queue does not exist",
        [*OPEN, *racks(1, 1), train(pod_set(1, pod_spec(cpu=1)), queue="research")],
        "Misconfigured",
        says=["research"],
    ),
    Case(
        "A pod is gated",
        [
            node("a"),
            replace(
                pod("web"),
                spec=replace(pod_spec(cpu=1), scheduling_gates=[PodSchedulingGate(name="example.com/wait")]),
            ),
        ],
        "SchedulingGated",
        name="pod/web",
        says=["example.com/wait"],
    ),
)


def outcome(case: Case) -> str:
    """What the command prints."""
    scene = Scene()
    for objects, cycles in ((case.first, 5), (case.objects, case.cycles)):
        scene.given(*objects).do(partial(settle, cycles))
    result = scene.run("explain", case.name)
    assert result.exit_code == 0, result.output
    return result.stdout.rstrip()


async def settle(cycles: int, client: Client) -> None:
    """Cycles of the scheduler, until one changes nothing."""
    for turn in range(cycles):
        objects: list[Object] = []
        for kind in feeds(ClusterState()):
            objects += (await client.list(kind)).items
        commands = plan(state_of(objects).snapshot(), at(turn)).commands
        if not await execute(client, commands, record=lambda _: None):
            return


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_the_answer_is_right_and_the_guide_shows_it(case: Case) -> None:
    shown = outcome(case)
    assert f"reason         {case.reason}" in shown
    for part in case.says:
        assert part in shown
    assert block(case, shown) in PAGE.read_text(), "python -m tests.cli.test_waiting writes the guide anew"


@pytest.mark.parametrize("asked", ["vcjob/ring", "job/ring", "jobs.batch.volcano.sh/ring", "workload/train"])
def test_whoever_has_a_workload_is_explained(asked: str) -> None:
    waits = train(of_eight(1))
    owner = OwnerReference(
        api_version="batch.volcano.sh/v1alpha1", kind="Job", name="ring", uid="u", controller=True
    )
    owned = replace(waits, metadata=replace(waits.metadata, owner_references=[owner]))
    result = Scene().given(*OPEN, node("a", gpu=4), owned).run("explain", asked, "-o", "json")
    found = json.loads(result.stdout)
    assert (found["key"], found["waits"], found["reason"]) == (
        "default/train",
        True,
        "TopologyPlacementFailed",
    )


def test_what_has_no_workload_is_said() -> None:
    result = Scene().given(*OPEN).run("explain", "vcjob/none")
    assert result.exit_code == 1
    assert "vcjob/none has no Workload in namespace default" in result.stderr


def block(case: Case, shown: str) -> str:
    return f"## {case.title}\n```console\n$ springtide explain {case.name}\n{shown}\n```\n"


def write() -> None:
    """Put the answers of now into the guide."""
    text = PAGE.read_text()
    begin, end = text.index(f"## {CASES[0].title}\n"), text.index("## What would other nodes")
    blocks = "\n".join(block(case, outcome(case)) for case in CASES)
    PAGE.write_text(f"{text[:begin]}{blocks}\n{text[end:]}")


if __name__ == "__main__":
    write()
