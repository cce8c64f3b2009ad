"""The state behind snapshots takes changes in any order, also those that say nothing yet."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from springtide.api import labels
from springtide.api.commands import Bind
from springtide.api.core import Node
from springtide.api.meta import ObjectMeta
from springtide.api.struct import replace
from springtide.scheduling.plan import plan
from springtide.scheduling.state import ClusterState
from tests.builders import admitted, at, node, pod, pod_set, pod_spec, workload


def test_a_node_that_offers_nothing_yet_is_in_the_snapshot() -> None:
    """A node registers first and reports its capacity with the next write."""
    state = ClusterState()
    empty = Node(metadata=ObjectMeta(name="new"))
    state.change_node(None, empty)
    assert state.snapshot().capacity.sum() == 0
    full = node("new", cpu=8)
    state.change_node(empty, full)
    snapshot = state.snapshot()
    assert snapshot.capacity.max() > 0
    state.change_node(full, None)
    assert len(state.snapshot().capacity) == 0


def test_pods_of_another_scheduler_are_left_to_it() -> None:
    """On the embedded control plane the default scheduler's pods are ours, on a cluster they are not."""
    named = pod("foreign", replace(pod_spec(cpu=1), scheduler_name="default-scheduler"))
    for names, placed in (({"springtide"}, False), ({"springtide", "default-scheduler"}, True)):
        state = ClusterState(frozenset(names))
        state.change_node(None, node("new", cpu=8))
        state.change_pod(None, named)
        commands = plan(state.snapshot(), at(0)).commands
        assert any(isinstance(command, Bind) for command in commands) is placed


PLACES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=2)
"""Where the two pods of a gang stand."""


@given(st.lists(st.tuples(PLACES, st.integers(0, 1), st.booleans(), st.booleans()), max_size=8))
def test_a_workload_counted_change_by_change_is_counted_as_if_it_had_just_come(
    changes: list[tuple[list[str], int, bool, bool]],
) -> None:
    """Places, attempts and conditions change, pods come and go: the books are those of a new state."""
    nodes = [node(name, cpu=8, gpu=4) for name in ("a", "b", "c")]
    gang = workload("gang", pod_set(2, pod_spec(cpu=1, gpu=1)))
    marks = {labels.WORKLOAD: "gang", labels.PODSET: "node", labels.ATTEMPT: "0"}
    member = pod("gang-0", pod_spec(cpu=1, gpu=1), node="a", phase="Running", labelled=marks)
    state, known, there = ClusterState(), None, False
    for one in nodes:
        state.change_node(None, one)
    for places, attempt, waits, has_pod in changes:
        after = gang if waits else admitted(gang, Counter(places), attempt=attempt)
        state.change_workload(known, after)
        if there is not has_pod:
            state.change_pod(*((None, member) if has_pod else (member, None)))
        known, there = after, has_pod
        fresh = ClusterState()
        for one in nodes:
            fresh.change_node(None, one)
        fresh.change_workload(None, after)
        if there:
            fresh.change_pod(None, member)
        mine, theirs = state.snapshot(), fresh.snapshot()
        assert mine.allocated.tolist() == theirs.allocated.tolist()
        assert mine.devices.share.tolist() == theirs.devices.share.tolist()
        assert mine.usage == theirs.usage
