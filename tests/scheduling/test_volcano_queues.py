"""Volcano's Queues in the tree of quota: weight, deserved, guarantee, capability, hierarchy, status."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api import labels
from springtide.api.commands import Emit
from springtide.api.kueue import PodSet, Workload
from springtide.api.meta import ObjectMeta
from springtide.api.quantity import Quantity
from springtide.api.struct import replace
from springtide.api.topologyrules import network_request
from springtide.api.volcano import Cluster, Guarantee, NetworkTopologySpec, Queue, QueueSpec
from springtide.scheduling.volcano_queues import FLAVOR, VolcanoQueue, admitted_as, dialect_of, fill
from tests.builders import cluster_queue, node, pod_set, pod_spec, with_condition, workload
from tests.scheduling.preemption import end_pods, key, preempted, settle
from tests.scheduling.test_hypernodes import exact, hyper
from tests.scheduling.world import World

Amounts = Mapping[str, Quantity]


def queue(
    name: str,
    *,
    weight: int = 1,
    deserved: Amounts | None = None,
    capability: Amounts | None = None,
    guarantee: Amounts | None = None,
    parent: str = "",
    strategy: str = "traverse",
    reclaimable: bool | None = None,
    priority: int = 0,
) -> Queue:
    spec = QueueSpec(
        weight=weight,
        deserved=dict(deserved or {}),
        capability=dict(capability or {}),
        guarantee=Guarantee(resource=dict(guarantee or {})),
        parent=parent,
        dequeue_strategy=strategy,
        reclaimable=reclaimable,
        priority=priority,
    )
    return Queue(metadata=ObjectMeta(name=name, uid=f"uid-{name}"), spec=spec)


def cpu(amount: int) -> dict[str, Quantity]:
    return {"cpu": amount}


def job(
    name: str, in_queue: str, cpus: int = 1, pods: int = 1, *, created: float = 0, priority: int = 0
) -> Workload:
    """A workload that stands in a Queue."""
    sets: tuple[PodSet, ...] = (pod_set(pods, pod_spec(cpu=cpus)),)
    plain = workload(name, *sets, created=created, priority=priority, job=name)
    annotations = {labels.VOLCANO_QUEUE: in_queue}
    return replace(plain, metadata=replace(plain.metadata, annotations=annotations))


def closed(obj: Queue, state: str = "Closed") -> Queue:
    return replace(obj, status=replace(obj.status, state=state))


def found(world: World, name: str) -> Queue:
    obj = world.objects[(Queue, name)]
    assert isinstance(obj, Queue)
    return obj


def holds(world: World) -> dict[str, int]:
    """CPUs admitted, by name of the workload."""
    return {
        obj.metadata.name: sum(
            one.count * int(one.template.spec.containers[0].resources.requests["cpu"])
            for one in obj.spec.pod_sets
        )
        for obj in world.objects.values()
        if isinstance(obj, Workload) and obj.status.admission is not None
    }


def fill_up(world: World, in_queue: str, cpus: int, *, created: float = 0) -> None:
    """So many workloads of one CPU each run in a Queue."""
    for index in range(cpus):
        world.add(job(f"{in_queue}-{index}", in_queue, created=created + index / 100))
    settle(world)


# -- arithmetic -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "claims", "expected"),
    [
        (10, [(1, 0, 100), (1, 0, 100)], [5, 5]),
        (12, [(1, 0, 100), (2, 0, 100)], [4, 8]),
        (10, [(1, 0, 2), (1, 0, 100)], [2, 8]),
        (10, [(1, 0, 2), (1, 0, 3)], [2, 3]),
        (10, [(1, 7, 100), (1, 0, 100)], [7, 3]),
        (10, [(1, 0, 100), (1, 0, 100), (1, 0, 100)], [3, 3, 3]),
        (4, [(1, 7, 9), (1, 0, 9)], [7, 0]),
        (0, [(1, 0, 9)], [0]),
        (5, [], []),
    ],
)
def test_water_rises_by_weight_between_bounds(
    amount: int, claims: list[tuple[int, int, int]], expected: list[int]
) -> None:
    assert fill(amount, claims) == expected


@given(
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20), st.integers(0, 60)), min_size=1, max_size=6),
)
def test_nobody_gets_more_than_asked_and_nothing_is_left_while_somebody_wants_it(
    amount: int, asked: list[tuple[int, int, int]]
) -> None:
    claims = [(weight, least, max(least, most)) for weight, least, most in asked]
    got = fill(amount, claims)
    assert all(least <= one <= most for one, (_, least, most) in zip(got, claims, strict=True))
    floor = sum(least for _, least, _ in claims)
    assert sum(got) <= max(amount, floor)
    wants_more = [one for one, (_, _, most) in zip(got, claims, strict=True) if one < most]
    if wants_more and amount >= floor:
        assert amount - sum(got) < len(claims)  # only what does not divide is left
    rising = [
        (one, weight) for one, (weight, least, most) in zip(got, claims, strict=True) if least < one < most
    ]
    levels = [one / weight for one, weight in rising]
    assert not levels or max(levels) - min(levels) < 1


def test_deserved_guarantee_and_capability_are_nominal_lending_and_borrowing() -> None:
    queues = {
        "a": VolcanoQueue("a", deserved={"cpu": 6}, guarantee={"cpu": 2}, capability={"cpu": 8}),
        "b": VolcanoQueue("b", deserved={"cpu": 20}, capability={"cpu": 3}),
    }
    dialect = dialect_of(queues, {"cpu": 10}, {}, {})
    (flavor,) = dialect.cluster_queues[admitted_as("a")].groups[0]
    quota = flavor.resources["cpu"]
    assert (flavor.name, quota.nominal, quota.lending_limit, quota.borrowing_limit) == (FLAVOR, 6, 4, 2)
    (flavor,) = dialect.cluster_queues[admitted_as("b")].groups[0]
    assert (flavor.resources["cpu"].nominal, flavor.resources["cpu"].borrowing_limit) == (3, 0)
    assert dialect.cohorts["volcano:root"].cells[FLAVOR, "cpu"].nominal == 1


# -- in the engine ----------------------------------------------------------------------------------


def test_queues_share_what_there_is_by_weight_and_take_it_back() -> None:
    world = World(node("n", cpu=9), queue("a", weight=2), queue("b", weight=1))
    fill_up(world, "b", 9)
    assert len(holds(world)) == 9, "the whole cluster while nobody else asks"
    fill_up(world, "a", 9, created=10)
    names = sorted(holds(world))
    assert [sum(name.startswith(of) for name in names) for of in "ab"] == [6, 3]


def test_a_share_by_weight_is_no_more_than_is_asked_for() -> None:
    world = World(node("n", cpu=9), queue("a"), queue("b"), queue("c"))
    fill_up(world, "b", 9)
    fill_up(world, "c", 9, created=10)
    fill_up(world, "a", 1, created=20)
    names = list(holds(world))
    assert [sum(name.startswith(of) for name in names) for of in "abc"] == [1, 4, 4]


def test_a_queue_never_uses_more_than_its_capability() -> None:
    """Volcano #921: with the capability reached, one finished job lets exactly one start."""
    world = World(node("n", cpu=9), queue("a", deserved=cpu(1), capability=cpu(2)))
    fill_up(world, "a", 4)
    assert sorted(holds(world)) == ["a-0", "a-1"]
    assert "Queue a, flavor volcano; 0 of 2 is free" in world.condition(key("a-2")).message
    world.add(with_condition(world.workload(key("a-0")), "Finished"))
    settle(world)
    assert sorted(holds(world)) == ["a-0", "a-1", "a-2"]


