"""core/v1: the kinds every cluster has. The parts of a pod live in modules of their own and are named here too.

Source of names and meaning: the Kubernetes API reference. Fields no room here uses and few manifests
set are left out; they survive as unknown fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from msgspec import field

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
from springtide.api.listtypes import ListMap, MapAtomic
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
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
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


class ObjectReference(Struct):
    """A reference to any object, or to a part of it."""

    atomic: ClassVar[bool] = True

    kind: str = ""
    """Kind of the object."""
    namespace: str = ""
    """Namespace of the object."""
    name: str = ""
    """Name of the object."""
    uid: str = ""
    """UID of the object."""
    api_version: str = ""
    """API version of the object."""
    resource_version: str = ""
    """Version of the object that is meant."""
    field_path: str = ""
    """Part of the object that is meant, such as `spec.containers{main}`."""


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


class ServicePort(Struct):
    """A port of a service."""

    port: int
    """Number clients connect to."""
    name: str = ""
    """Name, unique within the service."""
    protocol: str = "TCP"
    """`TCP`, `UDP` or `SCTP`."""
    app_protocol: str | None = None
    """Protocol spoken on top, a hint."""
    target_port: IntOrString = ""
    """Number or name of the pods' port; `port` by default."""
    node_port: int = 0
    """Number on every node, for types that have one."""


class ServiceSpec(Struct):
    """Which pods a service stands for, and how it is reached."""

    ports: Annotated[list[ServicePort], ListMap("port", "protocol", merge_key="port")] = []
    """Its ports."""
    selector: Annotated[dict[str, str], MapAtomic()] = {}
    """Labels of its pods."""
    cluster_ip: str = field(name="clusterIP", default="")
    """Its address; `None` for a headless service whose name resolves to the pods."""
    cluster_ips: list[str] = field(name="clusterIPs", default_factory=list)
    """All its addresses."""
    type: str = ""
    """`ClusterIP` (default), `NodePort`, `LoadBalancer` or `ExternalName`."""
    external_ips: list[str] = field(name="externalIPs", default_factory=list)
    """Further addresses at which nodes accept its traffic."""
    session_affinity: str = ""
    """`ClientIP` sends a client to the same pod; `None` by default."""
    load_balancer_ip: str = field(name="loadBalancerIP", default="")
    """Deprecated wish for the load balancer's address."""
    load_balancer_class: str | None = None
    """Which load balancer implementation serves it."""
    external_name: str = ""
    """Name it is an alias of, for `ExternalName`."""
    external_traffic_policy: str = ""
    """`Cluster` or `Local`: whether outside traffic may go to other nodes."""
    internal_traffic_policy: str | None = None
    """`Cluster` or `Local`: whether inside traffic may go to other nodes."""
    publish_not_ready_addresses: bool = False
    """Whether pods that are not ready count."""
    ip_families: list[str] = []
    """`IPv4`, `IPv6` or both."""
    ip_family_policy: str | None = None
    """`SingleStack`, `PreferDualStack` or `RequireDualStack`."""


class ServiceStatus(Struct):
    """What is known of a service."""

    load_balancer: dict[str, Any] = {}
    """Addresses of its load balancer."""
    conditions: Annotated[list[Condition], ListMap("type")] = []
    """Observations of its state."""


@resource(
    plural="services",
    short_names=("svc",),
    categories=("all",),
    builtin=True,
    columns=(
        Column("Type", "string", ".spec.type"),
        Column("Cluster-IP", "string", ".spec.clusterIP"),
        AGE,
    ),
)
class Service(Object):
    """A stable name for a changing set of pods."""

    api_version: str = "v1"
    kind: str = "Service"
    spec: ServiceSpec = ServiceSpec()
    """Which pods it stands for, and how it is reached."""
    status: ServiceStatus = ServiceStatus()
    """What is known of it."""


class EndpointAddress(Struct):
    """An address behind a service."""

    ip: str
    """The address."""
    hostname: str = ""
    """Host name of the pod."""
    node_name: str | None = None
    """Node it is on."""
    target_ref: ObjectReference | None = None
    """The pod."""


