"""What a cycle decides: gangs, order, quota, reasons, the eviction circle, plain pods."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from springtide.api.commands import Apply
from springtide.api.core import Affinity, Node, Toleration
from springtide.api.kueue import (
    ClusterQueue,
    FlavorQuotas,
    LocalQueue,
    ResourceGroup,
    ResourceQuota,
    Workload,
)
from springtide.api.meta import LabelSelector, find_condition
from springtide.api.struct import decode, replace
from tests.builders import (
    GPU,
    cluster_queue,
    evicted,
    local_queue,
    node,
    pod,
    pod_set,
    pod_spec,
    taint,
    with_condition,
    workload,
)
from tests.scheduling.world import World

W = "default/trainjob-job"
PREFERS_SSD = replace(
    pod_spec(cpu=1),
    affinity=decode(
        Affinity,
        {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "preference": {
                            "matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]
                        },
                    }
                ]
            }
        },
    ),
)


@dataclass(frozen=True)
class Placed:
    """A workload that starts: where its pods go."""

    why: str
    nodes: list[Node]
    workload: Workload
    expected: dict[str, dict[str, int]]


PLACED = [
    Placed(
        "a single pod goes to the only node",
        [node("a")],
        workload(),
        {"node": {"a": 1}},
    ),
    Placed(
        "the fuller node is filled up first",
        [node("a", cpu=8), node("b", cpu=2)],
        workload("trainjob-job", pod_set(1, pod_spec(cpu=2))),
        {"node": {"b": 1}},
    ),
    Placed(
        "a gang that one node can hold stays together",
        [node("a", cpu=2), node("b", cpu=4), node("c", cpu=8)],
        workload("trainjob-job", pod_set(4, pod_spec(cpu=1))),
        {"node": {"b": 4}},
    ),
    Placed(
        "a gang larger than any node takes the largest and the tightest for the rest",
        [node("a", cpu=3), node("b", cpu=4), node("c", cpu=1)],
        workload("trainjob-job", pod_set(5, pod_spec(cpu=1))),
        {"node": {"b": 4, "c": 1}},
    ),
    Placed(
        "a pod without accelerators keeps off the accelerator node",
        [node("a", cpu=4, gpu=8), node("b", cpu=8)],
        workload(),
        {"node": {"b": 1}},
    ),
    Placed(
        "pod sets of different needs go where each fits",
        [node("a", cpu=8), node("b", cpu=8, gpu=4)],
        workload(
            "trainjob-job",
            pod_set(2, pod_spec(cpu=1, gpu=2), name="node"),
            pod_set(1, pod_spec(cpu=8), name="initializer"),
        ),
        {"node": {"b": 2}, "initializer": {"a": 1}},
    ),
    Placed(
        "a node selector narrows the choice",
        [node("a"), node("b", labelled={"zone": "x"})],
        workload("trainjob-job", pod_set(1, pod_spec(cpu=1, selector={"zone": "x"}))),
        {"node": {"b": 1}},
    ),
    Placed(
        "a tolerated taint does not keep pods away",
        [node("a", taints=[taint("gpu")])],
        workload(
            "trainjob-job",
            pod_set(1, pod_spec(cpu=1, tolerations=[Toleration(key="gpu", operator="Exists")])),
        ),
        {"node": {"a": 1}},
    ),
    Placed(
        "a node that asks pods to keep off is the last choice",
        [node("a", cpu=1, taints=[taint("flaky", "PreferNoSchedule")]), node("b", cpu=8)],
        workload(),
        {"node": {"b": 1}},
    ),
    Placed(
        "but it is one",
        [node("a", taints=[taint("flaky", "PreferNoSchedule")])],
        workload(),
        {"node": {"a": 1}},
    ),
    Placed(
        "a preferred node is taken even where another fits better",
        [node("a", cpu=1), node("b", cpu=8, labelled={"disk": "ssd"})],
        workload("trainjob-job", pod_set(1, PREFERS_SSD)),
        {"node": {"b": 1}},
    ),
    Placed(
        "all pods of a set stay within the rack that is required",
        [
            node("a", cpu=3, labelled={"rack": "1"}),
            node("b", cpu=2, labelled={"rack": "2"}),
            node("c", cpu=2, labelled={"rack": "2"}),
        ],
        workload("trainjob-job", pod_set(4, pod_spec(cpu=1), within="rack")),
        {"node": {"b": 2, "c": 2}},
    ),
    Placed(
        "a preferred rack that is too small is given up",
        [node("a", cpu=3, labelled={"rack": "1"}), node("b", cpu=2, labelled={"rack": "2"})],
        workload("trainjob-job", pod_set(5, pod_spec(cpu=1), preferably_within="rack")),
        {"node": {"a": 3, "b": 2}},
    ),
]


@pytest.mark.parametrize("case", PLACED, ids=lambda case: case.why)
def test_a_workload_that_fits_starts(case: Placed) -> None:
    world = World(*case.nodes, case.workload)
    world.cycle()
    assert world.placement(W) == case.expected


@dataclass(frozen=True)
class Waiting:
    """A workload that waits: the reason, and what the message says."""

    why: str
    workload: Workload
    reason: str
    says: list[str]
    nodes: list[Node] = field(default_factory=lambda: [node("a")])
    quota: dict[str, str | int | float] | None = None
    stop: str | None = None


WAITING = [
    Waiting(
        "no node is large enough",
        workload("trainjob-job", pod_set(1, pod_spec(cpu=512))),
        "TopologyPlacementFailed",
        ["no node can ever hold it", "asks 512 cpu", "largest node has 8"],
    ),
    Waiting(
        "no node has such a resource",
        workload("trainjob-job", pod_set(1, pod_spec(cpu=1, gpu=1))),
        "TopologyPlacementFailed",
        ["no node can ever hold it", f"asks for {GPU}, which no node has"],
    ),
    Waiting(
        "no single node has everything",
        workload("trainjob-job", pod_set(1, pod_spec(cpu=8, gpu=1))),
        "TopologyPlacementFailed",
        ["no node can ever hold it", "no node has all of that at once"],
        nodes=[node("a", cpu=8), node("b", cpu=4, gpu=8)],
    ),
    Waiting(
        "all nodes together are too small",
        workload("trainjob-job", pod_set(20, pod_spec(cpu=1))),
        "TopologyPlacementFailed",
        ["the cluster can never hold it", "needs 20 × {cpu: 1}", "hold 16"],
        nodes=[node("a"), node("b")],
    ),
    Waiting(
        "there are no nodes",
        workload(),
        "TopologyPlacementFailed",
        ["the cluster has no nodes"],
        nodes=[],
    ),
    Waiting(
        "no node has the wanted label",
        workload("trainjob-job", pod_set(1, pod_spec(cpu=1, selector={"zone": "x"}))),
        "TopologyPlacementFailed",
        ["none of 1 node matches its node selector zone=x"],
    ),
    Waiting(
        "the only node is not ready",
        workload(),
        "TopologyPlacementFailed",
        ["none of 1 matching node is ready"],
        nodes=[node("a", ready=False)],
    ),
    Waiting(
        "the only node is cordoned",
        workload(),
        "TopologyPlacementFailed",
        ["every one of 1 matching node is tainted", "node.kubernetes.io/unschedulable"],
        nodes=[node("a", cordoned=True)],
    ),
    Waiting(
        "it asks more than the whole quota",
        workload("trainjob-job", pod_set(2, pod_spec(cpu=3))),
        "ExceedsMaxQuota",
        ["can never start in ClusterQueue default", "asks 6 cpu", "quota of flavor default is 4"],
        quota={"cpu": 4},
    ),
    Waiting(
        "its queue does not cover the resource",
        workload("trainjob-job", pod_set(1, pod_spec(cpu=1, memory="1Gi"))),
        "NoMatchingFlavor",
        ["has no quota for memory"],
        quota={"cpu": 4},
    ),
    Waiting(
        "its queue does not exist",
        workload(queue="research"),
        "Misconfigured",
        ["LocalQueue research doesn't exist in namespace default", "use one of: default"],
    ),
    Waiting(
        "its queue is stopped",
        workload(),
        "Suspended",
        ["ClusterQueue default is stopped (stopPolicy: Hold)"],
        stop="Hold",
    ),
    Waiting(
        "it is not active",
        workload(active=False),
        "Suspended",
        ["spec.active: false"],
    ),
    Waiting(
        "its attempt was just evicted",
        evicted(workload()),
        "Evicted",
        ["NodeFailures: node-1 is lost"],
    ),
    Waiting(
        "a quantity in its template is no quantity",
        workload("trainjob-job", pod_set(1, pod_spec(cpu="two"))),
        "Misconfigured",
        ["spec.podSets[0].template.spec", "resource cpu", "'two' is not a quantity"],
    ),
]


@pytest.mark.parametrize("case", WAITING, ids=lambda case: case.why)
def test_a_workload_that_waits_is_told_why(case: Waiting) -> None:
    world = World(*case.nodes, local_queue(), cluster_queue(quota=case.quota, stop=case.stop), case.workload)
    decided = world.cycle()
    told = world.condition(W)
    assert (told.status, told.reason) == ("False", case.reason)
    for part in case.says:
        assert part in told.message
    assert decided.notes[W] == told.message
    assert world.cycle().commands == ()


def test_a_gang_that_fits_only_in_part_waits_whole_and_hears_what_is_missing() -> None:
    world = World(
        node("a", gpu=8),
        pod("other", pod_spec(gpu=6), node="a", phase="Running"),
        workload("trainjob-job", pod_set(4, pod_spec(cpu="1500m", gpu=1))),
    )
    world.cycle()
    assert not world.is_admitted(W)
    assert world.condition(W).message == (
        f"needs 4 × {{cpu: 1.5, {GPU}: 1}}; the node with most {GPU} has 2 free of 8; 2 of 4 pods fit now"
    )


def test_an_admission_says_queue_flavors_usage_and_nodes() -> None:
    world = World(node("a"), cluster_queue(quota={"cpu": 8, "memory": "16Gi"}))
    world.add(workload("trainjob-job", pod_set(2, pod_spec(cpu="500m", memory="1Gi"))))
    world.cycle()
    admission = world.workload(W).status.admission
    assert admission is not None
    assert admission.cluster_queue == "default"
    assignment = admission.pod_set_assignments[0]
    assert assignment.flavors == {"cpu": "default", "memory": "default"}
    assert assignment.resource_usage == {"cpu": "1", "memory": "2Gi"}
    assert assignment.count == 2
    assert world.condition(W).reason == "QuotaReserved"
    assert world.condition(W, "Admitted").message == "Pods placed on a (2)"
    assert world.cycle().commands == ()


def test_an_admission_is_made_for_the_version_it_was_decided_on() -> None:
    stored = workload()
    stored = replace(stored, metadata=replace(stored.metadata, resource_version="41"))
    admits = World(node("a"), stored).cycle().commands[0]
    assert isinstance(admits, Apply)
    assert admits.fields["metadata"] == {"resourceVersion": "41"}


# -- order and quota -------------------------------------------------------------------------------


def test_higher_priority_goes_first_then_the_older() -> None:
    world = World(
        node("a", cpu=2),
        workload("old", created=1),
        workload("older", created=0),
        workload("urgent", created=9, priority=10),
    )
    world.cycle()
    assert [world.is_admitted(f"default/{name}") for name in ("urgent", "older", "old")] == [
        True,
        True,
        False,
    ]


def test_plain_pods_and_workloads_stand_in_one_queue() -> None:
    world = World(
        node("a", cpu=1), pod("first", created=0), workload("second", created=1), pod("third", created=2)
    )
    world.cycle()
    assert world.pod("default/first").spec.node_name == "a"
    assert not world.is_admitted("default/second")
    assert world.pod("default/third").spec.node_name == ""


def test_best_effort_lets_smaller_ones_pass_and_strict_does_not() -> None:
    for strict in (False, True):
        world = World(
            node("a", cpu=4),
            cluster_queue(strict=strict),
            workload("large", pod_set(8), created=0),
            workload("small", created=1),
        )
        world.cycle()
        assert world.is_admitted("default/small") is not strict
    assert world.condition("default/small").message == (
        "waits behind default/large: ClusterQueue default is StrictFIFO"
    )


def test_quota_is_a_limit_even_when_nodes_are_free() -> None:
    world = World(
        node("a", cpu=64),
        cluster_queue(quota={"cpu": 4}),
        workload("first", pod_set(3), created=0),
        workload("second", pod_set(2), created=1),
        workload("third", pod_set(1), created=2),
    )
    world.cycle()
    assert [world.is_admitted(f"default/{name}") for name in ("first", "second", "third")] == [
        True,
        False,
        True,
    ]
    assert world.condition("default/second").reason == "WaitingForQuota"
    assert "0 of 4 is free" in world.condition("default/second").message
    world.remove(workload("first"))
    world.cycle()
    assert world.is_admitted("default/second")


def test_a_second_flavor_takes_what_the_first_cannot() -> None:
    queue = cluster_queue()
    flavors = [
        FlavorQuotas(name=name, resources=[ResourceQuota(name="cpu", nominal_quota=quota)])
        for name, quota in (("spot", 2), ("on-demand", 4))
    ]
    group = ResourceGroup(covered_resources=["cpu"], flavors=flavors)
    world = World(node("a", cpu=64), replace(queue, spec=replace(queue.spec, resource_groups=[group])))
    world.add(workload("first", pod_set(2), created=0), workload("second", pod_set(2), created=1))
    world.cycle()
    charged = [
        world.workload(f"default/{name}").status.admission.pod_set_assignments[0].flavors  # type: ignore[union-attr]
        for name in ("first", "second")
    ]
    assert charged == [{"cpu": "spot"}, {"cpu": "on-demand"}]


def test_a_namespace_the_queue_does_not_select_is_refused() -> None:
    world = World(node("a"), cluster_queue(namespaces=LabelSelector(match_labels={"team": "x"})), workload())
    world.cycle()
    assert world.condition(W).reason == "Misconfigured"
    assert "takes no workloads of namespace default" in world.condition(W).message


def test_without_a_local_queue_the_default_cluster_queue_takes_it() -> None:
    world = World(node("a"), cluster_queue(), workload(), queues=False)
    world.cycle()
    assert world.is_admitted(W)


# -- the eviction circle ---------------------------------------------------------------------------


def test_an_evicted_workload_goes_round_the_circle_and_starts_as_the_next_attempt() -> None:
    world = World(node("a", cpu=1), workload())
    world.cycle()
    pods = world.start_pods(W)
    world.add(evicted(with_condition(world.workload(W), "PodsReady", reason="Started")))

    world.cycle()
    stopped = world.workload(W)
    assert stopped.status.admission is None
    assert stopped.status.requeue_state is not None
    assert stopped.status.requeue_state.count == 1
    assert (world.condition(W).status, world.condition(W).reason) == ("False", "Evicted")
    assert world.condition(W, "Admitted").reason == "NoReservation"
    assert world.cycle().commands == ()

    world.add(with_condition(world.workload(W), "Evicted", "False", reason="Requeued"))
    world.cycle()
    assert world.condition(W).message == "waits until all pods of the earlier attempt are gone"

    world.remove(*pods)
    world.cycle()
    assert not world.is_admitted(W), "workloads has not taken note of the end of the attempt"

    world.add(with_condition(world.workload(W), "PodsReady", "False", reason="NotAdmitted"))
    world.cycle()
    assert world.is_admitted(W)
    assert world.workload(W).status.requeue_state.count == 1  # type: ignore[union-attr]
    assert world.cycle().commands == ()


@pytest.mark.parametrize("how", ["deactivated", "queue drained", "local queue drained"])
def test_an_admission_is_taken_back_when_the_user_stops_it(how: str) -> None:
    world = World(node("a"), workload())
    world.cycle()
    running = world.workload(W)
    if how == "deactivated":
        world.add(replace(running, spec=replace(running.spec, active=False)))
    elif how == "queue drained":
        world.add(cluster_queue(stop="HoldAndDrain"))
    else:
        world.add(local_queue(stop="HoldAndDrain"))
    world.cycle()
    assert not world.is_admitted(W)
    assert world.condition(W).reason == "Suspended"
    assert world.cycle().commands == ()


def test_a_held_queue_lets_running_workloads_run() -> None:
    world = World(node("a"), workload())
    world.cycle()
    world.add(cluster_queue(stop="Hold"), workload("trainjob-next", created=1))
    world.cycle()
    assert world.is_admitted(W)
    assert not world.is_admitted("default/trainjob-next")


def test_quota_of_an_ended_attempt_is_held_until_its_pods_are_gone() -> None:
    world = World(node("a", cpu=64), cluster_queue(quota={"cpu": 2}), workload("first", pod_set(2)))
    world.cycle()
    pods = world.start_pods("default/first")
    world.add(evicted(world.workload("default/first")), workload("second", pod_set(2), created=1))
    world.cycle()
    world.cycle()
    assert not world.is_admitted("default/second")
    world.remove(*pods)
    world.cycle()
    assert world.is_admitted("default/second")


# -- plain pods ------------------------------------------------------------------------------------


def test_a_plain_pod_that_fits_nowhere_is_marked_as_kubernetes_does() -> None:
    world = World(node("a"), pod("big", pod_spec(cpu=9)), queues=False)
    decided = world.cycle()
    told = find_condition(world.pod("default/big").status.conditions, "PodScheduled")
    assert told is not None
    assert (told.status, told.reason) == ("False", "Unschedulable")
    assert "asks 9 cpu" in told.message
    assert [type(command).__name__ for command in decided.commands] == ["Apply", "Emit"]
    assert world.cycle().commands == ()


def test_pods_of_other_schedulers_and_of_workloads_are_left_alone() -> None:
    foreign = pod("foreign")
    foreign = replace(foreign, spec=replace(foreign.spec, scheduler_name="default-scheduler"))
    world = World(node("a"), foreign, queues=False)
    assert world.cycle().commands == ()


# -- explanations ----------------------------------------------------------------------------------


def test_old_numbers_deep_in_the_queue_are_rewritten_only_when_asked() -> None:
    world = World(node("a", cpu=100))
    world.add(pod("holds", pod_spec(cpu=99), node="a", phase="Running"))
    world.add(*(workload(f"w{i:02}", pod_set(1, pod_spec(cpu=50)), created=i) for i in range(40)))
    world.cycle(refresh=False)
    world.add(pod("holds", pod_spec(cpu=98), node="a", phase="Running"))
    changed = world.cycle(refresh=False)
    assert len(changed.commands) == 32
    assert changed.requeue_after_seconds == 30
    assert "has 2 free of 100" in changed.notes["default/w39"]
    assert len(world.cycle(refresh=True).commands) == 8
    assert world.cycle(refresh=True).commands == ()


def test_a_cycle_that_is_cut_starts_the_first_and_explains_nothing_yet() -> None:
    world = World(node("a", cpu=3), *(workload(f"w{i}", created=i) for i in range(5)))
    cut = world.cycle(starts_max=2)
    assert [world.is_admitted(f"default/w{i}") for i in range(5)] == [True, True, False, False, False]
    assert (len(cut.commands), cut.requeue_after_seconds) == (2, 0.0)
    world.cycle(starts_max=2)
    assert world.is_admitted("default/w2")
    assert world.condition("default/w3").reason == "TopologyPlacementFailed"


def test_queues_say_who_waits_who_runs_and_what_is_used() -> None:
    world = World(node("a", cpu=64), cluster_queue(quota={"cpu": 4}))
    world.add(*(workload(f"w{i}", pod_set(2), created=i) for i in range(3)))
    world.cycle()
    for kind, key in ((ClusterQueue, "default"), (LocalQueue, "default/default")):
        said = world.objects[(kind, key)].status  # type: ignore[attr-defined]
        assert (said.pending_workloads, said.reserving_workloads, said.admitted_workloads) == (1, 2, 2)
        assert said.conditions[0].reason == "Ready"
        assert said.flavors_reservation[0].resources[0].total == "4"
    world.remove(workload("w0"), workload("w1"))
    world.add(cluster_queue(quota={"cpu": 4}, stop="Hold"))
    world.cycle()
    stopped = world.objects[(ClusterQueue, "default")].status  # type: ignore[attr-defined]
    assert (stopped.pending_workloads, stopped.admitted_workloads) == (1, 0)
    assert (stopped.conditions[0].status, stopped.conditions[0].reason) == ("False", "Stopped")
    assert world.cycle().commands == ()
