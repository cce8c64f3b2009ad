"""What to do for one TrainJob: pure, from a snapshot and a time to a Plan.

The Workload is made once, with the resolved pod sets in it, and keeps them: that is the snapshot of the
runtime. While a job has never been admitted, a change of the job or its runtime makes the Workload anew;
later only `spec.active` (suspension, deadline) moves. A finished job stays finished, whatever becomes of
its Workload. What this room applies is complete every time, as server-side apply demands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Emit, Plan
from springtide.api.core import Pod
from springtide.api.kueue import PriorityClassRef, Workload, WorkloadSpec
from springtide.api.meta import Condition, ObjectMeta, find_condition, is_true, owner_reference
from springtide.api.springtide import Diagnosis
from springtide.api.struct import encode, replace
from springtide.api.trainer import TrainJob, TrainJobReason, TrainJobStatus
from springtide.training import ports, status
from springtide.training.ineffective import Ineffective
from springtide.training.merge import Resolved, TrainingTemplate, UnresolvableError, resolve

WORKLOAD_PREFIX = "trainjob-"


@dataclass(frozen=True)
class Snapshot:
    """Everything the plan of one job depends on."""

    job: TrainJob
    runtime: TrainingTemplate | None = None
    workload: Workload | None = None
    pods: Sequence[Pod] = ()
    """Pods of the workload, of any attempt."""
    diagnoses: Sequence[Diagnosis] = ()
    """Of the workload, any attempt."""
    port: int = ports.FIRST
    """The rendezvous port the job holds, or one that no live workload holds."""
    runtime_names: Sequence[str] = ()
    """ClusterTrainingRuntimes there are, for the advice on a missing one."""
    priorities: Mapping[str, int] = field(default_factory=dict)
    """What each WorkloadPriorityClass is worth."""


@dataclass
class _Draft:
    """The plan in the making."""

    commands: list[Command] = field(default_factory=list)
    phase: Condition | None = None
    remarks: list[Condition] = field(default_factory=list)
    look_again_seconds: list[float] = field(default_factory=list)


def workload_name(job_name: str) -> str:
    """The name of a TrainJob's Workload."""
    return f"{WORKLOAD_PREFIX}{job_name}"


def is_ours(job: TrainJob) -> bool:
    """Whether this controller works on the job: not deleted, not managed by another controller."""
    managed_by = job.spec.managed_by or labels.TRAINJOB_CONTROLLER
    return managed_by == labels.TRAINJOB_CONTROLLER and job.metadata.deletion_timestamp is None


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    """What to write for this job now, and when to look again."""
    if not is_ours(snapshot.job):
        return Plan()
    if status.is_finished(snapshot.job):
        return _after_the_end(snapshot, now)
    draft = _Draft()
    workload = _workload(snapshot, draft)
    if workload is not None:
        draft.phase = status.phase_of(workload, snapshot.pods, snapshot.diagnoses)
        if draft.phase is None and not snapshot.job.spec.suspend:
            draft.phase = _queued()  # resumed in this very plan
        _deadline(snapshot, workload, now, draft)
        _toggle(snapshot, workload, draft)
    _write_status(snapshot, workload, now, draft)
    return Plan(tuple(draft.commands), min(draft.look_again_seconds, default=None))


def _workload(snapshot: Snapshot, draft: _Draft) -> Workload | None:
    """The job's Workload as it is, or None: its creation is drafted, or the phase says why there is none."""
    current = snapshot.workload
    if current is not None and not _may_be_made_anew(snapshot.job, current):
        _remark_ignored_change(snapshot.job, current, draft)
        _keep_remark(snapshot.job, status.UNSUPPORTED, draft)
        return current
    try:
        desired, resolved = _desired_workload(snapshot)
    except UnresolvableError as error:
        if current is not None:
            draft.commands.append(_delete_workload(current))
        draft.phase = _condition(status.PENDING, error.reason, str(error))
        return None
    _remark_unsupported(resolved.ineffective, draft)
    if current is None:
        draft.commands.append(Create(desired))
        draft.phase = None if snapshot.job.spec.suspend else _queued()
        return None
    if _annotation(current, labels.TEMPLATE_DIGEST) != _annotation(desired, labels.TEMPLATE_DIGEST):
        draft.commands.append(_delete_workload(current))
        draft.phase = None if snapshot.job.spec.suspend else _queued()
        return None
    return current


