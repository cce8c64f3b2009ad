"""Workloads whose pods come and go: they begin small, grow when there is room, and give back what is done."""

from __future__ import annotations

from springtide.api.kueue import PodSet, ReclaimablePod, Workload
from springtide.api.meta import find_condition
from springtide.api.struct import replace
from tests.builders import cluster_queue, node, pod_set, pod_spec, workload
from tests.scheduling.preemption import LOWER, job, pods_of, queue
from tests.scheduling.world import World

KEY = "default/w"


def elastic(obj: Workload) -> Workload:
    notes = {"kueue.x-k8s.io/elastic-job": "true"}
    return replace(obj, metadata=replace(obj.metadata, annotations=notes))


def between(fewest: int, most: int, *, within: str = "") -> PodSet:
    return replace(pod_set(most, pod_spec(cpu=1), within=within), min_count=fewest)


def count(found: World, key: str = KEY) -> int | None:
    admission = found.workload(key).status.admission
    assert admission is not None
    return admission.pod_set_assignments[0].count


def test_it_begins_with_what_fits_and_grows_when_there_is_room() -> None:
    found = World(node("a", cpu=3), elastic(workload("w", between(2, 6))))
    found.cycle()
    assert count(found) == 3
    found.add(node("b", cpu=2))
    found.cycle()
    assert count(found) == 5
    assert found.placement(KEY) == {"node": {"a": 3, "b": 2}}
    admission = found.workload(KEY).status.admission
    assert admission is not None
    assert dict(admission.pod_set_assignments[0].resource_usage) == {"cpu": "5"}
    assert not found.cycle().commands
    found.add(node("b", cpu=9))
    found.cycle()
    assert count(found) == 6


def test_who_waits_goes_before_who_grows() -> None:
    found = World(node("a", cpu=3), elastic(workload("w", between(2, 6))))
    found.cycle()
    found.add(node("b", cpu=2), workload("v", pod_set(2), created=5))
    found.cycle()
    assert found.is_admitted("default/v")
    assert count(found) == 3


def test_it_never_grows_beyond_its_quota() -> None:
    found = World(
        node("a", cpu=9), cluster_queue(quota={"cpu": 4}), elastic(workload("w", between(2, 6))), queues=False
    )
    found.cycle()
    assert count(found) == 4
    assert not found.cycle().commands


def test_it_grows_within_the_domain_that_it_has() -> None:
    rack = {"rack": "r1"}
    found = World(node("a", cpu=2, labelled=rack), elastic(workload("w", between(2, 6, within="rack"))))
    found.cycle()
    assert count(found) == 2
    found.add(node("b", cpu=9, labelled={"rack": "r2"}))
    found.cycle()
    assert count(found) == 2
    found.add(node("c", cpu=3, labelled=rack))
    found.cycle()
    assert found.placement(KEY) == {"node": {"a": 2, "c": 3}}


def test_without_the_owners_word_it_stays_as_it_was_admitted() -> None:
    found = World(node("a", cpu=3), workload("w", between(2, 6)))
    found.cycle()
    found.add(node("b", cpu=9))
    found.cycle()
    assert count(found) == 3


def test_who_asks_for_fewer_pods_gives_the_last_places_back() -> None:
    found = World(node("a", cpu=3), node("b", cpu=2), elastic(workload("w", between(1, 5))))
    found.cycle()
    assert count(found) == 5
    old = found.workload(KEY)
    found.add(replace(old, spec=replace(old.spec, pod_sets=[between(1, 2)])))
    found.cycle()
    assert found.placement(KEY) == {"node": {"a": 2}}
    found.add(workload("v", pod_set(3)))
    found.cycle()
    found.cycle()
    assert found.is_admitted("default/v")


def test_pods_that_are_done_give_their_quota_back() -> None:
    found = World(node("a", cpu=9), cluster_queue(quota={"cpu": 4}), workload("w", pod_set(4)), queues=False)
    found.cycle()
    found.start_pods(KEY)
    found.add(workload("v", pod_set(3), created=5))
    found.cycle()
    assert not found.is_admitted("default/v")
    old = found.workload(KEY)
    done = [ReclaimablePod(name="node", count=3)]
    found.add(replace(old, status=replace(old.status, reclaimable_pods=done)))
    found.cycle()
    assert found.is_admitted("default/v")


def shrinking(priority: int = 10) -> World:
    """An elastic job on all of a node, and a more important one that wants half of it."""
    found = World(node("a", cpu=4), *queue("q", cpu=4, within=LOWER), queues=False)
    small = elastic(replace(workload("w", between(2, 4), queue="q"), spec=job("w").spec))
    found.add(replace(small, spec=replace(small.spec, pod_sets=[between(2, 4)])))
    found.cycle()
    assert count(found) == 4
    found.start_pods(KEY)
    found.add(job("high", sets=(pod_set(2),), priority=priority, created=9))
    return found


def test_it_shrinks_instead_of_being_evicted() -> None:
    found = shrinking()
    found.cycle()
    assert count(found) == 2
    assert find_condition(found.workload(KEY).status.conditions, "Evicted") is None
    assert found.condition("default/high").reason == "WaitingForPreemptedWorkloads"
    assert "default/w has" in found.condition("default/high").message
    found.cycle()
    assert count(found) == 2  # while its pods end nobody else has to go, and it does not grow
    for one in sorted(pods_of(found, "w"), key=lambda one: one.key)[2:]:
        found.remove(one)
    found.cycle()
    assert found.is_admitted("default/high")
    assert count(found) == 2
    assert not any(len(pods) > 4 for pods in found.used().values())


def test_it_goes_whole_where_what_it_can_spare_is_not_enough() -> None:
    found = shrinking()
    found.remove(found.workload("default/high"))
    found.add(job("high", sets=(pod_set(3),), priority=10, created=9))
    found.cycle()
    assert not found.is_admitted(KEY)
    assert found.condition(KEY, "Evicted").reason == "Preempted"


def test_nobody_shrinks_for_the_less_important() -> None:
    found = shrinking(priority=-1)
    found.cycle()
    assert count(found) == 4
