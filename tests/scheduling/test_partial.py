"""Admission with fewer pods than asked for: the most that fit, and never fewer than will do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from springtide.api.kueue import PodSet, Workload
from springtide.api.struct import replace
from springtide.scheduling.facts import PodSetFacts, workload_facts
from springtide.scheduling.partial import largest, smallest, spare
from tests.builders import cluster_queue, node, pod_set, pod_spec, workload
from tests.scheduling.world import World


def shrinkable(count: int, fewest: int, cpu: int = 1, name: str = "node") -> PodSet:
    return replace(pod_set(count, pod_spec(cpu=cpu), name=name), min_count=fewest)


def elastic(obj: Workload) -> Workload:
    notes = {"kueue.x-k8s.io/elastic-job": "true"}
    return replace(obj, metadata=replace(obj.metadata, annotations=notes))


def counts(found: World, key: str) -> list[int | None]:
    admission = found.workload(key).status.admission
    assert admission is not None
    return [one.count for one in admission.pod_set_assignments]


def test_as_many_pods_start_as_there_is_quota_for() -> None:
    found = World(
        node(cpu=64), workload("w", shrinkable(10, 3, cpu=2)), cluster_queue(quota={"cpu": 13}), queues=False
    )
    found.cycle()
    assert counts(found, "default/w") == [6]
    admission = found.workload("default/w").status.admission
    assert admission is not None
    assert dict(admission.pod_set_assignments[0].resource_usage) == {"cpu": "12"}
    assert not found.cycle().commands  # it is content: what started so runs so


def test_as_many_pods_start_as_there_is_room_for() -> None:
    found = World(node("a", cpu=4), node("b", cpu=3), workload("w", shrinkable(10, 3)))
    found.cycle()
    assert counts(found, "default/w") == [7]
    assert found.placement("default/w") == {"node": {"a": 4, "b": 3}}


def test_fewer_than_will_do_never_start() -> None:
    found = World(node(cpu=2), workload("w", shrinkable(10, 3)))
    found.cycle()
    assert not found.is_admitted("default/w")


def test_all_pod_sets_shrink_together() -> None:
    found = World(
        node(cpu=9),
        workload("w", shrinkable(8, 2, name="a"), shrinkable(4, 1, name="b"), pod_set(1, name="c")),
    )
    found.cycle()
    assert counts(found, "default/w") == [5, 3, 1]


def test_who_cannot_shrink_is_searched_for_once_only() -> None:
    found = World(node(cpu=2), *(workload(f"w{i}", shrinkable(10, 3), created=i) for i in range(20)))
    found.cycle()
    assert not any(found.is_admitted(f"default/w{i}") for i in range(20))


def facts(*sets: tuple[int, int]) -> tuple[PodSetFacts, ...]:
    made = workload_facts(workload("w", *(shrinkable(n, m, name=f"s{i}") for i, (n, m) in enumerate(sets))))
    assert made is not None
    return made.pod_sets


@given(
    st.lists(
        st.integers(0, 20).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=4
    ),
    st.integers(0, 80),
)
def test_the_search_finds_the_most_that_fit(sets: list[tuple[int, int]], room: int) -> None:
    pod_sets = facts(*sets)
    asked = 0

    def fits(tried: tuple[PodSetFacts, ...]) -> bool:
        nonlocal asked
        asked += 1
        return sum(one.count for one in tried) <= room

    found = largest(pod_sets, fits)
    fewest = sum(one.count for one in smallest(pod_sets))
    assert asked <= 2 + max(1, spare(pod_sets)).bit_length()
    if found is None:
        assert not spare(pod_sets) or fewest > room
        return
    total = sum(one.count for one in found)
    assert fewest <= total <= room
    assert all(
        small.count <= one.count <= large.count
        for small, one, large in zip(smallest(pod_sets), found, pod_sets, strict=True)
    )
    if len(sets) == 1:
        assert total == min(room, sets[0][0] - 1)
