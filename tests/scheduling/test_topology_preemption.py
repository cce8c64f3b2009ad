"""Topology and preemption together: whole slices, groups and tiers are opened where the least is lost."""

from __future__ import annotations

from springtide.api.kueue import PodSet
from springtide.api.labels import HOSTNAME
from tests.builders import workload
from tests.scheduling.preemption import LOWER, queue
from tests.scheduling.test_hypernodes import LEAVES, SPINES
from tests.scheduling.test_topology import BLOCK, RACK, cluster, gang
from tests.scheduling.world import World

HIGH = "default/high"


class Full(World):
    """A cluster whose nodes are each filled by one job."""

    def __init__(self, nodes: str) -> None:
        super().__init__(*cluster(nodes), *queue("q", within=LOWER))

    def fill(self, priorities: dict[str, int] | None = None) -> None:
        """A job on every node, of the node's name and of these priorities, else 0."""
        for facts in self.snapshot().nodes.facts:
            number = facts.allocatable["cpu"] // 1000
            chosen = gang(number)
            template = chosen.template
            spec = type(template.spec)(
                containers=template.spec.containers, node_selector={HOSTNAME: facts.name}
            )
            pinned = type(chosen)(
                name="node", count=number, template=type(template)(metadata=template.metadata, spec=spec)
            )
            priority = (priorities or {}).get(facts.name, 0)
            self.add(workload(facts.name, pinned, queue="q", priority=priority))
        self.cycle()
        for key in [key for kind, key in self.objects if kind.__name__ == "Workload"]:
            self.start_pods(key)

    def ask(self, *sets: PodSet) -> set[str]:
        """Who goes for a job of high priority; it starts once they are gone."""
        self.add(workload("high", *sets, queue="q", priority=1000, created=99))
        self.cycle()
        return {
            key.split("/")[1]
            for kind, key in self.objects
            if kind.__name__ == "Workload" and key != HIGH and not self.is_admitted(key)
        }


def test_kueue_14554_a_rack_is_emptied_not_nodes_all_over() -> None:
    made = Full("a/r1: 2 2; a/r2: 2 2; a/r3: 2 2")
    made.fill({"a-r1-0": 1, "a-r2-0": 1, "a-r3-0": 1, "a-r3-1": 0, "a-r2-1": 5})
    assert made.ask(gang(4, required=RACK)) in ({"a-r1-0", "a-r1-1"}, {"a-r3-0", "a-r3-1"})


def test_volcano_4374_slices_are_opened_whole() -> None:
    """The cheapest nodes are one in each rack; a slice needs two of the same."""
    made = Full("a/r1: 2 2; a/r2: 2 2; a/r3: 2 2")
    made.fill({"a-r1-0": 3, "a-r1-1": 0, "a-r2-0": 3, "a-r2-1": 0, "a-r3-0": 2, "a-r3-1": 2})
    asked = gang(4, required=BLOCK, podSetSliceRequiredTopology=RACK, podSetSliceSize=4)
    assert made.ask(asked) == {"a-r3-0", "a-r3-1"}


def test_volcano_4374_two_slices_take_the_two_cheapest_racks() -> None:
    made = Full("a/r1: 2 2; a/r2: 2 2; a/r3: 2 2; b/r4: 2 2")
    made.fill({"a-r2-0": 7, "a-r2-1": 7})
    asked = gang(8, required=BLOCK, podSetSliceRequiredTopology=RACK, podSetSliceSize=4)
    assert made.ask(asked) == {"a-r1-0", "a-r1-1", "a-r3-0", "a-r3-1"}


def test_volcano_4374_slices_anywhere_still_open_racks() -> None:
    made = Full("a/r1: 2 2; b/r2: 2 2; c/r3: 2 2")
    made.fill({"a-r1-0": 3, "b-r2-0": 3, "c-r3-0": 1, "c-r3-1": 1})
    asked = gang(4, podSetSliceRequiredTopology=RACK, podSetSliceSize=4)
    assert made.ask(asked) == {"c-r3-0", "c-r3-1"}


def test_volcano_4374_pairs_on_nodes_do_not_open_halves() -> None:
    made = Full("a/r1: 1 1 1 1 2; a/r2: 2 2")
    made.fill({"a-r1-4": 9, "a-r2-0": 1, "a-r2-1": 1})
    asked = gang(4, required=RACK, podSetSliceRequiredTopology=HOSTNAME, podSetSliceSize=2)
    assert made.ask(asked) == {"a-r2-0", "a-r2-1"}


def test_volcano_4374_leader_and_workers_get_one_rack() -> None:
    made = Full("a/r1: 2 2; a/r2: 2 1 1; a/r3: 1 1 1")
    made.fill()
    sets = (
        gang(1, "leader", cpu=2, required=RACK, podSetGroupName="g"),
        gang(2, "workers", required=RACK, podSetGroupName="g"),
    )
    gone = made.ask(*sets)
    assert {name.rsplit("-", 1)[0] for name in gone} in ({"a-r1"}, {"a-r2"})


def test_volcano_4374_a_gang_within_a_tier_gets_a_leaf() -> None:
    """HyperNodes are levels of their own: no label says so."""
    made = Full("n/0: 2; n/1: 2")
    made.remove(*[one for one in made.objects.values() if one.kind == "Node"])
    nodes = cluster("a/r1: 2 2 2 2 2 2 2 2")
    for index, one in enumerate(nodes):
        metadata = type(one.metadata)(name=f"n{index}", labels={HOSTNAME: f"n{index}"})
        made.add(type(one)(metadata=metadata, spec=one.spec, status=one.status))
    made.add(*LEAVES, *SPINES)
    made.fill({"n0": 5, "n2": 5, "n4": 2, "n5": 2, "n7": 5})
    assert made.ask(gang(4, required="topology.volcano.sh/tier-1")) == {"n4", "n5"}


def test_nobody_goes_for_slices_that_could_never_be() -> None:
    made = Full("a/r1: 3; a/r2: 3")
    made.fill()
    asked = gang(4, podSetSliceRequiredTopology=RACK, podSetSliceSize=4)
    assert made.ask(asked) == set()