def _may_be_made_anew(job: TrainJob, workload: Workload) -> bool:
    """Before its first admission always; later only while suspended, at the user's own change of the job."""
    conditions = workload.status.conditions
    if is_true(conditions, "QuotaReserved") or is_true(conditions, "Finished"):
        return False
    if find_condition(conditions, "Admitted") is None and status.attempt_of(workload) == 0:
        return True
    stopped = bool(job.spec.suspend) and not workload.spec.active
    return stopped and _annotation(workload, labels.REQUEST_DIGEST) != _request_digest(job)


def _desired_workload(snapshot: Snapshot) -> tuple[Workload, Resolved]:
    job = snapshot.job
    if snapshot.runtime is None:
        raise UnresolvableError(TrainJobReason.RUNTIME_NOT_SUPPORTED, _missing_runtime(snapshot))
    resolved = resolve(job, snapshot.runtime, snapshot.port)
    priority_class = _priority_class(snapshot)
    spec = WorkloadSpec(
        pod_sets=resolved.pod_sets,
        queue_name=job.metadata.labels.get(labels.QUEUE_NAME, ""),
        priority_class_ref=priority_class,
        priority=snapshot.priorities[priority_class.name] if priority_class is not None else None,
        maximum_execution_time_seconds=_time_limit(job),
        active=not job.spec.suspend,
    )
    annotations = {
        **resolved.annotations,
        labels.RENDEZVOUS_PORT: str(snapshot.port),
        labels.MAX_RESTARTS: str(resolved.max_restarts),
        labels.REQUEST_DIGEST: _request_digest(job),
        labels.TEMPLATE_DIGEST: _digest(
            [
                encode(replace(spec, active=True)),
                resolved.max_restarts,
                resolved.labels,
                resolved.annotations,
            ]
        ),
    }
    if labels.DEADLINE in job.metadata.annotations:
        annotations[labels.DEADLINE] = job.metadata.annotations[labels.DEADLINE]
    if resolved.ttl_seconds is not None:
        annotations[labels.TTL_SECONDS] = str(resolved.ttl_seconds)
    carried = (labels.QUEUE_NAME, labels.PRIORITY_CLASS)
    metadata = ObjectMeta(
        name=workload_name(job.metadata.name),
        namespace=job.metadata.namespace,
        labels={
            **resolved.labels,
            **{key: job.metadata.labels[key] for key in carried if key in job.metadata.labels},
        },
        annotations=annotations,
        owner_references=[owner_reference(job)],
    )
    return Workload(metadata=metadata, spec=spec), resolved


def _missing_runtime(snapshot: Snapshot) -> str:
    reference = snapshot.job.spec.runtime_ref
    if reference.kind not in ("ClusterTrainingRuntime", "TrainingRuntime"):
        return (
            f"spec.runtimeRef.kind is {reference.kind!r}; it must be ClusterTrainingRuntime or "
            "TrainingRuntime: make the job anew"
        )
    known = f"; there are {', '.join(sorted(snapshot.runtime_names))}" if snapshot.runtime_names else ""
    where = f" in namespace {snapshot.job.metadata.namespace}" if reference.kind == "TrainingRuntime" else ""
    return (
        f"spec.runtimeRef names {reference.kind} {reference.name!r}, which does not exist{where}{known}. "
        "Create it, and the job goes on; or make the job anew with another runtime."
    )


def _priority_class(snapshot: Snapshot) -> PriorityClassRef | None:
    name = snapshot.job.metadata.labels.get(labels.PRIORITY_CLASS)
    if not name:
        return None
    if name not in snapshot.priorities:
        known = f"; there are {', '.join(sorted(snapshot.priorities))}" if snapshot.priorities else ""
        raise UnresolvableError(
            TrainJobReason.PRIORITY_CLASS_NOT_FOUND,
            f"label {labels.PRIORITY_CLASS} names WorkloadPriorityClass {name!r}, which does not exist"
            f"{known}. Create it, and the job goes on.",
        )
    return PriorityClassRef(group="kueue.x-k8s.io", kind="WorkloadPriorityClass", name=name)


