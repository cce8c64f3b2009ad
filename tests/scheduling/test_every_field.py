"""Each field of queues and workloads takes effect or is said to have none; and who says so, where."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.kueue import (
    ClusterQueue,
    ClusterQueueSpec,
    LocalQueue,
    LocalQueueSpec,
    Workload,
    WorkloadSpec,
)
from springtide.api.meta import Condition, Object, find_condition
from springtide.api.struct import decode, encode
from springtide.scheduling.ineffective import ineffective_fields
from tests.builders import cluster_queue, local_queue, node, pod_set, workload
from tests.fields import Field, walk
from tests.scheduling.world import World

WHOLE = frozenset({"namespaceSelector", "podSets[].template"})

OF_CLUSTER_QUEUE = {
    "admissionChecksStrategy.admissionChecks[].name": "what must be ready besides",
    "admissionChecksStrategy.admissionChecks[].onFlavors": "for which flavors",
    "admissionScope.admissionMode": "whether its LocalQueues share by use",
    "resourceGroups[].coveredResources": "the resources of the flavors",
    "resourceGroups[].flavors[].name": "the nodes",
    "resourceGroups[].flavors[].resources[].borrowingLimit": "how much of others' it may use",
    "resourceGroups[].flavors[].resources[].lendingLimit": "how much of its own others may use",
    "cohortName": "with whom quota is shared",
    "flavorFungibility.whenCanBorrow": "whether to borrow before the next flavor is tried",
    "flavorFungibility.whenCanPreempt": "whether others go before the next flavor is tried",
    "resourceGroups[].flavors[].resources[].name": "what is limited",
    "resourceGroups[].flavors[].resources[].nominalQuota": "to how much",
    "queueingStrategy": "whether the head of the queue holds up the others",
    "namespaceSelector": "who may use it",
    "stopPolicy": "whether it admits",
    "preemption.withinClusterQueue": "whom to make go in the queue",
    "preemption.reclaimWithinCohort": "whom to make go elsewhere",
    "preemption.borrowWithinCohort.policy": "whom to make go in order to borrow",
    "preemption.borrowWithinCohort.maxPriorityThreshold": "up to which priority",
}
OF_LOCAL_QUEUE = {"clusterQueue": "where it leads", "stopPolicy": "whether it admits"}
OF_WORKLOAD = {
    "podSets[].name": "names the assignment",
    "maximumExecutionTimeSeconds": "ends it; it may start before its turn if it ends in time",
    "podSets[].template": "what pods ask for",
    "podSets[].count": "how many there are",
    "podSets[].minCount": "with how few it is admitted",
    "podSets[].topologyRequest.required": "one domain for all",
    "podSets[].topologyRequest.preferred": "one domain if there is one",
    "podSets[].topologyRequest.unconstrained": "the fullest nodes first",
    "podSets[].topologyRequest.podSetGroupName": "with which pod sets it shares a domain",
    "podSets[].topologyRequest.podSetSliceRequiredTopology": "one domain for each slice",
    "podSets[].topologyRequest.podSetSliceSize": "how many pods a slice has",
    "podSets[].topologyRequest.podsetSliceRequiredTopologyConstraints[].topology": "likewise, by layers",
    "podSets[].topologyRequest.podsetSliceRequiredTopologyConstraints[].size": "likewise",
    "podSets[].topologyRequest.podIndexLabel": "the order of pods is that of their index",
    "podSets[].topologyRequest.subGroupIndexLabel": "numbers the pods' groups",
    "podSets[].topologyRequest.subGroupCount": "how many groups",
    "queueName": "the queue",
    "priority": "the order",
    "priorityClassRef.group": "names the class that gave the priority",
    "priorityClassRef.kind": "likewise",
    "priorityClassRef.name": "likewise",
    "active": "whether it may run",
    "preemptionGates[].name": "what holds preemption back",
}
CASES: list[tuple[type[Object], Field, dict[str, str]]] = [
    *((ClusterQueue, field, OF_CLUSTER_QUEUE) for field in walk(ClusterQueueSpec, WHOLE)),
    *((LocalQueue, field, OF_LOCAL_QUEUE) for field in walk(LocalQueueSpec, WHOLE)),
    *((Workload, field, OF_WORKLOAD) for field in walk(WorkloadSpec, WHOLE)),
]


@pytest.mark.parametrize(
    ("kind", "field", "effective"), CASES, ids=[f"{kind.__name__}.{field}" for kind, field, _ in CASES]
)
def test_a_field_takes_effect_or_is_named(kind: type[Any], field: Field, effective: dict[str, str]) -> None:
    obj = decode(kind, {"metadata": {"name": "x"}, "spec": field.document})
    paths = {one.split(": ")[0].replace("[0]", "[]") for one in ineffective_fields(obj)}
    named = any(f"spec.{field.path}".startswith(one) for one in paths)
    assert named is (field.path not in effective), (field.path, paths)


def test_only_fields_there_are_take_effect() -> None:
    for kind, effective in (
        (ClusterQueue, OF_CLUSTER_QUEUE),
        (LocalQueue, OF_LOCAL_QUEUE),
        (Workload, OF_WORKLOAD),
    ):
        assert {field.path for of, field, _ in CASES if of is kind} >= effective.keys()


def test_defaults_the_api_server_writes_are_no_wishes() -> None:
    defaulted = {
        "flavorFungibility": {"whenCanBorrow": "MayStopSearch", "whenCanPreempt": "TryNextFlavor"},
        "preemption": {
            "reclaimWithinCohort": "Never",
            "borrowWithinCohort": {"policy": "Never"},
            "withinClusterQueue": "Never",
        },
        "stopPolicy": "None",
    }
    assert ineffective_fields(decode(ClusterQueue, {"metadata": {"name": "x"}, "spec": defaulted})) == []


def _condition(world: World, kind: type[Any], key: str) -> Condition | None:
    obj: Any = world.objects[(kind, key)]
    return find_condition(obj.status.conditions, "UnsupportedFields")


def _with(obj: Any, **spec: Any) -> Any:
    document = encode(obj)
    return decode(type(obj), {**document, "spec": {**document["spec"], **spec}})


def test_queues_and_workloads_say_in_a_condition_what_has_no_effect() -> None:
    world = World(node("a"), queues=False)
    world.add(
        _with(cluster_queue(), fairSharing={"weight": "2"}), _with(local_queue(), fairSharing={"weight": "2"})
    )
    world.add(_with(workload("trainjob-job", pod_set(1)), maximumExecutionTime=60))
    world.cycle()
    of_cluster = _condition(world, ClusterQueue, "default")
    of_local = _condition(world, LocalQueue, "default/default")
    of_workload = _condition(world, Workload, "default/trainjob-job")
    assert of_cluster is not None
    assert of_cluster.message == (
        "No effect: spec.fairSharing: it counts only if the scheduler shares fairly; "
        "else the order is priority, then age"
    )
    assert of_local is not None
    assert "spec.fairSharing" in of_local.message
    assert of_workload is not None
    assert "spec.maximumExecutionTime: not a field of this API version" in of_workload.message
    assert world.is_admitted("default/trainjob-job")
    assert world.cycle().commands == ()


def test_the_condition_of_a_queue_goes_with_the_field() -> None:
    world = World(node("a"))
    world.add(_with(cluster_queue(), fairSharing={"weight": "2"}))
    world.cycle()
    assert _condition(world, ClusterQueue, "default") is not None
    kept: Any = world.objects[(ClusterQueue, "default")]
    world.add(_with(kept, fairSharing=None))
    world.cycle()
    assert _condition(world, ClusterQueue, "default") is None
