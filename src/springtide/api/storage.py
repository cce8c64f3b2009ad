"""storage.k8s.io/v1: classes of storage, and what its drivers say of themselves and of nodes.

Served so that schedulers and drivers that look for them find them; no node here mounts such volumes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import field

from springtide.api.listtypes import ListMap, ListSet
from springtide.api.meta import LabelSelector, Object
from springtide.api.persistentvolumes import PersistentVolumeSpec
from springtide.api.quantity import Quantity
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.storage.v1"

_AGE = Column("Age", "date", ".metadata.creationTimestamp")


class TopologySelectorLabelRequirement(Struct):
    """A label of nodes, and the values that are fine."""

    key: str
    """The label."""
    values: list[str]
    """Its values, any of them."""


class TopologySelectorTerm(Struct):
    """Nodes with all of these labels."""

    atomic: ClassVar[bool] = True

    match_label_expressions: list[TopologySelectorLabelRequirement] = []
    """The labels."""


@resource(plural="storageclasses", namespaced=False, short_names=("sc",), builtin=True, columns=(_AGE,))
class StorageClass(Object):
    """A kind of storage that claims can ask for, and who provides it."""

    api_version: str = "storage.k8s.io/v1"
    kind: str = "StorageClass"
    provisioner: str
    """Who makes its volumes."""
    parameters: dict[str, str] = {}
    """What the provisioner wants to know."""
    reclaim_policy: str | None = None
    """What happens to a volume when its claim goes: `Delete` (default) or `Retain`."""
    mount_options: list[str] = []
    """Options of `mount`."""
    allow_volume_expansion: bool | None = None
    """Whether claims may grow."""
    volume_binding_mode: str | None = None
    """`Immediate` (default), or `WaitForFirstConsumer`: once a pod that uses the claim is placed."""
    allowed_topologies: list[TopologySelectorTerm] = []
    """Where volumes may be made."""


class CSINodeDriverResources(Struct):
    """How many volumes of a driver a node can hold."""

    count: int | None = None
    """How many."""


class CSINodeDriver(Struct):
    """A storage driver on a node."""

    name: str
    """Name of the driver."""
    node_id: str = field(name="nodeID")
    """What the driver calls the node."""
    topology_keys: list[str] = always([])
    """Labels by which the driver tells places apart."""
    allocatable: CSINodeDriverResources | None = None
    """How many volumes fit."""


class CSINodeSpec(Struct):
    """The storage drivers of a node."""

    drivers: Annotated[list[CSINodeDriver], ListMap("name")]
    """The drivers."""


@resource(plural="csinodes", namespaced=False, builtin=True, columns=(_AGE,))
class CSINode(Object):
    """The storage drivers of the node of the same name."""

    api_version: str = "storage.k8s.io/v1"
    kind: str = "CSINode"
    spec: CSINodeSpec
    """The drivers."""


class TokenRequest(Struct):
    """A token a driver wants of the pods it mounts for."""

    audience: str
    """For whom the token is."""
    expiration_seconds: int | None = None
    """How long it is valid."""


class CSIDriverSpec(Struct):
    """What a storage driver can and wants."""

    attach_required: bool | None = None
    """Whether volumes must be attached to a node before they are mounted; true by default."""
    pod_info_on_mount: bool | None = None
    """Whether the driver wants to know the pod."""
    volume_lifecycle_modes: Annotated[list[str], ListSet()] = []
    """`Persistent` (default), `Ephemeral`."""
    storage_capacity: bool | None = None
    """Whether the driver reports how much room there is."""
    fs_group_policy: str | None = None
    """How ownership by group is set: `ReadWriteOnceWithFSType` (default), `File` or `None`."""
    token_requests: list[TokenRequest] = []
    """Tokens it wants of pods."""
    requires_republish: bool | None = None
    """Whether it wants to be called again and again for a mounted volume."""
    se_linux_mount: bool | None = None
    """Whether it can mount with an SELinux context."""
    node_allocatable_update_period_seconds: int | None = None
    """How often what a node can hold is asked anew."""
    service_account_token_in_secrets: bool | None = None
    """Whether tokens come in the secrets field."""
    prevent_pod_scheduling_if_missing: bool | None = None
    """Whether pods stay away from nodes without this driver."""


@resource(plural="csidrivers", namespaced=False, builtin=True, columns=(_AGE,))
class CSIDriver(Object):
    """A storage driver of the cluster."""

    api_version: str = "storage.k8s.io/v1"
    kind: str = "CSIDriver"
    spec: CSIDriverSpec
    """What it can and wants."""


@resource(plural="csistoragecapacities", builtin=True, columns=(_AGE,))
class CSIStorageCapacity(Object):
    """How much room a driver has for one class of storage in one place."""

    api_version: str = "storage.k8s.io/v1"
    kind: str = "CSIStorageCapacity"
    node_topology: LabelSelector | None = None
    """From which nodes the room can be used; none means from no node."""
    storage_class_name: str
    """The class of storage."""
    capacity: Quantity | None = None
    """How much room there is."""
    maximum_volume_size: Quantity | None = None
    """How large one volume can be."""


class VolumeError(Struct):
    """What went wrong with a volume."""

    time: datetime | None = None
    """When."""
    message: str = ""
    """What, for people."""
    error_code: int | None = None
    """Code of the driver's answer."""


class VolumeAttachmentSource(Struct):
    """Which volume."""

    persistent_volume_name: str | None = None
    """Name of the PersistentVolume."""
    inline_volume_spec: PersistentVolumeSpec | None = None
    """A volume that is no object."""


class VolumeAttachmentSpec(Struct):
    """Which volume is wanted on which node."""

    attacher: str
    """The driver that attaches it."""
    source: VolumeAttachmentSource
    """The volume."""
    node_name: str
    """The node."""


class VolumeAttachmentStatus(Struct):
    """How far it is."""

    attached: bool = always(False)
    """Whether the node has the volume."""
    attachment_metadata: dict[str, str] = {}
    """What the mount must know."""
    attach_error: VolumeError | None = None
    """Why it could not be attached."""
    detach_error: VolumeError | None = None
    """Why it could not be detached."""


@resource(plural="volumeattachments", namespaced=False, builtin=True, columns=(_AGE,))
class VolumeAttachment(Object):
    """The wish to have a volume on a node."""

    api_version: str = "storage.k8s.io/v1"
    kind: str = "VolumeAttachment"
    spec: VolumeAttachmentSpec
    """The wish."""
    status: VolumeAttachmentStatus = VolumeAttachmentStatus()
    """How far it is."""


@resource(
    plural="volumeattributesclasses", namespaced=False, short_names=("vac",), builtin=True, columns=(_AGE,)
)
class VolumeAttributesClass(Object):
    """Attributes of volumes that a driver can change while they are in use."""

    api_version: str = "storage.k8s.io/v1"
    kind: str = "VolumeAttributesClass"
    driver_name: str
    """The driver."""
    parameters: dict[str, str] = {}
    """The attributes."""
