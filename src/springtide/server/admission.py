"""The built-in kinds, each with its schema and its strategy: what `Server` serves before any CRD is written.

A kind is built in when `springtide.api` says so. For special treatment write a `Strategy` and list it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import springtide.api as api
from springtide.api.meta import Object
from springtide.api.resources import Resource, resource_of
from springtide.api.schema import builtin_definitions, definition_name
from springtide.server import metrics_api
from springtide.server.apps_rules import (
    SCALE,
    ControllerRevisionStrategy,
    DaemonSetStrategy,
    DeploymentStrategy,
    ReplicaSetStrategy,
    StatefulSetStrategy,
)
from springtide.server.batch_rules import CronJobStrategy, JobStrategy
from springtide.server.builtin_rules import (
    LeaseStrategy,
    PodGroupStrategy,
    PodGroupWorkloadStrategy,
    PriorityClassStrategy,
)
from springtide.server.conversion import CONVERSIONS
from springtide.server.customresources import CustomResourceDefinitionStrategy
from springtide.server.data_rules import ConfigMapStrategy, SecretStrategy
from springtide.server.events import EventStrategy, EventV1Strategy
from springtide.server.kinds import VERBS, ServedKind
from springtide.server.namespaces import NamespaceStrategy
from springtide.server.networking_rules import (
    IngressClassStrategy,
    IngressStrategy,
    NetworkPolicyStrategy,
)
from springtide.server.node_rules import NodeStrategy
from springtide.server.other_rules import (
    AutoscalerStrategy,
    PodTemplateStrategy,
    ReplicationControllerStrategy,
    ResourceSliceStrategy,
    RuntimeClassStrategy,
)
from springtide.server.pods import PodStrategy
from springtide.server.policy_rules import PodDisruptionBudgetStrategy
from springtide.server.quota_rules import LimitRangeStrategy, ResourceQuotaStrategy
from springtide.server.rbac_kinds import (
    ClusterRoleBindingStrategy,
    ClusterRoleStrategy,
    RoleBindingStrategy,
    RoleStrategy,
)
from springtide.server.reviews import ON_COLLECTION
from springtide.server.schema import Schema
from springtide.server.service_rules import EndpointSliceStrategy, ServiceStrategy
from springtide.server.storage_rules import (
    CSIDriverStrategy,
    CSIStorageCapacityStrategy,
    PersistentVolumeClaimStrategy,
    PersistentVolumeStrategy,
    StorageClassStrategy,
    VolumeAttachmentStrategy,
)
from springtide.server.strategy import Strategy

STRATEGIES: dict[tuple[str, str], type[Strategy]] = {
    ("v1", "Pod"): PodStrategy,
    ("resource.k8s.io/v1", "ResourceSlice"): ResourceSliceStrategy,
    ("v1", "Namespace"): NamespaceStrategy,
    ("v1", "Node"): NodeStrategy,
    ("v1", "Secret"): SecretStrategy,
    ("v1", "ConfigMap"): ConfigMapStrategy,
    ("v1", "Service"): ServiceStrategy,
    ("discovery.k8s.io/v1", "EndpointSlice"): EndpointSliceStrategy,
    ("v1", "Event"): EventStrategy,
    ("v1", "ResourceQuota"): ResourceQuotaStrategy,
    ("v1", "LimitRange"): LimitRangeStrategy,
    ("v1", "PersistentVolume"): PersistentVolumeStrategy,
    ("v1", "PersistentVolumeClaim"): PersistentVolumeClaimStrategy,
    ("v1", "PodTemplate"): PodTemplateStrategy,
    ("v1", "ReplicationController"): ReplicationControllerStrategy,
    ("events.k8s.io/v1", "Event"): EventV1Strategy,
    ("autoscaling/v1", "HorizontalPodAutoscaler"): AutoscalerStrategy,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): AutoscalerStrategy,
    ("node.k8s.io/v1", "RuntimeClass"): RuntimeClassStrategy,
    ("storage.k8s.io/v1", "StorageClass"): StorageClassStrategy,
    ("storage.k8s.io/v1", "CSIDriver"): CSIDriverStrategy,
    ("storage.k8s.io/v1", "CSIStorageCapacity"): CSIStorageCapacityStrategy,
    ("storage.k8s.io/v1", "VolumeAttachment"): VolumeAttachmentStrategy,
    ("networking.k8s.io/v1", "Ingress"): IngressStrategy,
    ("networking.k8s.io/v1", "IngressClass"): IngressClassStrategy,
    ("networking.k8s.io/v1", "NetworkPolicy"): NetworkPolicyStrategy,
    ("policy/v1", "PodDisruptionBudget"): PodDisruptionBudgetStrategy,
    ("apps/v1", "Deployment"): DeploymentStrategy,
    ("apps/v1", "ReplicaSet"): ReplicaSetStrategy,
    ("apps/v1", "StatefulSet"): StatefulSetStrategy,
    ("apps/v1", "DaemonSet"): DaemonSetStrategy,
    ("apps/v1", "ControllerRevision"): ControllerRevisionStrategy,
    ("batch/v1", "Job"): JobStrategy,
    ("batch/v1", "CronJob"): CronJobStrategy,
    ("coordination.k8s.io/v1", "Lease"): LeaseStrategy,
    ("scheduling.k8s.io/v1", "PriorityClass"): PriorityClassStrategy,
    ("scheduling.k8s.io/v1alpha2", "PodGroup"): PodGroupStrategy,
    ("scheduling.k8s.io/v1alpha2", "Workload"): PodGroupWorkloadStrategy,
    ("rbac.authorization.k8s.io/v1", "Role"): RoleStrategy,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): ClusterRoleStrategy,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): RoleBindingStrategy,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): ClusterRoleBindingStrategy,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): CustomResourceDefinitionStrategy,
}

_SCALE = {("apps/v1", kind): SCALE for kind in ("Deployment", "ReplicaSet", "StatefulSet")}

_SUBRESOURCES = {
    ("v1", "Pod"): (
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "resize",
    ),
    ("v1", "Node"): ("proxy",),
    ("v1", "Service"): ("proxy",),
    ("v1", "Namespace"): ("finalize",),
    ("v1", "ServiceAccount"): ("token",),
}


def _verbs(found: Resource) -> tuple[str, ...]:
    """Metrics can only be read; namespaces go one by one."""
    if found.group == metrics_api.GROUP:
        return metrics_api.VERBS
    one_by_one = (found.group, found.plural) == ("", "namespaces")
    return tuple(verb for verb in VERBS if not one_by_one or verb != "deletecollection")


@cache
def _validator(kind: type[Object]) -> Schema:
    """One for all servers of a process: what a schema has compiled does not depend on who asks."""
    named = builtin_definitions()
    return Schema(named[definition_name(kind)], named, null_is_absent=True)


def builtin_kinds() -> Iterator[ServedKind]:
    """One `ServedKind` for each built-in kind of `springtide.api`."""
    types = [kind for kind in api.registered() if resource_of(kind).builtin and kind is not api.core.Binding]
    named = builtin_definitions()
    for kind in types:
        found = resource_of(kind)
        identity = (found.api_version, found.kind)
        review = f"{found.group}/{found.plural}" in ON_COLLECTION
        yield ServedKind(
            group=found.group,
            version=found.version,
            kind=found.kind,
            plural=found.plural,
            namespaced=found.namespaced,
            schema=named[definition_name(kind)],
            validator=_validator(kind),
            singular=found.singular,
            list_kind=f"{found.kind}List",
            short_names=found.short_names,
            categories=found.categories,
            columns=found.columns,
            status=found.status and not review,
            verbs=("create",) if review else _verbs(found),
            subresources=_SUBRESOURCES.get(identity, ()),
            builtin=True,
            storage_version=found.version,
            conversion=CONVERSIONS.get(identity),
            typed=kind,
            definitions=named,
            strategy=STRATEGIES.get(identity, Strategy)(),
            scale=_SCALE.get(identity, {}),
        )
