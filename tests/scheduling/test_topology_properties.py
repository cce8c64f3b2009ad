"""Topology against a slow obvious model: every way to put a gang on a small tree is tried there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.scheduling.classes import Constraints, PodClass
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.policies import FRAGMENTS, SPREAD
from springtide.scheduling.snapshot import idle_cluster
from springtide.scheduling.topology import Slice

BLOCK, RACK, HOST = "block", "rack", "kubernetes.io/hostname"
LEVELS = (BLOCK, RACK, HOST)
ONE = PodClass((("cpu", 1),), Constraints())

Tree = list[list[list[int]]]
"""Blocks of racks of nodes: how many pods each node holds."""
trees = st.lists(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=2),
    min_size=1,
    max_size=2,
)


@st.composite
def asks(draw: st.DrawFn) -> PodSetFacts:
    required = draw(st.sampled_from(["", BLOCK, RACK, HOST]))
    preferred = "" if required else draw(st.sampled_from(["", BLOCK, RACK, HOST]))
    wide = LEVELS.index(required or preferred or BLOCK)
    layers: list[Slice] = []
    size = 1
    for level in sorted(draw(st.sets(st.sampled_from(LEVELS[wide:]), max_size=2)), key=LEVELS.index)[::-1]:
        size *= draw(st.integers(1, 3))
        layers.insert(0, Slice(level, size))
    count = size * draw(st.integers(1, max(1, 6 // size)))
    unconstrained = not (required or preferred) and draw(st.booleans())
    return PodSetFacts("node", count, ONE, required, preferred, unconstrained, tuple(layers), levels=LEVELS)


def placement_of(tree: Tree, *, spread: bool = False) -> tuple[Placement, list[tuple[str, ...]]]:
    """A placement on the tree, and the path of each of its rows."""
    facts: list[NodeFacts] = []
    paths: list[tuple[str, ...]] = []
    for b, racks in enumerate(tree):
        for r, nodes in enumerate(racks):
            for n, room in enumerate(nodes):
                name = f"{b}-{r}-{n}"
                facts.append(NodeFacts(name, {BLOCK: str(b), RACK: str(r)}, (), True, {"cpu": room}))
                paths.append((str(b), f"{b}-{r}", name))
    return Placement(idle_cluster(facts), SPREAD if spread else FRAGMENTS), paths


def spreads(rooms: list[int], count: int) -> Iterator[tuple[int, ...]]:
    """Every way to put so many pods on nodes with these rooms."""
    for given_ in product(*(range(min(room, count) + 1) for room in rooms)):
        if sum(given_) == count:
            yield given_


def holds(asked: PodSetFacts, paths: list[tuple[str, ...]], counts: tuple[int, ...]) -> bool:
    """Whether pods placed so satisfy everything that is required."""
    if asked.required_level:
        level = LEVELS.index(asked.required_level)
        if len({path[level] for path, count in zip(paths, counts, strict=True) if count}) > 1:
            return False
    for cut in asked.slices:
        inside: dict[str, int] = {}
        for path, count in zip(paths, counts, strict=True):
            inside[path[LEVELS.index(cut.level)]] = inside.get(path[LEVELS.index(cut.level)], 0) + count
        if any(count % cut.size for count in inside.values()):
            return False
    return True


@settings(max_examples=400, deadline=None)
@given(trees, asks(), st.booleans())
def test_what_can_be_placed_is_placed_and_as_asked(tree: Tree, asked: PodSetFacts, spread: bool) -> None:
    placement, paths = placement_of(tree, spread=spread)
    rooms = [room for racks in tree for nodes in racks for room in nodes]
    found = placement.place((asked,))
    possible = any(holds(asked, paths, counts) for counts in spreads(rooms, asked.count))
    assert (found is not None) == possible
    if found is not None:
        counts = np.zeros(len(rooms), dtype=np.int64)
        counts[found[0].rows] = found[0].counts
        assert (counts <= rooms).all()
        assert holds(asked, paths, tuple(counts.tolist()))
        assert int(counts.sum()) == asked.count


@settings(max_examples=150, deadline=None)
@given(trees, st.integers(1, 5), st.sampled_from([BLOCK, RACK]), st.sampled_from([BLOCK, RACK]))
def test_a_preference_is_met_whenever_it_can_be(tree: Tree, count: int, level: str, also: str) -> None:
    """One domain of the level if any holds all; else of the next level up."""
    asked = PodSetFacts("node", count, ONE, preferred_level=level, levels=LEVELS)
    placement, paths = placement_of(tree)
    rooms = [room for racks in tree for nodes in racks for room in nodes]
    found = placement.place((asked,))
    for at in range(LEVELS.index(level), -1, -1):
        room: dict[str, int] = {}
        for path, free in zip(paths, rooms, strict=True):
            room[path[at]] = room.get(path[at], 0) + free
        if max(room.values()) >= count:
            assert found is not None
            taken = {paths[row][at] for row in found[0].rows.tolist()}
            assert len(taken) == 1
            tightest = min(free for free in room.values() if free >= count)
            assert room[taken.pop()] == tightest
            return
    assert (found is not None) == (sum(rooms) >= count)


@settings(max_examples=150, deadline=None)
@given(trees, st.integers(0, 3), st.integers(1, 4), st.sampled_from([BLOCK, RACK]))
def test_a_group_shares_a_domain_whenever_it_can(tree: Tree, lead: int, workers: int, level: str) -> None:
    """A leader that takes two CPUs beside workers that take one."""
    two = PodClass((("cpu", 2),), Constraints())
    sets = (
        PodSetFacts("leader", min(lead, 1), two, required_level=level, group="g", levels=LEVELS),
        PodSetFacts("workers", workers, ONE, required_level=level, group="g", levels=LEVELS),
    )
    placement, paths = placement_of(tree)
    found = placement.place(sets)
    at = LEVELS.index(level)
    inside: dict[str, list[int]] = {}
    for path, room in zip(paths, [r for racks in tree for nodes in racks for r in nodes], strict=True):
        inside.setdefault(path[at], []).append(room)
    needed = workers + 2 * sets[0].count
    possible = any(
        sum(rooms) >= needed and (not sets[0].count or max(rooms) >= 2) for rooms in inside.values()
    )
    assert (found is not None) == possible
    if found is not None:
        rows = [row for share in found for row in share.rows.tolist()]
        assert len({paths[row][at] for row in rows}) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(1, 2), st.integers(1, 2), asks())
def test_equal_domains_are_as_good_as_each_other(
    rack: list[int], racks: int, blocks: int, asked: PodSetFacts
) -> None:
    """However the nodes of equal racks are named, as many pods go side by side."""
    found, again = (
        placement_of([[nodes] * racks] * blocks)[0].place((asked,)) for nodes in (rack, rack[::-1])
    )
    assert (found is None) == (again is None)
    if found is not None and again is not None:
        assert sorted(found[0].counts.tolist()) == sorted(again[0].counts.tolist())
