"""Diagnosis, eviction and the end: what is written, when, and how often."""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Any

import pytest

from springtide.api import labels
from springtide.api.commands import Apply, Create, Emit, Plan
from springtide.api.kueue import Workload
from springtide.api.meta import ObjectMeta, find_condition
from springtide.api.springtide import Diagnosis, DiagnosisSpec, DiagnosisStatus
from springtide.api.struct import replace
from springtide.health.faults import VERDICTS, Fault
from springtide.health.plan import Settings, plan
from tests import builders
from tests.builders import at, with_condition
from tests.health import outputs
from tests.health.outputs import stamped, torchrun
from tests.health.scene import SETTINGS, Scene, failed, gang, node_that_is, rank

RAISES = {1: stamped(torchrun(outputs.RAISED, rank=1), 10.2), 0: stamped(outputs.PEER_COMPLAINS, 10.4)}
BOTH_FAILED = [failed(0, 10), failed(1, 10)]


def decide(scene: Scene, second: float = 12, settings: Settings = SETTINGS) -> Plan:
    return plan(scene.snapshot(at(second)), at(second), settings)


def created(decided: Plan) -> Diagnosis:
    (found,) = [command.obj for command in decided.commands if isinstance(command, Create)]
    assert isinstance(found, Diagnosis)
    return found


def evicted(decided: Plan) -> dict[str, Any] | None:
    """The Evicted condition the plan applies, if any."""
    found = [one for one in decided.commands if isinstance(one, Apply) and one.subresource == "status"]
    if not found:
        return None
    (command,) = found
    assert (command.kind, command.subresource, command.uid) == (
        Workload,
        "status",
        "uid-default-trainjob-job",
    )
    (condition,) = command.fields["status"]["conditions"]
    assert condition["type"] == "Evicted"
    return dict(condition)


def verdict(attempt: int, fault: Fault, action: str = "restart_in_place", blame: str = "") -> Diagnosis:
    spec = DiagnosisSpec(
        workload="trainjob-job",
        attempt=attempt,
        fault_class=fault.value,
        action=action,
        blame=blame or VERDICTS[fault].blame.value,
        message="why",
    )
    return Diagnosis(metadata=ObjectMeta(name=f"trainjob-job-{attempt}", namespace="default"), spec=spec)


def test_a_programs_error_ends_the_job_with_cause_evidence_and_advice() -> None:
    decided = decide(Scene(pods=BOTH_FAILED, logs=RAISES))
    found = created(decided)
    spec = found.spec
    assert found.metadata.name == "trainjob-job-0"
    assert found.metadata.owner_references[0].uid == "uid-default-trainjob-job"
    assert found.metadata.labels == {labels.WORKLOAD: "trainjob-job"}
    assert (spec.workload, spec.attempt, spec.pod_set, spec.rank) == ("trainjob-job", 0, "node", 1)
    assert (spec.node, spec.pod) == ("n1", "job-node-0-1-abcde")
    assert (spec.fault_class, spec.blame, spec.action) == ("ProgramError", "program", "fail_fast")
    assert spec.exit_code == 1
    assert (
        spec.message == "rank 1 (job-node-0-1 on n1) exited with code 1: ValueError: bad shape at train.py:5"
    )
    assert spec.next_step
    assert spec.evidence[-1].line == "ValueError: bad shape"
    assert len([one for one in spec.evidence if "ValueError" in one.line]) == 2, (
        "source line and exception, once"
    )
    assert "step 1" in [one.line for one in spec.evidence], "the last lines of the log are there"
    assert not [one for one in spec.evidence if "ChildFailedError" in one.line], "torchrun's report is not"
    assert evicted(decided) is None
    assert [command.type for command in decided.commands if isinstance(command, Emit)] == ["Warning"]


