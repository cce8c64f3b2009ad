"""Which peer keeps whose copy, and which step is the newest that is whole: tables and rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.node.keeper_layout import Part
from springtide.node.keeper_peers import Place, Restore, newest_whole, peers_of, wanted_ranks


def places(*racks: str, groups: Sequence[int] = ()) -> list[Place]:
    """Nodes n0, n1 … in these racks (`zone/rack` or a rack alone), sharing slices as `groups` says."""
    return [
        Place(f"n{number}", tuple(rack.split("/")), groups[number] if groups else -1)
        for number, rack in enumerate(racks)
    ]


def chosen(gang: Sequence[Place], others: Sequence[Place] = (), seed: str = "uid") -> dict[str, str]:
    """By node of the gang, who keeps its copy; empty where nobody does."""
    found = {}
    for own in gang:
        peers = peers_of(own, gang, others, seed)
        found[own.node] = peers[0] if peers else ""
    return found


@pytest.mark.parametrize(
    ("gang", "others", "expected"),
    [
        pytest.param(places(""), [], {"n0": ""}, id="alone in the cluster: nobody"),
        pytest.param(
            places(""), [Place("spare", ("",))], {"n0": "spare"}, id="a gang of one copies to a stranger"
        ),
        pytest.param(places("", ""), [], {"n0": "n1", "n1": "n0"}, id="two nodes keep each other's"),
        pytest.param(
            places("", ""),
            [Place("spare", ("",))],
            {"n0": "n1", "n1": "n0"},
            id="a mate before a stranger beside",
        ),
        pytest.param(
            places("a", "a", "b", "b"),
            [],
            {"n0": "n2", "n1": "n3", "n2": "n0", "n3": "n1"},
            id="always the other rack, one copy each",
        ),
        pytest.param(
            places("a", "a"),
            [Place("far", ("b",)), Place("near", ("a",))],
            {"n0": "far", "n1": "far"},
            id="a gang in one rack copies out of it",
        ),
        pytest.param(
            places("a", "a", "b"),
            [],
            {"n0": "n2", "n1": "n2", "n2": "n0"},
            id="out of the rack, though one node has two copies then",
        ),
        pytest.param(
            places("", "", "", "", groups=[0, 0, 1, 1]),
            [],
            {"n0": "n2", "n1": "n3", "n2": "n0", "n3": "n1"},
            id="ranks beside each other are emptied together: the other slice",
        ),
    ],
)
def test_who_keeps_whose_copy(gang: list[Place], others: list[Place], expected: dict[str, str]) -> None:
    assert chosen(gang, others) == expected


def test_whoever_falls_away_is_followed_by_the_next() -> None:
    gang = places("a", "a", "b", "b")
    assert peers_of(gang[0], gang, [], "uid")[:2] == ("n2", "n3")
    assert peers_of(gang[0], [one for one in gang if one.node != "n2"], [], "uid")[0] == "n3"


def test_strangers_share_the_copies_of_many_jobs() -> None:
    gang = places("a")
    spares = [Place(f"s{number}", ("b",)) for number in range(8)]
    taken = Counter(peers_of(gang[0], gang, spares, f"job-{number}")[0] for number in range(400))
    assert set(taken) == {one.node for one in spares}
    assert max(taken.values()) < 100


@given(st.lists(st.sampled_from("abcde"), min_size=2, max_size=40))
def test_every_copy_leaves_its_rack_and_where_no_rack_has_more_than_half_each_node_keeps_one(
    racks: list[str],
) -> None:
    gang = places(*racks)
    found = chosen(gang)
    rack = {one.node: one.domains for one in gang}
    assert all(node != peer for node, peer in found.items())
    if len(set(racks)) > 1:
        assert all(rack[node] != rack[peer] for node, peer in found.items())
    if 2 * max(Counter(racks).values()) <= len(racks) or len(set(racks)) == 1:
        assert set(Counter(found.values()).values()) == {1}


@given(st.permutations(places("a", "b", "a", "c", "b")))
def test_every_node_reckons_the_same_in_whatever_order_it_sees_the_others(gang: list[Place]) -> None:
    assert chosen(gang) == chosen(places("a", "b", "a", "c", "b"))


def part(step: int, rank: int, world: int = 2, session: str = "s", time: float | None = None) -> Part:
    when = float(step) if time is None else time
    return Part(step, rank, world, session, when, (rank,), 10, f"{session}-{step}-{rank}")


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        pytest.param({}, None, id="nothing anywhere"),
        pytest.param({"a": [part(5, 0)]}, None, id="half a step is none"),
        pytest.param({"a": [part(5, 0)], "b": [part(5, 1)]}, (5, [["a"], ["b"]]), id="whole over two nodes"),
        pytest.param(
            {"a": [part(5, 0), part(6, 0)], "b": [part(5, 1)]},
            (5, [["a"], ["b"]]),
            id="the newest that is whole",
        ),
        pytest.param(
            {"a": [part(5, 0)], "b": [part(5, 1, session="t")]}, None, id="parts of two sessions are no step"
        ),
        pytest.param(
            {"a": [part(5, 0)], "b": [part(5, 1), part(5, 0)]},
            (5, [["a", "b"], ["b"]]),
            id="several have a part",
        ),
        pytest.param(
            {"a": [part(9, 0, 1, "old", 1.0), part(4, 0, 1, "new", 2.0)]}, (4, [["a"]]), id="newest in time"
        ),
    ],
)
def test_the_newest_whole_step(
    held: dict[str, list[Part]], expected: tuple[int, list[list[str]]] | None
) -> None:
    found = newest_whole(held)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert (found.step, [list(found.parts[rank][1]) for rank in range(found.world)]) == expected


@pytest.mark.parametrize(
    ("world", "local", "index", "pods", "expected"),
    [
        (2, {}, 1, 2, [1]),
        (4, {}, 1, 2, [2, 3]),
        (4, {0: (0, 1), 1: (0, 1)}, 0, 4, [0, 1]),  # what both share lies half in the other's part
        (4, {}, 0, 3, [0, 1, 2, 3]),
        (4, {}, 0, 8, [0, 1, 2, 3]),
        (2, {}, -1, 2, [0, 1]),
        (2, {}, 0, 0, [0, 1]),
    ],
)
def test_which_ranks_a_pod_needs(
    world: int, local: dict[int, tuple[int, ...]], index: int, pods: int, expected: list[int]
) -> None:
    parts = {
        rank: (Part(1, rank, world, "s", 1.0, local.get(rank, (rank,)), 1, "x"), ("a",))
        for rank in range(world)
    }
    assert wanted_ranks(Restore(1, world, parts), index, pods) == expected
