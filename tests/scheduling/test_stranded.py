"""What becomes of a gang that loses a node: places held, lost ones refilled, or all given back in time."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.core import Node, Pod, PodStatus, Taint
from springtide.api.kueue import Workload
from springtide.api.labels import AVOID_NODES, HOSTNAME, SHRINK_AFTER, TAINT_SPARE, TAINT_UNHEALTHY
from springtide.api.meta import find_condition
from springtide.api.struct import replace
from springtide.scheduling.facts import PodSetFacts
from springtide.workloads.pods import attempt_of
from tests.builders import evicted, node, with_condition, workload
from tests.scheduling.test_topology import BLOCK, LEVELS, RACK, cluster, flavor, gang, queue, topology
from tests.scheduling.test_topology_properties import Tree, asks, holds, spreads
from tests.scheduling.world import World

GANG = "default/gang"


class Cluster(World):
    """A cluster in which a gang runs, and its other rooms by hand."""

    def __init__(self, nodes: str, *pod_sets: Any, starts: bool = True) -> None:
        super().__init__(*cluster(nodes), topology(*LEVELS), flavor(), queue("default"))
        self.add(workload("gang", *pod_sets))
        self.cycle()
        if starts:
            self.begin()

    def begin(self) -> None:
        """The pods of the gang run."""
        self.start_pods(GANG)
        self.say("PodsReady", "True", reason="Started")

    def say(self, type_: str, status: str, **more: Any) -> None:
        self.add(with_condition(self.workload(GANG), type_, status, **more))

    def lose(self, *names: str, crash: bool = False) -> None:
        """Nodes fail; health finds out; perhaps the peers have crashed meanwhile."""
        for name in names:
            known = self.objects[Node, name]
            assert isinstance(known, Node)
            cpus, named = known.status.allocatable["cpu"], known.metadata.labels
            self.add(node(name, cpu=cpus, labelled=named, ready=False))
        if crash:
            for pod in self.pods():
                self.add(replace(pod, status=PodStatus(phase="Failed")))
        self.add(evicted(self.workload(GANG), message=f"{', '.join(names)} lost"))

    def pods(self) -> list[Pod]:
        return [one for one in self.objects.values() if isinstance(one, Pod)]

    def tidy(self) -> None:
        """`workloads` removes the pods and says so; `health` takes note."""
        self.remove(*self.pods())
        self.say("PodsReady", "False", reason="NotAdmitted")
        self.say("Evicted", "False", reason="Requeued")

    @property
    def nodes(self) -> dict[str, int]:
        return self.placement(GANG)["node"]

    @property
    def gang(self) -> Workload:
        return self.workload(GANG)

    def runs(self) -> bool:
        found = find_condition(self.gang.status.conditions, "Admitted")
        return found is not None and found.status == "True"


def test_the_lost_member_is_refilled_in_the_same_rack() -> None:
    """Volcano #5805: a gang below its minimum after a node's fault comes back by itself."""
    made = Cluster("a/r1: 2 2 2 2; a/r2: 8 8", gang(6, required=RACK))
    assert made.nodes == {"a-r1-0": 2, "a-r1-1": 2, "a-r1-2": 2}
    made.lose("a-r1-1")
    made.cycle()
    assert not made.runs()
    assert made.nodes == {"a-r1-0": 2, "a-r1-2": 2, "a-r1-3": 2}
    assert [one.name for one in made.gang.status.unhealthy_nodes] == ["a-r1-1"]
    made.cycle()
    assert not made.runs(), "pods of the attempt are still there"
    made.tidy()
    made.cycle()
    assert made.runs()
    assert attempt_of(made.gang) == 1
    assert made.gang.status.unhealthy_nodes == []
    assert made.cycle().commands == ()


def test_places_of_those_that_still_run_are_held_against_all_others() -> None:
    """Volcano #5805: nobody slips in while the gang waits for a node."""
    made = Cluster("a/r1: 2 2 2", gang(6, required=RACK))
    made.lose("a-r1-1", crash=True)
    made.add(workload("other", gang(2), priority=100))
    made.cycle()
    made.tidy()
    made.cycle()
    assert not made.is_admitted("default/other")
    assert made.nodes.keys() == {"a-r1-0", "a-r1-1", "a-r1-2"}
    assert "waits for a node in place of a-r1-1" in made.condition(GANG, "Admitted").message
    repaired = node("a-r1-1", cpu=2, labelled={BLOCK: "a", RACK: "r1", "pool": "a"})
    made.add(repaired)
    made.cycle()
    assert made.runs()
    assert made.nodes == {"a-r1-0": 2, "a-r1-1": 2, "a-r1-2": 2}


