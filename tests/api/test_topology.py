"""Topology assignments: written by us, and in every form Kueue may write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api import decode, encode, encode_json
from springtide.api.kueue import TopologyAssignment, assign_devices, assign_nodes, nodes_of, places_of
from springtide.api.topology import domains_of

node_names = st.from_regex(r"[a-z]([a-z0-9.-]{0,12}[a-z0-9])?", fullmatch=True)
placements = st.lists(
    st.tuples(node_names, st.integers(1, 64)), max_size=20, unique_by=lambda placement: placement[0]
)


@given(placements)
def test_nodes_come_back_in_order(placed: list[tuple[str, int]]) -> None:
    assignment = decode(TopologyAssignment, encode_json(assign_nodes(placed)))
    assert nodes_of(assignment) == placed


@given(
    st.lists(st.tuples(node_names, st.sampled_from(["0", "0.1", "-", "11"]), st.integers(1, 8)), max_size=20)
)
def test_devices_come_back_in_order(placed: list[tuple[str, str, int]]) -> None:
    """Below the host name there may be a level of devices; then a node may come more than once."""
    assignment = decode(TopologyAssignment, encode_json(assign_devices(placed)))
    assert places_of(assignment) == placed
    assert nodes_of(assignment) == [(node, count) for node, _, count in placed]
    assert nodes_of(assign_nodes(nodes_of(assignment))) == nodes_of(assignment)


def test_common_parts_are_written_once() -> None:
    assignment = assign_nodes((f"rack-1-node-{index}.local", 1) for index in (1, 2, 3))
    assert encode(assignment)["slices"] == [
        {
            "domainCount": 3,
            "valuesPerLevel": [
                {"individual": {"prefix": "rack-1-node-", "roots": ["1", "2", "3"], "suffix": ".local"}}
            ],
            "podCounts": {"universal": 1},
        }
    ]


def test_four_thousand_nodes_take_less_than_eighty_kilobytes() -> None:
    assignment = assign_nodes((f"rack-{index // 8}-node-{index}", 8) for index in range(4000))
    assert len(encode_json(assignment)) < 80_000


def test_one_node_is_a_universal_value() -> None:
    part = assign_nodes([("n1", 4)]).slices[0]
    assert part.values_per_level[0].universal == "n1"
    assert part.pod_counts.universal == 4


def test_several_levels_and_slices_are_read() -> None:
    raw = {
        "levels": ["example.com/block", "kubernetes.io/hostname"],
        "slices": [
            {
                "domainCount": 2,
                "valuesPerLevel": [{"universal": "b1"}, {"individual": {"prefix": "n", "roots": ["1", "2"]}}],
                "podCounts": {"individual": [4, 2]},
            },
            {
                "domainCount": 1,
                "valuesPerLevel": [{"universal": "b2"}, {"universal": "n7"}],
                "podCounts": {"universal": 3},
            },
        ],
    }
    assignment = decode(TopologyAssignment, raw)
    assert domains_of(assignment) == [(("b1", "n1"), 4), (("b1", "n2"), 2), (("b2", "n7"), 3)]
    assert nodes_of(assignment) == [("n1", 4), ("n2", 2), ("n7", 3)]


def test_an_assignment_to_racks_names_no_nodes() -> None:
    racks = decode(
        TopologyAssignment,
        {
            "levels": ["example.com/rack"],
            "slices": [
                {"domainCount": 1, "valuesPerLevel": [{"universal": "r"}], "podCounts": {"universal": 1}}
            ],
        },
    )
    with pytest.raises(ValueError, match=r"example\.com/rack"):
        nodes_of(racks)


def test_a_node_without_pods_is_refused() -> None:
    with pytest.raises(ValueError, match="'n1' takes 0 pods"):
        assign_nodes([("n1", 0)])