class EndpointPort(Struct):
    """A port behind a service."""

    port: int
    """Number of the port."""
    name: str = ""
    """Name of the service's port."""
    protocol: str = ""
    """`TCP`, `UDP` or `SCTP`."""
    app_protocol: str | None = None
    """Protocol spoken on top."""


class EndpointSubset(Struct):
    """Addresses that share ports."""

    addresses: list[EndpointAddress] = []
    """Those that are ready."""
    not_ready_addresses: list[EndpointAddress] = []
    """Those that are not."""
    ports: list[EndpointPort] = []
    """The ports."""


@resource(plural="endpoints", short_names=("ep",), builtin=True, columns=(AGE,))
class Endpoints(Object):
    """The addresses behind a service of the same name."""

    api_version: str = "v1"
    kind: str = "Endpoints"
    subsets: list[EndpointSubset] = []
    """The addresses, grouped by ports."""


class EventSource(Struct):
    """Who reported an event."""

    component: str = ""
    """Name of the program."""
    host: str = ""
    """Node it ran on."""


class EventSeries(Struct):
    """An event that goes on."""

    count: int = 0
    """How often it happened."""
    last_observed_time: datetime | None = None
    """When it was last seen."""


@resource(
    plural="events",
    short_names=("ev",),
    builtin=True,
    columns=(
        Column("Last Seen", "date", ".lastTimestamp"),
        Column("Type", "string", ".type"),
        Column("Reason", "string", ".reason"),
        Column("Object", "string", ".involvedObject.name"),
        Column("Message", "string", ".message"),
    ),
)
class Event(Object):
    """Something that happened to an object; kept for a short time."""

    api_version: str = "v1"
    kind: str = "Event"
    involved_object: ObjectReference
    """What it is about."""
    reason: str = ""
    """What happened, one CamelCase word."""
    message: str = ""
    """What happened, for people."""
    source: EventSource = EventSource()
    """Who reported it."""
    first_timestamp: datetime | None = None
    """When it was first seen."""
    last_timestamp: datetime | None = None
    """When it was last seen."""
    count: int = 0
    """How often it was seen."""
    type: str = ""
    """`Normal` or `Warning`."""
    event_time: datetime | None = None
    """When it was first seen, to the microsecond (`springtide.api.meta.micro_time`)."""
    series: EventSeries | None = None
    """Its repetitions."""
    action: str = ""
    """What was done about it, one CamelCase word."""
    related: ObjectReference | None = None
    """A second object it is about."""
    reporting_component: str = always("")
    """Program that reported it, such as `springtide.dev/scheduling`."""
    reporting_instance: str = always("")
    """Which instance of the program."""


class PersistentVolumeClaimCondition(Condition):
    """One observation of a claim's state."""

    reason: str = ""
    """Cause of the last change of status, one CamelCase word."""
    message: str = ""
    """What it means, for people."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""
    last_probe_time: datetime | None = None
    """When it was last looked at."""


class PersistentVolumeClaimStatus(Struct):
    """What is known of a claim."""

    phase: str = ""
    """`Pending`, `Bound` or `Lost`."""
    access_modes: list[str] = []
    """How the volume may be mounted."""
    capacity: ResourceList = {}
    """How large the volume is."""
    conditions: Annotated[list[PersistentVolumeClaimCondition], ListMap("type")] = []
    """Observations, such as a resize."""


@resource(
    plural="persistentvolumeclaims",
    short_names=("pvc",),
    builtin=True,
    columns=(
        Column("Status", "string", ".status.phase"),
        Column("Volume", "string", ".spec.volumeName"),
        Column("Capacity", "string", ".status.capacity.storage"),
        AGE,
    ),
)
class PersistentVolumeClaim(Object):
    """A request for storage that outlives pods."""

    api_version: str = "v1"
    kind: str = "PersistentVolumeClaim"
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    """The storage that is asked for."""
    status: PersistentVolumeClaimStatus = PersistentVolumeClaimStatus()
    """What is known of it."""
