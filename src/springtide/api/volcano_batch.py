"""batch.volcano.sh/v1alpha1: Volcano's Job, tasks that run as one gang, with rules for what befalls them.

`volcano` turns it into a PodGroup and a Workload. Source of names and meaning: Volcano's API of that version.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import field

from springtide.api.listtypes import Limits, Rule
from springtide.api.meta import Object
from springtide.api.pods import PodTemplateSpec
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
from springtide.api.volcano import COUNT, NAME, NetworkTopologySpec
from springtide.api.volumes import PersistentVolumeClaimSpec

DEFINITION_PREFIX = "sh.volcano.batch.v1alpha1"

TASK_NAME = Limits(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
DURATION = Limits(max_length=63, pattern=r"^(0|([0-9]+(\.[0-9]*)?(ns|us|µs|μs|ms|s|m|h))+)$")
Int32 = Annotated[int, Limits(format="int32")]


class JobPhase(StrEnum):
    """Where a Job stands."""

    PENDING = "Pending"
    ABORTING = "Aborting"
    ABORTED = "Aborted"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    COMPLETING = "Completing"
    COMPLETED = "Completed"
    TERMINATING = "Terminating"
    TERMINATED = "Terminated"
    FAILED = "Failed"


class Event(StrEnum):
    """What may befall a Job."""

    ANY = "*"
    POD_PENDING = "PodPending"
    POD_RUNNING = "PodRunning"
    POD_FAILED = "PodFailed"
    POD_EVICTED = "PodEvicted"
    UNKNOWN = "Unknown"
    TASK_COMPLETED = "TaskCompleted"
    OUT_OF_SYNC = "OutOfSync"
    COMMAND_ISSUED = "CommandIssued"
    JOB_UPDATED = "JobUpdated"
    TASK_FAILED = "TaskFailed"


class Action(StrEnum):
    """What is done about it."""

    ABORT_JOB = "AbortJob"
    RESTART_JOB = "RestartJob"
    RESTART_TASK = "RestartTask"
    RESTART_POD = "RestartPod"
    RESTART_PARTITION = "RestartPartition"
    TERMINATE_JOB = "TerminateJob"
    COMPLETE_JOB = "CompleteJob"
    RESUME_JOB = "ResumeJob"
    SYNC_JOB = "SyncJob"
    ENQUEUE_JOB = "EnqueueJob"
    SYNC_QUEUE = "SyncQueue"
    OPEN_QUEUE = "OpenQueue"
    CLOSE_QUEUE = "CloseQueue"


_EVENT = Limits(enum=tuple(Event))
_ACTION = Limits(enum=tuple(Action))
_NUMA = Limits(enum=("none", "best-effort", "restricted", "single-numa-node"))


class VolumeSpec(Struct):
    """A volume that all pods of a job mount."""

    mount_path: Annotated[str, Limits(min_length=1, pattern=r"^[^:]+$")]
    """Where it is mounted."""
    volume_claim_name: Annotated[str, Limits(max_length=253)] = ""
    """Claim it is; without one, or with a name alone that does not exist, see the guide."""
    volume_claim: PersistentVolumeClaimSpec | None = None
    """Claim to make."""


class LifecyclePolicy(Struct):
    """What is done when something happens."""

    action: Annotated[str, _ACTION] = ""
    """What is done."""
    event: Annotated[str, _EVENT] = ""
    """What has to happen."""
    events: list[Annotated[str, _EVENT]] = []
    """The same, any of several."""
    exit_code: Annotated[int | None, Limits(format="int32")] = None
    """Exit code that a container has to end with, instead of an event."""
    timeout: Annotated[str | None, DURATION] = None
    """How long after the event (`10m`); at once by default."""


class DependsOn(Struct):
    """Which tasks come first."""

    name: list[str] = []
    """Their names."""
    iteration: str = ""
    """`any` of them, or `all`, must run; all by default."""


class PartitionPolicySpec(Struct):
    """How a task is divided into groups."""

    total_partitions: Annotated[int, Limits(minimum=1, format="int32")]
    """How many groups there are."""
    partition_size: Annotated[int, Limits(minimum=1, format="int32")]
    """How many pods each has."""
    network_topology: NetworkTopologySpec | None = None
    """How far apart the pods of one group may be."""
    min_partitions: Annotated[int, COUNT] = 0
    """How many groups must be able to start."""


_FEW_ENOUGH = Rule(
    "!has(self.minAvailable) || self.minAvailable <= (has(self.replicas) ? self.replicas : 0)",
    "minAvailable must not be greater than replicas",
)
_DIVIDED = Rule(
    "!has(self.partitionPolicy) || self.partitionPolicy.totalPartitions * "
    "self.partitionPolicy.partitionSize == (has(self.replicas) ? self.replicas : 0)",
    "The product of totalPartitions and partitionSize must equal replicas",
)


class TaskSpec(Struct):
    """Pods of a job that are all alike."""

    name: Annotated[str, TASK_NAME] = ""
    """Name, unique within the job; `default` and its index without one."""
    replicas: Annotated[int, COUNT] = 0
    """How many pods there are."""
    min_available: Annotated[int | None, COUNT] = None
    """How few will do; all by default."""
    template: PodTemplateSpec = PodTemplateSpec()
    """The pods."""
    policies: list[LifecyclePolicy] = []
    """What is done when something happens to a pod of the task; before the job's own."""
    topology_policy: Annotated[str, _NUMA] = ""
    """How its pods are put onto the NUMA nodes of a machine."""
    max_retry: Annotated[int, COUNT] = 0
    """How often one of its pods may be started anew."""
    depends_on: DependsOn | None = None
    """Tasks whose pods must run before its own are made."""
    partition_policy: PartitionPolicySpec | None = None
    """How it is divided into groups."""


