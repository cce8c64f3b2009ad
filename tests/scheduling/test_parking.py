"""Who is like one who was refused is not asked again in a pass, and no plan differs by it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from springtide.api.kueue import BorrowWithinCohort, ClusterQueuePreemption
from springtide.api.struct import replace
from springtide.scheduling.parking import Parking
from springtide.scheduling.quota import Granted, Quota, Refused
from tests.builders import cluster_queue, local_queue, node, pod_set, pod_spec, workload
from tests.scheduling.world import World

QUEUES = ("a", "b", "c")
policies = st.builds(
    ClusterQueuePreemption,
    within_cluster_queue=st.sampled_from(["Never", "LowerPriority", "LowerOrNewerEqualPriority"]),
    reclaim_within_cohort=st.sampled_from(["Never", "Any", "LowerPriority"]),
    borrow_within_cohort=st.none() | st.just(BorrowWithinCohort(policy="LowerPriority")),
)
queues = st.tuples(st.integers(0, 8), st.booleans(), policies)
asked = st.tuples(
    st.sampled_from(QUEUES), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]), st.integers(0, 2)
)


def world(lines: list[tuple[int, bool, ClusterQueuePreemption]], first: list[Any], then: list[Any]) -> World:
    """Some run, others came later."""
    found = World(node("n1", cpu=8), node("n2", cpu=8), queues=False)
    for name, (cpus, strict, preemption) in zip(QUEUES, lines, strict=True):
        queue = cluster_queue(name, {"cpu": cpus}, strict=strict)
        queue = replace(queue, spec=replace(queue.spec, cohort_name="all", preemption=preemption))
        found.add(queue, local_queue(name, name))
    for created, some in enumerate((first, then)):
        for index, (line, cpus, pods, priority) in enumerate(some):
            name = f"w{created}-{index}"
            sets = pod_set(pods, pod_spec(cpu=cpus))
            found.add(workload(name, sets, queue=line, priority=priority, created=created * 10 + index // 2))
        found.cycle()
    return found


def told(found: World) -> list[Any]:
    """Who runs where, and what everybody is told."""
    return [(key, obj.status) for (_, key), obj in found.objects.items() if hasattr(obj, "status")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.tuples(queues, queues, queues), st.lists(asked, max_size=8), st.lists(asked, max_size=12))
def test_nothing_differs_when_everybody_is_asked(
    monkeypatch: pytest.MonkeyPatch, lines: Any, first: list[Any], then: list[Any]
) -> None:
    parked = told(world(lines, first, then))
    with monkeypatch.context() as patch:
        patch.setattr(Parking, "passes", lambda *_, **__: False)
        assert told(world(lines, first, then)) == parked


def test_many_of_one_sort_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = World(node(cpu=4), cluster_queue("a", {"cpu": 4}), local_queue("a", "a"))
    found.add(*(workload(f"w{i}", pod_set(1, pod_spec(cpu=4)), queue="a", created=i) for i in range(50)))
    questions: list[tuple[Any, ...]] = []
    ask = Quota.ask

    def asked_for(*given: Any) -> Granted | Refused:
        questions.append(given)
        return ask(*given)

    monkeypatch.setattr(Quota, "ask", asked_for)
    found.cycle()
    assert [found.is_admitted(f"default/w{i}") for i in range(3)] == [True, False, False]
    assert len(questions) < 10
    assert "needs 4 cpu" in found.condition("default/w49").message
