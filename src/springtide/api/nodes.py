"""core/v1: the Node. Part of `springtide.api.core`; written by the node itself, read by the scheduler."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import field

from springtide.api.listtypes import Limits, ListMap, ListSet
from springtide.api.meta import Condition, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Always, Struct, always
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "io.k8s.api.core.v1"


class Taint(Struct):
    """Keeps pods away that do not tolerate it."""

    key: str
    """Key of the taint."""
    effect: str = always("")
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`."""
    value: str = ""
    """Value of the taint."""
    time_added: datetime | None = None
    """When it was put on."""


class NodeSpec(Struct):
    """What is wanted of a node."""

    pod_cidr: str = field(name="podCIDR", default="")
    """Range of its pods' addresses."""
    pod_cidrs: Annotated[list[str], ListSet(merge=True)] = field(name="podCIDRs", default_factory=list)
    """Ranges of its pods' addresses, one per family."""
    provider_id: str = field(name="providerID", default="")
    """What the cloud provider calls it."""
    unschedulable: bool = False
    """Whether new pods are kept away (`kubectl cordon`)."""
    taints: list[Taint] = []
    """Keep pods away that do not tolerate them."""


class NodeCondition(Condition):
    """One observation of a node's state."""

    reason: str = ""
    """Cause of the last change of status, one CamelCase word."""
    message: str = ""
    """What it means, for people."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""
    last_heartbeat_time: datetime | None = None
    """When it was last looked at."""


class NodeAddress(Struct):
    """An address of a node."""

    type: str
    """`InternalIP`, `ExternalIP`, `Hostname`, `InternalDNS` or `ExternalDNS`."""
    address: str
    """The address."""


class DaemonEndpoint(Struct):
    """A port of a daemon."""

    port: int = field(name="Port", default_factory=Always(0))
    """Number of the port."""


class NodeDaemonEndpoints(Struct):
    """Ports of the node's daemons."""

    kubelet_endpoint: DaemonEndpoint = DaemonEndpoint()
    """Port of the kubelet."""


class NodeSwapStatus(Struct):
    """Swap space of a node."""

    capacity: Annotated[int | None, Limits(format="int64")] = None
    """All of it, in bytes."""


class NodeSystemInfo(Struct):
    """What the node is made of."""

    machine_id: str = field(name="machineID", default_factory=Always(""))
    """Identity of the machine."""
    system_uuid: str = field(name="systemUUID", default_factory=Always(""))
    """Identity of the hardware."""
    boot_id: str = field(name="bootID", default_factory=Always(""))
    """Identity of this boot."""
    kernel_version: str = always("")
    """Version of the kernel."""
    os_image: str = always("")
    """Name of the operating system's distribution."""
    container_runtime_version: str = always("")
    """Runtime and version: `<runtime>://<version>`."""
    kubelet_version: str = always("")
    """Version of the kubelet."""
    kube_proxy_version: str = always("")
    """Deprecated."""
    swap: NodeSwapStatus | None = None
    """Its swap space."""
    operating_system: str = always("")
    """Such as `linux`."""
    architecture: str = always("")
    """Such as `amd64`."""


class ContainerImage(Struct):
    """An image a node has."""

    names: list[str] = []
    """Names it is known by."""
    size_bytes: int = 0
    """Size in bytes."""


class AttachedVolume(Struct):
    """A volume attached to a node."""

    name: str
    """Name of the volume."""
    device_path: str = always("")
    """Device it is attached as."""


class NodeStatus(Struct):
    """What is known of a node; the node writes it."""

    capacity: ResourceList = {}
    """All it has."""
    allocatable: ResourceList = {}
    """What pods may have."""
    phase: str = ""
    """Legacy and always empty."""
    conditions: Annotated[list[NodeCondition], ListMap("type")] = []
    """`Ready`, `MemoryPressure`, `DiskPressure`, `PIDPressure` …"""
    addresses: Annotated[list[NodeAddress], ListMap("type")] = []
    """Its addresses."""
    daemon_endpoints: NodeDaemonEndpoints = NodeDaemonEndpoints()
    """Ports of its daemons."""
    node_info: NodeSystemInfo = NodeSystemInfo()
    """What it is made of."""
    images: list[ContainerImage] = []
    """Images it has."""
    volumes_in_use: list[str] = []
    """Volumes it uses."""
    volumes_attached: list[AttachedVolume] = []
    """Volumes attached to it."""
    config: dict[str, Any] | None = None
    """Deprecated."""
    features: dict[str, bool] = {}
    """What its runtime can do."""
    runtime_handlers: list[dict[str, Any]] = []
    """Runtimes it has, and what each can do."""
    declared_features: list[str] = []
    """Features that depend on the node's version and set-up."""


@resource(
    plural="nodes",
    namespaced=False,
    short_names=("no",),
    builtin=True,
    columns=(
        Column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Age", "date", ".metadata.creationTimestamp"),
        Column("Version", "string", ".status.nodeInfo.kubeletVersion"),
    ),
)
class Node(Object):
    """A machine, or what plays one, that runs pods."""

    api_version: str = "v1"
    kind: str = "Node"
    spec: NodeSpec = NodeSpec()
    """What is wanted of it."""
    status: NodeStatus = NodeStatus()
    """What is known of it; the node writes it."""