def test_a_lost_node_evicts_and_restarts() -> None:
    decided = decide(
        Scene(pods=[rank(0), rank(1)], nodes={"n1": node_that_is("n1", "Unknown", 5)}, failing_since=5)
    )
    assert created(decided).spec.action == "restart_in_place"
    condition = evicted(decided)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "NodeFailures")
    assert condition["message"] == created(decided).spec.message


def test_the_first_failing_rank_is_judged_beside_its_peers() -> None:
    scene = Scene(pods=[failed(0, 10), rank(1)], failing_since=10)
    assert decide(scene, 10).requeue_after_seconds == SETTINGS.settle_seconds
    assert decide(scene, 10).commands == ()
    assert created(decide(scene, 11)).spec.rank == 0


def test_once_every_rank_has_ended_there_is_nothing_to_wait_for() -> None:
    assert created(decide(Scene(pods=BOTH_FAILED, logs=RAISES, failing_since=10), 10)).spec.rank == 1


def test_while_only_complaints_are_heard_the_silent_rank_gets_longer() -> None:
    scene = Scene(pods=[failed(0, 10), rank(1)], logs={0: RAISES[0]}, failing_since=10)
    assert decide(scene, 11).requeue_after_seconds == pytest.approx(3)
    late = created(decide(scene, 14))
    assert late.spec.fault_class == "PeerLost"
    spoken = changed(scene, pods=BOTH_FAILED, logs=RAISES)
    assert created(decide(spoken, 12)).spec.fault_class == "ProgramError"


def test_a_node_that_is_not_ready_gets_its_grace() -> None:
    scene = Scene(pods=[rank(0), rank(1)], nodes={"n1": node_that_is("n1", "False", 10)})
    assert decide(scene, 20).requeue_after_seconds == 30
    assert decide(changed(scene, failing_since=50.0), 51).commands


@pytest.mark.parametrize(
    ("what", "fault", "attempt", "earlier", "max_restarts", "action", "words"),
    [
        ("a program without a budget", "program", 0, [], 0, "fail_fast", ""),
        ("a program within its budget", "program", 0, [], 2, "restart_in_place", ""),
        (
            "a program whose budget is spent",
            "program",
            2,
            [verdict(0, Fault.PROGRAM_ERROR), verdict(1, Fault.PROGRAM_ERROR)],
            2,
            "fail_fast",
            "all 2 restarts are used up",
        ),
        (
            "a node's faults do not spend the program's budget",
            "program",
            2,
            [verdict(0, Fault.NODE_LOST), verdict(1, Fault.NODE_LOST)],
            1,
            "restart_in_place",
            "",
        ),
        ("a node, first time", "node", 0, [], 0, "restart_in_place", ""),
        (
            "a node, tenth time",
            "node",
            9,
            [verdict(n, Fault.NODE_LOST) for n in range(9)],
            0,
            "restart_in_place",
            "",
        ),
        (
            "a node, once too often",
            "node",
            10,
            [verdict(n, Fault.NODE_LOST) for n in range(10)],
            0,
            "fail_fast",
            "all 10 restarts are used up",
        ),
        (
            "ten attempts ended by suspending the job or draining its queue are charged to nobody",
            "node",
            10,
            [],
            0,
            "restart_in_place",
            "",
        ),
        (
            "suspensions between restarts do not add to them",
            "node",
            14,
            [verdict(n, Fault.NODE_LOST) for n in range(0, 14, 2)],
            0,
            "restart_in_place",
            "",
        ),
        (
            "the program's restarts do not spend the platform's budget",
            "node",
            10,
            [verdict(n, Fault.PROGRAM_ERROR) for n in range(5)],
            5,
            "restart_in_place",
            "",
        ),
    ],
)
def test_budgets(
    what: str,
    fault: str,
    attempt: int,
    earlier: list[Diagnosis],
    max_restarts: int,
    action: str,
    words: str,
) -> None:
    scene = Scene(
        workload=gang(attempt=attempt, max_restarts=max_restarts), diagnoses=earlier, failing_since=0
    )
    if fault == "program":
        scene.pods = [failed(index, attempt=attempt) for index in (0, 1)]
        scene.logs = RAISES
    else:
        scene.pods = [rank(index, attempt=attempt) for index in (0, 1)]
        scene.absent = ["n1"]
    found = created(decide(scene, 60))
    assert (found.spec.action, found.metadata.name) == (action, f"trainjob-job-{attempt}"), what
    assert words in found.spec.message


