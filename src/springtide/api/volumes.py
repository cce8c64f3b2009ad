"""core/v1: what a pod mounts. Part of `springtide.api.core`.

Volume sources of vendors that no room here implements stay unknown fields, in the schema too.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import field

from springtide.api.listtypes import Default, ListMap, Required, RetainKeys
from springtide.api.meta import LabelSelector, ObjectMeta
from springtide.api.quantity import Quantity
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.core.v1"

ResourceList = dict[str, Quantity]
"""Amount by resource name: cpu, memory, nvidia.com/gpu …"""


class LocalObjectReference(Struct):
    """An object in the same namespace, by name."""

    atomic: ClassVar[bool] = True

    name: Annotated[str, Default("")] = ""
    """Name of the object."""


class TypedLocalObjectReference(Struct):
    """An object of any kind in the same namespace."""

    atomic: ClassVar[bool] = True

    kind: str
    """Kind of the object."""
    name: str
    """Name of the object."""
    api_group: str | None = None
    """API group of the object; empty for core kinds."""


class TypedObjectReference(TypedLocalObjectReference):
    """An object of any kind, possibly in another namespace."""

    atomic: ClassVar[bool] = False

    namespace: str | None = None
    """Namespace of the object; that of the referrer by default."""


class ObjectFieldSelector(Struct):
    """A field of the pod itself."""

    atomic: ClassVar[bool] = True

    field_path: str
    """Path of the field, such as `metadata.name` or `metadata.annotations['key']`."""
    api_version: str = ""
    """Version the path speaks of; v1 by default."""


class ResourceFieldSelector(Struct):
    """A resource of one of the pod's containers."""

    atomic: ClassVar[bool] = True

    resource: str
    """Which one, such as `limits.cpu` or `requests.memory`."""
    container_name: str = ""
    """Container it belongs to; required in volumes."""
    divisor: Quantity = ""
    """Unit of the answer; 1 by default."""


class KeyToPath(Struct):
    """One key of a ConfigMap or Secret, as a file."""

    key: str
    """Key to take."""
    path: str
    """Relative path of the file."""
    mode: int | None = None
    """Permission bits of the file; those of the volume by default."""


class ConfigMapVolumeSource(LocalObjectReference):
    """Keys of a ConfigMap as files."""

    items: list[KeyToPath] = []
    """Keys to show and under which path; all of them by default."""
    default_mode: int | None = None
    """Permission bits of files without a mode of their own; 0644 by default."""
    optional: bool | None = None
    """Whether the pod may start without the ConfigMap or its keys."""


class SecretVolumeSource(Struct):
    """Keys of a Secret as files."""

    secret_name: str = ""
    """Name of the Secret in the pod's namespace."""
    items: list[KeyToPath] = []
    """Keys to show and under which path; all of them by default."""
    default_mode: int | None = None
    """Permission bits of files without a mode of their own; 0644 by default."""
    optional: bool | None = None
    """Whether the pod may start without the Secret or its keys."""


class EmptyDirVolumeSource(Struct):
    """An empty folder that lives as long as the pod."""

    medium: str = ""
    """`Memory` for a folder in memory; the node's disk by default."""
    size_limit: Quantity | None = None
    """How much may be stored in it."""


class HostPathVolumeSource(Struct):
    """A path of the node."""

    path: str
    """Absolute path on the node."""
    type: str | None = None
    """What must be there, such as `Directory`, `DirectoryOrCreate` or `File`; not checked by default."""


class PersistentVolumeClaimVolumeSource(Struct):
    """A PersistentVolumeClaim."""

    claim_name: str
    """Name of the claim in the pod's namespace."""
    read_only: bool = False
    """Whether all mounts of it are read-only."""


class NFSVolumeSource(Struct):
    """A folder of an NFS server."""

    server: str
    """Host name or address of the server."""
    path: str
    """Path the server exports."""
    read_only: bool = False
    """Whether the mount is read-only."""


