"""Volcano's HyperNodes as levels of a topology: what they resolve to, and where gangs go."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.hypernodes import HyperNode
from springtide.api.kueue import PodSetTopologyRequest
from springtide.api.meta import find_condition
from springtide.api.struct import decode, replace
from springtide.api.topologyrules import network_request
from springtide.api.volcano import NetworkTopologySpec
from springtide.scheduling.hypernodes import Network, resolve, tier_level
from tests.builders import node, workload
from tests.scheduling.test_topology import gang
from tests.scheduling.world import World

NODES = {f"n{index}": {"rail": str(index % 2)} for index in range(8)}


def exact(*names: str, kind: str = "Node") -> list[dict[str, Any]]:
    return [{"type": kind, "selector": {"exactMatch": {"name": name}}} for name in names]


def regex(pattern: str, kind: str = "Node") -> list[dict[str, Any]]:
    return [{"type": kind, "selector": {"regexMatch": {"pattern": pattern}}}]


def labelled(**labels: str) -> list[dict[str, Any]]:
    return [{"type": "Node", "selector": {"labelMatch": {"matchLabels": labels}}}]


def hyper(name: str, tier: int, members: list[dict[str, Any]], tier_name: str = "") -> HyperNode:
    spec = {"tier": tier, "tierName": tier_name, "members": members}
    return decode(HyperNode, {"metadata": {"name": name}, "spec": spec})


LEAVES = [
    hyper("leaf0", 1, regex("^n[01]$"), "leaf"),
    hyper("leaf1", 1, exact("n2", "n3"), "leaf"),
    hyper("leaf2", 1, exact("n4", "n5"), "leaf"),
    hyper("leaf3", 1, exact("n6", "n7"), "leaf"),
]
SPINES = [
    hyper("spine0", 2, exact("leaf0", "leaf1", kind="HyperNode"), "spine"),
    hyper("spine1", 2, regex("^leaf[23]$", kind="HyperNode"), "spine"),
]


def domains(network: Network, tier: int) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, domain in network.domain_of[tier_level(tier)].items():
        found.setdefault(domain, set()).add(name)
    return found


def test_members_of_members_are_members() -> None:
    network = resolve([*SPINES, *LEAVES], NODES)
    assert network.levels == (tier_level(2), tier_level(1))
    assert domains(network, 1)["leaf0"] == {"n0", "n1"}
    assert domains(network, 2) == {"spine0": {"n0", "n1", "n2", "n3"}, "spine1": {"n4", "n5", "n6", "n7"}}
    assert all(not standing.trouble for standing in network.standings.values())


def test_nodes_are_chosen_by_their_labels() -> None:
    network = resolve([hyper("rail0", 1, labelled(rail="0"))], NODES)
    assert domains(network, 1)["rail0"] == {"n0", "n2", "n4", "n6"}


def test_a_tier_without_a_hyper_node_of_its_own_is_that_below() -> None:
    """A node hangs at spine1 without a leaf; leaf0 has no spine below the core."""
    some = [
        LEAVES[0],
        hyper("spine1", 2, exact("n4", "n5")),
        hyper("core", 3, [*exact("leaf0", "spine1", kind="HyperNode")]),
    ]
    network = resolve(some, NODES)
    assert domains(network, 1) == {"leaf0": {"n0", "n1"}, "node/n4": {"n4"}, "node/n5": {"n5"}}
    assert domains(network, 2) == {"leaf0": {"n0", "n1"}, "spine1": {"n4", "n5"}}
    assert domains(network, 3) == {"core": {"n0", "n1", "n4", "n5"}}


BAD = {
    "a circle": (
        [hyper("a", 2, exact("b", kind="HyperNode")), hyper("b", 3, exact("a", kind="HyperNode"))],
        {"a": "HyperNode b is of tier 3, which is not below 2"}),
    "itself": ([hyper("a", 1, exact("a", kind="HyperNode"))], {"a": "of tier 1, which is not below 1"}),
    "two of one tier with a node in common": (
        [LEAVES[0], hyper("leaf9", 1, exact("n1", "n2"))],
        {"leaf9": "shares nodes with HyperNode leaf0 of the same tier"}),
    "a part of another": (
        [LEAVES[0], hyper("spine9", 2, exact("n1", "n2"))],
        {"spine9": "holds some nodes of HyperNode leaf0 and not n0"}),
    "a pattern that is none": ([hyper("a", 1, regex("["))], {"a": "is no pattern"}),
    "no selector": (
        [hyper("a", 1, [{"type": "Node", "selector": {}}])],
        {"a": "set exactMatch, regexMatch or labelMatch"}),
    "labels of HyperNodes": (
        [hyper("a", 1, [{"type": "HyperNode", "selector": {"labelMatch": {}}}])],
        {"a": "chooses nodes only"}),
}  # fmt: skip


@pytest.mark.parametrize(("some", "why"), BAD.values(), ids=BAD)
def test_a_hyper_node_that_makes_no_sense_is_left_out(some: list[HyperNode], why: dict[str, str]) -> None:
    network = resolve([*some, LEAVES[3]], NODES)
    troubles = {name: standing.trouble for name, standing in network.standings.items() if standing.trouble}
    assert troubles.keys() == why.keys()
    assert all(text in troubles[name] for name, text in why.items()), troubles
    assert domains(network, 1)["leaf3"] == {"n6", "n7"}
    assert not any(name in domain for name in why for domain in network.domain_of.values())


def test_members_that_are_not_there_are_named() -> None:
    network = resolve([LEAVES[0], hyper("spine", 2, exact("leaf0", "leaf7", kind="HyperNode"))], NODES)
    assert domains(network, 2)["spine"] == {"n0", "n1"}
    assert network.standings["spine"].note == "not counted: HyperNode leaf7, which does not exist"


# -- where gangs go --------------------------------------------------------------------------------


def world(cpus: str, *objects: Any) -> World:
    nodes = [
        node(f"n{index}", cpu=cpu, labelled={"rail": str(index % 2)})
        for index, cpu in enumerate(cpus.split())
    ]
    made = World(*nodes, *LEAVES, *SPINES, *objects)
    made.cycle()
    return made


GANGS: dict[str, tuple[str, int, dict[str, Any], set[str]]] = {
    "hard, tier 1: one leaf": ("2 2 4 4 1 1 4 2", 6, {"required": tier_level(1)}, {"n6", "n7"}),
    "hard, tier 2: one leaf if one holds all": (
        "2 2 4 4 1 1 1 1", 8, {"required": tier_level(2)}, {"n2", "n3"}),
    "hard, tier 2: one spine otherwise": (
        "2 2 4 4 1 1 1 1", 10, {"required": tier_level(2)}, {"n0", "n2", "n3"}),
    "hard, a tier above all: as near as may be": (
        "2 2 4 4 1 1 1 1", 10, {"required": tier_level(9)}, {"n0", "n2", "n3"}),
    "hard, a tier below all: one node": ("2 2 4 4 1 1 1 1", 3, {"required": tier_level(0)}, {"n2"}),
    "hard, by the tier's name": (
        "2 2 4 4 1 1 1 1", 8, {"required": "topology.volcano.sh/tier-spine"}, {"n2", "n3"}),
    "soft: one leaf": ("2 2 2 2 2 2 4 4", 8, {"preferred": tier_level(1)}, {"n6", "n7"}),
    "soft: as few spines as possible if it must": (
        "2 2 4 4 1 1 1 1", 14, {"preferred": tier_level(1)}, {"n0", "n1", "n2", "n3", "n4", "n5"}),
}  # fmt: skip


@pytest.mark.parametrize(("cpus", "count", "asked", "expected"), GANGS.values(), ids=GANGS)
def test_a_gang_crosses_no_tier_above_the_one_it_allows(
    cpus: str, count: int, asked: dict[str, Any], expected: set[str]
) -> None:
    made = world(cpus, workload("gang", gang(count, **asked)))
    assert made.placement("default/gang")["node"].keys() == expected


REFUSED: dict[str, tuple[int, dict[str, Any], str]] = {
    "no leaf holds all": (
        3, {"required": tier_level(1)}, "the cluster can never hold it: needs 3 × {cpu: 1} within one "),
    "no spine holds all": (5, {"required": tier_level(2)}, "4 of 5 pods fit in the best one when empty"),
    "a tier that has no such name": (
        2, {"required": "topology.volcano.sh/tier-rail"}, "tier-rail is not among the levels "),
}  # fmt: skip


@pytest.mark.parametrize(("count", "asked", "why"), REFUSED.values(), ids=REFUSED)
def test_a_gang_that_would_cross_a_higher_tier_waits(count: int, asked: dict[str, Any], why: str) -> None:
    made = world("1 1 1 1 1 1 1 1", workload("gang", gang(count, **asked)))
    assert not made.is_admitted("default/gang")
    assert why in made.condition("default/gang").message


def test_a_node_without_a_hyper_node_is_near_to_itself_alone() -> None:
    made = world("1 1 1 1 1 1 1 1 4", workload("one", gang(4, required=tier_level(1))))
    assert made.placement("default/one")["node"] == {"n8": 4}


def test_a_hyper_node_says_how_many_nodes_it_has_and_what_is_wrong() -> None:
    made = world("1 1 1 1 1 1 1 1", hyper("odd", 1, exact("n1", "n2")))
    spine = made.objects[HyperNode, "spine0"]
    odd = made.objects[HyperNode, "odd"]
    assert isinstance(spine, HyperNode)
    assert isinstance(odd, HyperNode)
    assert spine.status.node_count == 4
    ready = find_condition(odd.status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "Overlaps")
    assert not [one for one in made.cycle().commands if getattr(one, "kind", None) is HyperNode]


def test_the_tree_follows_the_nodes() -> None:
    made = world("1 1 1 1 1 1 1 1", hyper("rails", 3, labelled(rail="0")), workload("gang", gang(3)))
    assert domains(made.snapshot().nodes.network, 1)["leaf3"] == {"n6", "n7"}
    made.remove(node("n7"))
    assert domains(made.snapshot().nodes.network, 1)["leaf3"] == {"n6"}
    made.remove(*LEAVES, *SPINES, hyper("rails", 3, []))
    assert made.snapshot().nodes.network.levels == ()


SAID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "hard, up to a tier": ({"highestTierAllowed": 1}, {"required": tier_level(1)}),
    "hard, by name": (
        {"mode": "hard", "highestTierName": "spine"}, {"required": "topology.volcano.sh/tier-spine"}),
    "hard, any tier": ({}, {"required": tier_level(2**31 - 1)}),
    "soft": ({"mode": "soft", "highestTierAllowed": 1}, {"preferred": tier_level(0)}),
}  # fmt: skip


@pytest.mark.parametrize(("said", "asked"), SAID.values(), ids=SAID)
def test_volcanos_network_topology_is_a_request(said: dict[str, Any], asked: dict[str, Any]) -> None:
    found = network_request(decode(NetworkTopologySpec, said))
    assert found == decode(PodSetTopologyRequest, asked)


def test_partitions_of_a_task_are_slices() -> None:
    """Two leaves of one spine, four pods each."""
    spec = decode(NetworkTopologySpec, {"highestTierAllowed": 2})
    part = decode(NetworkTopologySpec, {"highestTierAllowed": 1})
    request = network_request(spec, partition=part, partition_size=4)
    asking = replace(gang(8), topology_request=request)
    made = world("3 3 3 3 4 1 2 2", workload("gang", asking))
    leaves = {"n0": 0, "n1": 0, "n2": 1, "n3": 1, "n4": 2, "n5": 2, "n6": 3, "n7": 3}
    inside: dict[int, int] = {}
    for name, count in made.placement("default/gang")["node"].items():
        inside[leaves[name]] = inside.get(leaves[name], 0) + count
    assert sorted(inside.values()) == [4, 4]
