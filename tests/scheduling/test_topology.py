"""Kueue's topology aware scheduling: where gangs go in a tree of blocks, racks and nodes."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.flavors import Topology
from springtide.api.kueue import PodSet, PodSetTopologyRequest, ResourceFlavor
from springtide.api.labels import HOSTNAME
from springtide.api.struct import decode, encode, replace
from springtide.workloads.pods import slots_of
from tests.builders import cluster_queue, node, pod_set, pod_spec, workload
from tests.scheduling.world import World

BLOCK, RACK = "block", "rack"
LEVELS = (BLOCK, RACK, HOSTNAME)


def topology(*levels: str, name: str = "network") -> Topology:
    return decode(
        Topology,
        {"metadata": {"name": name}, "spec": {"levels": [{"nodeLabel": level} for level in levels]}},
    )


def flavor(name: str = "default", of: str = "network") -> ResourceFlavor:
    return decode(
        ResourceFlavor,
        {"metadata": {"name": name}, "spec": {"nodeLabels": {"pool": "a"}, "topologyName": of}},
    )


def queue(*flavors: str, cpu: int = 1000) -> Any:
    groups = [
        {
            "coveredResources": ["cpu"],
            "flavors": [{"name": n, "resources": [{"name": "cpu", "nominalQuota": cpu}]} for n in flavors],
        }
    ]
    made = cluster_queue()
    spec = decode(type(made.spec), {"namespaceSelector": {}, "resourceGroups": groups})
    return replace(made, spec=spec)


def cluster(text: str) -> list[Any]:
    """`block/rack: cpus cpus …; …`: nodes are named block-rack-number."""
    nodes = []
    for part in text.split(";"):
        place, sizes = part.split(":")
        block, rack = place.strip().split("/")
        for number, cpus in enumerate(sizes.split()):
            labels = {BLOCK: block, RACK: rack, "pool": "a"}
            nodes.append(node(f"{block}-{rack}-{number}", cpu=cpus, labelled=labels))
    return nodes


def gang(count: int, name: str = "node", cpu: int = 1, **asked: Any) -> PodSet:
    request = decode(PodSetTopologyRequest, asked) if asked else None
    return replace(pod_set(count, pod_spec(cpu=cpu), name=name), topology_request=request)


def world(text: str, *pod_sets: PodSet, levels: tuple[str, ...] = LEVELS) -> World:
    made = World(*cluster(text), topology(*levels), flavor(), queue("default"), workload("gang", *pod_sets))
    made.cycle()
    return made


def racks(placement: dict[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in placement.items():
        rack = name.rsplit("-", 1)[0]
        found[rack] = found.get(rack, 0) + count
    return found


TWO_BLOCKS = "a/r1: 4 4; a/r2: 2 2; b/r1: 4 4; b/r2: 4 4"
CASES = {
    "required: the tightest rack that holds all": (
        TWO_BLOCKS, 4, {"required": RACK}, {"a-r2": 4}),
    "required: racks of one name in two blocks are two racks": (
        TWO_BLOCKS, 8, {"required": RACK}, {"a-r1": 8}),
    "required: a block, on as few racks as possible": (
        TWO_BLOCKS, 10, {"required": BLOCK}, {"a-r1": 8, "a-r2": 2}),
    "preferred: one rack if one holds all": (
        TWO_BLOCKS, 8, {"preferred": RACK}, {"a-r1": 8}),
    "preferred: one block if no rack does": (
        TWO_BLOCKS, 12, {"preferred": RACK}, {"a-r1": 8, "a-r2": 4}),
    "preferred: as few blocks as possible if no block does": (
        TWO_BLOCKS, 20, {"preferred": RACK}, {"a-r2": 4, "b-r1": 8, "b-r2": 8}),
    "slices: each whole inside one rack, racks of one block": (
        "a/r1: 3 3; a/r2: 3 3; a/r3: 3; b/r1: 4 4", 8,
        {"required": BLOCK, "podSetSliceRequiredTopology": RACK, "podSetSliceSize": 4}, {"b-r1": 8}),
    "slices: what is left over in a rack does not count": (
        "a/r1: 7; a/r2: 7; b/r1: 4; b/r2: 4; b/r3: 4", 12,
        {"required": BLOCK, "podSetSliceRequiredTopology": RACK, "podSetSliceSize": 4},
        {"b-r1": 4, "b-r2": 4, "b-r3": 4}),
    "slices without a level above them: as near as may be": (
        "a/r1: 4; a/r2: 3; b/r1: 4; b/r2: 4", 8,
        {"podSetSliceRequiredTopology": RACK, "podSetSliceSize": 4}, {"b-r1": 4, "b-r2": 4}),
    "slices of nodes": (
        "a/r1: 3 3 3; b/r1: 2 2", 4,
        {"required": RACK, "podSetSliceRequiredTopology": HOSTNAME, "podSetSliceSize": 2}, {"b-r1": 4}),
    "two layers: pairs on nodes, eights in racks": (
        "a/r1: 3 3 3; a/r2: 2 2 2 2; b/r1: 8; b/r2: 1 1 1 1 1 1 1 1", 8,
        {"required": BLOCK, "podsetSliceRequiredTopologyConstraints": [
            {"topology": RACK, "size": 8}, {"topology": HOSTNAME, "size": 2}]}, {"b-r1": 8}),
    "two layers: what nodes cannot pair is no room for eights": (
        "a/r1: 3 3 3; a/r2: 2 2 2 2", 8,
        {"required": RACK, "podsetSliceRequiredTopologyConstraints": [
            {"topology": RACK, "size": 8}, {"topology": HOSTNAME, "size": 2}]}, {"a-r2": 8}),
    "unconstrained: gaps are filled first": (
        "a/r1: 8 1 1; b/r1: 8 2 1", 5, {"unconstrained": True}, {"a-r1": 5}),
    "unconstrained: the fullest nodes first where no node holds all": (
        "a/r1: 8 1 1; b/r1: 8 2 1", 10, {"unconstrained": True}, {"a-r1": 7, "b-r1": 3}),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "count", "asked", "expected"), CASES.values(), ids=CASES)
def test_a_gang_goes_where_its_request_says(
    nodes: str, count: int, asked: dict[str, Any], expected: dict[str, int]
) -> None:
    made = world(nodes, gang(count, **asked))
    assert racks(made.placement("default/gang")["node"]) == expected


REFUSED = {
    "no rack holds all": (
        TWO_BLOCKS, gang(9, required=RACK), "within one rack; the cluster can never hold it"),
    "a level that the topology does not have": (
        TWO_BLOCKS, gang(2, required="row"), "their Topology has no levels row"),
    "slices wider than all pods": (
        TWO_BLOCKS, gang(4, required=RACK, podSetSliceRequiredTopology=BLOCK, podSetSliceSize=2),
        "no levels rack, block in this order"),
    "a count that slices do not divide": (
        TWO_BLOCKS, gang(5, required=BLOCK, podSetSliceRequiredTopology=RACK, podSetSliceSize=2),
        "5 pods cannot be cut into slices of 2"),
    "slices that no domain holds whole": (
        "a/r1: 3; a/r2: 3; a/r3: 3",
        gang(8, required=BLOCK, podSetSliceRequiredTopology=RACK, podSetSliceSize=4),
        "within one block, each 4 of them within one rack; 0 of 8 pods fit in the best one when empty"),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "asking", "why"), REFUSED.values(), ids=REFUSED)
def test_a_gang_that_cannot_be_so_is_told(nodes: str, asking: PodSet, why: str) -> None:
    made = world(nodes, asking)
    assert not made.is_admitted("default/gang")
    assert all(part in made.condition("default/gang").message for part in why.split("; ")), made.condition(
        "default/gang"
    )


def test_nodes_without_the_labels_are_not_in_the_topology() -> None:
    bare = node("bare", cpu=64, labelled={"pool": "a", BLOCK: "a"})
    made = World(bare, *cluster("a/r1: 4"), topology(*LEVELS), flavor(), queue("default"))
    made.add(workload("gang", gang(8, preferred=BLOCK)), workload("plain", gang(8)))
    made.cycle()
    assert not made.is_admitted("default/gang")
    assert made.placement("default/plain")["node"] == {"bare": 8}


def test_a_flavor_whose_topology_has_the_level_is_taken() -> None:
    made = World(
        *cluster("a/r1: 4 4"),
        topology(HOSTNAME, name="flat"),
        topology(*LEVELS),
        flavor("spot", "flat"),
        flavor("default"),
        queue("spot", "default"),
        workload("gang", gang(2, required=RACK)),
    )
    made.cycle()
    admission = made.workload("default/gang").status.admission
    assert admission is not None
    assert admission.pod_set_assignments[0].flavors == {"cpu": "default"}


def test_a_queue_whose_topology_is_not_there_is_closed() -> None:
    made = World(*cluster("a/r1: 4"), flavor(), queue("default"), workload("gang", gang(1)))
    made.cycle()
    assert made.condition("default/gang").reason == "TopologyNotFound"
    assert "Topology network doesn't exist" in made.condition("default/gang").message
    made.add(topology(*LEVELS))
    made.cycle()
    assert made.is_admitted("default/gang")


# -- groups ----------------------------------------------------------------------------------------


def leader_and_workers(workers: int, **asked: Any) -> tuple[PodSet, PodSet]:
    return (
        gang(1, "leader", cpu=2, podSetGroupName="lws", **asked),
        gang(workers, "workers", podSetGroupName="lws", **asked),
    )


def test_leader_and_workers_share_a_rack() -> None:
    """Workers alone would fit more tightly elsewhere."""
    made = world("a/r1: 2 2; a/r2: 4 4; b/r1: 3 3", *leader_and_workers(4, required=RACK))
    placed = made.placement("default/gang")
    assert racks(placed["leader"]) | racks(placed["workers"]) == {"b-r1": 4}


def test_a_group_that_no_rack_holds_waits_where_one_is_required() -> None:
    made = world("a/r1: 4; a/r2: 4", *leader_and_workers(4, required=RACK))
    assert not made.is_admitted("default/gang")


def test_a_group_that_prefers_a_rack_shares_a_block_if_no_rack_holds_it() -> None:
    made = world("a/r1: 4; b/r1: 3; b/r2: 3", *leader_and_workers(4, preferred=RACK))
    placed = made.placement("default/gang")
    assert {name[0] for name in (*placed["leader"], *placed["workers"])} == {"b"}


def test_a_group_that_prefers_to_be_together_starts_apart_if_it_must() -> None:
    made = world("a/r1: 4; b/r1: 2", *leader_and_workers(4, preferred=BLOCK))
    assert made.is_admitted("default/gang")


def test_a_group_takes_what_its_members_hold_together_into_account() -> None:
    """Leader and workers fit in the rack each by itself, and not both."""
    made = world("a/r1: 5; b/r1: 3 3", *leader_and_workers(4, required=RACK))
    placed = made.placement("default/gang")
    assert racks(placed["leader"]) == {"b-r1": 1}
    assert racks(placed["workers"]) == {"b-r1": 4}


# -- rank order ------------------------------------------------------------------------------------


def test_neighbours_in_rank_are_neighbours_in_the_tree() -> None:
    made = world("a/r1: 2 1; a/r2: 3; b/r1: 2 2", gang(10, preferred=RACK))
    slots = slots_of(made.workload("default/gang"))
    assert slots is not None
    assert [slot.node for slot in slots] == sorted(slot.node for slot in slots)


def test_each_slice_is_a_run_of_ranks() -> None:
    asked = gang(16, podSetSliceRequiredTopology=RACK, podSetSliceSize=4)
    made = world("a/r1: 3 3; a/r2: 4 1; b/r1: 9", asked)
    slots = slots_of(made.workload("default/gang"))
    assert slots is not None
    for first in range(0, 16, 4):
        assert len({slot.node.rsplit("-", 1)[0] for slot in slots[first : first + 4]}) == 1


def test_a_gang_that_asks_for_nothing_is_numbered_along_the_topology_of_its_flavor() -> None:
    made = world("a/r1: 1; a/r2: 4; b/r1: 3", gang(8))
    slots = slots_of(made.workload("default/gang"))
    assert slots is not None
    assert [slot.node for slot in slots] == sorted(slot.node for slot in slots)


def test_an_assignment_names_host_names_alone() -> None:
    made = world(TWO_BLOCKS, gang(4, required=RACK))
    admission = made.workload("default/gang").status.admission
    assert admission is not None
    assigned = admission.pod_set_assignments[0].topology_assignment
    assert assigned is not None
    assert assigned.levels == [HOSTNAME]


# -- with what pods ask of each other ---------------------------------------------------------------


def apart(count: int, key: str, skew: int = 1, **asked: Any) -> PodSet:
    """A gang whose pods are to be spread evenly over the domains of a label."""
    made = gang(count, **asked)
    raw = encode(made)
    raw["template"]["metadata"] = {"labels": {"app": "x"}}
    raw["template"]["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": skew,
            "topologyKey": key,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "x"}},
        }
    ]
    return decode(PodSet, raw)


def test_a_gang_in_one_block_is_spread_over_its_racks() -> None:
    """Near each other, and not all behind one switch."""
    made = world("a/r1: 4 4; a/r2: 4 4", apart(4, RACK, required=BLOCK))
    assert racks(made.placement("default/gang")["node"]) == {"a-r1": 2, "a-r2": 2}


@pytest.mark.parametrize(
    ("nodes", "sizes"), [("a/r1: 2 2; b/r1: 1 1", [2, 2]), ("a/r1: 4 2 1; b/r1: 1 1", [1, 1, 2])]
)
def test_a_gang_in_one_rack_is_spread_over_the_nodes_of_that_rack_alone(nodes: str, sizes: list[int]) -> None:
    """Nodes of other racks stay empty: it may not go there, so they are not what it has to be even with."""
    made = world(nodes, apart(4, HOSTNAME, required=RACK))
    placed = made.placement("default/gang")["node"]
    assert racks(placed) == {"a-r1": 4}
    assert sorted(placed.values()) == sizes


def test_a_rack_in_which_it_cannot_be_even_does_not_hold_it() -> None:
    made = world("a/r1: 3 1; b/r1: 1 1", apart(4, HOSTNAME, required=RACK))
    assert not made.is_admitted("default/gang")


def test_a_spread_gang_stays_in_the_rack_of_one_block() -> None:
    """Racks of one name in two blocks are two racks here as well."""
    made = world("a/r1: 2 2; b/r1: 2 2", apart(4, HOSTNAME, 2, required=RACK))
    placed = made.placement("default/gang")["node"]
    assert len(racks(placed)) == 1
    assert sorted(placed.values()) == [2, 2]
