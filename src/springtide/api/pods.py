"""core/v1: the wanted state of a pod. Part of `springtide.api.core`; every workload's template embeds it."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from springtide.api.affinity import Affinity, Toleration, TopologySpreadConstraint
from springtide.api.containers import (
    AppArmorProfile,
    Container,
    EphemeralContainer,
    ResourceRequirements,
    SeccompProfile,
    SELinuxOptions,
    WindowsSecurityContextOptions,
)
from springtide.api.listtypes import ListMap, MapAtomic, RetainKeys
from springtide.api.meta import ObjectMeta
from springtide.api.struct import Struct, always
from springtide.api.volumes import LocalObjectReference, ResourceList, Volume

DEFINITION_PREFIX = "io.k8s.api.core.v1"


class Sysctl(Struct):
    """A kernel parameter."""

    name: str
    """Name of the parameter."""
    value: str
    """Its value."""


class PodSecurityContext(Struct):
    """Privileges of all containers of a pod."""

    se_linux_options: SELinuxOptions | None = None
    """SELinux labels."""
    windows_options: WindowsSecurityContextOptions | None = None
    """Settings for Windows nodes."""
    run_as_user: int | None = None
    """User id of the processes."""
    run_as_group: int | None = None
    """Group id of the processes."""
    run_as_non_root: bool | None = None
    """Whether to refuse to start as user 0."""
    supplemental_groups: list[int] = []
    """Further group ids of the first process."""
    supplemental_groups_policy: str | None = None
    """Whether groups of the image count: `Merge` or `Strict`."""
    fs_group: int | None = None
    """Group that owns mounted volumes."""
    sysctls: list[Sysctl] = []
    """Kernel parameters of the pod."""
    fs_group_change_policy: str | None = None
    """When to change ownership of volumes: `Always` or `OnRootMismatch`."""
    seccomp_profile: SeccompProfile | None = None
    """Which system calls are let through."""
    app_armor_profile: AppArmorProfile | None = None
    """Which AppArmor profile confines the processes."""
    se_linux_change_policy: str | None = None
    """How volumes get their SELinux label: `MountOption` or `Recursive`."""


class HostAlias(Struct):
    """A line of the pod's /etc/hosts."""

    ip: str
    """Address."""
    hostnames: list[str] = []
    """Names of that address."""


class PodDNSConfigOption(Struct):
    """An option of the resolver."""

    name: str = ""
    """Name of the option."""
    value: str | None = None
    """Its value, if it takes one."""


class PodDNSConfig(Struct):
    """How the pod resolves names, in addition to its DNS policy."""

    nameservers: list[str] = []
    """Addresses of name servers."""
    searches: list[str] = []
    """Search domains."""
    options: list[PodDNSConfigOption] = []
    """Options of the resolver."""


class PodReadinessGate(Struct):
    """A condition that must be True for the pod to be ready."""

    condition_type: str
    """Type of the condition."""


class PodSchedulingGate(Struct):
    """A reason not to schedule the pod yet."""

    name: str
    """Name of the gate; who set it removes it."""


class PodOS(Struct):
    """The operating system of the containers."""

    name: str
    """`linux` or `windows`."""


class PodResourceClaim(Struct):
    """A claim for devices."""

    name: str
    """Name that containers refer to."""
    resource_claim_name: str | None = None
    """An existing ResourceClaim."""
    resource_claim_template_name: str | None = None
    """A template from which a ResourceClaim is made for the pod."""


class PodSchedulingGroup(Struct):
    """The group the pod is scheduled with."""

    pod_group_name: str | None = None
    """Name of the PodGroup."""


