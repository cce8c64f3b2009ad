"""Who has to go for whom: Kueue's policies, room on nodes, fair sharing; and that nobody goes in vain."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from springtide.api.core import Node
from springtide.api.kueue import PreemptionGate, Workload
from springtide.api.meta import Object, find_condition
from springtide.api.struct import replace
from springtide.scheduling.victims import FAIR_STRATEGIES
from tests.builders import node, pod_set, pod_spec, with_condition
from tests.scheduling.preemption import (
    ANY,
    LOWER,
    LOWER_OR_NEWER,
    end_pods,
    job,
    key,
    pods_of,
    preempted,
    queue,
    running,
    settle,
)
from tests.scheduling.world import World


@dataclass(frozen=True)
class Case:
    """Queues and what runs, what then asks, and who has to go for it."""

    why: str
    queues: tuple[tuple[Object, Object], ...]
    runs: tuple[Workload, ...]
    asks: Workload
    victims: set[str]
    reason: str = "InClusterQueue"


COHORT = "all"
QUOTA = (
    Case(
        "without a policy nobody goes",
        (queue("q", 2),),
        (job("low", 2),),
        job("high", 2, priority=10, created=1),
        set(),
    ),
    Case(
        "a lower priority goes within the queue",
        (queue("q", 2, within=LOWER),),
        (job("low", 2),),
        job("high", 2, priority=10, created=1),
        {"low"},
    ),
    Case(
        "an equal priority does not",
        (queue("q", 2, within=LOWER),),
        (job("low", 2, priority=10),),
        job("high", 2, priority=10, created=1),
        set(),
    ),
    Case(
        "a newer one of equal priority goes if the policy says so",
        (queue("q", 2, within=LOWER_OR_NEWER),),
        (job("newer", 2, created=5),),
        job("older", 2, created=1),
        {"newer"},
    ),
    Case(
        "an older one of equal priority never goes",
        (queue("q", 2, within=LOWER_OR_NEWER),),
        (job("older", 2, created=1),),
        job("newer", 2, created=5),
        set(),
    ),
    Case(
        "the lowest priority goes first",
        (queue("q", 4, within=LOWER),),
        (job("mid", 2, priority=5), job("low", 2, priority=1)),
        job("high", 2, priority=10, created=1),
        {"low"},
    ),
    Case(
        "of equal ones the newest goes first",
        (queue("q", 4, within=LOWER),),
        (job("long", 2), job("short", 2)),
        job("high", 2, priority=10, created=1),
        {"short"},
    ),
    Case(
        "who turns out not to be needed stays",
        (queue("q", 6, within=LOWER),),
        (job("small", 1, priority=1), job("large", 5, priority=2)),
        job("high", 5, priority=10, created=1),
        {"large"},
    ),
    Case(
        "nobody goes in vain",
        (queue("q", 4, within=LOWER),),
        (job("low", 2, priority=1), job("high", 2, priority=10)),
        job("asks", 4, priority=5, created=1),
        set(),
    ),
    Case(
        "what was lent comes back, whatever its priority",
        (queue("q", 2, reclaim=ANY, cohort=COHORT), queue("other", 2, cohort=COHORT)),
        (job("own", 2, queue="other", priority=101), job("borrows", 2, queue="other", priority=100)),
        job("asks", 2, created=1),
        {"borrows"},
        "InCohortReclamation",
    ),
    Case(
        "or only from lower priorities",
        (queue("q", 2, reclaim=LOWER, cohort=COHORT), queue("other", 2, cohort=COHORT)),
        (job("own", 2, queue="other"), job("borrows", 2, queue="other", priority=100)),
        job("asks", 2, created=1, priority=50),
        {"own"},
        "InCohortReclamation",
    ),
    Case(
        "who uses only its own is safe from others",
        (queue("q", 2, reclaim=ANY, cohort=COHORT), queue("other", 2, cohort=COHORT)),
        (job("own", 2, queue="other"), job("mine", 2)),
        job("asks", 2, created=1, priority=50),
        set(),
    ),
    Case(
        "nobody goes in another queue so that one may borrow",
        (
            queue("q", 1, reclaim=LOWER, cohort=COHORT),
            queue("other", 1, cohort=COHORT),
            queue("third", 2, cohort=COHORT),
        ),
        (job("borrows", 4, queue="other"),),
        job("asks", 2, created=1, priority=50),
        set(),
    ),
    Case(
        "unless borrowWithinCohort lets lower priorities go",
        (
            queue("q", 1, reclaim=LOWER, borrow=LOWER, cohort=COHORT),
            queue("other", 1, cohort=COHORT),
            queue("third", 2, cohort=COHORT),
        ),
        (job("borrows", 4, queue="other"),),
        job("asks", 2, created=1, priority=50),
        {"borrows"},
        "InCohortReclaimWhileBorrowing",
    ),
    Case(
        "up to a threshold",
        (
            queue("q", 1, reclaim=LOWER, borrow=LOWER, threshold=10, cohort=COHORT),
            queue("other", 1, cohort=COHORT),
            queue("third", 2, cohort=COHORT),
        ),
        (job("borrows", 4, queue="other", priority=20),),
        job("asks", 2, created=1, priority=50),
        set(),
    ),
    Case(
        "others that borrow go before one's own",
        (queue("q", 4, reclaim=LOWER, within=LOWER, cohort=COHORT), queue("other", 0, cohort=COHORT)),
        (job("mine", 2), job("borrows", 2, queue="other", priority=5)),
        job("asks", 2, created=1, priority=50),
        {"borrows"},
        "InCohortReclamation",
    ),
)


@pytest.mark.parametrize("case", QUOTA, ids=[case.why for case in QUOTA])
def test_policies_of_quota(case: Case) -> None:
    world = World(node("a", cpu=64), node("b", cpu=64))
    for pair in case.queues:
        world.add(*pair)
    running(world, *case.runs)
    before = world.clock
    world.add(case.asks)
    world.cycle()
    assert preempted(world) == case.victims
    for name in case.victims:
        evicted = world.condition(key(name), "Evicted")
        assert (evicted.status, evicted.reason) == ("True", "Preempted")
        assert key(case.asks.metadata.name) in evicted.message
        assert world.condition(key(name), "Preempted").reason == case.reason
        assert not world.is_admitted(key(name))
    if case.victims:
        assert world.condition(case.asks.key).reason == "WaitingForPreemptedWorkloads"
    else:
        assert world.clock == before + 1
    settle(world)
    assert world.is_admitted(case.asks.key) is bool(case.victims)
    assert preempted(world) == case.victims


def test_who_was_preempted_starts_again_and_then_is_preempted_no_more() -> None:
    world = World(node("a", cpu=64), *queue("q", 2, within=LOWER))
    running(world, job("low", 2))
    world.add(job("high", 2, priority=10, created=1))
    settle(world)
    high = world.workload(key("high"))
    world.remove(*pods_of(world, "high"), high)
    settle(world)
    assert world.is_admitted(key("low"))
    low = world.workload(key("low"))
    assert low.status.requeue_state is not None
    assert low.status.requeue_state.count == 1
    for type_ in ("Evicted", "Preempted"):
        condition = world.condition(key("low"), type_)
        assert (condition.status, condition.reason) == ("False", "QuotaReserved")
        assert condition.message.startswith("Previously: Preempted")


def test_the_place_of_the_preemptor_is_held_until_the_pods_of_its_victims_are_gone() -> None:
    world = World(node("a", cpu=4), *queue("q", within=LOWER))
    running(world, job("low", 4))
    world.add(job("high", 3, priority=10, created=1))
    world.cycle()
    assert preempted(world) == {"low"}
    message = world.condition(key("high")).message
    assert "default/low" in message
    world.add(job("small", 1, created=2))
    for _ in range(3):
        world.cycle()
        assert not world.is_admitted(key("high")), "the pod of the victim still holds the node"
        assert world.condition(key("high")).message == message
    end_pods(world)
    world.cycle()
    assert world.is_admitted(key("high"))
    assert world.is_admitted(key("small"))
    assert not world.is_admitted(key("low"))


def test_nobody_behind_takes_what_ends_from_who_waits_for_it() -> None:
    world = World(node("a", cpu=4))
    running(world, job("first", 3, queue=""))
    pod, *_ = pods_of(world, "first")
    ending = replace(pod, metadata=replace(pod.metadata, deletion_timestamp=pod.metadata.creation_timestamp))
    world.add(ending)
    world.add(job("large", 4, queue="", created=1), job("small", 1, queue="", created=2))
    world.cycle()
    assert world.condition(key("large")).reason == "WaitingForPreemptedWorkloads"
    assert not world.is_admitted(key("small"))
    world.remove(world.workload(key("first")), ending)
    world.cycle()
    assert world.is_admitted(key("large"))


def test_what_ends_is_enough_for_both_where_it_is() -> None:
    world = World(node("a", cpu=4))
    running(world, job("first", 3, queue=""))
    pod, *_ = pods_of(world, "first")
    stamp = pod.metadata.creation_timestamp
    world.add(replace(pod, metadata=replace(pod.metadata, deletion_timestamp=stamp)))
    world.add(job("large", 2, queue="", created=1), job("small", 1, queue="", created=2))
    world.cycle()
    assert world.condition(key("large")).reason == "WaitingForPreemptedWorkloads"
    assert world.is_admitted(key("small")), "one CPU is free, and what ends is enough for the other"


def test_a_pod_that_waits_for_what_ends_is_told_where() -> None:
    world = World(node("a", cpu=4))
    running(world, job("first", 4, queue=""))
    world.add(with_condition(world.workload(key("first")), "Evicted", reason="NodeFailures"))
    world.add(job("next", 4, queue="", created=1))
    world.cycle()
    assert world.condition(key("next")).reason == "WaitingForPreemptedWorkloads"


# -- room on nodes -----------------------------------------------------------------------------------


def gpu_nodes(number: int, racks: int = 1) -> list[Node]:
    return [
        node(f"n{index}", cpu=64, gpu=8, labelled={"rack": f"r{index * racks // number}"})
        for index in range(number)
    ]


def filled(world: World, jobs: int, gpus: int, per_node: int) -> None:
    """Jobs of so many GPUs on every node, of which nobody else gets anything."""
    for index in range(jobs):
        world.add(job(f"low-{index:02}", gpu=gpus, created=index))
    world.cycle()
    for index in range(jobs):
        assert world.is_admitted(key(f"low-{index:02}"))
        world.start_pods(key(f"low-{index:02}"))
    assert jobs == per_node * sum(1 for kind, _ in world.objects if kind is Node)


def test_kueue_5243_only_the_jobs_of_one_node_go_and_the_job_runs() -> None:
    """Kueue let eight scattered jobs of one GPU go for one of eight GPUs, which then fitted nowhere."""
    world = World(*gpu_nodes(4), *queue("q", within=LOWER, quota={"cpu": 999, "nvidia.com/gpu": 32}))
    filled(world, 32, 1, 8)
    at = {index: next(iter(world.placement(key(f"low-{index:02}"))["node"])) for index in range(32)}
    world.add(job("high", gpu=8, priority=100, created=99))
    world.cycle()
    gone = preempted(world)
    assert len(gone) == 8
    assert len({at[int(name[-2:])] for name in gone}) == 1
    settle(world)
    assert world.is_admitted(key("high"))
    assert preempted(world) == gone


def test_the_node_where_least_is_lost_is_opened() -> None:
    world = World(*gpu_nodes(3), *queue("q", within=LOWER))
    filled(world, 6, 4, 2)
    cheap = world.placement(key("low-03"))["node"]
    for index in range(6):
        name = key(f"low-{index:02}")
        since = 9 if world.placement(name)["node"] == cheap else 1
        found = world.workload(name)
        admitted = find_condition(found.status.conditions, "Admitted")
        assert admitted is not None
        others = [c for c in found.status.conditions if c.type != "Admitted"]
        bare = replace(found, status=replace(found.status, conditions=others))
        world.add(with_condition(bare, "Admitted", since=since * 60 - 600))
    world.add(job("high", gpu=8, priority=100, created=99))
    world.cycle()
    assert {next(iter(cheap))} == {
        found.spec.node_name for name in preempted(world) for found in pods_of(world, name)
    }


def test_volcano_4374_a_gang_that_must_be_in_one_rack_gets_a_rack() -> None:
    """Volcano's preemption does not look at topology at all."""
    world = World(*gpu_nodes(6, racks=3), *queue("q", within=LOWER))
    filled(world, 12, 4, 2)
    world.add(job("high", gpu=8, pods=2, within="rack", priority=100, created=99))
    world.cycle()
    gone = preempted(world)
    assert len(gone) == 4
    racks = {found.spec.node_name for name in gone for found in pods_of(world, name)}
    settle(world)
    assert world.is_admitted(key("high"))
    assert set(world.placement(key("high"))["node"]) == racks


