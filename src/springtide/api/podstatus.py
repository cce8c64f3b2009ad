"""core/v1: what is known of a pod. Part of `springtide.api.core`; written by the node, read by everyone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import field

from springtide.api.containers import ResourceRequirements
from springtide.api.listtypes import ListAtomic, ListMap, Required, RetainKeys
from springtide.api.meta import Condition
from springtide.api.struct import Always, Struct, always
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "io.k8s.api.core.v1"


class ContainerStateWaiting(Struct):
    """The container does not run yet."""

    reason: str = ""
    """Why, one CamelCase word, such as `ContainerCreating` or `CrashLoopBackOff`."""
    message: str = ""
    """Why, for people."""


class ContainerStateRunning(Struct):
    """The container runs."""

    started_at: datetime | None = None
    """When it was started."""


class ContainerStateTerminated(Struct):
    """The container has ended."""

    exit_code: int = always(0)
    """Exit code; 128 + n after signal n."""
    signal: int = 0
    """Signal that ended it, if one did."""
    reason: str = ""
    """Why, one CamelCase word, such as `Completed`, `Error` or `OOMKilled`."""
    message: str = ""
    """Its termination message, or the end of its log."""
    started_at: datetime | None = None
    """When it was started."""
    finished_at: datetime | None = None
    """When it ended."""
    container_id: str = field(name="containerID", default="")
    """Which incarnation it was."""


class ContainerState(Struct):
    """Where a container is in its life; waiting if nothing is set."""

    waiting: ContainerStateWaiting | None = None
    """It does not run yet."""
    running: ContainerStateRunning | None = None
    """It runs."""
    terminated: ContainerStateTerminated | None = None
    """It has ended."""


class VolumeMountStatus(Struct):
    """A mount as it was made."""

    name: str
    """Name of the volume."""
    mount_path: str
    """Path within the container."""
    read_only: bool = False
    """Whether the container may only read."""
    recursive_read_only: str | None = None
    """Whether mounts below are read-only too."""
    volume_status: dict[str, Any] | None = None
    """What is known of the volume itself."""


class ResourceHealth(Struct):
    """Health of one device."""

    resource_id: str = field(name="resourceID")
    """Which device."""
    health: str = ""
    """`Healthy`, `Unhealthy` or `Unknown`."""
    message: str = ""
    """More, for people."""


class ResourceStatus(Struct):
    """Health of the devices a container has."""

    name: str
    """Resource or claim."""
    resources: Annotated[list[ResourceHealth], ListMap("resourceID", merge=False)] = []
    """Its devices."""


class LinuxContainerUser(Struct):
    """Identity of a container's first process on Linux."""

    uid: int
    """User id."""
    gid: int
    """Group id."""
    supplemental_groups: list[int] = []
    """Further group ids."""


class ContainerUser(Struct):
    """Identity of a container's first process."""

    linux: LinuxContainerUser | None = None
    """On Linux."""


class ContainerStatus(Struct):
    """What is known of one container."""

    name: str
    """Name of the container."""
    state: ContainerState = ContainerState()
    """Where it is in its life."""
    last_state: ContainerState = ContainerState()
    """How its incarnation before this one ended."""
    ready: bool = always(False)
    """Whether it passes its readiness probe."""
    restart_count: int = always(0)
    """How often it was restarted."""
    image: str = always("")
    """Image it runs."""
    image_id: str = field(name="imageID", default_factory=Always(""))
    """Digest of that image."""
    container_id: str = field(name="containerID", default="")
    """Which incarnation runs: `<runtime>://<id>`."""
    started: bool | None = None
    """Whether it has passed its startup probe."""
    allocated_resources: ResourceList = {}
    """What the node has set aside for it."""
    resources: ResourceRequirements | None = None
    """Requests and limits in force."""
    volume_mounts: Annotated[list[VolumeMountStatus], ListMap("mountPath")] = []
    """Mounts as they were made."""
    user: ContainerUser | None = None
    """Whom its first process runs as."""
    allocated_resources_status: Annotated[list[ResourceStatus], ListMap("name")] = []
    """Health of its devices."""
    stop_signal: str | None = None
    """Signal that asks it to stop."""


class PodIP(Struct):
    """An address of a pod."""

    ip: Annotated[str, Required()] = ""
    """IPv4 or IPv6 address."""


class HostIP(Struct):
    """An address of a node."""

    ip: Annotated[str, Required()] = ""
    """IPv4 or IPv6 address."""


class PodCondition(Condition):
    """One observation of a pod's state."""

    reason: str = ""
    """Cause of the last change of status, one CamelCase word for programs."""
    message: str = ""
    """What it means, one sentence for people."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""
    last_probe_time: datetime | None = None
    """When it was last looked at."""


class PodResourceClaimStatus(Struct):
    """The claim that was made for the pod."""

    name: str
    """Entry of `spec.resourceClaims`."""
    resource_claim_name: str | None = None
    """ResourceClaim that was made for it."""


class PodStatus(Struct):
    """What is known of a pod; the node writes it."""

    phase: str = ""
    """`Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`."""
    conditions: Annotated[list[PodCondition], ListMap("type")] = []
    """`PodScheduled`, `Initialized`, `ContainersReady`, `Ready`, `DisruptionTarget` …"""
    message: str = ""
    """Why it is in this phase, for people."""
    reason: str = ""
    """Why it is in this phase, one CamelCase word."""
    nominated_node_name: str = ""
    """Node on which room is being made for it."""
    host_ip: str = field(name="hostIP", default="")
    """Address of its node."""
    host_ips: Annotated[list[HostIP], ListAtomic("ip")] = field(name="hostIPs", default_factory=list)
    """All addresses of its node."""
    pod_ip: str = field(name="podIP", default="")
    """Its address."""
    pod_ips: Annotated[list[PodIP], ListMap("ip")] = field(name="podIPs", default_factory=list)
    """All its addresses, at most one per family."""
    start_time: datetime | None = None
    """When the node took it on."""
    init_container_statuses: list[ContainerStatus] = []
    """Its init containers, in order."""
    container_statuses: list[ContainerStatus] = []
    """Its containers."""
    ephemeral_container_statuses: list[ContainerStatus] = []
    """Its ephemeral containers."""
    qos_class: str = ""
    """`Guaranteed`, `Burstable` or `BestEffort`."""
    resize: str = ""
    """State of a resize that is under way."""
    resource_claim_statuses: Annotated[list[PodResourceClaimStatus], ListMap("name"), RetainKeys()] = []
    """Claims that were made for it."""
    extended_resource_claim_status: dict[str, Any] | None = None
    """The claim that backs its extended resources."""
    observed_generation: int = 0
    """The `metadata.generation` the node has acted upon."""
    allocated_resources: ResourceList = {}
    """What the node has set aside for the whole pod."""
    resources: ResourceRequirements | None = None
    """Requests and limits of the whole pod in force."""
