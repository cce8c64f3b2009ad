"""What to do about a CronJob now: which jobs go, which is made, what its status says. Pure.

The time a job was made for stands on the job itself, so a stop between making it and writing the status
neither makes it twice nor forgets it. `cronjobs` carries it out. Source of the rules and messages: the
CronJob controller of kube-controller-manager.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from springtide.api import cron, labels
from springtide.api.batch import CronJob, CronJobStatus, Job
from springtide.api.core import ObjectReference
from springtide.api.meta import ObjectMeta, is_true, owner_reference
from springtide.api.struct import replace

MANY_MISSED = 100
"""More missed times than these are told of: a clock may be wrong."""
SLACK_SECONDS = 0.1
"""So much after its time a job is made: a timer that fires a moment early must not find nothing to do."""
_FIRST_WINDOW = timedelta(hours=1)
_SAYS_ZONE = "TZ"


@dataclass(frozen=True, slots=True)
class Event:
    """An event about the CronJob."""

    reason: str
    note: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class CronStep:
    """What to do, in this order."""

    delete: tuple[Job, ...] = ()
    """Jobs beyond the history limits, and those that are replaced."""
    create: Job | None = None
    status: CronJobStatus = field(default_factory=CronJobStatus)
    """The status without the job to be made."""
    events: tuple[Event, ...] = ()
    again_seconds: float | None = None
    """When the next job is due."""


def plan(owner: CronJob, jobs: Sequence[Job], now: datetime) -> CronStep:
    """What to do, given all jobs the CronJob controls."""
    surplus = _beyond_history(owner, jobs)
    status, events = _look_after(owner, jobs)
    step = CronStep(delete=tuple(surplus), status=status, events=tuple(events))
    if owner.metadata.deletion_timestamp is not None or owner.spec.suspend:
        return step
    try:
        schedule = read_schedule(owner)
        earliest = _earliest(owner, status)
        due, missed = most_recent(schedule, earliest, _deadline(owner, now), now)
        following = schedule.next(due or earliest)
    except cron.UnknownZone as error:
        return _with(
            step, Event("UnknownTimeZone", f'invalid timeZone: "{owner.spec.time_zone}": {error}', True)
        )
    except cron.BadSchedule as error:
        note = f'unparseable schedule: "{owner.spec.schedule}" : {error}'
        return _with(step, Event("UnparseableSchedule", note, True))
    if following is None:
        note = f"invalid schedule: {owner.spec.schedule} : no time in the next {cron.YEARS_AHEAD} years"
        return _with(step, Event("InvalidSchedule", note, True))
    step = _again(step, (following - now).total_seconds() + SLACK_SECONDS)
    if missed > MANY_MISSED:
        note = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        )
        step = _with(step, Event("TooManyMissedTimes", note, True))
    return step if due is None else _start(owner, jobs, step, due, now)


def _start(owner: CronJob, jobs: Sequence[Job], step: CronStep, due: datetime, now: datetime) -> CronStep:
    """Make the job of this time, unless it is too late, was made already, or another still runs."""
    deadline = _deadline(owner, now)
    if deadline is not None and due < deadline:
        when = due.strftime("%a, %d %b %Y %H:%M:%S +0000")
        return _with(step, Event("MissSchedule", f"Missed scheduled time to start a job: {when}", True))
    active = step.status.active
    if step.status.last_schedule_time == due or job_name(owner, due) in {one.name for one in active}:
        return step
    if owner.spec.concurrency_policy == "Forbid" and active:
        note = "Not starting job because prior execution is running and concurrency policy is Forbid"
        return _with(step, Event("JobAlreadyActive", note))
    delete, status = step.delete, step.status
    if owner.spec.concurrency_policy == "Replace" and active:
        running = {one.uid for one in active}
        delete = (*delete, *(job for job in jobs if job.metadata.uid in running))
        status = replace(status, active=[])
    made = make_job(owner, due)
    return CronStep(delete, made, status, step.events, step.again_seconds)


def started(status: CronJobStatus, job: Job) -> CronJobStatus:
    """The status with a job that was made, or found to be there already."""
    active = list(status.active)
    if not is_finished(job) and job.metadata.uid not in {one.uid for one in active}:
        active.append(reference(job))
    when = scheduled_at(job)
    last = status.last_schedule_time
    newest = when if last is None or (when is not None and when > last) else last
    return replace(status, active=active, last_schedule_time=newest)


# The schedule


def read_schedule(owner: CronJob) -> cron.Schedule:
    """Raises BadSchedule, UnknownZone."""
    schedule = owner.spec.schedule
    return cron.parse(schedule, "" if _SAYS_ZONE in schedule else owner.spec.time_zone or "")


def most_recent(
    schedule: cron.Schedule, earliest: datetime, deadline: datetime | None, now: datetime
) -> tuple[datetime | None, int]:
    """The newest time after `earliest` that has come, and how many have come since the deadline.

    The count is exact up to `MANY_MISSED`.
    """
    if isinstance(schedule, cron.Every):
        passed = int((now - earliest).total_seconds()) // schedule.seconds
        if passed < 1:
            return None, 0
        return earliest.replace(microsecond=0) + timedelta(seconds=passed * schedule.seconds), passed
    counted_from = max(earliest, deadline) if deadline is not None else earliest
    missed, moment = 0, schedule.next(counted_from)
    newest: datetime | None = None
    while moment is not None and moment <= now:
        newest, missed = moment, missed + 1
        if missed > MANY_MISSED:
            return _newest(schedule, counted_from, now), missed
        moment = schedule.next(moment)
    return (newest, missed) if newest is not None else (_newest(schedule, earliest, now), 0)


def _newest(schedule: cron.Schedule, earliest: datetime, now: datetime) -> datetime | None:
    """The newest time in (earliest, now], found from the end in ever larger windows."""
    window = _FIRST_WINDOW
    while True:
        begin = max(earliest, now - window)
        newest, moment = None, schedule.next(begin)
        while moment is not None and moment <= now:
            newest, moment = moment, schedule.next(moment)
        if newest is not None or begin == earliest:
            return newest
        window *= 4


def _earliest(owner: CronJob, status: CronJobStatus) -> datetime:
    """From when on times count: the last one used, or the CronJob's creation."""
    earliest = status.last_schedule_time or owner.metadata.creation_timestamp
    if earliest is None:
        raise ValueError(f"cronjob {owner.key} was never created: metadata.creationTimestamp is missing")
    return earliest


