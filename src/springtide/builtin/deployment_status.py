"""The status of a Deployment: counts, and how its rollout gets on. Pure; called by `deployments`.

Source of conditions, reasons and messages: kube-controller-manager's deployment controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.apps import Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet
from springtide.api.meta import find_condition, whole_second
from springtide.api.struct import replace
from springtide.builtin.deployment_sets import size
from springtide.builtin.rollout_amounts import has_deadline, max_unavailable, replicas_of

Conditions = list[DeploymentCondition]

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
NEW_SET_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"
_SKEW_SECONDS = 1.0


@dataclass(frozen=True)
class Seen:
    """What happened on the way to this status."""

    created: bool = False
    """The new set was created just now."""
    creation_error: str = ""
    """Why it could not be."""
    rolls: bool = False
    """A rollout, and not a scaling or a pause."""


def status_of(
    deployment: Deployment, sets: Sequence[ReplicaSet], new: ReplicaSet | None, seen: Seen, now: datetime
) -> DeploymentStatus:
    """The status for these sets, as they are after all writes."""
    conditions = _before_counting(deployment, new, seen, now)
    available = sum(one.status.available_replicas for one in sets)
    status = replace(
        deployment.status,
        observed_generation=deployment.metadata.generation,
        replicas=sum(one.status.replicas for one in sets),
        updated_replicas=new.status.replicas if new is not None else 0,
        ready_replicas=sum(one.status.ready_replicas for one in sets),
        available_replicas=available,
        unavailable_replicas=max(sum(map(size, sets)) - available, 0),
        terminating_replicas=sum(one.status.terminating_replicas or 0 for one in sets),
        conditions=_availability(deployment, conditions, available, now),
    )
    if not seen.rolls:
        return status
    return replace(status, conditions=_with_failure(_progress(deployment, status, new, now), sets, new, now))


def look_again(deployment: Deployment, status: DeploymentStatus, now: datetime) -> float | None:
    """Seconds until the rollout would have timed out."""
    known = find_condition(status.conditions, PROGRESSING)
    if not has_deadline(deployment) or known is None or known.last_update_time is None:
        return None
    if known.reason in (TIMED_OUT, PAUSED) or _is_complete(deployment, status):
        return None
    left = known.last_update_time + _deadline(deployment) - now
    return max(left.total_seconds(), 0.0) + _SKEW_SECONDS


def _before_counting(deployment: Deployment, new: ReplicaSet | None, seen: Seen, now: datetime) -> Conditions:
    """What a pause, its end and the new set say about progress."""
    conditions = deployment.status.conditions
    if not has_deadline(deployment) or deployment.metadata.deletion_timestamp is not None:
        return conditions
    known = find_condition(conditions, PROGRESSING)
    paused = known is not None and known.reason == PAUSED
    if known is None or known.reason != TIMED_OUT:
        if deployment.spec.paused and not paused:
            conditions = _set(conditions, PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now)
        elif paused and not deployment.spec.paused:
            conditions = _set(conditions, PROGRESSING, "Unknown", RESUMED, "Deployment is resumed", now)
    if seen.creation_error:
        return _set(conditions, PROGRESSING, "False", "ReplicaSetCreateError", seen.creation_error, now)
    if new is not None and seen.created:
        text = f'Created new replica set "{new.metadata.name}"'
        return _set(conditions, PROGRESSING, "True", "NewReplicaSetCreated", text, now)
    if new is not None and find_condition(conditions, PROGRESSING) is None:
        text = f'Found new replica set "{new.metadata.name}"'
        return _set(conditions, PROGRESSING, "True", "FoundNewReplicaSet", text, now)
    return conditions


def _availability(
    deployment: Deployment, conditions: Conditions, available: int, now: datetime
) -> Conditions:
    if available >= replicas_of(deployment) - max_unavailable(deployment):
        text = "Deployment has minimum availability."
        return _set(conditions, AVAILABLE, "True", "MinimumReplicasAvailable", text, now)
    text = "Deployment does not have minimum availability."
    return _set(conditions, AVAILABLE, "False", "MinimumReplicasUnavailable", text, now)


def _progress(
    deployment: Deployment, status: DeploymentStatus, new: ReplicaSet | None, now: datetime
) -> Conditions:
    conditions, known = status.conditions, find_condition(status.conditions, PROGRESSING)
    if not has_deadline(deployment):
        return [one for one in conditions if one.type != PROGRESSING]
    done_before = known is not None and known.reason == NEW_SET_AVAILABLE
    if done_before and status.replicas == status.updated_replicas:
        return conditions  # no rollout is going on
    name = deployment.metadata.name
    what = f'ReplicaSet "{new.metadata.name}"' if new is not None else f'Deployment "{name}"'
    if _is_complete(deployment, status):
        text = f"{what} has successfully progressed."
        return _set(conditions, PROGRESSING, "True", NEW_SET_AVAILABLE, text, now)
    if _has_progressed(deployment.status, status):
        return _moved_on(conditions, known, f"{what} is progressing.", now)
    if _is_late(deployment, known, now):
        text = f"{what} has timed out progressing."
        return _set(conditions, PROGRESSING, "False", TIMED_OUT, text, now)
    return conditions


def _moved_on(
    conditions: Conditions, known: DeploymentCondition | None, text: str, now: datetime
) -> Conditions:
    """Progress always moves the time of update, even where nothing else of the condition changes."""
    moment = whole_second(now)
    same = known is not None and known.status == "True"
    moved = DeploymentCondition(
        type=PROGRESSING,
        status="True",
        reason="ReplicaSetUpdated",
        message=text,
        last_update_time=moment,
        last_transition_time=known.last_transition_time if known is not None and same else moment,
    )
    return [*(one for one in conditions if one.type != PROGRESSING), moved]


def _is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    counts = (status.updated_replicas, status.replicas, status.available_replicas)
    current = status.observed_generation >= deployment.metadata.generation
    return current and counts == (replicas_of(deployment),) * 3


def _has_progressed(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    return (
        after.updated_replicas > before.updated_replicas
        or after.replicas - after.updated_replicas < before.replicas - before.updated_replicas
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def _is_late(deployment: Deployment, known: DeploymentCondition | None, now: datetime) -> bool:
    if known is None or known.reason == NEW_SET_AVAILABLE:
        return False
    if known.reason == TIMED_OUT:
        return True
    return known.last_update_time is not None and known.last_update_time + _deadline(deployment) < now


def _deadline(deployment: Deployment) -> timedelta:
    return timedelta(seconds=deployment.spec.progress_deadline_seconds or 0)


def _with_failure(
    conditions: Conditions, sets: Sequence[ReplicaSet], new: ReplicaSet | None, now: datetime
) -> Conditions:
    """A set that cannot make pods: the new one's word counts before the old ones'."""
    ordered = [*([new] if new is not None else ()), *sets]
    failures = (find_condition(one.status.conditions, REPLICA_FAILURE) for one in ordered)
    failed = next((one for one in failures if one is not None), None)
    if failed is None:
        return [one for one in conditions if one.type != REPLICA_FAILURE]
    known = find_condition(conditions, REPLICA_FAILURE)
    if known is not None and (known.status, known.reason) == (failed.status, failed.reason):
        return conditions
    moment = failed.last_transition_time or whole_second(now)
    moved = DeploymentCondition(
        type=REPLICA_FAILURE,
        status=failed.status,
        reason=failed.reason,
        message=failed.message,
        last_update_time=moment,
        last_transition_time=moment,
    )
    return [*(one for one in conditions if one.type != REPLICA_FAILURE), moved]


def _set(
    conditions: Conditions, type_: str, status: str, reason: str, message: str, now: datetime
) -> Conditions:
    """Put a condition in; one of the same status and reason stays as it is, times and all."""
    known, moment = find_condition(conditions, type_), whole_second(now)
    if known is not None and (known.status, known.reason) == (status, reason):
        return conditions
    since = known.last_transition_time if known is not None and known.status == status else moment
    new = DeploymentCondition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_update_time=moment,
        last_transition_time=since,
    )
    return [*(one for one in conditions if one.type != type_), new]