def test_what_can_never_fit_says_so() -> None:
    world = World(node("n", cpu=9), queue("a", capability=cpu(2)), job("big", "a", cpus=3))
    world.cycle()
    assert "can never start in Queue a" in world.condition(key("big")).message


def test_a_guarantee_is_kept_free_while_it_is_not_used() -> None:
    world = World(node("n", cpu=8), queue("a", guarantee=cpu(3)), queue("b"))
    fill_up(world, "b", 8)
    assert len(holds(world)) == 5
    world.add(job("mine", "a", cpus=3, created=9))
    settle(world)
    assert world.is_admitted(key("mine"))
    assert not preempted(world)


def test_a_queue_that_is_not_reclaimable_keeps_what_it_has() -> None:
    world = World(
        node("n", cpu=4), queue("a", deserved=cpu(2)), queue("b", deserved=cpu(2), reclaimable=False)
    )
    fill_up(world, "b", 4)
    world.add(job("mine", "a", cpus=2, created=9))
    settle(world)
    assert not world.is_admitted(key("mine"))
    assert len(holds(world)) == 4


def test_a_queue_of_higher_priority_is_served_first_and_gives_back_last() -> None:
    world = World(
        node("n", cpu=6), queue("a", deserved=cpu(2)), queue("b", priority=5), queue("c", priority=1)
    )
    world.add(
        job("early", "a", cpus=6), job("late", "b", cpus=2, created=8), job("mid", "c", cpus=4, created=9)
    )
    settle(world)
    assert sorted(holds(world)) == ["late", "mid"]
    world.add(job("mine", "a", cpus=2, created=10))
    settle(world)
    assert sorted(holds(world)) == ["late", "mine"]