def _deadline(owner: CronJob, now: datetime) -> datetime | None:
    seconds = owner.spec.starting_deadline_seconds
    return None if seconds is None else now - timedelta(seconds=seconds)


# Its jobs


def job_name(owner: CronJob, due: datetime) -> str:
    """One name for one time, so that a job cannot be made twice."""
    return f"{owner.metadata.name}-{int(due.timestamp()) // 60}"


def make_job(owner: CronJob, due: datetime) -> Job:
    """The job of this time."""
    template = owner.spec.job_template
    local = due.astimezone(cron.find_zone(owner.spec.time_zone or ""))
    when = local.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Job(
        metadata=ObjectMeta(
            name=job_name(owner, due),
            namespace=owner.metadata.namespace,
            labels=template.metadata.labels,
            annotations={**template.metadata.annotations, labels.CRON_JOB_SCHEDULED: when},
            owner_references=[owner_reference(owner)],
        ),
        spec=template.spec,
    )


def scheduled_at(job: Job) -> datetime | None:
    """The time of the schedule a job was made for; None for one that was made by hand."""
    text = job.metadata.annotations.get(labels.CRON_JOB_SCHEDULED, "")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def reference(job: Job) -> ObjectReference:
    metadata = job.metadata
    return ObjectReference(
        api_version=job.api_version,
        kind=job.kind,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
    )


def is_finished(job: Job) -> bool:
    return _has(job, "Complete") or _has(job, "Failed")


def _has(job: Job, condition: str) -> bool:
    return is_true(job.status.conditions, condition)


def _beyond_history(owner: CronJob, jobs: Sequence[Job]) -> list[Job]:
    """The oldest finished jobs, as far as there are more than are kept."""
    spec = owner.spec
    surplus: list[Job] = []
    for condition, limit in (
        ("Complete", spec.successful_jobs_history_limit),
        ("Failed", spec.failed_jobs_history_limit),
    ):
        finished = sorted((job for job in jobs if _has(job, condition)), key=_age)
        if limit is not None and len(finished) > limit:
            surplus += finished[: len(finished) - limit]
    return [job for job in surplus if job.metadata.deletion_timestamp is None]


def _age(job: Job) -> tuple[bool, float, str]:
    started = job.status.start_time
    return started is None, started.timestamp() if started is not None else 0.0, job.metadata.name


def _look_after(owner: CronJob, jobs: Sequence[Job]) -> tuple[CronJobStatus, list[Event]]:
    """Bring the list of active jobs and the times in line with the jobs there are."""
    status, events = owner.status, []
    children = {job.metadata.uid: job for job in jobs}
    active: list[ObjectReference] = []
    for one in status.active:
        child = children.get(one.uid)
        if child is None:
            events.append(Event("MissingJob", f"Active job went missing: {one.name}"))
        elif is_finished(child):
            how = "Complete" if _has(child, "Complete") else "Failed"
            events.append(Event("SawCompletedJob", f"Saw completed job: {one.name}, condition: {how}"))
        else:
            active.append(one)
    status = replace(status, active=active)
    known = {one.uid for one in active}
    for job in sorted(jobs, key=lambda one: one.metadata.name):
        if scheduled_at(job) is not None:
            status = started(status, job)  # made just before this program stopped, perhaps
        elif job.metadata.uid not in known and not is_finished(job):
            note = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
            events.append(Event("UnexpectedJob", note, True))
    ends = [job.status.completion_time for job in jobs if _has(job, "Complete")]
    last = max((end for end in [*ends, status.last_successful_time] if end is not None), default=None)
    return replace(status, last_successful_time=last), events


def _with(step: CronStep, event: Event) -> CronStep:
    return CronStep(step.delete, step.create, step.status, (*step.events, event), step.again_seconds)


def _again(step: CronStep, seconds: float) -> CronStep:
    return CronStep(step.delete, step.create, step.status, step.events, seconds)