class CSIVolumeSource(Struct):
    """A volume of a CSI driver that lives as long as the pod."""

    driver: str
    """Name of the driver."""
    read_only: bool | None = None
    """Whether the mount is read-only."""
    fs_type: str | None = None
    """File system to mount."""
    volume_attributes: dict[str, str] = {}
    """Settings of the driver."""
    node_publish_secret_ref: LocalObjectReference | None = None
    """Secret with what the driver needs to mount."""


class ImageVolumeSource(Struct):
    """The files of an OCI image, read-only."""

    reference: str = ""
    """Image to mount."""
    pull_policy: str = ""
    """`Always`, `Never` or `IfNotPresent`."""


class DownwardAPIVolumeFile(Struct):
    """One field of the pod, as a file."""

    path: str
    """Relative path of the file."""
    field_ref: ObjectFieldSelector | None = None
    """A field of the pod."""
    resource_field_ref: ResourceFieldSelector | None = None
    """A resource of a container."""
    mode: int | None = None
    """Permission bits of the file."""


class DownwardAPIVolumeSource(Struct):
    """Fields of the pod as files."""

    items: list[DownwardAPIVolumeFile] = []
    """The files."""
    default_mode: int | None = None
    """Permission bits of files without a mode of their own; 0644 by default."""


class ConfigMapProjection(LocalObjectReference):
    """Keys of a ConfigMap within a projected volume."""

    items: list[KeyToPath] = []
    """Keys to show and under which path; all of them by default."""
    optional: bool | None = None
    """Whether the pod may start without the ConfigMap or its keys."""


class SecretProjection(LocalObjectReference):
    """Keys of a Secret within a projected volume."""

    items: list[KeyToPath] = []
    """Keys to show and under which path; all of them by default."""
    optional: bool | None = None
    """Whether the pod may start without the Secret or its keys."""


class DownwardAPIProjection(Struct):
    """Fields of the pod within a projected volume."""

    items: list[DownwardAPIVolumeFile] = []
    """The files."""


class ServiceAccountTokenProjection(Struct):
    """A token of the pod's service account within a projected volume."""

    path: str
    """Relative path of the file."""
    audience: str = ""
    """Who the token is meant for; the API server by default."""
    expiration_seconds: int | None = None
    """Wanted life of the token; one hour by default."""


class ClusterTrustBundleProjection(Struct):
    """Trust anchors within a projected volume."""

    path: str
    """Relative path of the file."""
    name: str | None = None
    """One bundle by name."""
    signer_name: str | None = None
    """All bundles of a signer."""
    label_selector: LabelSelector | None = None
    """Of the signer's bundles, those with these labels."""
    optional: bool | None = None
    """Whether the pod may start without them."""


class PodCertificateProjection(Struct):
    """A key and a certificate made for the pod within a projected volume."""

    signer_name: str
    """Who signs the certificate."""
    key_type: str
    """Kind of key to make, such as `ED25519`."""
    max_expiration_seconds: int | None = None
    """Longest wanted life of the certificate."""
    credential_bundle_path: str = ""
    """Relative path of one file with key and chain."""
    key_path: str = ""
    """Relative path of the key alone."""
    certificate_chain_path: str = ""
    """Relative path of the chain alone."""
    user_annotations: dict[str, str] = {}
    """Passed on to the signer."""


class VolumeProjection(Struct):
    """One part of a projected volume; exactly one source is set."""

    config_map: ConfigMapProjection | None = None
    """Keys of a ConfigMap."""
    secret: SecretProjection | None = None
    """Keys of a Secret."""
    downward_api: DownwardAPIProjection | None = field(name="downwardAPI", default=None)
    """Fields of the pod."""
    service_account_token: ServiceAccountTokenProjection | None = None
    """A token of the pod's service account."""
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    """Trust anchors."""
    pod_certificate: PodCertificateProjection | None = None
    """A key and certificate."""


