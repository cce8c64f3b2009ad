"""The state behind snapshots takes changes in any order, also those that say nothing yet."""

from __future__ import annotations

from springtide.api.commands import Bind
from springtide.api.core import Node
from springtide.api.meta import ObjectMeta
from springtide.api.struct import replace
from springtide.scheduling.plan import plan
from springtide.scheduling.state import ClusterState
from tests.builders import at, node, pod, pod_spec


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
