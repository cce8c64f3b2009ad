"""Where a group stands, in the words of its dialect. Pure; called by the plan.

Kubernetes' PodGroup has conditions, Volcano's a phase and counts besides; pods with Kueue's labels have no
object, and their Workload says it all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from springtide.api import podgroups, volcano
from springtide.api.commands import Apply, Command
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Condition, find_condition, is_true, set_condition
from springtide.api.struct import encode
from springtide.api.volcano import PodGroupPhase
from springtide.podgroups.assembly import Asked, GroupObject


def group_status(
    obj: GroupObject | None,
    workload: Workload | None,
    pods: Sequence[Pod],
    asked: Asked,
    now: datetime,
) -> list[Command]:
    """What the group's object is to say, if it does not say so yet."""
    if isinstance(obj, podgroups.PodGroup):
        return _of_kubernetes(obj, workload, asked, now)
    if isinstance(obj, volcano.PodGroup):
        return _of_volcano(obj, workload, pods, asked, now)
    return []


def _of_kubernetes(
    obj: podgroups.PodGroup, workload: Workload | None, asked: Asked, now: datetime
) -> list[Command]:
    scheduled = _is_admitted(workload)
    conditions = [
        Condition(
            type=podgroups.SCHEDULED,
            status="True" if scheduled else "False",
            reason="Scheduled" if scheduled else "Unschedulable",
            message=_message(workload, asked),
            observed_generation=obj.metadata.generation or None,
        )
    ]
    evicted = find_condition(workload.status.conditions, "Evicted") if workload is not None else None
    if evicted is not None and evicted.status == "True" and evicted.reason == "Preempted":
        conditions.append(
            Condition(
                type=podgroups.DISRUPTION_TARGET,
                status="True",
                reason="PreemptionByScheduler",
                message=evicted.message,
                observed_generation=obj.metadata.generation or None,
            )
        )
    owned = [
        one for one in obj.status.conditions if one.type in (podgroups.SCHEDULED, podgroups.DISRUPTION_TARGET)
    ]
    stamped = [_stamped(owned, one, now) for one in conditions]
    if stamped == owned:
        return []
    return [_apply(obj, {"conditions": [encode(one) for one in stamped]})]


def _of_volcano(
    obj: volcano.PodGroup, workload: Workload | None, pods: Sequence[Pod], asked: Asked, now: datetime
) -> list[Command]:
    phases = Counter(pod.status.phase for pod in pods)
    scheduled = _is_admitted(workload)
    type_ = "Scheduled" if scheduled else "Unschedulable"
    reason = "tasks in gang are ready to be scheduled" if scheduled else "NotEnoughResources"
    known = next((one for one in obj.status.conditions if one.type == type_), None)
    said = volcano.PodGroupCondition(
        type=type_,
        status="True",
        transition_id=workload.metadata.uid if workload is not None else "",
        last_transition_time=known.last_transition_time if known is not None else now,
        reason=reason,
        message=_message(workload, asked),
    )
    status = volcano.PodGroupStatus(
        phase=_phase(obj, workload, phases).value,
        conditions=[said],
        running=phases["Running"],
        succeeded=phases["Succeeded"],
        failed=phases["Failed"],
    )
    return [_apply(obj, encode(status))] if status != obj.status else []


def _phase(obj: volcano.PodGroup, workload: Workload | None, phases: Counter[str]) -> PodGroupPhase:
    if workload is not None and is_true(workload.status.conditions, "Finished"):
        return PodGroupPhase.COMPLETED
    if not _is_admitted(workload):
        return PodGroupPhase.PENDING
    enough = phases["Running"] + phases["Succeeded"] >= max(1, obj.spec.min_member)
    return PodGroupPhase.RUNNING if enough else PodGroupPhase.INQUEUE


def _is_admitted(workload: Workload | None) -> bool:
    return workload is not None and is_true(workload.status.conditions, "Admitted")


def _message(workload: Workload | None, asked: Asked) -> str:
    """What the Workload says: the engine's own words."""
    if workload is None:
        return asked.missing or "waits to be looked at"
    admitted = find_condition(workload.status.conditions, "Admitted")
    if admitted is not None and admitted.status == "True":
        return admitted.message
    reserved = find_condition(workload.status.conditions, "QuotaReserved")
    if reserved is None:
        return asked.missing or "waits to be looked at"
    return reserved.message


def _stamped(owned: Sequence[Condition], new: Condition, now: datetime) -> Condition:
    return next(one for one in set_condition(owned, new, now) if one.type == new.type)


def _apply(obj: GroupObject, status: dict[str, Any]) -> Apply:
    meta = obj.metadata
    return Apply(type(obj), meta.namespace, meta.name, {"status": status}, subresource="status", uid=meta.uid)