class ProjectedVolumeSource(Struct):
    """Several sources in one folder."""

    sources: list[VolumeProjection] = []
    """The parts."""
    default_mode: int | None = None
    """Permission bits of files without a mode of their own; 0644 by default."""


class VolumeResourceRequirements(Struct):
    """How much storage is asked for."""

    limits: ResourceList = {}
    """At most."""
    requests: ResourceList = {}
    """At least."""


class PersistentVolumeClaimSpec(Struct):
    """The storage that is asked for."""

    access_modes: list[str] = []
    """How it may be mounted: `ReadWriteOnce`, `ReadOnlyMany`, `ReadWriteMany`, `ReadWriteOncePod`."""
    selector: LabelSelector | None = None
    """Volumes to choose from."""
    resources: VolumeResourceRequirements = VolumeResourceRequirements()
    """How much storage."""
    volume_name: str = ""
    """Volume the claim is bound to."""
    storage_class_name: str | None = None
    """StorageClass to take it from."""
    volume_mode: str | None = None
    """`Filesystem` (default) or `Block`."""
    data_source: TypedLocalObjectReference | None = None
    """Snapshot or claim to start from."""
    data_source_ref: TypedObjectReference | None = None
    """Any object to start from."""
    volume_attributes_class_name: str | None = None
    """VolumeAttributesClass with tunable settings."""


class PersistentVolumeClaimTemplate(Struct):
    """The claim that is made for a pod."""

    metadata: ObjectMeta = ObjectMeta()
    """Labels and annotations of the claim."""
    spec: Annotated[PersistentVolumeClaimSpec, Required()] = PersistentVolumeClaimSpec()
    """The claim itself."""


class EphemeralVolumeSource(Struct):
    """A claim that is made for the pod and deleted with it."""

    volume_claim_template: PersistentVolumeClaimTemplate | None = None
    """The claim to make."""


class Volume(Struct):
    """A named volume of a pod; exactly one source is set."""

    preserve_unknown: ClassVar[bool] = True
    """Vendor-specific sources of old are kept as they are."""

    name: str
    """Name that `volumeMounts` refer to."""
    config_map: ConfigMapVolumeSource | None = None
    """Keys of a ConfigMap as files."""
    secret: SecretVolumeSource | None = None
    """Keys of a Secret as files."""
    empty_dir: EmptyDirVolumeSource | None = None
    """An empty folder that lives as long as the pod."""
    host_path: HostPathVolumeSource | None = None
    """A path of the node."""
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    """A claim in the same namespace."""
    projected: ProjectedVolumeSource | None = None
    """Several sources in one folder."""
    downward_api: DownwardAPIVolumeSource | None = field(name="downwardAPI", default=None)
    """Fields of the pod as files."""
    nfs: NFSVolumeSource | None = None
    """A folder of an NFS server."""
    csi: CSIVolumeSource | None = None
    """A volume of a CSI driver."""
    ephemeral: EphemeralVolumeSource | None = None
    """A claim made for this pod."""
    image: ImageVolumeSource | None = None
    """The files of an OCI image."""


class VolumeMount(Struct):
    """Where a container sees a volume."""

    name: str
    """Name of the volume."""
    mount_path: str
    """Path within the container; it must not contain a colon."""
    read_only: bool = False
    """Whether the container may only read."""
    sub_path: str = ""
    """Path within the volume to mount; its root by default."""
    sub_path_expr: str = ""
    """Like `subPath`, with `$(VAR)` replaced from the container's environment."""
    mount_propagation: str | None = None
    """How later mounts spread between node and container."""
    recursive_read_only: str | None = None
    """Whether mounts below are read-only too: `Disabled`, `IfPossible` or `Enabled`."""


class VolumeDevice(Struct):
    """Where a container sees a block device."""

    name: str
    """Name of the volume."""
    device_path: str
    """Path within the container."""


PodVolumes = Annotated[list[Volume], ListMap("name"), RetainKeys()]
"""The volumes of a pod, merged by name."""
