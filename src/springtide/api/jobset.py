"""jobset.x-k8s.io/v1alpha2: the template of a set of jobs, as training runtimes embed it.

The JobSet kind itself is not served: `training` reads the template and makes a Workload of it.
Source of names and meaning: the JobSet API reference.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from msgspec import field

from springtide.api.batch import JobTemplateSpec
from springtide.api.listtypes import Default, Limits, ListMap, Required
from springtide.api.meta import ObjectMeta
from springtide.api.struct import Struct
from springtide.api.volumes import PersistentVolumeClaimSpec

DEFINITION_PREFIX = "io.x-k8s.jobset.v1alpha2"


class FailurePolicyAction(StrEnum):
    """What the failure of a job leads to."""

    FAIL_JOBSET = "FailJobSet"
    RESTART_JOBSET = "RestartJobSet"
    RESTART_JOBSET_IGNORE_MAX_RESTARTS = "RestartJobSetAndIgnoreMaxRestarts"
    RESTART_JOB = "RestartJob"
    RESTART_JOB_IGNORE_MAX_RESTARTS = "RestartJobAndIgnoreMaxRestarts"


class DependsOn(Struct):
    """A job that must have come so far before another starts."""

    name: str
    """Name of an earlier replicated job."""
    status: Annotated[str, Limits(enum=("Ready", "Complete"))]
    """`Ready` or `Complete`."""


class ReplicatedJob(Struct):
    """A job, made once or several times."""

    name: str
    """Name, unique within the set; part of the names of its pods."""
    group_name: str = "default"
    """Group of replicated jobs it is numbered with."""
    template: Annotated[JobTemplateSpec, Required()] = JobTemplateSpec()
    """The job."""
    replicas: int = 1
    """How many of it are made."""
    depends_on: Annotated[list[DependsOn], ListMap("name", merge=False), Limits(max_items=5)] = []
    """Jobs that come first."""


class Network(Struct):
    """How the pods of a set find each other."""

    enable_dns_hostnames: bool | None = field(name="enableDNSHostnames", default=None)
    """Whether pods are reachable at `<set>-<job>-<n>-<index>.<subdomain>`; true by default."""
    subdomain: str = ""
    """The subdomain; the set's name by default."""
    publish_not_ready_addresses: bool | None = None
    """Whether names resolve before pods are ready; true by default."""


class JobSetSuccessPolicy(Struct):
    """When a set counts as succeeded."""

    operator: Annotated[str, Limits(enum=("All", "Any"))]
    """Whether `All` or `Any` of the jobs must succeed."""
    target_replicated_jobs: list[str] = []
    """Replicated jobs that count; all by default."""


class FailurePolicyRule(Struct):
    """What to do when a job fails in a certain way."""

    name: str
    """Name of the rule."""
    action: Annotated[str, Limits(enum=tuple(FailurePolicyAction))]
    """What the failure leads to."""
    on_job_failure_reasons: list[str] = []
    """Reasons of the job's failure it holds for; all by default."""
    on_job_failure_message_patterns: list[str] = []
    """Patterns of the job's failure message it holds for; all by default."""
    target_replicated_jobs: list[str] = []
    """Replicated jobs it holds for; all by default."""


class JobSetFailurePolicy(Struct):
    """What the failure of a job leads to."""

    max_restarts: int = 0
    """How often the whole set is started again."""
    restart_strategy: Annotated[
        str, Limits(enum=("Recreate", "BlockingRecreate", "InPlaceRestart")), Default("Recreate")
    ] = ""
    """Whether a new attempt waits until the old one's pods are gone; `Recreate` by default."""
    rules: list[FailurePolicyRule] = []
    """The first that matches decides; a failure that none matches starts the set again."""


class StartupPolicy(Struct):
    """In which order jobs start."""

    startup_policy_order: Annotated[str, Limits(enum=("AnyOrder", "InOrder"))]
    """`AnyOrder`, or `InOrder` to wait until each is ready."""


class Coordinator(Struct):
    """The pod that others look up."""

    replicated_job: str
    """Replicated job it is in."""
    job_index: int = 0
    """Which job of it."""
    pod_index: int = 0
    """Which pod of that job."""


class VolumeClaimTemplate(Struct):
    """A claim that is made for a set."""

    preserve_unknown: ClassVar[bool] = True
    """A claim's apiVersion, kind and status may stand here and mean nothing."""

    metadata: ObjectMeta = ObjectMeta()
    """Name, labels and annotations of the claim."""
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    """The claim."""


class VolumeRetentionPolicy(Struct):
    """What becomes of claims."""

    when_deleted: Annotated[str, Limits(enum=("Delete", "Retain"))] = "Delete"
    """Whether they are deleted with the set: `Delete` or `Retain`."""


class VolumeClaimPolicy(Struct):
    """Claims that are made for a set."""

    templates: Annotated[list[VolumeClaimTemplate], Limits(max_items=50)] = []
    """The claims."""
    retention_policy: VolumeRetentionPolicy | None = None
    """What becomes of them."""


class JobSetSpec(Struct):
    """Jobs that run together."""

    replicated_jobs: Annotated[list[ReplicatedJob], ListMap("name", merge=False)] = []
    """The jobs."""
    network: Network | None = None
    """How their pods find each other."""
    success_policy: JobSetSuccessPolicy | None = None
    """When the set counts as succeeded."""
    failure_policy: JobSetFailurePolicy | None = None
    """What the failure of a job leads to; without it, the set fails with the first job."""
    startup_policy: StartupPolicy | None = None
    """In which order jobs start."""
    suspend: bool | None = None
    """Whether no jobs are made for now."""
    coordinator: Coordinator | None = None
    """The pod that others look up."""
    managed_by: str | None = None
    """Controller that works on it."""
    ttl_seconds_after_finished: Annotated[int | None, Limits(minimum=0)] = None
    """Seconds after the end at which the set is deleted; never by default."""
    volume_claim_policies: Annotated[list[VolumeClaimPolicy], Limits(max_items=50)] = []
    """Claims that are made for the set."""


class JobSetTemplateSpec(Struct):
    """A set of jobs to be made."""

    metadata: ObjectMeta = ObjectMeta()
    """Labels and annotations of the set."""
    spec: JobSetSpec = JobSetSpec()
    """The set."""
