"""core/v1: the kinds every cluster has. Pods and larger kinds have modules of their own, named here too.

Source of names and meaning: the Kubernetes API reference. Fields no room here uses and few manifests
set are left out; they survive as unknown fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from springtide.api.affinity import (
    Affinity as Affinity,
)
from springtide.api.affinity import (
    NodeAffinity as NodeAffinity,
)
from springtide.api.affinity import (
    NodeSelector as NodeSelector,
)
from springtide.api.affinity import (
    NodeSelectorRequirement as NodeSelectorRequirement,
)
from springtide.api.affinity import (
    NodeSelectorTerm as NodeSelectorTerm,
)
from springtide.api.affinity import (
    PodAffinity as PodAffinity,
)
from springtide.api.affinity import (
    PodAffinityTerm as PodAffinityTerm,
)
from springtide.api.affinity import (
    PodAntiAffinity as PodAntiAffinity,
)
from springtide.api.affinity import (
    PreferredSchedulingTerm as PreferredSchedulingTerm,
)
from springtide.api.affinity import (
    Toleration as Toleration,
)
from springtide.api.affinity import (
    TopologySpreadConstraint as TopologySpreadConstraint,
)
from springtide.api.affinity import (
    WeightedPodAffinityTerm as WeightedPodAffinityTerm,
)
from springtide.api.containers import (
    AppArmorProfile as AppArmorProfile,
)
from springtide.api.containers import (
    Capabilities as Capabilities,
)
from springtide.api.containers import (
    ConfigMapEnvSource as ConfigMapEnvSource,
)
from springtide.api.containers import (
    ConfigMapKeySelector as ConfigMapKeySelector,
)
from springtide.api.containers import (
    Container as Container,
)
from springtide.api.containers import (
    ContainerPort as ContainerPort,
)
from springtide.api.containers import (
    ContainerResizePolicy as ContainerResizePolicy,
)
from springtide.api.containers import (
    ContainerRestartRule as ContainerRestartRule,
)
from springtide.api.containers import (
    ContainerRestartRuleOnExitCodes as ContainerRestartRuleOnExitCodes,
)
from springtide.api.containers import (
    EnvFromSource as EnvFromSource,
)
from springtide.api.containers import (
    EnvVar as EnvVar,
)
from springtide.api.containers import (
    EnvVarSource as EnvVarSource,
)
from springtide.api.containers import (
    EphemeralContainer as EphemeralContainer,
)
from springtide.api.containers import (
    ExecAction as ExecAction,
)
from springtide.api.containers import (
    FileKeySelector as FileKeySelector,
)
from springtide.api.containers import (
    GRPCAction as GRPCAction,
)
from springtide.api.containers import (
    HTTPGetAction as HTTPGetAction,
)
from springtide.api.containers import (
    HTTPHeader as HTTPHeader,
)
from springtide.api.containers import (
    IntOrString as IntOrString,
)
from springtide.api.containers import (
    Lifecycle as Lifecycle,
)
from springtide.api.containers import (
    LifecycleHandler as LifecycleHandler,
)
from springtide.api.containers import (
    Probe as Probe,
)
from springtide.api.containers import (
    ResourceClaim as ResourceClaim,
)
from springtide.api.containers import (
    ResourceRequirements as ResourceRequirements,
)
from springtide.api.containers import (
    SeccompProfile as SeccompProfile,
)
from springtide.api.containers import (
    SecretEnvSource as SecretEnvSource,
)
from springtide.api.containers import (
    SecretKeySelector as SecretKeySelector,
)
from springtide.api.containers import (
    SecurityContext as SecurityContext,
)
from springtide.api.containers import (
    SELinuxOptions as SELinuxOptions,
)
from springtide.api.containers import (
    SleepAction as SleepAction,
)
from springtide.api.containers import (
    TCPSocketAction as TCPSocketAction,
)
from springtide.api.containers import (
    WindowsSecurityContextOptions as WindowsSecurityContextOptions,
)
from springtide.api.events import (
    Event as Event,
)
from springtide.api.events import (
    EventSeries as EventSeries,
)
from springtide.api.events import (
    EventSource as EventSource,
)
from springtide.api.listtypes import ListMap
from springtide.api.meta import Condition, Object
from springtide.api.nodes import (
    AttachedVolume as AttachedVolume,
)
from springtide.api.nodes import (
    ContainerImage as ContainerImage,
)
from springtide.api.nodes import (
    DaemonEndpoint as DaemonEndpoint,
)
from springtide.api.nodes import (
    Node as Node,
)
from springtide.api.nodes import (
    NodeAddress as NodeAddress,
)
from springtide.api.nodes import (
    NodeCondition as NodeCondition,
)
from springtide.api.nodes import (
    NodeDaemonEndpoints as NodeDaemonEndpoints,
)
from springtide.api.nodes import (
    NodeSpec as NodeSpec,
)
from springtide.api.nodes import (
    NodeStatus as NodeStatus,
)
from springtide.api.nodes import (
    NodeSystemInfo as NodeSystemInfo,
)
from springtide.api.nodes import (
    Taint as Taint,
)
from springtide.api.persistentvolumes import (
    PersistentVolume as PersistentVolume,
)
from springtide.api.persistentvolumes import (
    PersistentVolumeClaim as PersistentVolumeClaim,
)
from springtide.api.persistentvolumes import (
    PersistentVolumeClaimCondition as PersistentVolumeClaimCondition,
)
from springtide.api.persistentvolumes import (
    PersistentVolumeClaimStatus as PersistentVolumeClaimStatus,
)
from springtide.api.pods import (
    HostAlias as HostAlias,
)
from springtide.api.pods import (
    PodDNSConfig as PodDNSConfig,
)
from springtide.api.pods import (
    PodDNSConfigOption as PodDNSConfigOption,
)
from springtide.api.pods import (
    PodOS as PodOS,
)
from springtide.api.pods import (
    PodReadinessGate as PodReadinessGate,
)
from springtide.api.pods import (
    PodResourceClaim as PodResourceClaim,
)
from springtide.api.pods import (
    PodSchedulingGate as PodSchedulingGate,
)
from springtide.api.pods import (
    PodSchedulingGroup as PodSchedulingGroup,
)
from springtide.api.pods import (
    PodSecurityContext as PodSecurityContext,
)
from springtide.api.pods import (
    PodSpec as PodSpec,
)
from springtide.api.pods import (
    PodTemplateSpec as PodTemplateSpec,
)
from springtide.api.pods import (
    Sysctl as Sysctl,
)
from springtide.api.podstatus import (
    ContainerState as ContainerState,
)
from springtide.api.podstatus import (
    ContainerStateRunning as ContainerStateRunning,
)
from springtide.api.podstatus import (
    ContainerStateTerminated as ContainerStateTerminated,
)
from springtide.api.podstatus import (
    ContainerStateWaiting as ContainerStateWaiting,
)
from springtide.api.podstatus import (
    ContainerStatus as ContainerStatus,
)
from springtide.api.podstatus import (
    ContainerUser as ContainerUser,
)
from springtide.api.podstatus import (
    HostIP as HostIP,
)
from springtide.api.podstatus import (
    LinuxContainerUser as LinuxContainerUser,
)
from springtide.api.podstatus import (
    PodCondition as PodCondition,
)
from springtide.api.podstatus import (
    PodIP as PodIP,
)
from springtide.api.podstatus import (
    PodResourceClaimStatus as PodResourceClaimStatus,
)
from springtide.api.podstatus import (
    PodStatus as PodStatus,
)
from springtide.api.podstatus import (
    ResourceHealth as ResourceHealth,
)
from springtide.api.podstatus import (
    ResourceStatus as ResourceStatus,
)
from springtide.api.podstatus import (
    VolumeMountStatus as VolumeMountStatus,
)
from springtide.api.quotas import (
    LimitRange as LimitRange,
)
from springtide.api.quotas import (
    ResourceQuota as ResourceQuota,
)
from springtide.api.references import (
    ObjectReference as ObjectReference,
)
from springtide.api.replication import (
    PodTemplate as PodTemplate,
)
from springtide.api.replication import (
    ReplicationController as ReplicationController,
)
from springtide.api.resources import Column, resource
from springtide.api.services import (
    EndpointAddress as EndpointAddress,
)
from springtide.api.services import (
    EndpointPort as EndpointPort,
)
from springtide.api.services import (
    Endpoints as Endpoints,
)
from springtide.api.services import (
    EndpointSubset as EndpointSubset,
)
from springtide.api.services import (
    Service as Service,
)
from springtide.api.services import (
    ServicePort as ServicePort,
)
from springtide.api.services import (
    ServiceSpec as ServiceSpec,
)
from springtide.api.services import (
    ServiceStatus as ServiceStatus,
)
from springtide.api.struct import Struct
from springtide.api.volumes import (
    ClusterTrustBundleProjection as ClusterTrustBundleProjection,
)
from springtide.api.volumes import (
    ConfigMapProjection as ConfigMapProjection,
)
from springtide.api.volumes import (
    ConfigMapVolumeSource as ConfigMapVolumeSource,
)
from springtide.api.volumes import (
    CSIVolumeSource as CSIVolumeSource,
)
from springtide.api.volumes import (
    DownwardAPIProjection as DownwardAPIProjection,
)
from springtide.api.volumes import (
    DownwardAPIVolumeFile as DownwardAPIVolumeFile,
)
from springtide.api.volumes import (
    DownwardAPIVolumeSource as DownwardAPIVolumeSource,
)
from springtide.api.volumes import (
    EmptyDirVolumeSource as EmptyDirVolumeSource,
)
from springtide.api.volumes import (
    EphemeralVolumeSource as EphemeralVolumeSource,
)
from springtide.api.volumes import (
    HostPathVolumeSource as HostPathVolumeSource,
)
from springtide.api.volumes import (
    ImageVolumeSource as ImageVolumeSource,
)
from springtide.api.volumes import (
    KeyToPath as KeyToPath,
)
from springtide.api.volumes import (
    LocalObjectReference as LocalObjectReference,
)
from springtide.api.volumes import (
    NFSVolumeSource as NFSVolumeSource,
)
from springtide.api.volumes import (
    ObjectFieldSelector as ObjectFieldSelector,
)
from springtide.api.volumes import (
    PersistentVolumeClaimSpec as PersistentVolumeClaimSpec,
)
from springtide.api.volumes import (
    PersistentVolumeClaimTemplate as PersistentVolumeClaimTemplate,
)
from springtide.api.volumes import (
    PersistentVolumeClaimVolumeSource as PersistentVolumeClaimVolumeSource,
)
from springtide.api.volumes import (
    PodCertificateProjection as PodCertificateProjection,
)
from springtide.api.volumes import (
    ProjectedVolumeSource as ProjectedVolumeSource,
)
from springtide.api.volumes import (
    ResourceFieldSelector as ResourceFieldSelector,
)
from springtide.api.volumes import (
    ResourceList as ResourceList,
)
from springtide.api.volumes import (
    SecretProjection as SecretProjection,
)
from springtide.api.volumes import (
    SecretVolumeSource as SecretVolumeSource,
)
from springtide.api.volumes import (
    ServiceAccountTokenProjection as ServiceAccountTokenProjection,
)
from springtide.api.volumes import (
    TypedLocalObjectReference as TypedLocalObjectReference,
)
from springtide.api.volumes import (
    TypedObjectReference as TypedObjectReference,
)
from springtide.api.volumes import (
    Volume as Volume,
)
from springtide.api.volumes import (
    VolumeDevice as VolumeDevice,
)
from springtide.api.volumes import (
    VolumeMount as VolumeMount,
)
from springtide.api.volumes import (
    VolumeProjection as VolumeProjection,
)
from springtide.api.volumes import (
    VolumeResourceRequirements as VolumeResourceRequirements,
)

DEFINITION_PREFIX = "io.k8s.api.core.v1"

AGE = Column("Age", "date", ".metadata.creationTimestamp")


@resource(
    plural="pods",
    short_names=("po",),
    categories=("all",),
    builtin=True,
    columns=(
        Column("Status", "string", ".status.phase"),
        Column("Node", "string", ".spec.nodeName", priority=1),
        AGE,
    ),
)
class Pod(Object):
    """A group of containers that run on one node, live and die together."""

    api_version: str = "v1"
    kind: str = "Pod"
    spec: PodSpec = PodSpec()
    """What it runs, and where it may run."""
    status: PodStatus = PodStatus()
    """What is known of it; the node writes it."""


@resource(plural="bindings", builtin=True)
class Binding(Object):
    """Assigns a pod to a node; posted to the pod's `binding` subresource."""

    api_version: str = "v1"
    kind: str = "Binding"
    target: ObjectReference
    """The node."""