def test_places_of_crashed_members_are_held_before_anybody_knows_of_the_node() -> None:
    """Peers of a dead node fail first; what they held is not given away meanwhile."""
    made = Cluster("a/r1: 2 2 2", gang(6, required=RACK))
    for pod in made.pods():
        made.add(replace(pod, status=PodStatus(phase="Failed")))
    made.add(workload("other", gang(2), priority=100))
    made.cycle()
    assert not made.is_admitted("default/other")


def test_a_gang_moves_as_a_whole_where_its_rack_has_no_room() -> None:
    """All its pods start anew in any case."""
    made = Cluster("a/r1: 2 2 2; a/r2: 2 2 3", gang(6, required=RACK))
    assert made.nodes.keys() == {"a-r1-0", "a-r1-1", "a-r1-2"}
    made.lose("a-r1-1")
    made.cycle()
    assert made.nodes.keys() <= {"a-r2-0", "a-r2-1", "a-r2-2"}
    made.tidy()
    made.cycle()
    assert made.runs()


def test_a_gang_of_which_nothing_is_left_resumes_as_soon_as_there_is_a_node() -> None:
    """Not in two steps, of which the first would wait for pods that are gone already."""
    made = Cluster("a/r1: 2 2", gang(4, required=RACK))
    made.lose("a-r1-1")
    made.cycle()
    made.tidy()
    made.cycle()
    assert not made.runs()
    made.add(*cluster("a/r1: 2 2 2")[2:])
    made.cycle()
    assert made.runs()
    assert made.nodes == {"a-r1-0": 2, "a-r1-2": 2}
    assert made.cycle().commands == ()


def test_what_is_held_is_given_back_in_time() -> None:
    made = Cluster("a/r1: 2 2 2", gang(6, required=RACK))
    made.options["replacement_seconds"] = 60.0
    made.lose("a-r1-1")
    decided = made.cycle()
    assert decided.requeue_after_seconds is not None
    assert decided.requeue_after_seconds <= 60.0
    made.tidy()
    made.add(workload("other", gang(2)))
    made.clock += 30
    made.cycle()
    assert not made.is_admitted("default/other")
    made.clock += 30
    made.cycle()
    assert not made.is_admitted(GANG)
    made.cycle()
    assert made.is_admitted("default/other")
    assert attempt_of(made.gang) == 1


def test_nothing_is_held_where_that_is_turned_off() -> None:
    made = Cluster("a/r1: 2 2 2", gang(6, required=RACK))
    made.options["replacement_seconds"] = 0.0
    made.lose("a-r1-1")
    made.cycle()
    assert not made.is_admitted(GANG)


def test_a_failure_that_leaves_all_nodes_as_they_are_ends_the_attempt_at_once() -> None:
    made = Cluster("a/r1: 2 2 2", gang(6, required=RACK))
    made.lose()
    made.cycle()
    assert not made.is_admitted(GANG)


REFILLS: dict[str, tuple[str, dict[str, Any], int, str, dict[str, int]]] = {
    "a slice: in the rack of the slice": (
        "a/r1: 2 2 2; a/r2: 2 2 1 1",
        {"required": BLOCK, "podSetSliceRequiredTopology": RACK, "podSetSliceSize": 4}, 8,
        "a-r1-0", {"a-r1-1": 2, "a-r1-2": 2, "a-r2-0": 2, "a-r2-1": 2}),
    "a whole slice: in any rack of the block": (
        "a/r1: 4; a/r2: 4; a/r3: 4; b/r1: 7",
        {"required": BLOCK, "podSetSliceRequiredTopology": RACK, "podSetSliceSize": 4}, 8,
        "a-r1-0", {"a-r2-0": 4, "a-r3-0": 4}),
    "pairs on nodes stay pairs": (
        "a/r1: 2 2 1 1 2",
        {"required": RACK, "podSetSliceRequiredTopology": HOSTNAME, "podSetSliceSize": 2}, 4,
        "a-r1-0", {"a-r1-1": 2, "a-r1-4": 2}),
    "a preference: in the rack if it can be": (
        "a/r1: 2 2 2; a/r2: 1 1", {"preferred": RACK}, 4, "a-r1-0", {"a-r1-1": 2, "a-r1-2": 2}),
    "a preference: in the block if it must be": (
        "a/r1: 2 2; a/r2: 1 1; b/r1: 1 1", {"preferred": RACK}, 4, "a-r1-0",
        {"a-r1-1": 2, "a-r2-0": 1, "a-r2-1": 1}),
    "nothing asked: anywhere": (
        "a/r1: 2; a/r2: 2; b/r1: 2", {}, 4, "a-r1-0", {"a-r2-0": 2, "b-r1-0": 2}),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "asked", "count", "lost", "expected"), REFILLS.values(), ids=REFILLS)
