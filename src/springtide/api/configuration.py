"""springtide.dev/v1alpha1: SchedulerConfiguration, how the scheduler decides. Watched by `scheduling`, live.

One object counts, the one named `default`. Names of fields are those of Kueue's own configuration where it
has them. What is not set stays as the scheduler was started.
"""

from __future__ import annotations

from typing import Annotated

from springtide.api.listtypes import Limits, ListMap, ListSet
from springtide.api.meta import Condition, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct

DEFINITION_PREFIX = "dev.springtide.v1alpha1"

_SECONDS = Limits(minimum=0)


class BackfillConfiguration(Struct):
    """Whether the place of the first that waits is kept free of those who would put its start off."""

    enabled: bool | None = None
    """False: whoever fits starts."""
    firm_after_seconds: Annotated[float | None, _SECONDS] = None
    """Who has waited so long is not passed by work without a time limit any more, whatever is known of it."""


class FairSharingConfiguration(Struct):
    """How queues of a cohort share, by weight."""

    preemption_strategies: Annotated[
        list[Annotated[str, Limits(enum=("LessThanOrEqualToFinalShare", "LessThanInitialShare"))]],
        Limits(max_items=2),
        ListSet(),
    ] = []
    """Whom a queue with less than its share may make go, in the order tried; none: reclaim is by quota."""


class AdmissionFairSharingConfiguration(Struct):
    """How LocalQueues share by use, in ClusterQueues whose admissionScope asks for it."""

    usage_half_life_time_seconds: Annotated[float | None, _SECONDS] = None
    """After so long use counts half; 0: what was used does not count."""
    usage_sampling_interval_seconds: Annotated[float | None, Limits(minimum=1)] = None
    """How often the status of LocalQueues follows."""
    resource_weights: Annotated[dict[str, float], Limits(max_properties=64)] = {}
    """How much each resource counts, of what the cluster has of it; 1 for those not named."""


class RequeuingConfiguration(Struct):
    """What becomes of a workload whose pods were not ready in time."""

    backoff_base_seconds: Annotated[float | None, _SECONDS] = None
    """How long it waits after the first time; twice as long after each further one."""
    backoff_max_seconds: Annotated[float | None, _SECONDS] = None
    """But no longer than so."""
    backoff_limit_count: Annotated[int | None, _SECONDS] = None
    """After so many times in a row it is deactivated by the next one."""


class WaitForPodsReadyConfiguration(Struct):
    """How long the pods of an admitted workload may take to become ready."""

    timeout_seconds: Annotated[float | None, Limits(minimum=1)] = None
    """From the admission until all are ready."""
    recovery_timeout_seconds: Annotated[float | None, _SECONDS] = None
    """From the moment one is not ready any more until all are again; 0: for ever."""
    requeuing_strategy: RequeuingConfiguration | None = None
    """What happens then."""


class ConsolidationConfiguration(Struct):
    """Whether running workloads are moved so that one starts that waits though enough is free in pieces."""

    enabled: bool | None = None
    """False: nobody is moved."""
    moves_per_hour: Annotated[int | None, Limits(minimum=0, format="int32")] = None
    """No more than so many workloads are moved within an hour; 20 by default."""
    moves_at_once: Annotated[int | None, Limits(minimum=1, format="int32")] = None
    """No more than so many for one that waits; 8 by default."""
    idle_seconds: Annotated[float | None, _SECONDS] = None
    """What is free in pieces is expected to lie idle for so long; 1800 by default. Nobody is moved whose work
    that has to be done again is worth more."""
    minimum_run_seconds: Annotated[float | None, _SECONDS] = None
    """Nobody is moved before having run so long since it was started or moved last; 600 by default."""
    interval_seconds: Annotated[float | None, _SECONDS] = None
    """How often it is looked into at most; 30 by default. In between preemption goes ahead."""


class SchedulerConfigurationSpec(Struct):
    """How the scheduler decides; what is left out stays as it was started."""

    policy: Annotated[str, Limits(max_length=253)] = ""
    """Which of the feasible nodes pods get: a registered name, such as `fragments`, `packing` or `spread`."""
    ordering: Annotated[str, Limits(max_length=253)] = ""
    """Who comes first: a registered name, such as `priority`, `shortest`, `deadline` or `right-sized`."""
    victims: Annotated[str, Limits(max_length=253)] = ""
    """Who goes first of those who may be preempted: a registered name, such as `least-lost-work`."""
    backfill: BackfillConfiguration | None = None
    """Who may start before its turn."""
    node_replacement_seconds: Annotated[float | None, _SECONDS] = None
    """How long a gang that lost a node keeps its other places while a node is sought; 0: not at all."""
    minimum_run_seconds: Annotated[float | None, _SECONDS] = None
    """Nobody is preempted before having run so long."""
    consolidation: ConsolidationConfiguration | None = None
    """Whether running workloads are moved to make room; never by default."""
    fair_sharing: FairSharingConfiguration | None = None
    """How queues of a cohort share."""
    admission_fair_sharing: AdmissionFairSharingConfiguration | None = None
    """How LocalQueues share by use."""
    wait_for_pods_ready: WaitForPodsReadyConfiguration | None = None
    """How long pods may take to become ready; for ever by default."""


class SchedulerConfigurationStatus(Struct):
    """Whether it is in effect."""

    conditions: Annotated[list[Condition], ListMap("type"), Limits(max_items=16)] = []
    """`Accepted`: whether the scheduler works by it; if not, it goes on as before."""


@resource(
    plural="schedulerconfigurations",
    namespaced=False,
    categories=("springtide",),
    columns=(
        Column("Policy", "string", ".spec.policy", "How nodes are chosen"),
        Column("Ordering", "string", ".spec.ordering", "Who comes first"),
        Column(
            "Accepted",
            "string",
            ".status.conditions[?(@.type=='Accepted')].status",
            "Whether it is in effect",
        ),
        Column("Age", "date", ".metadata.creationTimestamp", "Time since it was made"),
    ),
)
class SchedulerConfiguration(Object):
    """How the scheduler decides. One counts: `default`."""

    api_version: str = "springtide.dev/v1alpha1"
    kind: str = "SchedulerConfiguration"
    spec: SchedulerConfigurationSpec = SchedulerConfigurationSpec()
    """How it decides."""
    status: SchedulerConfigurationStatus = SchedulerConfigurationStatus()
    """Whether it is in effect."""