def test_reclaim_in_a_hierarchy_at_100_percent_full() -> None:
    """Volcano #4679: root is full, so that jobs stay Pending and reclaim never looks at them."""
    deserved = {"a": 16, "b": 16, "a1": 8, "a2": 8}
    world = World(
        *(node(f"n{index}", cpu=8) for index in range(4)),
        queue("a", deserved=cpu(16), capability=cpu(32)),
        queue("b", deserved=cpu(16), capability=cpu(32)),
        queue("a1", deserved=cpu(8), capability=cpu(16), parent="a"),
        queue("a2", deserved=cpu(8), capability=cpu(16), parent="a"),
    )
    assert deserved["a1"] + deserved["a2"] == deserved["a"]
    for name, where, pods in (("a1-0", "a1", 1), ("b-0", "b", 1), ("b-1", "b", 1), ("b-2", "b", 1)):
        world.add(job(name, where, cpus=8, pods=pods))
    settle(world)
    assert sum(holds(world).values()) == 32, "full"
    world.add(job("late", "a2", cpus=8, created=9))
    settle(world)
    assert world.is_admitted(key("late"))
    assert len(preempted(world)) == 1
    assert preempted(world) < {"b-0", "b-1", "b-2"}


def test_reclaim_takes_whole_gangs() -> None:
    """Volcano #4535: quota that a gang's minAvailable holds could not come back."""
    world = World(node("n", cpu=8), queue("a", deserved=cpu(4)), queue("b", deserved=cpu(4)))
    world.add(job("gang", "b", cpus=1, pods=8))
    settle(world)
    assert world.is_admitted(key("gang"))
    world.add(job("mine", "a", cpus=4, created=9))
    settle(world)
    assert world.is_admitted(key("mine"))
    assert not world.is_admitted(key("gang"))


@pytest.mark.parametrize("reclaims", [False, True])
def test_preemption_and_reclaim_free_one_hypernode(reclaims: bool) -> None:
    """Volcano #4374: both ignored HyperNodes, so that what was freed lay apart."""
    leaves = [hyper("leaf0", 1, exact("n0", "n1")), hyper("leaf1", 1, exact("n2", "n3"))]
    nodes = [node(f"n{index}", cpu=4) for index in range(4)]
    world = World(*nodes, *leaves, queue("a", deserved=cpu(8)), queue("b", deserved=cpu(8)))
    for index in range(4):
        world.add(job(f"low-{index}", "b", cpus=4, created=index))
    settle(world)
    assert sum(holds(world).values()) == 16
    gang = job("gang", "a" if reclaims else "b", cpus=4, pods=2, priority=5, created=9)
    asked = network_request(NetworkTopologySpec(highest_tier_allowed=1))
    (pods,) = gang.spec.pod_sets
    world.add(replace(gang, spec=replace(gang.spec, pod_sets=[replace(pods, topology_request=asked)])))
    settle(world)
    assert set(world.placement(key("gang"))["node"]) in ({"n0", "n1"}, {"n2", "n3"})
    assert len(preempted(world)) == 2


def test_within_a_queue_the_higher_priority_goes_first() -> None:
    world = World(node("n", cpu=4), queue("a"))
    world.add(job("low", "a", cpus=4))
    settle(world)
    world.add(job("high", "a", cpus=4, priority=10, created=9))
    settle(world)
    assert sorted(holds(world)) == ["high"]


def test_fifo_waits_for_the_head_and_traverse_does_not() -> None:
    for strategy, started in (("fifo", set()), ("traverse", {"small"})):
        world = World(node("n", cpu=4), queue("a", capability=cpu(4), strategy=strategy))
        world.add(job("runs", "a", cpus=2))
        settle(world)
        world.add(job("big", "a", cpus=4, created=1), job("small", "a", cpus=1, created=2))
        settle(world)
        assert set(holds(world)) - {"runs"} == started


def test_a_closed_queue_takes_nothing_new_and_lets_the_rest_run() -> None:
    world = World(node("n", cpu=4), queue("a"))
    world.add(job("runs", "a"))
    settle(world)
    world.add(closed(found(world, "a")))
    world.add(job("late", "a", created=9))
    settle(world)
    assert sorted(holds(world)) == ["runs"]
    assert found(world, "a").status.state == "Closing"
    assert world.condition(key("late")).message == "Queue a is closed; set its status.state to Open"
    world.add(with_condition(world.workload(key("runs")), "Finished"))
    settle(world)
    assert found(world, "a").status.state == "Closed"
    world.add(closed(found(world, "a"), "Open"))
    settle(world)
    assert world.is_admitted(key("late"))


