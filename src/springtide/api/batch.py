"""batch/v1: Job and CronJob; the job template is also what JobSet templates of training runtimes embed.

Source of names and meaning: the Kubernetes API reference.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from springtide.api.listtypes import ListAtomic, ListSet, Required
from springtide.api.meta import Condition, LabelSelector, Object, ObjectMeta
from springtide.api.pods import PodTemplateSpec
from springtide.api.references import ObjectReference
from springtide.api.resources import resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.batch.v1"


class PodFailurePolicyOnExitCodesRequirement(Struct):
    """Exit codes a rule speaks of."""

    operator: str = always("")
    """`In` or `NotIn`."""
    values: Annotated[list[int], ListSet(), Required()] = []
    """Exit codes other than 0."""
    container_name: str | None = None
    """Container whose exit code counts; any by default."""


class PodFailurePolicyOnPodConditionsPattern(Struct):
    """A pod condition a rule speaks of."""

    type: str
    """Type of the condition."""
    status: str = ""
    """Its status; `True` by default."""


class PodFailurePolicyRule(Struct):
    """What to do when a pod fails in a certain way."""

    action: str = always("")
    """`FailJob`, `FailIndex`, `Ignore` or `Count`."""
    on_exit_codes: PodFailurePolicyOnExitCodesRequirement | None = None
    """Exit codes it holds for."""
    on_pod_conditions: list[PodFailurePolicyOnPodConditionsPattern] = []
    """Pod conditions it holds for."""


class PodFailurePolicy(Struct):
    """How failed pods count."""

    rules: Annotated[list[PodFailurePolicyRule], Required()] = []
    """The first that matches decides."""


class SuccessPolicyRule(Struct):
    """Which pods must succeed."""

    succeeded_indexes: str | None = None
    """Indexes, such as `0-2,5`."""
    succeeded_count: int | None = None
    """How many of them."""


class SuccessPolicy(Struct):
    """When the job counts as succeeded before all pods have."""

    rules: Annotated[list[SuccessPolicyRule], Required()] = []
    """One that holds is enough."""


class JobSpec(Struct):
    """Pods that are to run to completion."""

    parallelism: int | None = None
    """How many pods run at once; 1 by default."""
    completions: int | None = None
    """How many pods must succeed; as many as run at once by default."""
    active_deadline_seconds: int | None = None
    """Seconds after which the job is failed."""
    pod_failure_policy: PodFailurePolicy | None = None
    """How failed pods count."""
    success_policy: SuccessPolicy | None = None
    """When it counts as succeeded early."""
    backoff_limit: int | None = None
    """How many failures are retried; 6 by default."""
    backoff_limit_per_index: int | None = None
    """How many failures of one index are retried."""
    max_failed_indexes: int | None = None
    """How many indexes may fail."""
    selector: LabelSelector | None = None
    """Its pods; made by the server."""
    manual_selector: bool | None = None
    """Whether the selector is the user's."""
    template: Annotated[PodTemplateSpec, Required()] = PodTemplateSpec()
    """The pods to make."""
    ttl_seconds_after_finished: int | None = None
    """Seconds after the end at which it is deleted; never by default."""
    completion_mode: str | None = None
    """`Indexed` gives each pod a number; `NonIndexed` by default."""
    suspend: bool | None = None
    """Whether no pods are made for now."""
    pod_replacement_policy: str | None = None
    """Whether pods that are going count: `TerminatingOrFailed` or `Failed`."""
    managed_by: str | None = None
    """Controller that works on it."""


class JobTemplateSpec(Struct):
    """A job to be made."""

    metadata: ObjectMeta = ObjectMeta()
    """Labels and annotations of the job."""
    spec: JobSpec = JobSpec()
    """The job."""


class UncountedTerminatedPods(Struct):
    """Pods that have ended and are about to be counted: listed before they lose the tracking finalizer."""

    succeeded: Annotated[list[str], ListSet()] = []
    """UIDs of pods that succeeded."""
    failed: Annotated[list[str], ListSet()] = []
    """UIDs of pods that failed."""


class JobCondition(Condition):
    """One observation of a job's state."""

    reason: str = ""
    """Cause of the last change of status, one CamelCase word."""
    message: str = ""
    """What it means, for people."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""
    last_probe_time: datetime | None = None
    """When it was last looked at."""


class JobStatus(Struct):
    """How far a job is."""

    conditions: Annotated[list[JobCondition], ListAtomic("type")] = []
    """Whether it is complete, failed or suspended, and what it is about to be."""
    start_time: datetime | None = None
    """When it was first worked on, or resumed."""
    completion_time: datetime | None = None
    """When it was complete; a failed job has none."""
    active: int = 0
    """How many pods are pending or running and not being deleted."""
    succeeded: int = 0
    """How many pods succeeded."""
    failed: int = 0
    """How many pods failed."""
    terminating: int | None = None
    """How many pods are being deleted and have not ended yet."""
    completed_indexes: str = ""
    """Indexes whose pod succeeded, such as `0-2,5`."""
    failed_indexes: str | None = None
    """Indexes that used up their failures, such as `0-2,5`; only with `backoffLimitPerIndex`."""
    uncounted_terminated_pods: UncountedTerminatedPods | None = None
    """Pods that have ended and are about to be counted."""
    ready: int | None = None
    """How many active pods are ready."""


@resource(plural="jobs", categories=("all",), builtin=True)
class Job(Object):
    """Pods that are to run to completion."""

    api_version: str = "batch/v1"
    kind: str = "Job"
    spec: JobSpec = JobSpec()
    """What is to run, and when it counts as done."""
    status: JobStatus = JobStatus()
    """How far it is."""


class CronJobSpec(Struct):
    """Jobs that are made at set times."""

    schedule: Annotated[str, Required()] = ""
    """When, in the five fields of cron, such as `*/15 8-18 * * mon-fri`, or a macro such as `@daily`."""
    time_zone: str | None = None
    """Zone the schedule is read in, such as `Europe/Berlin`; that of the control plane by default."""
    starting_deadline_seconds: int | None = None
    """How late a job may still be started; any delay is fine by default."""
    concurrency_policy: str = ""
    """While the last job still runs: `Allow` another (default), `Forbid` it, or `Replace` the old one."""
    suspend: bool | None = None
    """Whether no jobs are made for now."""
    job_template: Annotated[JobTemplateSpec, Required()] = JobTemplateSpec()
    """The jobs to make."""
    successful_jobs_history_limit: int | None = None
    """How many complete jobs are kept; 3 by default."""
    failed_jobs_history_limit: int | None = None
    """How many failed jobs are kept; 1 by default."""


class CronJobStatus(Struct):
    """What a schedule has led to."""

    active: list[ObjectReference] = []
    """Its jobs that have not finished."""
    last_schedule_time: datetime | None = None
    """The newest time of the schedule for which a job was made."""
    last_successful_time: datetime | None = None
    """When a job of it was last complete."""


@resource(plural="cronjobs", short_names=("cj",), categories=("all",), builtin=True)
class CronJob(Object):
    """A job that is made again and again, on a schedule."""

    api_version: str = "batch/v1"
    kind: str = "CronJob"
    spec: Annotated[CronJobSpec, Required()] = CronJobSpec()
    """When, and which job."""
    status: CronJobStatus = CronJobStatus()
    """What it has led to."""