def test_a_rack_that_can_never_hold_the_gang_is_left_alone() -> None:
    world = World(*gpu_nodes(6, racks=3), *queue("q", within=LOWER))
    filled(world, 12, 4, 2)
    world.add(job("high", gpu=8, pods=3, within="rack", priority=100, created=99))
    world.cycle()
    assert preempted(world) == set()
    assert world.condition(key("high")).reason == "TopologyPlacementFailed"


def test_gangs_go_whole() -> None:
    world = World(*gpu_nodes(4), *queue("q", within=LOWER))
    running(world, job("gang", gpu=8, pods=4))
    world.add(job("high", gpu=8, priority=100, created=99))
    settle(world)
    assert preempted(world) == {"gang"}
    assert pods_of(world, "gang") == []
    assert world.is_admitted(key("high"))


def test_a_gang_of_two_pod_sets_preempts_for_both() -> None:
    world = World(node("a", cpu=8, gpu=8), node("b", cpu=64), *queue("q", within=LOWER))
    running(world, job("gpus", gpu=8), job("cpus", 64))
    sets = (
        pod_set(1, pod_spec(cpu=1, gpu=8), name="node"),
        pod_set(1, pod_spec(cpu=60), name="initializer"),
    )
    world.add(job("high", priority=100, created=99, sets=sets))
    settle(world)
    assert preempted(world) == {"gpus", "cpus"}
    assert world.is_admitted(key("high"))