def test_a_programs_restart_is_named_as_such() -> None:
    condition = evicted(decide(Scene(workload=gang(max_restarts=1), pods=BOTH_FAILED, logs=RAISES)))
    assert condition is not None
    assert condition["reason"] == "ProgramFailed"


def test_a_killed_rank_is_not_held_against_the_program() -> None:
    condition = evicted(decide(Scene(pods=[failed(0, 11), failed(1, 10, 137)], logs={0: RAISES[0]})))
    assert condition is not None
    assert condition["reason"] == "NodeFailures"


def test_with_restarts_turned_off_a_nodes_fault_ends_the_job_too() -> None:
    scene = Scene(pods=[rank(0), rank(1)], absent=["n1"], failing_since=0)
    assert created(decide(scene, 60, Settings(restarts_max=0))).spec.action == "fail_fast"


def test_an_attempt_is_judged_once() -> None:
    scene = Scene(
        pods=BOTH_FAILED, diagnoses=[verdict(0, Fault.PROGRAM_ERROR, action="fail_fast", blame="program")]
    )
    assert decide(scene).commands == ()


def test_a_crash_between_verdict_and_eviction_is_made_good() -> None:
    scene = Scene(pods=BOTH_FAILED, diagnoses=[verdict(0, Fault.NODE_LOST)])
    condition = evicted(decide(scene))
    assert condition is not None
    assert (condition["status"], condition["message"]) == ("True", "why")


def test_an_eviction_under_way_is_left_alone() -> None:
    scene = Scene(
        workload=builders.evicted(gang()), pods=BOTH_FAILED, diagnoses=[verdict(0, Fault.NODE_LOST)]
    )
    assert decide(scene).commands == ()


def test_when_the_admission_is_taken_back_the_eviction_is_over() -> None:
    waiting = builders.with_condition(
        builders.evicted(gang(attempt=1)), "QuotaReserved", "False", reason="Pending"
    )
    condition = evicted(decide(Scene(workload=waiting, diagnoses=[verdict(0, Fault.NODE_LOST)])))
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "Requeued")
    over = builders.with_condition(waiting, "Evicted", "False", reason="Requeued")
    assert decide(Scene(workload=over)).commands == ()


def test_pods_of_the_old_attempt_say_nothing_about_the_new_one() -> None:
    waiting = gang(attempt=1)
    conditions = [one for one in waiting.status.conditions if one.type != "PodsReady"]
    assert find_condition(conditions, "PodsReady") is None
    fresh = replace(waiting, status=replace(waiting.status, conditions=conditions))
    assert decide(Scene(workload=fresh, pods=BOTH_FAILED), 60).commands == ()


@pytest.mark.parametrize(
    ("what", "workload"),
    [
        ("finished", builders.with_condition(gang(), "Finished", reason="Failed")),
        ("suspended", replace(gang(), spec=replace(gang().spec, active=False))),
        ("not admitted", builders.workload()),
    ],
)
def test_nothing_to_judge(what: str, workload: Workload) -> None:
    assert decide(Scene(workload=workload, pods=BOTH_FAILED), 60).commands == (), what


def avoided(decided: Plan) -> list[str]:
    """What the scheduler is told to avoid, before the eviction."""
    first, *_ = [one for one in decided.commands if isinstance(one, Apply)]
    noted: str = first.fields.get("metadata", {}).get("annotations", {}).get(labels.AVOID_NODES, "")
    return noted.split(",") if noted else []


