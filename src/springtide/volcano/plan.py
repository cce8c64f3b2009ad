"""What to do for one Job of Volcano: pure, from a snapshot and a time to a Plan.

| phase                   | what holds, and what comes next                                            |
|-------------------------|----------------------------------------------------------------------------|
| Pending, Running        | the Workload is active; counts of pods make it Running or end it, or a rule |
| Restarting (RestartJob) | inactive until the attempt has ended and its pods are gone, then Pending   |
| Restarting (others)     | some pods were deleted and are made again, then Running or Pending         |
| Aborting                | inactive until its pods are gone, then Aborted                             |
| Completing, Terminating | `workloads` finishes it by the verdict; then Completed, Terminated         |
| Completed, Failed …     | what still runs is stopped; deleted after its time to live                 |

Rules are looked at in the first two phases only, so that what a rule did is not taken for a new event. A step
is written as the phase first, and everything else follows from the phase: a crash in between loses nothing.
Which pods a rule has put aside stands in the Workload (`springtide.dev/replace`), for `workloads` to replace
them: what befell these has been answered. A crash just before that is written answers it a second time.
`status.version` is the number of the attempt of the Workload that a restart waits for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Emit, Plan
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Object, find_condition, is_true
from springtide.api.struct import encode
from springtide.api.volcano_batch import Action, Job, JobPhase, JobStatus
from springtide.volcano import status as reporting
from springtide.volcano.attempt import Snapshot, attempt_of, being_replaced, happened, missing_pods
from springtide.volcano.groups import group_for, group_status
from springtide.volcano.ineffective import ineffective_fields
from springtide.volcano.plugins import hosts
from springtide.volcano.policies import Happened, Response, response
from springtide.volcano.tasks import max_retry, min_available, tasks_of
from springtide.volcano.templates import (
    UnresolvableError,
    claims_for,
    is_refilled,
    workload_for,
)

RESTART_JOB = Action.RESTART_JOB.value
_END = {
    Action.ABORT_JOB: JobPhase.ABORTING,
    Action.COMPLETE_JOB: JobPhase.COMPLETING,
    Action.TERMINATE_JOB: JobPhase.TERMINATING,
}
_STEERED = (labels.VERDICT, labels.REFILL, labels.REPLACE)


@dataclass
class _Draft:
    """The plan in the making."""

    status: JobStatus
    now: datetime
    replace: set[str] = field(default_factory=set)
    """Uids of pods that are to go and be made anew."""
    after: list[Command] = field(default_factory=list)
    look_again_at: list[datetime] = field(default_factory=list)

    def move(self, phase: JobPhase, reason: str = "", message: str = "") -> None:
        self.status = reporting.moved(self.status, phase, self.now, reason, message)


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    """What to write for this job now, and when to look again."""
    job = snapshot.job
    if job.metadata.deletion_timestamp is not None:
        return Plan()
    draft = _Draft(_counted(snapshot), now, replace=being_replaced(snapshot))
    phase = reporting.phase_of(job)
    if phase in reporting.FINAL:
        _after_the_end(snapshot, phase, draft)
    else:
        if phase not in reporting.ENDING:
            _provide(snapshot, draft)
        _step(snapshot, phase, draft)
    return _written(snapshot, draft)


# -- what a job needs ------------------------------------------------------------------------------


def _provide(snapshot: Snapshot, draft: _Draft) -> None:
    """Make what is missing: the file of hosts, claims, the PodGroup, the Workload."""
    job = snapshot.job
    if _is_new(snapshot):
        try:
            wanted = workload_for(job, _priority(snapshot))
            claims = claims_for(job)
        except UnresolvableError as error:
            draft.move(JobPhase.PENDING, "Misconfigured", str(error))
            return
        draft.after += [Create(claim) for claim in claims if claim.metadata.name not in snapshot.claims]
        _provide_workload(snapshot, wanted, draft)
    found = hosts(job)
    if found is not None and (snapshot.hosts is None or snapshot.hosts.data != found.data):
        draft.after.append(Create(found) if snapshot.hosts is None else _apply(found, {"data": found.data}))
    group = group_for(job)
    if snapshot.group is None:
        draft.after.append(Create(group))
    elif encode(snapshot.group.spec) != encode(group.spec) and _is_new(snapshot):
        draft.after.append(_apply(snapshot.group, {"spec": encode(group.spec)}))


def _provide_workload(snapshot: Snapshot, wanted: Workload, draft: _Draft) -> None:
    job, current = snapshot.job, snapshot.workload
    if current is None:
        draft.after.append(Create(wanted))
        vain = ineffective_fields(job)
        if vain:
            note = f"No effect: {'; '.join(vain)}"
            draft.after.append(Emit(job, "UnsupportedFields", note, type="Warning", action="Reconcile"))
    elif _digest(current) != _digest(wanted):
        draft.after.append(_delete(current))


def _is_new(snapshot: Snapshot) -> bool:
    """Whether the Workload was never admitted: until then a change of the job makes it anew."""
    workload = snapshot.workload
    if workload is None:
        return True
    return find_condition(workload.status.conditions, "Admitted") is None and not attempt_of(workload)


def _priority(snapshot: Snapshot) -> int | None:
    name = snapshot.job.spec.priority_class_name
    if not name:
        return snapshot.priorities.get("")
    if name not in snapshot.priorities:
        known = ", ".join(sorted(one for one in snapshot.priorities if one)) or "none"
        raise UnresolvableError(
            f"spec.priorityClassName names PriorityClass {name!r}, which doesn't exist; there are: {known}. "
            "Create it, and the job goes on."
        )
    return snapshot.priorities[name]


# -- phases ----------------------------------------------------------------------------------------


def _step(snapshot: Snapshot, phase: JobPhase, draft: _Draft) -> None:
    workload = snapshot.workload
    if workload is None:
        state = draft.status.state
        draft.move(reporting.ENDING.get(phase, JobPhase.PENDING), state.reason, state.message)
        return
    if phase in (JobPhase.PENDING, JobPhase.RUNNING):
        _go_on(snapshot, workload, draft)
    elif phase is JobPhase.RESTARTING:
        _restart(snapshot, workload, draft)
    else:
        _end(snapshot, workload, phase, draft)
    _steer(snapshot, workload, JobPhase(draft.status.state.phase or phase), draft)


def _go_on(snapshot: Snapshot, workload: Workload, draft: _Draft) -> None:
    """A job that waits or runs."""
    finished = find_condition(workload.status.conditions, "Finished")
    if finished is not None and finished.status == "True":
        done = finished.reason == "Succeeded"
        draft.move(JobPhase.COMPLETED if done else JobPhase.FAILED, finished.reason, finished.message)
        return
    ended = reporting.outcome(snapshot.job, draft.status)
    acted = response(snapshot.job, happened(snapshot, workload))
    if acted is not None and acted.due <= draft.now:
        if _act(snapshot, workload, acted, draft):
            return
    elif acted is not None:
        draft.look_again_at.append(acted.due)
    if ended is not None:
        draft.move(*ended)
        return
    _wait_or_run(snapshot.job, workload, draft)


def _wait_or_run(job: Job, workload: Workload, draft: _Draft) -> None:
    status = draft.status
    if status.running + status.succeeded + status.failed >= max(1, min_available(job)):
        draft.move(JobPhase.RUNNING, "PodsRunning", f"{status.running} pods run")
        return
    if is_true(workload.status.conditions, "Admitted"):
        if reporting.phase_of(job) is not JobPhase.RUNNING:
            draft.move(JobPhase.PENDING, "Starting", "admitted; its pods are being started")
        return
    for type_ in ("QuotaReserved", "Evicted"):
        told = find_condition(workload.status.conditions, type_)
        if told is not None and told.message and (type_ == "QuotaReserved" or told.status == "True"):
            draft.move(JobPhase.PENDING, told.reason, told.message)
            return
    draft.move(JobPhase.PENDING, "Queued", "waits to be admitted")


def _act(snapshot: Snapshot, workload: Workload, acted: Response, draft: _Draft) -> bool:
    """Do what a rule says; whether there was anything to do."""
    job, about = snapshot.job, acted.about
    where = (
        f"pod {about.task.pod(job, about.index)}" if about.index is not None else f"task {about.task.name}"
    )
    why = f"{acted.action} on {about.event}: {where} {about.what}"
    if acted.action in _END:
        draft.move(_END[acted.action], acted.action, why)
        draft.after.append(_event(job, why))
        return True
    targets = [] if acted.action is Action.RESTART_JOB else _targets(snapshot, acted.action, about)
    if acted.action is not Action.RESTART_JOB and not targets:
        return False
    retry = draft.status.retry_count + 1
    if retry >= max_retry(job):
        draft.move(JobPhase.FAILED, "MaxRetry", f"{why}; spec.maxRetry {max_retry(job)} is reached")
    else:
        draft.replace |= {pod.metadata.uid for pod in targets}
        draft.move(JobPhase.RESTARTING, acted.action, why)
    version = attempt_of(workload) + 1 if acted.action is Action.RESTART_JOB else draft.status.version
    draft.status = reporting.counting(draft.status, retry, version)
    draft.after.append(_event(job, why))
    return True


def _targets(snapshot: Snapshot, action: Action, about: Happened) -> list[Pod]:
    """The pods that are started anew; those that end already are left to end."""
    indices = range(about.task.replicas)
    partition = about.task.spec.partition_policy
    if about.index is not None and action is Action.RESTART_POD:
        indices = range(about.index, about.index + 1)
    elif about.index is not None and action is Action.RESTART_PARTITION and partition is not None:
        first = about.index - about.index % partition.partition_size
        indices = range(first, first + partition.partition_size)
    names = {about.task.pod(snapshot.job, index) for index in indices}
    return [
        pod for pod in snapshot.pods if pod.metadata.name in names and pod.metadata.deletion_timestamp is None
    ]


def _restart(snapshot: Snapshot, workload: Workload, draft: _Draft) -> None:
    """Back to Pending or Running once everything that was to go has gone, and is there again."""
    state = draft.status.state
    if state.reason == RESTART_JOB:
        if attempt_of(workload) >= draft.status.version and not snapshot.pods:
            draft.move(JobPhase.PENDING, "Restarted", f"{state.message}; retry {draft.status.retry_count}")
        return
    ends = any(pod.metadata.deletion_timestamp is not None for pod in snapshot.pods)
    if not ends and not draft.replace and not any(missing_pods(snapshot, workload).values()):
        _wait_or_run(snapshot.job, workload, draft)


def _end(snapshot: Snapshot, workload: Workload, phase: JobPhase, draft: _Draft) -> None:
    """To the final phase once nothing runs any more."""
    running = [pod for pod in snapshot.pods if pod.status.phase not in ("Succeeded", "Failed")]
    stopped = is_true(workload.status.conditions, "Finished") or workload.status.admission is None
    if stopped and not running:
        state = draft.status.state
        draft.move(reporting.ENDING[phase], state.reason, state.message)


def _after_the_end(snapshot: Snapshot, phase: JobPhase, draft: _Draft) -> None:
    """Stop what may still run; delete the job after its time to live."""
    job, workload = snapshot.job, snapshot.workload
    if workload is not None:
        _steer(snapshot, workload, phase, draft)
    ttl, ended = job.spec.ttl_seconds_after_finished, job.status.state.last_transition_time
    if ttl is None or ended is None:
        return
    at = ended + timedelta(seconds=ttl)
    if at > draft.now:
        draft.look_again_at.append(at)
    else:
        draft.after.append(_delete(job))


def _steer(snapshot: Snapshot, workload: Workload, phase: JobPhase, draft: _Draft) -> None:
    """What the Workload is to do in this phase: be active or not, end or not, make lost pods again or not."""
    if is_true(workload.status.conditions, "Finished"):
        return
    state = draft.status.state
    restarts = phase is JobPhase.RESTARTING
    active = True
    if (restarts and state.reason == RESTART_JOB) or phase in (JobPhase.ABORTING, JobPhase.ABORTED):
        active = False
    elif phase in (*reporting.FINAL, *reporting.ENDING):
        active = workload.status.admission is not None
    verdict = "open"
    if phase in (JobPhase.COMPLETING, JobPhase.COMPLETED):
        verdict = "Succeeded"
    elif phase in (JobPhase.TERMINATING, JobPhase.TERMINATED, JobPhase.FAILED):
        verdict = f"Failed: {state.message}"
    refill = "true" if restarts or is_refilled(snapshot.job) else "false"
    notes = {labels.VERDICT: verdict, labels.REFILL: refill}
    if draft.replace:
        notes[labels.REPLACE] = ",".join(sorted(draft.replace))
    said = {key: text for key, text in workload.metadata.annotations.items() if key in _STEERED}
    if workload.spec.active == active and said == notes:
        return
    fields = {"metadata": {"annotations": notes}, "spec": {"active": active}}
    draft.after.append(_apply(workload, fields))


# -- reading ---------------------------------------------------------------------------------------


def _counted(snapshot: Snapshot) -> JobStatus:
    job = snapshot.job
    by_pod = {task.pod(job, index): task for task in tasks_of(job) for index in range(task.replicas)}
    return reporting.counted(job, snapshot.pods, by_pod)


def _digest(workload: Workload) -> str:
    return workload.metadata.annotations.get(labels.TEMPLATE_DIGEST, "")


# -- writing ---------------------------------------------------------------------------------------


def _written(snapshot: Snapshot, draft: _Draft) -> Plan:
    job = snapshot.job
    commands: list[Command] = []
    if encode(draft.status) != encode(job.status):
        commands.append(_apply(job, {"status": encode(draft.status)}, subresource="status"))
        state = draft.status.state
        if state.phase != job.status.state.phase:
            warns = state.phase in (JobPhase.FAILED, JobPhase.RESTARTING, JobPhase.TERMINATING)
            said = state.message or state.phase
            commands.append(Emit(job, state.phase, said, "Warning" if warns else "Normal", "Reconcile"))
    commands += draft.after
    if snapshot.group is not None:
        about = group_status(snapshot.group, snapshot.workload, snapshot.pods, draft.now)
        if encode(about) != encode(snapshot.group.status):
            commands.append(_apply(snapshot.group, {"status": encode(about)}, subresource="status"))
    due = min(draft.look_again_at, default=None)
    return Plan(tuple(commands), (due - draft.now).total_seconds() if due is not None else None)


def _event(job: Job, why: str) -> Emit:
    return Emit(job, "ExecuteAction", f"Start to execute action {why}", action="Reconcile")


def _apply(obj: Object, fields: dict[str, object], subresource: str = "") -> Apply:
    metadata = obj.metadata
    return Apply(
        type(obj), metadata.namespace, metadata.name, fields, subresource=subresource, uid=metadata.uid
    )


def _delete(obj: Object) -> Delete:
    metadata = obj.metadata
    return Delete(type(obj), metadata.namespace, metadata.name, metadata.uid)
