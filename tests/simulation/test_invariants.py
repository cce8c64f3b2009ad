"""The checks of the simulator can fail: each invariant is broken on purpose and noticed."""

from __future__ import annotations

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.meta import Condition, ObjectMeta
from springtide.api.springtide import Diagnosis, DiagnosisSpec
from springtide.api.struct import replace
from springtide.simulation.invariants import GANG_GRACE_SECONDS, Ledger
from tests.builders import at, node, pod, pod_set, pod_spec, workload


def names(ledger: Ledger) -> set[str]:
    return {violation.invariant for violation in ledger.violations}


def rank(name: str, index: int = 0, phase: str = "Running", on: str = "node-1") -> Pod:
    made = pod(name, pod_spec(cpu=3), node=on, phase=phase)
    marks = {
        labels.WORKLOAD: "job",
        labels.PODSET: "node",
        labels.JOB_COMPLETION_INDEX: str(index),
        labels.ATTEMPT: "0",
    }
    return replace(made, metadata=replace(made.metadata, labels=marks))


def test_a_node_that_holds_more_than_it_has() -> None:
    ledger = Ledger(restart_budget=3)
    ledger.observe(node("node-1", cpu=4), deleted=False, now=at(0))
    ledger.observe(rank("a", 0), deleted=False, now=at(1))
    assert not ledger.violations
    ledger.observe(rank("b", 1), deleted=False, now=at(2))
    assert names(ledger) == {"no resource is given twice"}


def test_two_live_incarnations_of_a_rank() -> None:
    ledger = Ledger(restart_budget=3)
    ledger.observe(rank("a"), deleted=False, now=at(0))
    ledger.observe(rank("b"), deleted=False, now=at(1))
    assert names(ledger) == {"no two live incarnations of one rank"}


def test_a_finished_incarnation_does_not_count() -> None:
    ledger = Ledger(restart_budget=3)
    ledger.observe(rank("a", phase="Failed"), deleted=False, now=at(0))
    ledger.observe(rank("b"), deleted=False, now=at(1))
    assert not ledger.violations


def test_a_gang_that_stays_in_part() -> None:
    ledger = Ledger(restart_budget=3)
    ledger.observe(workload("job", pod_set(2)), deleted=False, now=at(0))
    ledger.observe(rank("a"), deleted=False, now=at(1))
    ledger.check_gangs(at(1))
    ledger.check_gangs(at(GANG_GRACE_SECONDS))
    assert not ledger.violations
    ledger.check_gangs(at(GANG_GRACE_SECONDS + 2))
    assert names(ledger) == {"a gang runs whole or not at all"}


def test_a_gang_whose_started_ranks_all_lost_their_node_does_not_run_in_part() -> None:
    """Nobody may have been alive to write so: the last statuses of a node without power are old news."""
    ledger = Ledger(restart_budget=3)
    ledger.observe(workload("job", pod_set(2)), deleted=False, now=at(0))
    ledger.observe(rank("a", 0), deleted=False, now=at(1))
    ledger.observe(rank("b", 1, phase="Pending"), deleted=False, now=at(1))
    for moment in (1, GANG_GRACE_SECONDS + 2):
        ledger.check_gangs(at(moment), off={"node-1"})
    assert not ledger.violations
    for moment in (GANG_GRACE_SECONDS + 3, 2 * GANG_GRACE_SECONDS + 4):
        ledger.check_gangs(at(moment))
    assert names(ledger) == {"a gang runs whole or not at all"}, "on again, it counts from then on"


def test_a_gang_that_lost_a_node_runs_in_part_though_all_its_pods_say_running() -> None:
    ledger = Ledger(restart_budget=3)
    ledger.observe(workload("job", pod_set(2)), deleted=False, now=at(0))
    for index in range(2):
        ledger.observe(rank(f"rank-{index}", index, on=f"node-{index}"), deleted=False, now=at(1))
    ledger.check_gangs(at(1))
    ledger.check_gangs(at(GANG_GRACE_SECONDS + 2))
    assert not ledger.violations
    for moment in (GANG_GRACE_SECONDS + 3, 2 * GANG_GRACE_SECONDS + 4):
        ledger.check_gangs(at(moment), off={"node-1"})
    assert names(ledger) == {"a gang runs whole or not at all"}


def restart(attempt: int) -> Diagnosis:
    spec = DiagnosisSpec(
        workload="job", attempt=attempt, fault_class="NodeLost", blame="node", action="restart_in_place"
    )
    return Diagnosis(metadata=ObjectMeta(name=f"job-{attempt}", namespace="default"), spec=spec)


def test_a_budget_that_is_passed() -> None:
    ledger = Ledger(restart_budget=3)
    for attempt in range(3):
        ledger.observe(restart(attempt), deleted=False, now=at(attempt))
    assert not ledger.violations
    ledger.observe(restart(3), deleted=False, now=at(3))
    assert names(ledger) == {"restart budgets hold"}


def test_a_finished_workload_that_opens_again() -> None:
    ledger = Ledger(restart_budget=3)
    made = workload("job")
    done = Condition(type="Finished", status="True", reason="Succeeded", message="done")
    finished = replace(made, status=replace(made.status, conditions=[done]))
    ledger.observe(finished, deleted=False, now=at(0))
    ledger.observe(made, deleted=False, now=at(1))
    assert names(ledger) == {"what is finished stays finished"}
