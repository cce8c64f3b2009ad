"""The state behind snapshots takes changes in any order, also those that say nothing yet."""

from __future__ import annotations

from springtide.api.core import Node
from springtide.api.meta import ObjectMeta
from springtide.scheduling.state import ClusterState
from tests.builders import node


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
