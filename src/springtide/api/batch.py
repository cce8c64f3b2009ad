"""batch/v1: the job template, as JobSet templates of training runtimes embed it."""

from __future__ import annotations

from typing import Annotated

from springtide.api.listtypes import ListSet, Required
from springtide.api.meta import LabelSelector, ObjectMeta
from springtide.api.pods import PodTemplateSpec
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.batch.v1"


class PodFailurePolicyOnExitCodesRequirement(Struct):
    """Exit codes a rule speaks of."""

    operator: str
    """`In` or `NotIn`."""
    values: Annotated[list[int], ListSet()]
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

    action: str
    """`FailJob`, `FailIndex`, `Ignore` or `Count`."""
    on_exit_codes: PodFailurePolicyOnExitCodesRequirement | None = None
    """Exit codes it holds for."""
    on_pod_conditions: list[PodFailurePolicyOnPodConditionsPattern] = []
    """Pod conditions it holds for."""


class PodFailurePolicy(Struct):
    """How failed pods count."""

    rules: list[PodFailurePolicyRule]
    """The first that matches decides."""


class SuccessPolicyRule(Struct):
    """Which pods must succeed."""

    succeeded_indexes: str | None = None
    """Indexes, such as `0-2,5`."""
    succeeded_count: int | None = None
    """How many of them."""


class SuccessPolicy(Struct):
    """When the job counts as succeeded before all pods have."""

    rules: list[SuccessPolicyRule]
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
