"""core/v1: PersistentVolume and PersistentVolumeClaim, storage that outlives pods. Part of `core`.

Sources of storage networks and clouds that no node here mounts are kept as they come (`unknown`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from springtide.api.affinity import NodeSelector
from springtide.api.listtypes import ListMap, MapGranular
from springtide.api.meta import Condition, Object
from springtide.api.references import ObjectReference
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct
from springtide.api.volumes import (
    HostPathVolumeSource,
    NFSVolumeSource,
    PersistentVolumeClaimSpec,
    ResourceList,
)

DEFINITION_PREFIX = "io.k8s.api.core.v1"

_AGE = Column("Age", "date", ".metadata.creationTimestamp")


class SecretReference(Struct):
    """A Secret in any namespace."""

    atomic: ClassVar[bool] = True

    name: str = ""
    """Its name."""
    namespace: str = ""
    """Its namespace."""


class LocalVolumeSource(Struct):
    """A disk or folder of one node."""

    path: str
    """Where it is on the node."""
    fs_type: str | None = None
    """File system, for a block device."""


class CSIPersistentVolumeSource(Struct):
    """A volume of a storage driver."""

    driver: str
    """Name of the driver."""
    volume_handle: str
    """What the driver calls the volume."""
    read_only: bool = False
    """Whether it can only be read."""
    fs_type: str = ""
    """File system to mount."""
    volume_attributes: dict[str, str] = {}
    """What the driver wants to know of it."""
    controller_publish_secret_ref: SecretReference | None = None
    """Credentials to attach it."""
    node_stage_secret_ref: SecretReference | None = None
    """Credentials to prepare it on a node."""
    node_publish_secret_ref: SecretReference | None = None
    """Credentials to mount it for a pod."""
    controller_expand_secret_ref: SecretReference | None = None
    """Credentials to make it larger."""
    node_expand_secret_ref: SecretReference | None = None
    """Credentials to make its file system larger."""


class VolumeNodeAffinity(Struct):
    """From which nodes a volume can be reached."""

    required: NodeSelector | None = None
    """What such a node must be like."""


class PersistentVolumeSpec(Struct):
    """What a volume is, and who may have it."""

    preserve_unknown: ClassVar[bool] = True

    capacity: ResourceList = {}
    """How large it is."""
    access_modes: list[str] = []
    """How it may be mounted."""
    claim_ref: Annotated[ObjectReference | None, MapGranular()] = None
    """The claim it is bound to."""
    persistent_volume_reclaim_policy: str = ""
    """What happens to it when its claim goes: `Retain` (default), `Delete` or `Recycle`."""
    storage_class_name: str = ""
    """Its class."""
    mount_options: list[str] = []
    """Options of `mount`."""
    volume_mode: str | None = None
    """`Filesystem` (default) or `Block`."""
    node_affinity: VolumeNodeAffinity | None = None
    """From which nodes it can be reached."""
    volume_attributes_class_name: str | None = None
    """Class of attributes that the driver can change."""
    host_path: HostPathVolumeSource | None = None
    """A folder of whatever node the pod runs on."""
    local: LocalVolumeSource | None = None
    """A disk or folder of one node."""
    nfs: NFSVolumeSource | None = None
    """A network file system."""
    csi: CSIPersistentVolumeSource | None = None
    """A volume of a storage driver."""


class PersistentVolumeStatus(Struct):
    """What is known of a volume."""

    phase: str = ""
    """`Pending`, `Available`, `Bound`, `Released` or `Failed`."""
    message: str = ""
    """Why, for people."""
    reason: str = ""
    """Why, one CamelCase word."""
    last_phase_transition_time: datetime | None = None
    """When the phase last changed."""


@resource(
    plural="persistentvolumes",
    namespaced=False,
    short_names=("pv",),
    builtin=True,
    columns=(Column("Status", "string", ".status.phase"), _AGE),
)
class PersistentVolume(Object):
    """A piece of storage of the cluster."""

    api_version: str = "v1"
    kind: str = "PersistentVolume"
    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    """What it is."""
    status: PersistentVolumeStatus = PersistentVolumeStatus()
    """What is known of it."""


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


class ModifyVolumeStatus(Struct):
    """How far a change of attributes is."""

    status: str
    """`Pending`, `InProgress` or `Infeasible`."""
    target_volume_attributes_class_name: str = ""
    """The class that is wanted."""


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
    allocated_resources: ResourceList = {}
    """What is set aside for it, during a resize."""
    allocated_resource_statuses: Annotated[dict[str, str], MapGranular()] = {}
    """How far a resize is, by resource."""
    current_volume_attributes_class_name: str | None = None
    """Class of attributes it has."""
    modify_volume_status: ModifyVolumeStatus | None = None
    """How far a change of attributes is."""


@resource(
    plural="persistentvolumeclaims",
    short_names=("pvc",),
    builtin=True,
    columns=(
        Column("Status", "string", ".status.phase"),
        Column("Volume", "string", ".spec.volumeName"),
        Column("Capacity", "string", ".status.capacity.storage"),
        _AGE,
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