@pytest.mark.parametrize(
    ("queues", "named", "why"),
    [
        ((), "nowhere", "Queue nowhere doesn't exist; create it, or name one that does"),
        (
            (queue("p"), queue("c", parent="p")),
            "p",
            "Queue p has child queues, so that no work is put into itself; name one of them",
        ),
        (
            (queue("c", parent="gone"),),
            "c",
            (
                "Queue c is not in the tree of queues: spec.parent of Queue c names Queue gone, "
                "which doesn't exist; create it"
            ),
        ),
        (
            (queue("x", parent="y"), queue("y", parent="x")),
            "x",
            "Queue x is not in the tree of queues: Queue x is its own ancestor; change a spec.parent",
        ),
        ((queue("a", deserved={"cpu": "many"}),), "a", "Queue a: spec.deserved: resource cpu: "),
        (
            (queue("a"), cluster_queue("volcano.a")),
            "a",
            (
                "Queue a is not in the tree of queues: its admissions could not be told from those of "
                "ClusterQueue volcano.a; rename one"
            ),
        ),
    ],
)
def test_a_queue_that_takes_nothing_says_why(queues: tuple[Queue, ...], named: str, why: str) -> None:
    world = World(node("n"), *queues, job("mine", named))
    settle(world)
    told = world.condition(key("mine"))
    assert told.reason == "Misconfigured"
    assert told.message.startswith(why)
    if queues and "child" not in why:
        assert found(world, named).status.state == "Unknown"


def test_the_default_queue_is_volcanos_where_there_is_one_and_else_the_clusterqueue() -> None:
    world = World(node("n"), job("first", "default"))
    settle(world)
    admission = world.workload(key("first")).status.admission
    assert admission is not None
    assert admission.cluster_queue == "default"
    world.add(queue("default"), job("second", "default", created=9))
    settle(world)
    admission = world.workload(key("second")).status.admission
    assert admission is not None
    assert admission.cluster_queue == "volcano.default"


def test_a_queue_and_a_clusterqueue_of_one_name_are_two() -> None:
    world = World(node("n", cpu=4), cluster_queue("same", cpu(1)), queue("same", capability=cpu(2)))
    world.add(job("mine", "same", cpus=2))
    settle(world)
    assert world.is_admitted(key("mine"))
    assert found(world, "same").status.allocated == {"cpu": "2"}


def test_a_resource_that_no_queue_speaks_of_is_limited_by_the_nodes_alone() -> None:
    rare = {"example.com/rare": 1}
    world = World(node("n", more=rare), queue("a"))
    plain = job("mine", "a")
    world.add(replace(plain, spec=replace(plain.spec, pod_sets=[pod_set(1, pod_spec(cpu=1, more=rare))])))
    settle(world)
    assert world.is_admitted(key("mine"))


def test_the_status_counts_groups_by_phase_and_what_they_hold() -> None:
    world = World(
        node("n", cpu=4), queue("top"), queue("a", parent="top", capability=cpu(3)), job("one", "a", cpus=2)
    )
    world.add(job("two", "a", cpus=1), job("three", "a", cpus=1, created=9))
    world.cycle()
    status = found(world, "a").status
    assert (status.state, status.inqueue, status.pending, status.allocated) == ("Open", 2, 1, {"cpu": "3"})
    world.add(with_condition(world.workload(key("one")), "PodsReady"))
    world.add(with_condition(world.workload(key("two")), "Finished"))
    end_pods(world)
    settle(world)
    status = found(world, "a").status
    assert (status.running, status.inqueue, status.completed, status.pending) == (1, 1, 1, 0)
    above = found(world, "top").status
    assert (above.running, above.completed, above.allocated) == (1, 1, {"cpu": "3"})


def test_what_a_queue_sets_in_vain_is_said_once() -> None:
    plain = queue("a")
    far = replace(plain, spec=replace(plain.spec, extend_clusters=[Cluster(name="far")]))
    world = World(node("n"), far)
    said = [one.note for one in world.cycle().commands if isinstance(one, Emit)]
    assert said == ["No effect: spec.extendClusters: there is one cluster"]
    assert not world.cycle().commands


def test_a_second_plan_finds_nothing_to_do() -> None:
    world = World(node("n", cpu=4), queue("a"), queue("b", deserved=cpu(1)))
    for index in range(6):
        world.add(job(f"j{index}", "ab"[index % 2], created=index))
    world.cycle()
    assert not world.cycle().commands