class JobSpec(Struct):
    """What is to run, and when it is done."""

    scheduler_name: Annotated[str, Limits(max_length=63)] = ""
    """Who places the pods; `volcano` means this scheduler."""
    min_available: Annotated[int, COUNT] = 0
    """How many pods must be able to start for any to start; all by default."""
    volumes: list[VolumeSpec] = []
    """Volumes that all its pods mount."""
    tasks: Annotated[list[Annotated[TaskSpec, _FEW_ENOUGH, _DIVIDED]], Limits(min_items=1, max_items=18)] = []
    """Sets of like pods."""
    policies: list[LifecyclePolicy] = []
    """What is done when something happens to one of its pods."""
    plugins: dict[str, list[str]] = {}
    """What its pods are given beside: `env`, `svc`, `ssh` …, with arguments."""
    running_estimate: Annotated[str | None, DURATION] = None
    """How long the user thinks it runs (`2h`)."""
    queue: Annotated[str, NAME] = "default"
    """Queue it waits in."""
    max_retry: Annotated[int, COUNT] = 3
    """How often it may be started anew."""
    ttl_seconds_after_finished: Annotated[int | None, COUNT] = None
    """Seconds after its end when it is deleted; never by default."""
    priority_class_name: Annotated[str, NAME] = ""
    """PriorityClass that gives its priority."""
    min_success: Annotated[int | None, Limits(minimum=1, format="int32")] = None
    """How many pods must succeed for the job to be done."""
    network_topology: NetworkTopologySpec | None = None
    """How far apart its pods may be."""


class JobState(Struct):
    """Where a job stands."""

    phase: Annotated[str, Limits(enum=tuple(JobPhase))] = ""
    """`Pending`, `Running`, `Restarting`, `Completed`, `Failed` …"""
    reason: str = ""
    """Why, in one word."""
    message: str = ""
    """Why, for people."""
    last_transition_time: datetime | None = None
    """When the phase last changed."""


class TaskState(Struct):
    """Pods of a task by phase."""

    phase: dict[str, Int32] = {}
    """How many are in each."""


class JobCondition(Struct):
    """A phase the job was in."""

    status: Annotated[str, Limits(enum=tuple(JobPhase))] = always("")
    """The phase."""
    last_transition_time: datetime | None = None
    """When it began."""


class JobStatus(Struct):
    """Where a job stands, and its pods."""

    state: JobState = JobState()
    """The phase it is in."""
    min_available: Annotated[int, COUNT] = 0
    """How many pods must start together."""
    task_status_count: dict[str, TaskState] = {}
    """Pods by task and phase."""
    pending: Annotated[int, COUNT] = 0
    """Pods that do not run yet."""
    running: Annotated[int, COUNT] = 0
    """Pods that run."""
    succeeded: Annotated[int, COUNT] = 0
    """Pods that succeeded."""
    failed: Annotated[int, COUNT] = 0
    """Pods that failed."""
    terminating: Annotated[int, COUNT] = 0
    """Pods that are being deleted."""
    unknown_pods: Annotated[int, COUNT] = field(name="unknown", default=0)
    """Pods nothing is known of."""
    version: Annotated[int, COUNT] = 0
    """Grows with every restart, so that what is left of an earlier one is not mistaken for it."""
    retry_count: Annotated[int, COUNT] = 0
    """How often it was started anew."""
    running_duration: str | None = None
    """How long it ran."""
    controlled_resources: dict[str, str] = {}
    """What was made for it: claims, plugins."""
    conditions: list[JobCondition] = []
    """The phases it was in, in their order."""


@resource(
    plural="jobs",
    short_names=("vcjob", "vj"),
    columns=(
        Column("STATUS", "string", ".status.state.phase", "Where it stands"),
        Column("minAvailable", "integer", ".status.minAvailable", "How many pods must start together"),
        Column("RUNNINGS", "integer", ".status.running", "Pods that run"),
        Column("AGE", "date", ".metadata.creationTimestamp"),
        Column("QUEUE", "string", ".spec.queue", "Queue it waits in", priority=1),
    ),
)
class Job(Object):
    """Tasks that run as one gang."""

    api_version: str = "batch.volcano.sh/v1alpha1"
    kind: str = "Job"
    spec: JobSpec = JobSpec()
    """What is to run."""
    status: JobStatus = JobStatus()
    """Where it stands."""
