"""apps/v1: pods that are kept running: Deployment, ReplicaSet, StatefulSet, DaemonSet, and their history.

Served by the embedded API and kept by the controllers of `builtin`; a real cluster has its own. Source of
names and meaning: the Kubernetes API reference.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from springtide.api.core import AGE, IntOrString, PersistentVolumeClaim
from springtide.api.listtypes import ListMap, Required, RetainKeys
from springtide.api.meta import Condition, LabelSelector, Object
from springtide.api.pods import PodTemplateSpec
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.apps.v1"


class AppsCondition(Condition):
    """One observation of a set of pods."""

    reason: str = ""
    """Cause of the last change of status, one CamelCase word."""
    message: str = ""
    """What it means, for people."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""


class DeploymentCondition(AppsCondition):
    """One observation of a rollout: `Available`, `Progressing` or `ReplicaFailure`."""

    last_update_time: datetime | None = None
    """When progress was last seen; a rollout times out counted from here."""


class ReplicaSetCondition(AppsCondition):
    """One observation of a replica set: `ReplicaFailure`."""


class StatefulSetCondition(AppsCondition):
    """One observation of a stateful set."""


class DaemonSetCondition(AppsCondition):
    """One observation of a daemon set."""


class RollingUpdateDeployment(Struct):
    """How far a rolling update may go at once."""

    max_unavailable: IntOrString | None = None
    """Pods that may be missing during the update, a number or a percentage rounded down; 25% by default."""
    max_surge: IntOrString | None = None
    """Pods that may exist beyond `replicas`, a number or a percentage rounded up; 25% by default."""


class DeploymentStrategy(Struct):
    """How old pods are replaced by new ones."""

    type: str = ""
    """`RollingUpdate` (default), or `Recreate`: all old pods end before new ones start."""
    rolling_update: RollingUpdateDeployment | None = None
    """Limits of a rolling update."""


class DeploymentSpec(Struct):
    """The pods that are wanted, and how changes of them are rolled out."""

    replicas: int | None = None
    """How many pods; 1 by default."""
    selector: Annotated[LabelSelector | None, Required()] = None
    """Its pods, by label; the labels of `template` must match. Cannot be changed."""
    template: Annotated[PodTemplateSpec, Required()] = PodTemplateSpec()
    """The pods to make."""
    strategy: Annotated[DeploymentStrategy, RetainKeys(merge=False)] = DeploymentStrategy()
    """How a change of the template is rolled out."""
    min_ready_seconds: int = 0
    """Seconds a pod must have been ready to count as available."""
    revision_history_limit: int | None = None
    """Old replica sets kept to roll back to; 10 by default."""
    paused: bool = False
    """Whether changes of the template wait."""
    progress_deadline_seconds: int | None = None
    """Seconds without progress after which the rollout counts as failed; 600 by default."""


class DeploymentStatus(Struct):
    """How far the rollout is."""

    observed_generation: int = 0
    """The `metadata.generation` this status speaks of."""
    replicas: int = 0
    """Pods that are not ending."""
    updated_replicas: int = 0
    """Of these, made from the present template."""
    ready_replicas: int = 0
    """Pods that are ready."""
    available_replicas: int = 0
    """Pods that have been ready for `minReadySeconds`."""
    unavailable_replicas: int = 0
    """Pods missing or not available yet."""
    terminating_replicas: int | None = None
    """Pods that are ending."""
    conditions: Annotated[list[DeploymentCondition], ListMap("type")] = []
    """Observations of the rollout."""
    collision_count: int | None = None
    """How often a replica set's name was taken by another; part of the name of the next."""


@resource(plural="deployments", short_names=("deploy",), categories=("all",), builtin=True, columns=(AGE,))
class Deployment(Object):
    """Equal pods that are kept running, and replaced step by step when their template changes."""

    api_version: str = "apps/v1"
    kind: str = "Deployment"
    spec: DeploymentSpec = DeploymentSpec()
    """The pods that are wanted."""
    status: DeploymentStatus = DeploymentStatus()
    """How far they are."""


class ReplicaSetSpec(Struct):
    """The pods that are wanted."""

    replicas: int | None = None
    """How many pods; 1 by default."""
    min_ready_seconds: int = 0
    """Seconds a pod must have been ready to count as available."""
    selector: Annotated[LabelSelector | None, Required()] = None
    """Its pods, by label; the labels of `template` must match. Cannot be changed."""
    template: PodTemplateSpec = PodTemplateSpec()
    """The pods to make."""