def test_lost_pods_go_where_their_request_binds_them(
    nodes: str, asked: dict[str, Any], count: int, lost: str, expected: dict[str, int]
) -> None:
    made = Cluster(nodes, gang(count, **asked))
    assert lost in made.nodes, made.nodes
    made.lose(lost)
    made.cycle()
    assert made.nodes == expected
    made.tidy()
    made.cycle()
    assert made.runs()


def test_a_node_that_is_gone_is_missed_by_the_places_that_stay() -> None:
    asked = gang(6, required=RACK)
    made = Cluster("a/r1: 2 2 2 2; b/r1: 9", asked)
    made.lose("a-r1-1")
    made.remove(node("a-r1-1"))
    made.cycle()
    assert made.nodes == {"a-r1-0": 2, "a-r1-2": 2, "a-r1-3": 2}


def test_a_gang_that_is_deactivated_while_it_waits_gives_everything_back() -> None:
    made = Cluster("a/r1: 2 2 2", gang(6, required=RACK))
    made.lose("a-r1-1")
    made.cycle()
    made.tidy()
    made.add(replace(made.gang, spec=replace(made.gang.spec, active=False)))
    made.cycle()
    assert not made.is_admitted(GANG)


def test_the_hold_is_found_again_after_a_crash() -> None:
    """Everything is in the objects: another scheduler goes on where the first one was."""
    made = Cluster("a/r1: 2 2 2 2", gang(6, required=RACK))
    made.lose("a-r1-1")
    made.cycle()
    held = made.nodes
    again = World(*(one for one in made.objects.values()))
    again.clock = made.clock
    assert again.cycle().commands == ()
    again.remove(*(one for one in again.objects.values() if isinstance(one, Pod)))
    again.add(with_condition(again.workload(GANG), "PodsReady", "False", reason="NotAdmitted"))
    again.add(with_condition(again.workload(GANG), "Evicted", "False", reason="Requeued"))
    again.cycle()
    assert again.placement(GANG)["node"] == held
    assert attempt_of(again.workload(GANG)) == 1


def test_time_between_attempts_is_not_time_run() -> None:
    made = Cluster("a/r1: 2 2 2 2", gang(6, required=RACK))
    started = made.condition(GANG, "Admitted").last_transition_time
    assert started is not None
    made.clock += 100
    made.lose("a-r1-1")
    made.cycle()
    ended = made.condition(GANG, "Admitted").last_transition_time
    assert ended is not None
    ran = (ended - started) / timedelta(seconds=1)
    made.clock += 50
    made.tidy()
    made.cycle()
    assert made.gang.status.accumulated_past_execution_time_seconds == int(ran)


# -- against a model that tries every way ------------------------------------------------------------


SMALL = st.lists(
    st.lists(st.lists(st.integers(1, 2), min_size=2, max_size=3), min_size=1, max_size=2),
    min_size=1,
    max_size=2,
)
"""Trees on whose nodes few pods fit, so that gangs are on several."""


def _request(asked: PodSetFacts) -> dict[str, Any]:
    """The request that is parsed to what was drawn."""
    layers = [{"topology": cut.level, "size": cut.size} for cut in asked.slices]
    said = {
        "required": asked.required_level,
        "preferred": asked.preferred_level,
        "podsetSliceRequiredTopologyConstraints": layers,
    }
    return {name: value for name, value in said.items() if value}


