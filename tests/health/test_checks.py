"""Checks of nodes: the pair that confirms or clears a suspicion, and the one before a gang starts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from springtide.api import labels
from springtide.api.commands import Apply, Create, Delete, Plan
from springtide.api.core import ContainerState, ContainerStateTerminated, ContainerStatus, Pod
from springtide.api.kueue import AdmissionCheckState, Workload
from springtide.api.meta import Condition, ObjectMeta
from springtide.api.nodehealth import Incident, NodeCheck, NodeHealth, NodeHealthStatus
from springtide.api.springtide import Diagnosis, DiagnosisSpec, DiagnosisStatus
from springtide.api.struct import decode, replace
from springtide.health import checkpods, paired, preflight
from springtide.health.checkpods import CheckSettings
from springtide.health.incidents import is_incident
from tests import builders
from tests.builders import at
from tests.health.scene import gang

SETTINGS = CheckSettings()
GOOD = {"compute": 500.0, "memory": 4000.0, "sockets": 3000.0}
SLOW = {**GOOD, "memory": 1000.0}


def suspected(name: str = "n1", *, second: float = 100, checked: float | None = None) -> NodeHealth:
    """A node that slowed a job."""
    slow = Incident(diagnosis="default/j-0-slow-1", time=at(second), fault="Straggler", blame="unknown")
    checks = [NodeCheck(kind="paired", time=at(checked), passed=True)] if checked is not None else []
    return NodeHealth(metadata=ObjectMeta(name=name), status=NodeHealthStatus(history=[slow], checks=checks))


def ended(pod: Pod, measures: Mapping[str, float] | None, *, second: float = 130, reason: str = "") -> Pod:
    """A check that has ended, with what it measured; None: it failed."""
    if reason:
        return replace(pod, status=replace(pod.status, phase="Failed", reason=reason))
    message = json.dumps(measures) if measures is not None else ""
    done = ContainerStateTerminated(
        exit_code=0 if measures is not None else 1, finished_at=at(second), message=message, reason="Error"
    )
    statuses = [ContainerStatus(name="check", state=ContainerState(terminated=done))]
    phase = "Succeeded" if measures is not None else "Failed"
    return replace(
        pod,
        metadata=replace(pod.metadata, uid=f"uid-{pod.metadata.name}"),
        status=replace(pod.status, phase=phase, container_statuses=statuses),
    )


def view(*pods: Pod, busy: Sequence[str] = (), **changes: Any) -> paired.View:
    made = {
        "node": builders.node("n1"),
        "health": suspected(),
        "busy": frozenset(busy),
        "nodes": [builders.node(name) for name in ("n0", "n1", "n2")],
        "suspected": frozenset(("n1",)),
        "pods": pods,
    }
    return paired.View(**{**made, **changes})


def decided(seen: paired.View, second: float = 140) -> Plan:
    return paired.plan(seen, at(second), SETTINGS)


def pods_made(plan: Plan) -> list[Pod]:
    return [one.obj for one in plan.commands if isinstance(one, Create) and isinstance(one.obj, Pod)]


def incidents(plan: Plan) -> list[Diagnosis]:
    return [one.obj for one in plan.commands if isinstance(one, Create) and isinstance(one.obj, Diagnosis)]


def noted(plan: Plan) -> list[dict[str, Any]]:
    """The checks that are written into NodeHealth."""
    writes = [one for one in plan.commands if isinstance(one, Apply) and one.kind is NodeHealth]
    return [check for one in writes for check in one.fields.get("status", {}).get("checks", [])]


def pair(mine: Mapping[str, float] | None, other: Mapping[str, float] | None) -> paired.View:
    first, second = pods_made(decided(view()))
    return view(ended(first, mine), ended(second, other))


def test_a_suspected_node_is_measured_beside_an_idle_one() -> None:
    first, second = pods_made(decided(view()))
    assert [pod.spec.node_name for pod in (first, second)] == ["n1", "n0"]
    assert all(paired.is_of(pod, "n1") for pod in (first, second))
    assert first.spec.containers[0].command == second.spec.containers[0].command
    assert decided(view(first, second)).commands == (), "they run"


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("a job runs on the node", view(busy=["n1"])),
        ("no node is idle", view(busy=["n0", "n2"])),
        ("the only other node is of another kind", view(nodes=[builders.node("n0", cpu="1")])),
        ("the others are suspected too", view(suspected=frozenset(("n0", "n1", "n2")))),
    ],
)
def test_a_check_waits_for_what_it_needs(what: str, seen: paired.View) -> None:
    plan = decided(seen)
    assert plan.commands == ()
    assert plan.requeue_after_seconds == paired.RETRY_SECONDS


def test_a_node_that_keeps_up_is_cleared_and_nobody_is_cordoned() -> None:
    plan = decided(pair(GOOD, GOOD))
    assert incidents(plan) == []
    (check,) = noted(plan)
    assert (check["kind"], check["passed"], check["peer"]) == ("paired", True, "n0")
    assert len([one for one in plan.commands if isinstance(one, Delete)]) == 2
    after = suspected(checked=130)
    assert paired.suspicion(after, at(140), SETTINGS) is None, "that suspicion is answered"
    assert paired.suspicion(suspected(second=150, checked=130), at(160), SETTINGS) == at(150), (
        "a later one is not"
    )


@pytest.mark.parametrize(("what", "mine"), [("a slow memory", SLOW), ("no result at all", None)])
def test_a_node_that_falls_behind_becomes_an_incident(what: str, mine: Mapping[str, float] | None) -> None:
    plan = decided(pair(mine, GOOD))
    (found,) = incidents(plan)
    assert is_incident(found)
    assert (found.spec.node, found.spec.blame, found.spec.action) == ("n1", "node", "cordon_evict")
    (check,) = noted(plan)
    assert check.get("passed", False) is False
    assert incidents(decided(pair(mine, GOOD)))[0].metadata.name == found.metadata.name, (
        "created twice is one"
    )


def test_a_check_that_says_nothing_about_speed_is_made_again() -> None:
    first, second = pods_made(decided(view()))
    refused = decided(view(ended(first, None, reason="OutOfcpu"), second))
    assert [type(one) for one in refused.commands] == [Apply, Delete, Delete]
    assert noted(refused)[0]["tries"] == 1
    broken_peer = decided(pair(GOOD, None))
    assert [type(one) for one in broken_peer.commands] == [Apply, Delete, Delete]
    assert incidents(broken_peer) == []


def unable(tries: int, second: float = 140) -> NodeHealth:
    """A suspected node on which so many checks said nothing."""
    check = NodeCheck(kind="paired", time=at(second), tries=tries)
    found = suspected()
    return replace(found, status=replace(found.status, checks=[check]))


def told_to(plan: Plan) -> list[dict[str, Any]]:
    """What is said in the Diagnoses that suspected the node."""
    writes = [one for one in plan.commands if isinstance(one, Apply) and one.kind is Diagnosis]
    return [condition for one in writes for condition in one.fields["status"]["conditions"]]


def suspicion_of(*conditions: Condition) -> Diagnosis:
    spec = DiagnosisSpec(workload="j", node="n1", fault_class="Straggler", blame="unknown")
    meta = ObjectMeta(name="j-0-slow-1", namespace="default", uid="uid-d")
    return Diagnosis(metadata=meta, spec=spec, status=DiagnosisStatus(conditions=list(conditions)))


def unpulled(made: Sequence[Pod] = ()) -> list[Pod]:
    """A pair whose image cannot be pulled: both ran into their deadline."""
    made = made or pods_made(decided(view()))
    return [
        replace(pod, status=replace(pod.status, phase="Failed", reason="DeadlineExceeded")) for pod in made
    ]


def test_a_check_whose_image_is_broken_is_given_up_and_the_diagnosis_says_so() -> None:
    health, second, started = suspected(), 140.0, 0
    suspicion = suspicion_of()
    for _ in range(100):
        made = decided(view(health=health, suspicions=[suspicion]), second)
        if not pods_made(made):
            second += made.requeue_after_seconds or 0.0
            if made.requeue_after_seconds is None:
                break
            continue
        started += 1
        second += 300
        seen = view(*unpulled(pods_made(made)), health=health, suspicions=[suspicion])
        plan = decided(seen, second)
        assert incidents(plan) == []
        (check,) = noted(plan)
        assert bool(told_to(plan)) == (started == paired.TRIES_MAX)
        health = replace(health, status=replace(health.status, checks=[decode(NodeCheck, check)]))
    assert started == paired.TRIES_MAX
    assert paired.suspicion(health, at(second), SETTINGS) is None
    (said,) = told_to(plan)
    assert (said["type"], said["status"], said["reason"]) == ("Checked", "False", "CheckGaveUp")
    assert said["message"].endswith("the last: on n1: DeadlineExceeded")
    assert second < 140 + 3600 + 300 * paired.TRIES_MAX, "within about an hour"


def test_each_try_waits_longer_and_takes_another_peer() -> None:
    waits = []
    for tries in range(1, paired.TRIES_MAX):
        waits.append(decided(view(health=unable(tries)), 140).requeue_after_seconds)
        due = decided(view(health=unable(tries)), 140 + (waits[-1] or 0))
        assert [pod.spec.node_name for pod in pods_made(due)] == ["n1", ("n0", "n2")[tries % 2]]
    assert waits == [30, 60, 120, 240, 480]


def test_a_new_suspicion_is_tried_anew() -> None:
    given_up = unable(paired.TRIES_MAX)
    assert paired.suspicion(given_up, at(150), SETTINGS) is None
    again = suspected(second=160)
    again = replace(again, status=replace(again.status, checks=given_up.status.checks))
    assert len(pods_made(decided(view(health=again), 170))) == 2


def test_a_check_that_is_seen_again_after_it_was_counted_counts_once() -> None:
    """The cache of pods is behind: those that were deleted are there still."""
    seen = view(*unpulled(), health=unable(1))
    assert [type(one) for one in decided(seen).commands] == [Delete, Delete]


def test_pods_that_go_are_no_check_of_their_own() -> None:
    first, second = unpulled()
    going = replace(first, metadata=replace(first.metadata, deletion_timestamp=at(139)))
    plan = decided(view(going, second))
    assert [type(one) for one in plan.commands] == [Delete], "what is left of a check that was counted"


def test_half_a_pair_runs_to_its_end_before_it_counts() -> None:
    first, _ = pods_made(decided(view()))
    assert decided(view(first)).commands == (), "the other may not be seen yet"
    (check,) = noted(decided(view(ended(first, GOOD))))
    assert check["message"] == "not checked: one of the two pods of the check was deleted"


@pytest.mark.parametrize(("mine", "reason"), [(GOOD, "KeepsUp"), (SLOW, "FallsBehind")])
def test_the_diagnosis_that_suspected_the_node_says_what_came_of_it(
    mine: Mapping[str, float], reason: str
) -> None:
    seen = pair(mine, GOOD)
    given_up = suspicion_of(Condition(type="Checked", status="False", reason="CheckGaveUp"))
    for suspicion in (suspicion_of(), given_up):
        (said,) = told_to(decided(paired_with(seen, suspicion)))
        assert (said["status"], said["reason"]) == ("True", reason)
        answered = suspicion_of(decode(Condition, said))
        assert told_to(decided(paired_with(seen, answered))) == [], "once"


def paired_with(seen: paired.View, *suspicions: Diagnosis) -> paired.View:
    return view(*seen.pods, suspicions=suspicions)


def test_an_old_suspicion_is_forgotten() -> None:
    later = at(100) + timedelta(seconds=SETTINGS.suspicion_seconds + 1)
    assert paired.suspicion(suspected(), later, SETTINGS) is None


def test_a_check_takes_all_gpus_of_its_node() -> None:
    node = builders.node("n1", gpu="8")
    pod = checkpods.check_pod("paired", node, "n1", SETTINGS)
    assert pod.spec.containers[0].resources.limits == {"nvidia.com/gpu": "8"}


# -- before a gang starts ---------------------------------------------------------------------------


def waiting(state: str = "Pending", retries: int | None = None) -> Workload:
    """A gang of two with places, whose start waits for the check `healthy`."""
    made = gang()
    check = AdmissionCheckState(name="healthy", state=state, retry_count=retries, last_transition_time=at(0))
    return replace(made, status=replace(made.status, admission_checks=[check]))


def flown(
    workload: Workload, healths: Mapping[str, NodeHealth], pods: Sequence[Pod] = (), second: float = 140
) -> Plan:
    seen = preflight.View(
        workload=workload,
        checks=frozenset(("healthy",)),
        nodes={name: builders.node(name) for name in ("n0", "n1")},
        healths=healths,
        pods={pod.metadata.name: pod for pod in pods},
    )
    return preflight.plan(seen, at(second), SETTINGS)


def checked(name: str, measures: Mapping[str, float], second: float = 120) -> NodeHealth:
    found = NodeCheck(kind="preflight", time=at(second), passed=bool(measures), measures=dict(measures))
    return NodeHealth(metadata=ObjectMeta(name=name), status=NodeHealthStatus(checks=[found]))


def answered(plan: Plan) -> tuple[str, str]:
    """State and message the check is given."""
    (write,) = [one for one in plan.commands if isinstance(one, Apply) and one.kind is Workload]
    (state,) = write.fields["status"]["admissionChecks"]
    return state["state"], state["message"]


FLEET = {f"f{number}": checked(f"f{number}", GOOD) for number in range(5)}


def test_every_node_of_a_gang_is_checked_first() -> None:
    plan = flown(waiting(), {})
    first, second = pods_made(plan)
    assert [pod.spec.node_name for pod in (first, second)] == ["n0", "n1"]
    assert answered(plan) == ("Pending", "0 of 2 nodes are checked; n0 is next")
    plan = flown(waiting(), {"n1": checked("n1", GOOD)}, [ended(first, GOOD)])
    (check,) = noted(plan)
    assert (check["kind"], check["passed"], check["measures"]) == ("preflight", True, GOOD)


def test_a_gang_starts_when_all_its_nodes_do_well() -> None:
    state, message = answered(flown(waiting(), {"n0": checked("n0", GOOD), "n1": checked("n1", GOOD)}))
    assert (state, message) == ("Ready", "2 nodes checked; all within 25% of the median")


def test_checks_of_the_last_hour_count() -> None:
    healths = {name: checked(name, GOOD) for name in ("n0", "n1")}
    assert pods_made(flown(waiting(), healths, second=120 + 3600)) == []
    assert len(pods_made(flown(waiting(), healths, second=121 + 3600))) == 2


@pytest.mark.parametrize(("what", "measures"), [("slow", SLOW), ("broken", {})])
def test_a_bad_node_is_reported_and_the_gang_sent_elsewhere(what: str, measures: Mapping[str, float]) -> None:
    plan = flown(waiting(), {**FLEET, "n0": checked("n0", GOOD), "n1": checked("n1", measures)})
    assert answered(plan)[0] == "Retry"
    (found,) = incidents(plan)
    assert is_incident(found)
    assert found.spec.node == "n1"


def test_a_check_that_could_not_run_is_not_held_against_the_node() -> None:
    pod = checkpods.check_pod("preflight", builders.node("n0"), "preflight", SETTINGS)
    overdue = replace(pod, status=replace(pod.status, phase="Failed", reason="DeadlineExceeded"))
    (check,) = noted(flown(waiting(), {"n1": checked("n1", GOOD)}, [overdue]))
    assert (check["passed"], check["message"]) == (True, "not checked: DeadlineExceeded")
    unchecked = NodeCheck(kind="preflight", time=at(120), passed=True, message=check["message"])
    health = NodeHealth(metadata=ObjectMeta(name="n0"), status=NodeHealthStatus(checks=[unchecked]))
    plan = flown(waiting(), {"n0": health, "n1": checked("n1", GOOD)})
    assert incidents(plan) == []
    assert answered(plan) == (
        "Ready",
        "1 nodes checked; all within 25% of the median; n0 not checked: DeadlineExceeded",
    )


def test_a_gang_does_not_wait_for_ever() -> None:
    healths = {**FLEET, "n0": checked("n0", GOOD), "n1": checked("n1", SLOW)}
    state, message = answered(flown(waiting(retries=3), healths))
    assert state == "Ready"
    assert message.startswith("let pass after 3 tries, though n1: memory at 25%")


@pytest.mark.parametrize("state", ["Ready", "Retry", "Rejected"])
def test_what_was_answered_stays(state: str) -> None:
    assert flown(waiting(state), {}).commands == ()


def test_places_that_are_no_nodes_are_let_pass() -> None:
    workload = waiting()
    admission = workload.status.admission
    assert admission is not None
    bare = [replace(one, topology_assignment=None) for one in admission.pod_set_assignments]
    workload = replace(
        workload, status=replace(workload.status, admission=replace(admission, pod_set_assignments=bare))
    )
    assert answered(flown(workload, {}))[0] == "Ready"


def test_pods_of_checks_are_marked() -> None:
    pod = checkpods.check_pod("preflight", builders.node("n0"), "preflight", SETTINGS)
    assert preflight.is_preflight(pod)
    assert not paired.is_of(pod, "n0")
    assert labels.WORKLOAD not in pod.metadata.labels