class ReplicaSetStatus(Struct):
    """The pods there are."""

    replicas: int = always(0)
    """Pods that are not ending."""
    fully_labeled_replicas: int = 0
    """Of these, with all labels of the template."""
    ready_replicas: int = 0
    """Pods that are ready."""
    available_replicas: int = 0
    """Pods that have been ready for `minReadySeconds`."""
    terminating_replicas: int | None = None
    """Pods that are ending."""
    observed_generation: int = 0
    """The `metadata.generation` this status speaks of."""
    conditions: Annotated[list[ReplicaSetCondition], ListMap("type")] = []
    """Observations, such as a pod that cannot be made."""


@resource(plural="replicasets", short_names=("rs",), categories=("all",), builtin=True, columns=(AGE,))
class ReplicaSet(Object):
    """Equal pods that are kept running; usually one revision of a Deployment."""

    api_version: str = "apps/v1"
    kind: str = "ReplicaSet"
    spec: ReplicaSetSpec = ReplicaSetSpec()
    """The pods that are wanted."""
    status: ReplicaSetStatus = ReplicaSetStatus()
    """The pods there are."""


class RollingUpdateStatefulSetStrategy(Struct):
    """Which pods a rolling update reaches, and how many at once."""

    partition: int | None = None
    """Pods with a lower ordinal keep the revision they have; 0 by default."""
    max_unavailable: IntOrString | None = None
    """Pods that may be missing during the update, a number or a percentage rounded down, at least 1.

    Without it one pod at a time is replaced, once all above it are available.
    """


class StatefulSetUpdateStrategy(Struct):
    """How old pods are replaced by new ones."""

    type: str = ""
    """`RollingUpdate` (default), or `OnDelete`: a pod is replaced when somebody deletes it."""
    rolling_update: RollingUpdateStatefulSetStrategy | None = None
    """Limits of a rolling update."""


class StatefulSetPersistentVolumeClaimRetentionPolicy(Struct):
    """What becomes of the claims made from `volumeClaimTemplates`."""

    when_deleted: str = ""
    """When the set is deleted: `Retain` (default) or `Delete`."""
    when_scaled: str = ""
    """When the set shrinks: `Retain` (default) or `Delete`."""


class StatefulSetOrdinals(Struct):
    """How pods are numbered."""

    start: int = always(0, required=False)
    """Number of the first pod."""


class StatefulSetSpec(Struct):
    """The pods that are wanted, each with a name and claims of its own."""

    replicas: int | None = None
    """How many pods; 1 by default."""
    selector: Annotated[LabelSelector | None, Required()] = None
    """Its pods, by label; the labels of `template` must match. Cannot be changed."""
    template: Annotated[PodTemplateSpec, Required()] = PodTemplateSpec()
    """The pods to make; each is named `<set>-<ordinal>`."""
    volume_claim_templates: list[PersistentVolumeClaim] = []
    """Claims made for each pod, mounted by their template's name. Cannot be changed."""
    service_name: str = always("", required=False)
    """Headless Service that gives the pods their host names. Cannot be changed."""
    pod_management_policy: str = ""
    """`OrderedReady` (default): one after the other; or `Parallel`. Cannot be changed."""
    update_strategy: StatefulSetUpdateStrategy = StatefulSetUpdateStrategy()
    """How a change of the template is rolled out."""
    revision_history_limit: int | None = None
    """Old revisions kept to roll back to; 10 by default."""
    min_ready_seconds: int = 0
    """Seconds a pod must have been ready to count as available."""
    persistent_volume_claim_retention_policy: StatefulSetPersistentVolumeClaimRetentionPolicy | None = None
    """What becomes of the claims."""
    ordinals: StatefulSetOrdinals | None = None
    """How pods are numbered; from 0 by default."""