def test_volcano_4679_what_was_lent_comes_back_from_a_full_cluster() -> None:
    """In Volcano the job never leaves Pending, for the gate before preemption asks for free room."""
    gpus = {"cpu": 999, "nvidia.com/gpu": 16}
    world = World(
        *gpu_nodes(4),
        *queue("q", reclaim=ANY, cohort=COHORT, quota=gpus),
        *queue("greedy", cohort=COHORT, quota=gpus),
    )
    for index in range(32):
        world.add(job(f"low-{index:02}", gpu=1, queue="greedy", priority=1000, created=index))
    settle(world)
    world.add(job("asks", gpu=8, pods=2, created=99))
    settle(world)
    assert world.is_admitted(key("asks"))
    assert len(preempted(world)) == 16


def test_nobody_goes_for_room_that_even_an_empty_cluster_does_not_have() -> None:
    world = World(*gpu_nodes(2), *queue("q", within=LOWER))
    filled(world, 4, 4, 2)
    world.add(job("high", gpu=16, priority=100, created=99), job("wide", gpu=8, pods=3, priority=99))
    world.cycle()
    assert preempted(world) == set()


def test_a_closed_gate_holds_preemption_back() -> None:
    world = World(node("a", cpu=4), *queue("q", within=LOWER))
    running(world, job("low", 4))
    high = job("high", 4, priority=100, created=99)
    world.add(replace(high, spec=replace(high.spec, preemption_gates=[PreemptionGate(name="g")])))
    world.cycle()
    assert preempted(world) == set()


# -- fair sharing ------------------------------------------------------------------------------------


def fair_world(*weights: str) -> World:
    world = World(node("a", cpu=64))
    world.options = {"fair_strategies": FAIR_STRATEGIES}
    for name, weight in zip(("q", "b", "c"), weights, strict=False):
        world.add(*queue(name, 3, reclaim=ANY, within=LOWER, cohort=COHORT, weight=weight))
    return world


def test_the_queue_with_the_largest_share_gives_until_shares_are_even() -> None:
    world = fair_world("1", "1", "1")
    running(world, *(job(f"b{index}", queue="b", created=index) for index in range(9)))
    for index in range(5):
        world.add(job(f"q{index}", created=20 + index))
    settle(world, 12)
    assert sum(world.is_admitted(key(f"q{index}")) for index in range(5)) == 4
    assert len(preempted(world)) == 4


def test_a_weight_of_two_gets_twice_as_much_of_what_is_lent() -> None:
    world = fair_world("2", "1", "1")
    running(world, *(job(f"b{index}", queue="b", created=index) for index in range(9)))
    for index in range(6):
        world.add(job(f"q{index}", created=20 + index))
    settle(world, 14)
    assert sum(world.is_admitted(key(f"q{index}")) for index in range(6)) == 5