class NamespaceSpec(Struct):
    """What a namespace waits for."""

    finalizers: list[str] = []
    """Names that must be removed before a deleted namespace goes away."""


class NamespaceCondition(Condition):
    """One observation of a namespace's deletion."""

    reason: str = ""
    """Cause of the last change of status, one CamelCase word."""
    message: str = ""
    """What it means, for people."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""


class NamespaceStatus(Struct):
    """Where a namespace is in its life."""

    phase: str = ""
    """`Active` or `Terminating`."""
    conditions: Annotated[list[NamespaceCondition], ListMap("type")] = []
    """What a deletion waits for."""


@resource(
    plural="namespaces",
    namespaced=False,
    short_names=("ns",),
    builtin=True,
    columns=(Column("Status", "string", ".status.phase"), AGE),
)
class Namespace(Object):
    """A scope for names; objects in it are deleted with it."""

    api_version: str = "v1"
    kind: str = "Namespace"
    spec: NamespaceSpec = NamespaceSpec()
    """What it waits for."""
    status: NamespaceStatus = NamespaceStatus()
    """Where it is in its life."""


@resource(plural="configmaps", short_names=("cm",), builtin=True, columns=(AGE,))
class ConfigMap(Object):
    """Configuration that pods read as files or variables."""

    api_version: str = "v1"
    kind: str = "ConfigMap"
    data: dict[str, str] = {}
    """Text by key."""
    binary_data: dict[str, str] = {}
    """Bytes by key, in base64."""
    immutable: bool | None = None
    """Whether the data can never change."""


@resource(
    plural="secrets",
    builtin=True,
    columns=(Column("Type", "string", ".type"), AGE),
)
class Secret(Object):
    """Configuration that should not be shown, such as passwords and tokens."""

    api_version: str = "v1"
    kind: str = "Secret"
    type: str = ""
    """What it is for; `Opaque` by default."""
    data: dict[str, str] = {}
    """Bytes by key, in base64."""
    string_data: dict[str, str] = {}
    """Text by key, for writing: the server moves it to `data`."""
    immutable: bool | None = None
    """Whether the data can never change."""


@resource(plural="serviceaccounts", short_names=("sa",), builtin=True, columns=(AGE,))
class ServiceAccount(Object):
    """An identity for pods."""

    api_version: str = "v1"
    kind: str = "ServiceAccount"
    secrets: Annotated[list[ObjectReference], ListMap("name")] = []
    """Secrets that pods with this identity may use."""
    image_pull_secrets: list[LocalObjectReference] = []
    """Credentials for registries, given to pods with this identity."""
    automount_service_account_token: bool | None = None
    """Whether pods get a token of this identity."""