def _time_limit(job: TrainJob) -> int | None:
    """Kueue's limit of how long it may run, over all attempts."""
    text = job.metadata.labels.get(labels.MAX_EXEC_TIME_SECONDS)
    if text is None:
        return None
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise UnresolvableError(
            "InvalidSpec", f"label {labels.MAX_EXEC_TIME_SECONDS} is {text!r}; it must be a number of seconds"
        )
    return int(text)


def _remark_ignored_change(job: TrainJob, workload: Workload, draft: _Draft) -> None:
    if job.spec.suspend or _annotation(workload, labels.REQUEST_DIGEST) == _request_digest(job):
        return
    draft.remarks.append(
        _condition(
            status.IGNORED,
            "AlreadyStarted",
            "spec changed after the job was admitted, which has no effect on it; "
            "set spec.suspend to true and then to false to start it anew with the change.",
        )
    )


def _remark_unsupported(fields: Sequence[Ineffective], draft: _Draft) -> None:
    if fields:
        message = "No effect: " + "; ".join(str(one) for one in fields)
        draft.remarks.append(_condition(status.UNSUPPORTED, "NoEffect", message))


def _keep_remark(job: TrainJob, type_: str, draft: _Draft) -> None:
    kept = find_condition(job.status.conditions, type_)
    if kept is not None:
        draft.remarks.append(kept)


def _deadline(snapshot: Snapshot, workload: Workload, now: datetime, draft: _Draft) -> None:
    """Count from the first admission since the last suspension: waiting and restarts do not move it."""
    limit_seconds = snapshot.job.spec.active_deadline_seconds
    started = _started_at(workload)
    over = draft.phase is not None and draft.phase.type in (status.COMPLETE, status.FAILED)
    if not limit_seconds or started is None or snapshot.job.spec.suspend or over:
        return
    left = (started + timedelta(seconds=limit_seconds) - now).total_seconds()
    if left > 0:
        draft.look_again_seconds.append(left)
        return
    message = (
        f"TrainJob exceeded its active deadline: spec.activeDeadlineSeconds is {limit_seconds}, counted from "
        f"{started:%Y-%m-%d %H:%M:%S} UTC."
    )
    draft.phase = _condition(status.FAILED, TrainJobReason.DEADLINE_EXCEEDED, message)


def _started_at(workload: Workload) -> datetime | None:
    """When the job was first admitted since it was last suspended."""
    noted = _annotation(workload, labels.STARTED_AT)
    if noted:
        return datetime.fromisoformat(noted)
    admitted = find_condition(workload.status.conditions, "Admitted")
    return admitted.last_transition_time if admitted is not None and admitted.status == "True" else None


def _toggle(snapshot: Snapshot, workload: Workload, draft: _Draft) -> None:
    """Bring `spec.active` and the start mark to where they belong."""
    ended = draft.phase is not None and draft.phase.type in (status.COMPLETE, status.FAILED)
    if is_true(workload.status.conditions, "Finished"):
        return
    active = not snapshot.job.spec.suspend and not ended
    started = _started_at(workload) if active or ended else None
    mark = started.isoformat() if started is not None else ""
    if workload.spec.active == active and _annotation(workload, labels.STARTED_AT) == mark:
        return
    draft.commands.append(_apply_workload(workload, active, mark))


def _apply_workload(workload: Workload, active: bool, mark: str) -> Apply:
    annotations = {labels.STARTED_AT: mark} if mark else {}
    return Apply(
        Workload,
        workload.metadata.namespace,
        workload.metadata.name,
        {"metadata": {"annotations": annotations}, "spec": {"active": active}},
        uid=workload.metadata.uid,
    )


