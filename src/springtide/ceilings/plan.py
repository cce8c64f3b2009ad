"""What a ceiling says of a workload that has its quota: under it, or to be approved. Pure; for `controller`.

Only a check that is Pending is answered: what a person has approved or rejected stays so. The sum of a
LocalQueue counts what is admitted there and what this check has let pass, so that two workloads which are
each small enough cannot both pass where only one may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from springtide.api.commands import Apply, Command, Emit, Plan
from springtide.api.kueue import AdmissionCheck, AdmissionCheckState, Workload
from springtide.api.meta import Condition, find_condition, is_true, set_condition
from springtide.api.quantity import Quantity, format_bytes, format_milli, milli
from springtide.api.springtide import RequestCeiling
from springtide.api.struct import encode

CONTROLLER = "springtide.dev/request-ceiling"
"""`spec.controllerName` of the checks that are made here."""
PENDING, READY = "Pending", "Ready"
_KIND = "RequestCeiling"
_GROUP = "springtide.dev"

Thousandths = Mapping[str, int]
"""Amounts by resource, in thousandths of its unit."""


@dataclass(frozen=True)
class View:
    """A workload, its checks that are made here, and who shares its LocalQueue."""

    workload: Workload
    ceilings: Mapping[str, RequestCeiling]
    """By the name of the check."""
    beside: Sequence[Workload] = ()
    """All workloads of the same LocalQueue."""


def plan(view: View, now: datetime) -> Plan:
    """The answers that are due."""
    workload = view.workload
    conditions = workload.status.conditions
    if not is_true(conditions, "QuotaReserved") or is_true(conditions, "Finished"):
        return Plan()
    commands: list[Command] = []
    for state in workload.status.admission_checks:
        ceiling = view.ceilings.get(state.name)
        if ceiling is None or state.state != PENDING:
            continue
        over = _over(view, state.name, ceiling)
        answer, message = (PENDING, _request(over, workload, state.name)) if over else (READY, _fine(ceiling))
        if (state.state, state.message) == (answer, message):
            continue
        commands.append(_answer(workload, state, answer, message, now))
        if over:
            commands.append(Emit(workload, "ApprovalNeeded", message, type="Warning", action="Checking"))
    return Plan(tuple(commands))


def activity(check: AdmissionCheck, ceiling: RequestCeiling | None, now: datetime) -> Plan:
    """Whether a check can be made: its condition Active."""
    error = _error(check, ceiling)
    new = Condition(
        type="Active",
        status="False" if error else "True",
        reason="BadParameters" if error else "Active",
        message=error or "The admission check is active",
        observed_generation=check.metadata.generation or None,
    )
    known = find_condition(check.status.conditions, "Active")
    if known is not None and (known.status, known.message) == (new.status, new.message):
        return Plan()
    stamped = next(one for one in set_condition(check.status.conditions, new, now) if one.type == new.type)
    fields = {"status": {"conditions": [encode(stamped)]}}
    meta = check.metadata
    return Plan((Apply(AdmissionCheck, "", meta.name, fields, subresource="status", uid=meta.uid),))


def parameters_of(check: AdmissionCheck) -> str:
    """Name of the ceiling that a check of ours refers to; empty if it refers to none."""
    said = check.spec.parameters
    if check.spec.controller_name != CONTROLLER or said is None:
        return ""
    return said.name if (said.api_group, said.kind) == (_GROUP, _KIND) else ""


def _error(check: AdmissionCheck, ceiling: RequestCeiling | None) -> str:
    name = parameters_of(check)
    if not name:
        return f"spec.parameters must name a {_KIND} of {_GROUP}: set apiGroup, kind and name"
    if ceiling is None:
        return f"spec.parameters names {_KIND} {name}, which does not exist; create it"
    try:
        amounts(ceiling.spec.per_workload)
        amounts(ceiling.spec.per_local_queue)
    except ValueError as error:
        return f"{_KIND} {name}: {error}"
    return ""


def _over(view: View, check: str, ceiling: RequestCeiling) -> list[str]:
    """What is asked beyond the ceiling, in words."""
    asked = requested(view.workload)
    found = _beyond(asked, amounts(ceiling.spec.per_workload), "a workload")
    if not ceiling.spec.per_local_queue:
        return found
    together = Counter(asked)
    for one in view.beside:
        if one.key != view.workload.key and _passed(one, check):
            together.update(requested(one))
    return found + _beyond(together, amounts(ceiling.spec.per_local_queue), "all of its LocalQueue together")


def _spelled(name: str, thousandths: int) -> str:
    in_bytes = name in ("memory", "ephemeral-storage") or name.startswith("hugepages-")
    return format_bytes(thousandths // 1000) if in_bytes else format_milli(thousandths)


def _passed(workload: Workload, check: str) -> bool:
    """Whether a workload counts in the sum of its LocalQueue."""
    if workload.status.admission is None or is_true(workload.status.conditions, "Finished"):
        return False
    ready = any(one.name == check and one.state == READY for one in workload.status.admission_checks)
    return ready or is_true(workload.status.conditions, "Admitted")


def _beyond(asked: Thousandths, allowed: Thousandths, what: str) -> list[str]:
    return [
        f"{_spelled(name, asked[name])} {name}, and {what} may have {_spelled(name, most)}"
        for name, most in sorted(allowed.items())
        if asked.get(name, 0) > most
    ]


def requested(workload: Workload) -> Counter[str]:
    """What a workload is given by its admission."""
    total: Counter[str] = Counter()
    for one in workload.status.admission.pod_set_assignments if workload.status.admission is not None else ():
        total.update(amounts(one.resource_usage))
    return total


def amounts(resources: Mapping[str, Quantity]) -> Counter[str]:
    """A resource list in thousandths. Raises ValueError naming the resource that does not parse."""
    found: Counter[str] = Counter()
    for name, value in resources.items():
        try:
            found[name] = milli(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def _fine(ceiling: RequestCeiling) -> str:
    return f"within RequestCeiling {ceiling.metadata.name}"


def _request(over: Iterable[str], workload: Workload, check: str) -> str:
    name, namespace = workload.metadata.name, workload.metadata.namespace
    return (
        f"asks for {'; '.join(over)}. Approve it with "
        f"`springtide approve {name} -n {namespace} --check {check}`, or ask for less"
    )


def _answer(workload: Workload, known: AdmissionCheckState, state: str, message: str, now: datetime) -> Apply:
    at = now if known.state != state or known.last_transition_time is None else known.last_transition_time
    said = AdmissionCheckState(name=known.name, state=state, message=message, last_transition_time=at)
    meta = workload.metadata
    fields: dict[str, Any] = {"status": {"admissionChecks": [encode(said)]}}
    if meta.resource_version:  # an answer must not reach the next attempt, or overrule a person
        fields["metadata"] = {"resourceVersion": meta.resource_version}
    return Apply(Workload, meta.namespace, meta.name, fields, subresource="status", uid=meta.uid)
