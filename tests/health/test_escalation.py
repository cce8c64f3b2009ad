"""A node that failures come back to goes, though no verdict alone asks for it; not by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.commands import Create
from springtide.api.core import Node
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import Incident
from springtide.api.remediation import Breaker, Escalation, RemediationPolicySpec, Step
from springtide.api.remediation import RemediationPolicy as Policy
from springtide.api.springtide import Action, Diagnosis, DiagnosisSpec
from springtide.api.struct import replace as changed
from springtide.faults import VERDICTS, Fault
from springtide.health import remediation_controller
from springtide.health.escalation import CHANCE_MAX, Suspect, chance, implications
from springtide.health.plan import plan
from springtide.health.remediation import Failure, decide
from springtide.health.remediation_policy import effective
from tests.builders import at
from tests.health.incidentscene import asking, policy
from tests.health.scene import SETTINGS, Scene, failed, rank
from tests.training.control_plane import control_plane

NOW = at(100_000)
DAY = 86400.0
TERMS = Escalation()
ME = Suspect("default/job", "n1", "node", 3, "Hang", "unknown")


def earlier(node: str = "n1", *, days_ago: float = 0.5, rank: int = 7, **more: Any) -> Diagnosis:
    """A hang of the same job, after which it left the node."""
    spec = {"node": node, "pod_set": "node", "rank": rank, "fault_class": "Hang", "blame": "unknown"}
    made = DiagnosisSpec(**{**spec, "step": Step.RESTART_ELSEWHERE.value, **more})
    written = at(100_000 - days_ago * DAY)
    return Diagnosis(metadata=ObjectMeta(name=f"{node}-{days_ago:g}", creation_timestamp=written), spec=made)


def seen(workload: str = "default/other", *, days_ago: float = 0.5, blame: str = "unknown") -> Incident:
    when = at(100_000 - days_ago * DAY)
    return Incident(diagnosis=f"{workload}-{days_ago:g}", time=when, blame=blame, workload=workload)


def test_a_suspicion_of_slowness_is_no_failure() -> None:
    """Its check answers that: a node that was found to be as fast as others is not held to it."""
    slow = [changed(seen(f"default/j{n}"), fault="Straggler") for n in range(3)]
    histories = cluster(n1=slow)
    assert implications(ME, [], histories, TERMS, NOW) == 0
    assert implications(ME, [], cluster(n1=[*slow, seen()]), TERMS, NOW) == 2


def dated(histories: dict[str, Sequence[Incident]]) -> dict[str, Sequence[Incident]]:
    """The same, seen just before the scene."""
    return {node: [changed(one, time=at(1)) for one in history] for node, history in histories.items()}


def cluster(nodes: int = 1000, **histories: Sequence[Incident]) -> dict[str, Sequence[Incident]]:
    return {**{f"n{at}": () for at in range(nodes)}, **histories}


@pytest.mark.parametrize(
    ("what", "before", "history", "count"),
    [
        ("its first failure", [], [], 0),
        ("the job had left it for another", [earlier()], [], 2),
        ("twice", [earlier(), earlier(days_ago=2)], [], 3),
        ("the job stayed on it meanwhile", [earlier(step=Step.RESTART_IN_PLACE.value)], [], 0),
        ("the job failed elsewhere", [earlier("n2")], [], 0),
        ("too long ago", [earlier(days_ago=8)], [], 0),
        ("it was the program", [earlier(blame="program")], [], 0),
        ("only a consequence", [earlier(secondary=True)], [], 0),
        ("the rank fails wherever it is", [earlier(), earlier("n2", rank=3)], [], 0),
        (
            "the rank failed elsewhere, otherwise",
            [earlier(), earlier("n2", rank=3, fault_class="Killed")],
            [],
            2,
        ),
        ("another job failed on it", [], [seen()], 2),
        ("another job, again and again", [], [seen(days_ago=n / 10) for n in range(1, 9)], 2),
        ("two other jobs", [], [seen("a/a"), seen("a/b")], 3),
        ("another job's program", [], [seen(blame="program")], 0),
        ("another job, too long ago", [], [seen(days_ago=8)], 0),
        ("what is its own is not counted twice", [], [seen("default/job")], 0),
    ],
)
def test_what_speaks_against_a_node(
    what: str, before: list[Diagnosis], history: list[Incident], count: int
) -> None:
    assert implications(ME, before, cluster(n1=history), TERMS, NOW) == count, what


def test_among_few_nodes_it_takes_more_failures_than_among_many() -> None:
    def against(nodes: int, failures: int) -> int:
        history = [seen(f"a/{n}") for n in range(failures - 1)]
        return implications(ME, [], cluster(nodes, n1=history), TERMS, NOW)

    needed = {nodes: next(n for n in range(1, 20) if against(nodes, n)) for nodes in (2, 8, 64, 2048)}
    assert needed == {2: 7, 8: 3, 64: 2, 2048: 2}
    assert not implications(ME, [earlier()], {}, TERMS, NOW), "nothing is known of the others"


def test_where_many_nodes_fail_the_same_node_twice_is_chance() -> None:
    storm = {f"n{n}": [seen(f"a/{n}")] for n in range(1, 100)}
    assert implications(ME, [], cluster(1000, **storm), TERMS, NOW) == 0
    few = {f"n{n}": [seen(f"a/{n}")] for n in range(1, 10)}
    assert implications(ME, [], cluster(1000, **few), TERMS, NOW) == 2


@given(st.integers(1, 6), st.integers(0, 40), st.integers(1, 5000))
def test_chance_is_a_bound_that_falls_with_nodes_and_rises_with_failures(
    before: int, more: int, nodes: int
) -> None:
    found = chance(before, before + more, nodes)
    assert 0 < found <= 1
    assert chance(before, before + more, nodes + 1) <= found <= chance(before, before + more + 1, nodes)
    hit = 1 - sum(_binomial(k, before + more, 1 / nodes) for k in range(before))
    assert hit <= found + 1e-9, "never less than the true probability"


def _binomial(k: int, n: int, p: float) -> float:
    return float(comb(n, k) * p**k * (1 - p) ** (n - k))


def test_a_site_turns_it_off_or_waits_for_more() -> None:
    never, later = Escalation(incidents=0), Escalation(incidents=4)
    assert implications(ME, [earlier()], cluster(), never, NOW) == 0
    assert implications(ME, [earlier()], cluster(), later, NOW) == 0
    assert CHANCE_MAX < 0.05


def failure(fault: Fault, **more: Any) -> Failure:
    said = VERDICTS[fault]
    fields = {"blame": said.blame.value, "action": said.action.value, "implications": 2, **more}
    return Failure(fault.value, **fields)


@pytest.mark.parametrize(
    ("what", "fails", "step"),
    [
        ("a hang", failure(Fault.HANG), Step.CORDON_AND_EVICT),
        ("a peer lost over the network", failure(Fault.PEER_LOST), Step.CORDON_AND_EVICT),
        ("a verdict that is not sure", failure(Fault.GPU_OFF_BUS, confidence=0.3), Step.CORDON_AND_EVICT),
        ("nothing else against the node", failure(Fault.HANG, implications=0), Step.RESTART_IN_PLACE),
        ("only a consequence", failure(Fault.PEER_LOST, secondary=True), Step.RESTART_IN_PLACE),
        ("a program", failure(Fault.PROGRAM_ERROR), Step.FAIL_FAST),
        ("nobody knows which node", failure(Fault.HANG, has_node=False), Step.RESTART_IN_PLACE),
    ],
)
def test_what_follows(what: str, fails: Failure, step: Step) -> None:
    remedy = decide(fails, effective(None), [], NOW)
    assert remedy.step is step, what
    by_history = step is Step.CORDON_AND_EVICT
    assert remedy.implications == (2 if by_history else 0)
    assert ("had a part in 2 failures within 7 days" in remedy.told) is by_history


def test_a_program_that_its_owner_starts_again_keeps_its_node() -> None:
    assert decide(failure(Fault.PROGRAM_ERROR), effective(None), [], NOW, max_restarts=9).action is (
        Action.RESTART_IN_PLACE
    )


def test_who_only_reports_says_so_and_does_nothing() -> None:
    only = effective(Policy(metadata=ObjectMeta(name="p"), spec=RemediationPolicySpec(mode="Report")))
    remedy = decide(failure(Fault.HANG), only, [], NOW)
    assert (remedy.action, remedy.implications) == (Action.IGNORE, 0)
    assert "only reported: CordonAndEvict" in remedy.told


def test_the_verdict_names_the_count_and_the_node_goes_though_it_is_not_sure() -> None:
    history = {**cluster(), "n1": [seen("a/a")]}
    scene = Scene(pods=[rank(0), failed(1, 10, code=137)], failing_since=5)
    made = plan(replace(scene.snapshot(at(12)), histories=dated(history)), at(12), SETTINGS)
    (found,) = [one.obj for one in made.commands if isinstance(one, Create)]
    assert isinstance(found, Diagnosis)
    assert (found.spec.node, found.spec.action, found.spec.implications) == ("n1", "cordon_evict", 2)
    assert "had a part in 2 failures" in found.spec.message
    (plain,) = [
        one.obj for one in plan(scene.snapshot(at(12)), at(12), SETTINGS).commands if isinstance(one, Create)
    ]
    assert isinstance(plain, Diagnosis)
    assert (plain.spec.action, plain.spec.implications) == ("restart_in_place", 0), "without its history"


@pytest.mark.parametrize(
    ("what", "spec", "phase", "out"),
    [
        ("its history counts", {}, "Cordoned", True),
        (
            "the node's policy does not count history",
            {"escalation": Escalation(incidents=0)},
            "Withheld",
            False,
        ),
        ("only reported", {"node_mode": "Report"}, "Reported", False),
        ("as many are out as may be", {"breaker": Breaker(max_cordoned="0")}, "Withheld", False),
    ],
)
async def test_a_node_that_goes_for_its_history_goes_within_the_bounds_of_its_policy(
    what: str, spec: dict[str, Any], phase: str, out: bool
) -> None:
    async with control_plane(remediation_controller.register) as plane:
        await plane.client.create(policy(**spec))
        await plane.client.create(asking("n0", fault=Fault.HANG, confidence=0.5, implications=2))
        await plane.settle(1)
        answered = await plane.client.get(Diagnosis, "job-0", "default")
        assert answered.status.phase == phase, f"{what}: {answered.status.message}"
        assert (await plane.client.get(Node, "n0")).spec.unschedulable is out