def _after_the_end(snapshot: Snapshot, now: datetime) -> Plan:
    """A finished job: stop what may still run, take a last progress report, delete the job after its TTL."""
    draft = _Draft()
    workload = snapshot.workload
    if workload is not None and workload.spec.active and not is_true(workload.status.conditions, "Finished"):
        mark = _annotation(workload, labels.STARTED_AT)
        draft.commands.append(_apply_workload(workload, active=False, mark=mark))
    _write_last_report(snapshot, draft)
    ttl_seconds = _ttl_seconds(snapshot)
    end = _ended_at(snapshot.job)
    if ttl_seconds is not None and end is not None:
        left = (end + timedelta(seconds=ttl_seconds) - now).total_seconds()
        if left > 0:
            draft.look_again_seconds.append(left)
        else:
            meta = snapshot.job.metadata
            draft.commands = [Delete(TrainJob, meta.namespace, meta.name, meta.uid)]
    return Plan(tuple(draft.commands), min(draft.look_again_seconds, default=None))


def _ttl_seconds(snapshot: Snapshot) -> int | None:
    """The job's own, else that of the runtime's template as it was when the job was made."""
    if snapshot.job.spec.ttl_seconds_after_finished is not None:
        return snapshot.job.spec.ttl_seconds_after_finished
    noted = _annotation(snapshot.workload, labels.TTL_SECONDS) if snapshot.workload is not None else ""
    return int(noted) if noted.isdecimal() else None


def _ended_at(job: TrainJob) -> datetime | None:
    verdicts = (find_condition(job.status.conditions, type_) for type_ in (status.COMPLETE, status.FAILED))
    return next(
        (one.last_transition_time for one in verdicts if one is not None and one.status == "True"), None
    )


def _write_status(snapshot: Snapshot, workload: Workload | None, now: datetime, draft: _Draft) -> None:
    job = snapshot.job
    desired = TrainJobStatus(
        conditions=status.arrange(job, draft.phase, draft.remarks, now),
        jobs_status=status.jobs_status(workload, snapshot.pods) if workload else job.status.jobs_status,
        trainer_status=status.trainer_status(snapshot.pods) or job.status.trainer_status,
    )
    if encode(desired) == encode(job.status):
        return
    draft.commands.append(_apply_status(job, desired))
    draft.commands += _events(job, desired)


def _write_last_report(snapshot: Snapshot, draft: _Draft) -> None:
    job = snapshot.job
    report = status.trainer_status(snapshot.pods)
    if report is None or report == job.status.trainer_status:
        return
    draft.commands.append(_apply_status(job, replace(job.status, trainer_status=report)))


def _apply_status(job: TrainJob, desired: TrainJobStatus) -> Apply:
    meta = job.metadata
    return Apply(
        TrainJob, meta.namespace, meta.name, {"status": encode(desired)}, subresource="status", uid=meta.uid
    )


def _events(job: TrainJob, desired: TrainJobStatus) -> list[Emit]:
    """One event for every condition that is new or says something new."""
    emitted: list[Emit] = []
    for condition in desired.conditions:
        old = find_condition(job.status.conditions, condition.type)
        said = (old.status, old.reason) if old is not None else None
        if said == (condition.status, condition.reason):
            continue
        warns = condition.type in (status.FAILED, status.RESTARTING, status.UNSUPPORTED, status.IGNORED)
        warns = warns or condition.reason in _PROBLEMS
        reason = condition.type if condition.status == "True" else condition.reason
        emitted.append(Emit(job, reason, condition.message, "Warning" if warns else "Normal", "Reconcile"))
    return emitted


_PROBLEMS = {
    TrainJobReason.RUNTIME_NOT_SUPPORTED.value,
    TrainJobReason.PRIORITY_CLASS_NOT_FOUND.value,
    "InvalidSpec",
    "InvalidRuntime",
    "UnsupportedMLPolicy",
    "UnsupportedReplicas",
}


def _delete_workload(workload: Workload) -> Delete:
    meta = workload.metadata
    return Delete(Workload, meta.namespace, meta.name, meta.uid)


def _request_digest(job: TrainJob) -> str:
    """Of those parts of the spec that the pod sets are made from."""
    spec = encode(job.spec)
    return _digest([spec.get(name) for name in ("runtimeRef", "initializer", "trainer", "runtimePatches")])


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _annotation(obj: Workload, key: str) -> str:
    return obj.metadata.annotations.get(key, "")


def _queued() -> Condition:
    return _condition(status.PENDING, "Queued", "Waiting to be admitted.")


def _condition(type_: str, reason: str, message: str) -> Condition:
    return Condition(type=type_, status="True", reason=str(reason), message=message)