class PodSpec(Struct):
    """What a pod runs, and where it may run."""

    volumes: Annotated[list[Volume], ListMap("name"), RetainKeys()] = []
    """Volumes that containers may mount."""
    init_containers: Annotated[list[Container], ListMap("name")] = []
    """Run to completion one after the other before the others start."""
    containers: Annotated[list[Container], ListMap("name")] = always([])
    """Programs that run beside each other; at least one."""
    ephemeral_containers: Annotated[list[EphemeralContainer], ListMap("name")] = []
    """Containers added for debugging."""
    restart_policy: str = ""
    """What becomes of containers that end: `Always` (default), `OnFailure` or `Never`."""
    termination_grace_period_seconds: int | None = None
    """Seconds between asking to stop and killing; 30 by default."""
    active_deadline_seconds: int | None = None
    """Seconds after which a pod that still runs is failed."""
    dns_policy: str = ""
    """How names are resolved: `ClusterFirst` (default), `Default`, `ClusterFirstWithHostNet` or `None`."""
    node_selector: Annotated[dict[str, str], MapAtomic()] = {}
    """Labels the node must have."""
    service_account_name: str = ""
    """Identity the pod acts with."""
    service_account: str = ""
    """Old name of `serviceAccountName`."""
    automount_service_account_token: bool | None = None
    """Whether the identity's token is mounted."""
    node_name: str = ""
    """Node it runs on; set by the scheduler."""
    host_network: bool = False
    """Whether it uses the node's network."""
    host_pid: bool = field(name="hostPID", default=False)
    """Whether it sees the node's processes."""
    host_ipc: bool = field(name="hostIPC", default=False)
    """Whether it shares the node's IPC."""
    host_users: bool | None = None
    """Whether it uses the node's user ids."""
    share_process_namespace: bool | None = None
    """Whether its containers see each other's processes."""
    security_context: PodSecurityContext | None = None
    """Privileges of all its containers."""
    image_pull_secrets: Annotated[list[LocalObjectReference], ListMap("name")] = []
    """Secrets with credentials for registries."""
    hostname: str = ""
    """Its host name; the pod's name by default."""
    hostname_override: str | None = None
    """Its full host name as processes see it."""
    subdomain: str = ""
    """With `hostname`, gives it the name `<hostname>.<subdomain>`."""
    set_hostname_as_fqdn: bool | None = field(name="setHostnameAsFQDN", default=None)
    """Whether its host name is the full domain name."""
    affinity: Affinity | None = None
    """Where it needs or likes to run."""
    scheduler_name: str = ""
    """Who schedules it; `default-scheduler` by default."""
    tolerations: list[Toleration] = []
    """Taints it puts up with."""
    host_aliases: Annotated[list[HostAlias], ListMap("ip")] = []
    """Lines for its /etc/hosts."""
    priority_class_name: str = ""
    """PriorityClass that gives its priority."""
    priority: int | None = None
    """The priority; filled in from the class."""
    preemption_policy: str | None = None
    """Whether it may push others out; filled in from the class."""
    dns_config: PodDNSConfig | None = None
    """Further settings of name resolution."""
    readiness_gates: list[PodReadinessGate] = []
    """Conditions that must be True for it to be ready."""
    runtime_class_name: str | None = None
    """RuntimeClass that runs it."""
    enable_service_links: bool | None = None
    """Whether services are put into its environment."""
    overhead: ResourceList = {}
    """What its runtime takes on top; filled in from the RuntimeClass."""
    topology_spread_constraints: Annotated[
        list[TopologySpreadConstraint], ListMap("topologyKey", "whenUnsatisfiable", merge_key="topologyKey")
    ] = []
    """How evenly it is spread with its like."""
    os: PodOS | None = None
    """Operating system of its containers."""
    scheduling_gates: Annotated[list[PodSchedulingGate], ListMap("name")] = []
    """Reasons not to schedule it yet."""
    scheduling_group: PodSchedulingGroup | None = None
    """The group it is scheduled with."""
    resource_claims: Annotated[list[PodResourceClaim], ListMap("name"), RetainKeys()] = []
    """Claims for devices."""
    resources: ResourceRequirements | None = None
    """What all its containers together need and may use at most."""


class PodTemplateSpec(Struct):
    """A pod to be made: its labels, annotations and spec."""

    metadata: ObjectMeta = ObjectMeta()
    """Labels and annotations of the pods."""
    spec: PodSpec = PodSpec()
    """What the pods run."""
