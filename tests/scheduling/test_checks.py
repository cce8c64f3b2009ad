"""Admission checks: quota first, then the checks, and only then pods; with Kueue's states."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.kueue import (
    AdmissionCheck,
    AdmissionChecksStrategy,
    AdmissionCheckState,
    AdmissionCheckStrategyRule,
    ClusterQueue,
    PodSetUpdate,
    evictions_of,
)
from springtide.api.meta import Condition, ObjectMeta, find_condition
from springtide.api.struct import replace
from tests.builders import at, cluster_queue, node, pod_set, pod_spec, workload
from tests.scheduling.world import World

KEY = "default/w"


def check(name: str, active: bool = True) -> AdmissionCheck:
    condition = Condition(type="Active", status="True" if active else "False", reason="x")
    found = AdmissionCheck(metadata=ObjectMeta(name=name))
    return replace(found, status=replace(found.status, conditions=[condition]))


def checked(*rules: AdmissionCheckStrategyRule) -> ClusterQueue:
    found = cluster_queue(quota={"cpu": 8})
    strategy = AdmissionChecksStrategy(admission_checks=list(rules))
    return replace(found, spec=replace(found.spec, admission_checks_strategy=strategy))


def world(*rules: AdmissionCheckStrategyRule) -> World:
    rules = rules or (AdmissionCheckStrategyRule(name="budget"),)
    labelled = {"pool": "spot"}
    found = World(
        checked(*rules),
        *(check(rule.name) for rule in rules),
        node("a", cpu=4),
        node("b", cpu=4, labelled=labelled),
        workload("w", pod_set(2)),
    )
    found.cycle()
    return found


def answer(found: World, state: str, name: str = "budget", **more: Any) -> None:
    """What the controller of a check says."""
    old = found.workload(KEY)
    said = AdmissionCheckState(name=name, state=state, last_transition_time=at(found.clock), **more)
    states = [said if one.name == name else one for one in old.status.admission_checks]
    found.add(replace(old, status=replace(old.status, admission_checks=states)))


def states(found: World) -> dict[str, str]:
    return {one.name: one.state for one in found.workload(KEY).status.admission_checks}


def test_quota_and_places_are_kept_while_the_checks_are_made() -> None:
    found = world()
    assert states(found) == {"budget": "Pending"}
    assert found.condition(KEY).status == "True"
    admitted = found.condition(KEY, "Admitted")
    assert (admitted.status, admitted.reason) == ("False", "UnsatisfiedChecks")
    assert "budget" in admitted.message
    assert not found.cycle().commands
    found.add(workload("v", pod_set(7), created=9))
    found.cycle()
    assert not found.is_admitted("default/v")  # its quota is taken
    answer(found, "Ready")
    found.cycle()
    admitted = found.condition(KEY, "Admitted")
    assert (admitted.status, admitted.reason) == ("True", "Admitted")
    assert admitted.message.startswith("Pods placed on ")
    found.cycle()
    assert not found.cycle().commands


def test_all_checks_have_to_be_ready() -> None:
    found = world(AdmissionCheckStrategyRule(name="budget"), AdmissionCheckStrategyRule(name="other"))
    answer(found, "Ready")
    found.cycle()
    admitted = found.condition(KEY, "Admitted")
    assert admitted.status == "False"
    assert "other" in admitted.message
    assert "budget" not in admitted.message


@pytest.mark.parametrize(("flavor", "expected"), [("default", {"budget": "Pending"}), ("spot", {})])
def test_a_check_may_be_for_some_flavors_only(flavor: str, expected: dict[str, str]) -> None:
    found = world(AdmissionCheckStrategyRule(name="budget", on_flavors=[flavor]))
    assert states(found) == expected
    assert found.condition(KEY, "Admitted").status == ("False" if expected else "True")


def test_a_check_that_is_ready_beforehand_is_not_waited_for() -> None:
    found = World(checked(AdmissionCheckStrategyRule(name="budget")), check("budget"), node("a"))
    said = AdmissionCheckState(name="budget", state="Ready", last_transition_time=at(0))
    waiting = workload("w")
    found.add(replace(waiting, status=replace(waiting.status, admission_checks=[said])))
    found.cycle()
    assert found.condition(KEY, "Admitted").status == "True"


def test_retry_gives_quota_back_until_its_time_comes() -> None:
    found = world()
    answer(found, "Retry", message="no capacity", requeue_after_seconds=120)
    found.cycle()
    after = found.workload(KEY)
    assert after.status.admission is None
    evicted = find_condition(after.status.conditions, "Evicted")
    assert evicted is not None
    assert (evicted.status, evicted.reason) == ("True", "AdmissionCheck")
    assert evictions_of(after) == {("AdmissionCheck", ""): 1}
    (state,) = after.status.admission_checks
    assert (state.state, state.retry_count) == ("Pending", 1)
    assert state.message == "Reset to Pending after eviction. Previously: Retry"
    found.cycle()
    assert found.condition(KEY).reason == "WaitingForBackoff"
    found.clock += 120
    found.cycle()
    assert found.is_admitted(KEY)
    assert states(found) == {"budget": "Pending"}


def test_rejected_is_for_good_until_the_workload_changes() -> None:
    found = world()
    answer(found, "Rejected", message="too dear")
    found.cycle()
    evicted = find_condition(found.workload(KEY).status.conditions, "Evicted")
    assert evicted is not None
    assert evicted.reason == "DeactivatedDueToAdmissionCheck"
    found.clock += 100_000
    found.cycle()
    assert found.condition(KEY).reason == "Deactivated"
    assert "too dear" in found.condition(KEY).message


@pytest.mark.parametrize(
    ("there", "reason"),
    [((), "AdmissionCheckNotFound"), ((check("budget", active=False),), "AdmissionCheckInactive")],
)
def test_a_queue_whose_check_cannot_be_made_is_not_active(
    there: tuple[AdmissionCheck, ...], reason: str
) -> None:
    found = World(checked(AdmissionCheckStrategyRule(name="budget")), *there, node("a"), workload("w"))
    found.cycle()
    assert not found.is_admitted(KEY)
    assert found.condition(KEY).reason == reason
    queue = found.objects[ClusterQueue, "default"]
    assert isinstance(queue, ClusterQueue)
    active = find_condition(queue.status.conditions, "Active")
    assert active is not None
    assert (active.status, active.reason) == ("False", reason)


def test_places_move_to_where_a_check_wants_them() -> None:
    found = world()
    before = found.placement(KEY)
    wanted = "b" if "a" in before["node"] else "a"
    pool = {"pool": "spot"} if wanted == "b" else {"kubernetes.io/hostname": "a"}
    answer(found, "Ready", pod_set_updates=[PodSetUpdate(name="node", node_selector=pool)])
    found.cycle()
    assert found.placement(KEY) == {"node": {wanted: 2}}
    assert found.condition(KEY, "Admitted").status == "True"


def test_it_waits_with_its_quota_while_there_is_no_room_where_a_check_wants_it() -> None:
    found = world()
    answer(found, "Ready", pod_set_updates=[PodSetUpdate(name="node", node_selector={"pool": "none"})])
    found.cycle()
    assert found.condition(KEY, "Admitted").status == "False"
    assert found.condition(KEY).status == "True"


def test_a_preempted_workload_is_checked_anew() -> None:
    found = world()
    answer(found, "Ready")
    found.cycle()
    found.add(replace(found.workload(KEY), spec=replace(found.workload(KEY).spec, active=False)))
    found.cycle()
    assert states(found) == {"budget": "Pending"}


def test_without_checks_nothing_of_this_is_written() -> None:
    found = World(node("a"), workload("w", pod_set(1, pod_spec(cpu=1))))
    found.cycle()
    assert found.workload(KEY).status.admission_checks == []