class StatefulSetStatus(Struct):
    """The pods there are."""

    observed_generation: int = 0
    """The `metadata.generation` this status speaks of."""
    replicas: int = always(0)
    """Pods that were made."""
    ready_replicas: int = 0
    """Pods that are ready."""
    current_replicas: int = 0
    """Pods of `currentRevision`."""
    updated_replicas: int = 0
    """Pods of `updateRevision`."""
    current_revision: str = ""
    """Revision of the pods an update has not reached."""
    update_revision: str = ""
    """Revision of the present template."""
    collision_count: int | None = None
    """How often a revision's name was taken by another."""
    conditions: Annotated[list[StatefulSetCondition], ListMap("type")] = []
    """Observations of the set."""
    available_replicas: int = always(0, required=False)
    """Pods that have been ready for `minReadySeconds`."""


@resource(plural="statefulsets", short_names=("sts",), categories=("all",), builtin=True, columns=(AGE,))
class StatefulSet(Object):
    """Numbered pods with lasting names and storage, made and replaced in order."""

    api_version: str = "apps/v1"
    kind: str = "StatefulSet"
    spec: StatefulSetSpec = StatefulSetSpec()
    """The pods that are wanted."""
    status: StatefulSetStatus = StatefulSetStatus()
    """The pods there are."""


class RollingUpdateDaemonSet(Struct):
    """How far a rolling update may go at once; exactly one of the two is not 0."""

    max_unavailable: IntOrString | None = None
    """Nodes whose pod may be missing, a number or a percentage rounded up; 1 by default."""
    max_surge: IntOrString | None = None
    """Nodes that may run an old and a new pod, a number or a percentage rounded up; 0 by default."""


class DaemonSetUpdateStrategy(Struct):
    """How old pods are replaced by new ones."""

    type: str = ""
    """`RollingUpdate` (default), or `OnDelete`: a pod is replaced when somebody deletes it."""
    rolling_update: RollingUpdateDaemonSet | None = None
    """Limits of a rolling update."""


class DaemonSetSpec(Struct):
    """The pod that every eligible node is to run."""

    selector: Annotated[LabelSelector | None, Required()] = None
    """Its pods, by label; the labels of `template` must match. Cannot be changed."""
    template: Annotated[PodTemplateSpec, Required()] = PodTemplateSpec()
    """The pod to make; its node selector, affinity and tolerations say which nodes are eligible."""
    update_strategy: DaemonSetUpdateStrategy = DaemonSetUpdateStrategy()
    """How a change of the template is rolled out."""
    min_ready_seconds: int = 0
    """Seconds a pod must have been ready to count as available."""
    revision_history_limit: int | None = None
    """Old revisions kept to roll back to; 10 by default."""


class DaemonSetStatus(Struct):
    """The nodes and their pods."""

    current_number_scheduled: int = always(0)
    """Eligible nodes that have a pod."""
    number_misscheduled: int = always(0)
    """Nodes that have a pod and are not eligible."""
    desired_number_scheduled: int = always(0)
    """Eligible nodes."""
    number_ready: int = always(0)
    """Eligible nodes whose pod is ready."""
    observed_generation: int = 0
    """The `metadata.generation` this status speaks of."""
    updated_number_scheduled: int = 0
    """Eligible nodes whose pod is of the present template."""
    number_available: int = 0
    """Eligible nodes whose pod has been ready for `minReadySeconds`."""
    number_unavailable: int = 0
    """Eligible nodes without such a pod."""
    collision_count: int | None = None
    """How often a revision's name was taken by another."""
    conditions: Annotated[list[DaemonSetCondition], ListMap("type")] = []
    """Observations of the set."""


@resource(plural="daemonsets", short_names=("ds",), categories=("all",), builtin=True, columns=(AGE,))
class DaemonSet(Object):
    """One pod on every eligible node."""

    api_version: str = "apps/v1"
    kind: str = "DaemonSet"
    spec: DaemonSetSpec = DaemonSetSpec()
    """The pod that is wanted."""
    status: DaemonSetStatus = DaemonSetStatus()
    """The nodes and their pods."""


@resource(
    plural="controllerrevisions",
    builtin=True,
    columns=(Column("Revision", "integer", ".revision"), AGE),
)
class ControllerRevision(Object):
    """A template of the past, kept so that a StatefulSet or DaemonSet can be rolled back to it."""

    api_version: str = "apps/v1"
    kind: str = "ControllerRevision"
    data: dict[str, Any] | None = None
    """The part of the owner that is restored, as a patch. Cannot be changed."""
    revision: int = always(0)
    """Its place in the order of revisions; the newest is the highest."""
