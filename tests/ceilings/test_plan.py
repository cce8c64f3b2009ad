"""Request ceilings: what passes by itself, what waits for somebody, and who counts in a queue's sum."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.commands import Apply, Emit
from springtide.api.flavors import AdmissionCheckParametersReference
from springtide.api.kueue import (
    AdmissionCheck,
    AdmissionCheckSpec,
    AdmissionCheckState,
    Workload,
)
from springtide.api.meta import ObjectMeta
from springtide.api.springtide import RequestCeiling, RequestCeilingSpec
from springtide.api.struct import replace
from springtide.ceilings.plan import CONTROLLER, View, activity, plan
from tests.builders import GPU, admitted, at, pod_set, pod_spec, with_condition, workload

NOW = at(60)


def ceiling(**limits: dict[str, Any]) -> RequestCeiling:
    return RequestCeiling(metadata=ObjectMeta(name="small"), spec=RequestCeilingSpec(**limits))


def reserved(name: str, gpus: int, state: str = "Pending", message: str = "") -> Workload:
    """A workload with quota for so many GPUs whose check stands so."""
    found = admitted(workload(name, pod_set(gpus, pod_spec(gpu=1)), queue="team"), {"a": gpus})
    given = found.status.admission
    assert given is not None
    assignments = [replace(one, resource_usage={GPU: str(gpus)}) for one in given.pod_set_assignments]
    said = AdmissionCheckState(name="budget", state=state, message=message, last_transition_time=at(0))
    status = replace(
        found.status, admission=replace(given, pod_set_assignments=assignments), admission_checks=[said]
    )
    return with_condition(replace(found, status=status), "Admitted", "False", reason="UnsatisfiedChecks")


def answer(view: View) -> dict[str, Any] | None:
    for command in plan(view, NOW).commands:
        if isinstance(command, Apply):
            found = command.fields["status"]["admissionChecks"][0]
            assert isinstance(found, dict)
            return found
    return None


def test_what_is_under_the_ceiling_passes_at_once() -> None:
    said = answer(View(reserved("w", 8), {"budget": ceiling(per_workload={GPU: 8, "memory": "1Ti"})}))
    assert said is not None
    assert (said["state"], said["message"]) == ("Ready", "within RequestCeiling small")


def test_what_is_above_waits_and_is_told_how_to_go_on() -> None:
    view = View(reserved("w", 9), {"budget": ceiling(per_workload={GPU: 8})})
    said = answer(view)
    assert said is not None
    assert said["state"] == "Pending"
    assert said["message"] == (
        "asks for 9 nvidia.com/gpu, and a workload may have 8. Approve it with "
        "`springtide approve w -n default --check budget`, or ask for less"
    )
    assert any(isinstance(one, Emit) and one.reason == "ApprovalNeeded" for one in plan(view, NOW).commands)
    again = View(reserved("w", 9, message=said["message"]), view.ceilings)
    assert not plan(again, NOW).commands


@pytest.mark.parametrize("state", ["Ready", "Rejected", "Retry"])
def test_what_somebody_has_said_stands(state: str) -> None:
    assert not plan(View(reserved("w", 9, state), {"budget": ceiling(per_workload={GPU: 8})}), NOW).commands


def test_the_sum_of_a_queue_counts_who_passed_and_nobody_else() -> None:
    limits = {"budget": ceiling(per_local_queue={GPU: 8})}
    mine = reserved("w", 4)
    assert (answer(View(mine, limits, [mine, reserved("v", 5)])) or {})["state"] == "Ready"
    passed = reserved("v", 5, "Ready")
    said = answer(View(mine, limits, [mine, passed])) or {}
    assert said["state"] == "Pending"
    assert "asks for 9 nvidia.com/gpu, and all of its LocalQueue together may have 8" in said["message"]
    over = with_condition(passed, "Finished")
    assert (answer(View(mine, limits, [mine, over])) or {})["state"] == "Ready"


def test_checks_of_others_are_left_to_them() -> None:
    assert not plan(View(reserved("w", 9), {}), NOW).commands


@pytest.mark.parametrize(
    ("kind", "there", "status", "words"),
    [
        ("RequestCeiling", ceiling(per_workload={GPU: 8}), "True", "is active"),
        ("RequestCeiling", None, "False", "does not exist; create it"),
        ("RequestCeiling", ceiling(per_workload={GPU: "many"}), "False", "nvidia.com/gpu"),
        ("ConfigMap", None, "False", "must name a RequestCeiling"),
    ],
)
def test_a_check_says_whether_it_can_be_made(
    kind: str, there: RequestCeiling | None, status: str, words: str
) -> None:
    parameters = AdmissionCheckParametersReference(api_group="springtide.dev", kind=kind, name="small")
    spec = AdmissionCheckSpec(controller_name=CONTROLLER, parameters=parameters)
    (command,) = activity(AdmissionCheck(metadata=ObjectMeta(name="budget"), spec=spec), there, NOW).commands
    assert isinstance(command, Apply)
    (said,) = command.fields["status"]["conditions"]
    assert said["status"] == status
    assert words in said["message"]
