"""Which policy counts, which step it chooses, what it is charged to and how long the next attempt waits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.meta import LabelSelector, ObjectMeta
from springtide.api.remediation import (
    Backoff,
    RemediationPolicy,
    RemediationPolicySpec,
    RemediationRule,
    RestartBudget,
    Step,
)
from springtide.api.springtide import Action, Blame, Diagnosis, DiagnosisSpec
from springtide.faults import VERDICTS, Fault
from springtide.health.remediation import Failure, Remedy, decide, left_to_wait, wait_before
from springtide.health.remediation_policy import (
    effective,
    policy_for_node,
    policy_for_workload,
    trouble_of,
)
from tests.builders import at

NOW = at(100_000)


def policy(name: str = "site", **spec: Any) -> RemediationPolicy:
    return RemediationPolicy(metadata=ObjectMeta(name=name), spec=RemediationPolicySpec(**spec))


def of(fault: Fault, **more: Any) -> Failure:
    verdict = VERDICTS[fault]
    return Failure(**{"fault_class": fault.value, "blame": verdict.blame, "action": verdict.action, **more})


def restarted(number: int, fault: Fault, seconds_ago: float = 60, budget: str = "platform") -> Diagnosis:
    spec = DiagnosisSpec(
        attempt=number,
        fault_class=fault.value,
        blame=VERDICTS[fault].blame.value,
        action=Action.RESTART_IN_PLACE.value,
        budget=budget,
    )
    written = at(100_000 - seconds_ago)
    return Diagnosis(metadata=ObjectMeta(name=f"job-{number}", creation_timestamp=written), spec=spec)


def built_in(failure: Failure, *earlier: Diagnosis, **more: Any) -> Remedy:
    return decide(failure, effective(None), earlier, NOW, **more)


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        (Fault.PROGRAM_ERROR, Step.FAIL_FAST),
        (Fault.OUT_OF_MEMORY, Step.FAIL_FAST),
        (Fault.GPU_PROGRAM, Step.RESTART_IN_PLACE),
        (Fault.GPU_OFF_BUS, Step.CORDON_AND_EVICT),
        (Fault.NIC_FAULT, Step.CORDON_AND_EVICT),
        (Fault.NODE_LOST, Step.RESTART_ELSEWHERE),
        (Fault.NODE_RESTARTED, Step.RESTART_IN_PLACE),
        (Fault.KILLED, Step.RESTART_IN_PLACE),
        (Fault.COLLECTIVE_TIMEOUT, Step.RESTART_IN_PLACE),
    ],
)
def test_what_is_built_in(fault: Fault, step: Step) -> None:
    assert built_in(of(fault)).step is step


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_class_has_a_remedy_and_no_program_loses_a_node_its_place(fault: Fault) -> None:
    found = built_in(of(fault))
    if VERDICTS[fault].blame in (Blame.PROGRAM, Blame.UNKNOWN):
        assert found.action is not Action.CORDON_EVICT
    assert found.action is not Action.IGNORE, "an attempt that has ended cannot be ignored"


def test_a_users_error_is_tried_again_only_as_often_as_its_owner_says() -> None:
    failure = of(Fault.PROGRAM_ERROR)
    assert built_in(failure).step is Step.FAIL_FAST
    assert built_in(failure).told == ""
    once = built_in(failure, max_restarts=1)
    assert (once.step, once.budget) == (Step.RESTART_IN_PLACE, "program")
    spent = built_in(failure, restarted(0, Fault.PROGRAM_ERROR, budget="program"), max_restarts=1)
    assert spent.step is Step.FAIL_FAST
    assert "the one restart is used up" in spent.told


def test_an_illegal_access_is_tried_again_three_times_an_hour() -> None:
    failure = of(Fault.GPU_PROGRAM)
    tried = [restarted(n, Fault.GPU_PROGRAM, budget="retry") for n in range(3)]
    assert built_in(failure, *tried[:2]).budget == "retry"
    assert built_in(failure, *tried).step is Step.FAIL_FAST
    long_ago = [restarted(n, Fault.GPU_PROGRAM, 3601, budget="retry") for n in range(3)]
    assert built_in(failure, *long_ago).step is Step.RESTART_IN_PLACE


def test_budgets_are_separate() -> None:
    tried = [restarted(n, Fault.NODE_LOST) for n in range(10)]
    assert built_in(of(Fault.NODE_LOST), *tried).step is Step.FAIL_FAST
    assert built_in(of(Fault.GPU_PROGRAM), *tried).step is Step.RESTART_IN_PLACE


def test_what_repeats_on_a_node_goes_elsewhere() -> None:
    tried = [restarted(n, Fault.KILLED) for n in range(2)]
    assert built_in(of(Fault.KILLED), *tried[:1]).step is Step.RESTART_IN_PLACE
    assert built_in(of(Fault.KILLED), *tried).step is Step.RESTART_ELSEWHERE


@pytest.mark.parametrize(
    ("what", "changed", "step"),
    [
        ("an unsure verdict", {"confidence": 0.7}, Step.RESTART_ELSEWHERE),
        ("only consequences", {"secondary": True}, Step.RESTART_IN_PLACE),
        ("no node", {"has_node": False}, Step.RESTART_IN_PLACE),
        ("a program", {"blame": "program"}, Step.FAIL_FAST),
        ("nobody", {"blame": "unknown"}, Step.RESTART_IN_PLACE),
    ],
)
def test_no_node_is_taken_out_for(what: str, changed: dict[str, Any], step: Step) -> None:
    assert built_in(of(Fault.GPU_OFF_BUS, **changed)).step is step, what


@given(
    blame=st.sampled_from(list(Blame)),
    confidence=st.floats(0, 1),
    secondary=st.booleans(),
    fault=st.sampled_from(list(Fault)),
    steps=st.lists(st.sampled_from(list(Step)), min_size=1, max_size=3),
)
def test_whatever_a_site_writes_programs_and_consequences_cordon_nothing(
    blame: Blame, confidence: float, secondary: bool, fault: Fault, steps: list[Step]
) -> None:
    rule = RemediationRule(steps=[one.value for one in steps])
    failure = Failure(fault.value, blame, Action.CORDON_EVICT, confidence, secondary=secondary)
    found = decide(failure, effective(policy(rules=[rule])), (), NOW)
    if secondary or blame in (Blame.PROGRAM, Blame.UNKNOWN) or confidence < 0.8:
        assert found.action is not Action.CORDON_EVICT


def test_a_site_has_its_own_rules_and_steps_in_turn() -> None:
    rule = RemediationRule(
        fault_classes=["GpuOffBus"], steps=[Step.RESTART_IN_PLACE.value, Step.CORDON_AND_EVICT.value]
    )
    mine = effective(policy(rules=[rule]))
    failure = of(Fault.GPU_OFF_BUS)
    assert failure.fault_class == "GpuOffBus"
    assert decide(failure, mine, (), NOW).step is Step.RESTART_IN_PLACE
    assert decide(failure, mine, [restarted(0, Fault.GPU_OFF_BUS)], NOW).step is Step.CORDON_AND_EVICT


def test_a_policy_that_only_reports_says_what_it_would_do() -> None:
    found = decide(of(Fault.GPU_OFF_BUS), effective(policy(mode="Report")), (), NOW)
    assert (found.action, found.step) == (Action.IGNORE, Step.CORDON_AND_EVICT)
    assert found.told == "; only reported: CordonAndEvict would be done"


def test_only_elastic_jobs_shrink() -> None:
    mine = effective(policy(rules=[RemediationRule(steps=[Step.SHRINK.value])]))
    assert decide(of(Fault.NODE_LOST), mine, (), NOW, elastic=True).step is Step.SHRINK
    assert decide(of(Fault.NODE_LOST), mine, (), NOW).step is Step.RESTART_ELSEWHERE


@pytest.mark.parametrize(
    ("used", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 4), (7, 60), (1000, 60)], ids=lambda v: str(v)
)
def test_waits_grow_up_to_the_longest(used: int, seconds: float) -> None:
    assert wait_before(Backoff(), used) == seconds


@given(
    st.builds(
        Backoff,
        initial_seconds=st.floats(0, 1e4),
        factor=st.floats(1, 100),
        max_seconds=st.floats(0, 1e5),
    ),
    st.integers(0, 50),
)
def test_waits_never_shrink_and_never_exceed_the_longest(backoff: Backoff, used: int) -> None:
    wait = wait_before(backoff, used)
    assert 0 <= wait <= backoff.max_seconds
    assert wait <= wait_before(backoff, used + 1)


def test_the_wait_counts_from_the_diagnosis_so_that_a_restarted_controller_waits_no_longer() -> None:
    written = restarted(0, Fault.KILLED, seconds_ago=3)
    spec = DiagnosisSpec(retry_after_seconds=8)
    told = Diagnosis(metadata=written.metadata, spec=spec)
    assert left_to_wait(told, NOW) == 5
    assert left_to_wait(told, at(100_010)) == 0
    assert left_to_wait(written, NOW) == 0


def names(*policies: RemediationPolicy, namespace: str = "team", labels: dict[str, str] | None = None) -> str:
    found = policy_for_workload(policies, namespace, labels or {})
    return found.metadata.name if found is not None else ""


def test_of_many_policies_the_nearest_counts() -> None:
    everybody, lowest = policy("b-everybody"), policy("a-lowest", priority=-1)
    here, picked = policy("here", namespaces=["team"]), policy("picked", workload_selector=chosen("gold"))
    urgent = policy("urgent", priority=5)
    gold = {"tier": "gold"}
    assert names() == ""
    assert names(lowest, everybody) == "b-everybody"
    assert names(everybody, picked, here, labels=gold) == "here"
    assert names(everybody, picked, labels=gold) == "picked"
    assert names(everybody, picked) == "b-everybody"
    assert names(everybody, here, namespace="other") == "b-everybody"
    assert names(here, namespace="other") == ""
    assert names(urgent, here, labels=gold) == "urgent"
    assert names(policy("z"), policy("y")) == "y"


def test_nodes_have_their_policies_by_label() -> None:
    gold, everybody = policy("gold", node_selector=chosen("gold")), policy("everybody")
    assert policy_for_node([everybody, gold], {"tier": "gold"}) == gold
    assert policy_for_node([everybody, gold], {"tier": "tin"}) == everybody
    assert policy_for_node([gold], {"tier": "tin"}) is None


def chosen(tier: str) -> LabelSelector:
    return LabelSelector(match_labels={"tier": tier})


def test_what_a_policy_misspells_is_named() -> None:
    wrong = policy(
        rules=[RemediationRule(steps=["FailFast"], budget="platfrom", signatures=["xid-79x"])],
        budgets=[RestartBudget(name="mine")],
    )
    said = trouble_of(wrong, ["xid-79"])
    assert "spec.rules[0].budget is 'platfrom'" in said
    assert "mine, platform, program, retry" in said
    assert "spec.rules[0].signatures names 'xid-79x'" in said
    assert trouble_of(policy(rules=[RemediationRule(steps=["FailFast"], budget="retry")]), ["xid-79"]) == ""