@settings(max_examples=60, deadline=None)
@given(SMALL, asks().filter(lambda one: one.count > 2), st.randoms(use_true_random=False))
def test_a_gang_is_refilled_or_moved_whenever_it_can_be(
    tree: Tree, asked: PodSetFacts, chances: random.Random
) -> None:
    racks = [
        f"b{b}/r{r}: {' '.join(map(str, nodes))}"
        for b, rows in enumerate(tree)
        for r, nodes in enumerate(rows)
    ]
    made = Cluster("; ".join(racks), gang(asked.count, **_request(asked)), starts=False)
    if not made.is_admitted(GANG) or len(made.nodes) < 2:
        return
    made.begin()
    lost = chances.choice(sorted(made.nodes))
    stayed = {name: count for name, count in made.nodes.items() if name != lost}
    made.lose(lost)
    made.cycle()
    names = [one.name for one in made.snapshot().nodes.facts]
    paths: list[tuple[str, ...]] = [(name.split("-")[0], name.rsplit("-", 1)[0], name) for name in names]
    rooms = [0 if one.name == lost else one.allocatable["cpu"] // 1000 for one in made.snapshot().nodes.facts]
    possible = any(holds(asked, paths, counts) for counts in spreads(rooms, asked.count))
    complete = lost not in made.nodes
    assert complete == possible
    if complete:
        counts = tuple(made.nodes.get(name, 0) for name in names)
        assert holds(asked, paths, counts)
        assert all(count <= room for count, room in zip(counts, rooms, strict=True))
    else:
        assert {name: made.nodes[name] for name in stayed} == stayed


def broken(made: Cluster, *avoided: str) -> Cluster:
    """A gang whose attempt ended with all its nodes well, and that is to avoid some of them."""
    known = made.gang
    notes = {**known.metadata.annotations, AVOID_NODES: ",".join(avoided)}
    made.add(replace(known, metadata=replace(known.metadata, annotations=notes)))
    for pod in made.pods():
        made.add(replace(pod, status=PodStatus(phase="Failed")))
    made.add(evicted(made.gang, message="rank 1 failed"))
    made.cycle()
    made.tidy()
    for _ in range(3):
        made.cycle()
    return made


def test_a_node_to_be_avoided_is_left_for_another_of_the_same_rack() -> None:
    made = broken(Cluster("a/r1: 2 2 2 2; a/r2: 8 8", gang(6, required=RACK)), "a-r1-1")
    assert made.runs()
    assert made.nodes == {"a-r1-0": 2, "a-r1-2": 2, "a-r1-3": 2}
    assert made.cycle().commands == ()


def test_a_node_to_be_avoided_serves_where_there_is_no_other() -> None:
    made = broken(Cluster("a/r1: 2 2 2", gang(6, required=RACK)), "a-r1-1")
    assert made.runs()
    assert made.nodes == {"a-r1-0": 2, "a-r1-1": 2, "a-r1-2": 2}


def spared(made: Cluster, name: str) -> None:
    known = made.objects[Node, name]
    assert isinstance(known, Node)
    kept = Taint(key=TAINT_SPARE, effect="NoSchedule")
    made.add(replace(known, spec=replace(known.spec, taints=[kept])))


def test_a_spare_node_is_there_for_who_loses_one_and_for_nobody_else() -> None:
    made = Cluster("a/r1: 2 2 2 2", gang(6, required=RACK))
    spared(made, "a-r1-3")
    made.add(workload("other", gang(2), priority=100))
    made.cycle()
    assert not made.is_admitted("default/other")
    made.lose("a-r1-1")
    made.cycle()
    assert made.nodes == {"a-r1-0": 2, "a-r1-2": 2, "a-r1-3": 2}
    made.tidy()
    made.cycle()
    assert made.runs()
    assert not made.is_admitted("default/other")


def test_a_cordoned_node_counts_as_lost() -> None:
    """What `health` takes out of service is refilled like a node that died."""
    made = Cluster("a/r1: 2 2 2 2", gang(6, required=RACK))
    known = made.objects[Node, "a-r1-1"]
    assert isinstance(known, Node)
    out = Taint(key=TAINT_UNHEALTHY, effect="NoSchedule")
    made.add(replace(known, spec=replace(known.spec, unschedulable=True, taints=[out])))
    made.add(evicted(made.gang, message="rank 1: GPU has fallen off the bus"))
    made.cycle()
    assert made.nodes == {"a-r1-0": 2, "a-r1-2": 2, "a-r1-3": 2}
    made.tidy()
    made.cycle()
    assert made.runs()


def test_an_elastic_gang_goes_on_smaller_where_no_node_takes_the_place_of_the_lost_one() -> None:
    """It says how long it waits; then it is admitted with as many pods as there is room for."""
    part = replace(gang(6, required=RACK), min_count=4)
    made = Cluster("a/r1: 2 2 2", part)
    known = made.gang
    notes = {**known.metadata.annotations, SHRINK_AFTER: "10"}
    made.add(replace(known, metadata=replace(known.metadata, annotations=notes)))
    made.lose("a-r1-1")
    made.cycle()
    assert not made.runs()
    made.tidy()
    made.clock += 11
    for _ in range(3):
        made.cycle()
        if not made.runs():
            made.tidy()
    assert made.runs()
    assert made.nodes == {"a-r1-0": 2, "a-r1-2": 2}