def test_the_node_of_a_fault_that_is_not_the_programs_is_avoided_by_the_next_attempt() -> None:
    lost = {"n1": node_that_is("n1", "Unknown", 5)}
    assert avoided(decide(Scene(pods=[rank(0), rank(1)], nodes=lost, failing_since=5))) == ["n1"]
    killed = [failed(0, code=137, signal=9), rank(1)]
    assert avoided(decide(Scene(pods=killed, failing_since=0), 60)) == []


def test_an_eviction_waits_until_the_node_is_out_of_service_but_not_for_ever() -> None:
    told = verdict(0, Fault.GPU_OFF_BUS, action="cordon_evict")
    told = replace(told, metadata=replace(told.metadata, creation_timestamp=at(10)))
    assert evicted(decide(Scene(diagnoses=[told]), 11)) is None
    assert decide(Scene(diagnoses=[told]), 11).requeue_after_seconds == 9
    answered = replace(told, status=DiagnosisStatus(phase="Cordoned"))
    assert evicted(decide(Scene(diagnoses=[answered]), 11)) is not None
    assert evicted(decide(Scene(diagnoses=[told]), 20)) is not None


def test_a_fault_that_is_only_reported_leaves_the_job_as_it_is() -> None:
    told = verdict(0, Fault.GPU_OFF_BUS, action="ignore")
    assert decide(Scene(diagnoses=[told]), 60) == Plan()


def test_the_next_attempt_waits_for_its_back_off() -> None:
    told = verdict(0, Fault.KILLED)
    told = replace(
        told,
        metadata=replace(told.metadata, creation_timestamp=at(10)),
        spec=replace(told.spec, retry_after_seconds=8),
    )
    ending = with_condition(gang(), "QuotaReserved", "False", reason="Evicted")
    ending = with_condition(ending, "Evicted", reason="NodeFailures")
    assert decide(Scene(workload=ending, diagnoses=[told]), 12) == Plan(requeue_after_seconds=6)
    assert evicted(decide(Scene(workload=ending, diagnoses=[told]), 18)) is not None


@pytest.mark.parametrize("kept", [False, True], ids=["taken back", "places kept"])
def test_the_verdict_of_an_earlier_attempt_does_not_end_the_wait_of_a_later_one(kept: bool) -> None:
    """The cache of Diagnoses may be behind that of workloads."""
    first, second = (
        replace(one, metadata=replace(one.metadata, creation_timestamp=at(10 * one.spec.attempt)))
        for one in (verdict(0, Fault.KILLED), verdict(1, Fault.KILLED))
    )
    second = replace(second, spec=replace(second.spec, retry_after_seconds=12))
    ending = gang(attempt=1 if kept else 2)  # counted with the eviction, or once the next one begins
    lost = "Admitted" if kept else "QuotaReserved"
    ending = with_condition(ending, lost, "False", reason="Evicted")
    ending = with_condition(ending, "Evicted", reason="NodeFailures", since=10)
    assert decide(Scene(workload=ending, diagnoses=[first]), 12) == Plan(requeue_after_seconds=58)
    assert decide(Scene(workload=ending, diagnoses=[first, second]), 12) == Plan(requeue_after_seconds=10)
    assert evicted(decide(Scene(workload=ending, diagnoses=[first, second]), 22)) is not None
    assert evicted(decide(Scene(workload=ending, diagnoses=[first]), 70)) is not None, "it was deleted"


def test_a_pod_that_left_a_node_out_of_service_says_so() -> None:
    out = node_that_is("n1", "True")
    notes = {labels.CORDONED_FOR: "n1.0123456789"}
    out = replace(out, metadata=replace(out.metadata, annotations=notes))
    leaving = rank(1)
    leaving = replace(leaving, metadata=replace(leaving.metadata, deletion_timestamp=at(40)))
    found = created(decide(Scene(pods=[rank(0), leaving], nodes={"n1": out}, failing_since=0), 60))
    assert (found.spec.fault_class, found.spec.blame) == ("Evicted", "node")
    assert "n1.0123456789" in found.spec.message
