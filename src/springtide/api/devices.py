"""resource.k8s.io/v1: devices that pods claim (dynamic resource allocation).

The frame of each kind is typed, what drivers and schedulers say inside it is passed on as it is: they are the
only ones who read it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from msgspec import field

from springtide.api.affinity import NodeSelector
from springtide.api.listtypes import ListMap
from springtide.api.meta import Object, ObjectMeta
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.resource.v1"

_AGE = Column("Age", "date", ".metadata.creationTimestamp")


class DeviceClassSpec(Struct):
    """Which devices a class has, and how they are set up."""

    selectors: list[dict[str, Any]] = []
    """Conditions that its devices meet, in CEL."""
    config: list[dict[str, Any]] = []
    """Settings for the driver."""
    extended_resource_name: str | None = None
    """Name under which containers may ask for such a device among their resources."""


@resource(plural="deviceclasses", namespaced=False, builtin=True, columns=(_AGE,))
class DeviceClass(Object):
    """A name for devices with common traits."""

    api_version: str = "resource.k8s.io/v1"
    kind: str = "DeviceClass"
    spec: DeviceClassSpec
    """Which devices."""


class DeviceRequest(Struct):
    """Devices that are asked for."""

    preserve_unknown: ClassVar[bool] = True

    name: str
    """Name of the request within its claim."""


class DeviceClaim(Struct):
    """Devices that are asked for together."""

    requests: list[DeviceRequest] = []
    """The requests."""
    constraints: list[dict[str, Any]] = []
    """What the devices must have in common."""
    config: list[dict[str, Any]] = []
    """Settings for drivers."""


class ResourceClaimSpec(Struct):
    """What is claimed."""

    devices: DeviceClaim = DeviceClaim()
    """The devices."""


class ResourceClaimConsumerReference(Struct):
    """Who may use a claim."""

    api_group: str = ""
    """API group of the object."""
    resource: str
    """Plural of its kind, such as `pods`."""
    name: str
    """Its name."""
    uid: str
    """Its UID."""


class AllocationResult(Struct):
    """What was given."""

    devices: dict[str, Any] = {}
    """The devices."""
    node_selector: NodeSelector | None = None
    """From which nodes they can be used."""
    allocation_timestamp: datetime | None = None
    """When."""


class AllocatedDeviceStatus(Struct):
    """What a driver says of a device that was given."""

    preserve_unknown: ClassVar[bool] = True

    driver: str
    """The driver."""
    pool: str
    """Its pool."""
    device: str
    """The device."""
    share_id: str | None = field(name="shareID", default=None)
    """Which share of the device."""


class ResourceClaimStatus(Struct):
    """What was given, and to whom."""

    allocation: AllocationResult | None = None
    """What was given."""
    reserved_for: Annotated[list[ResourceClaimConsumerReference], ListMap("uid")] = []
    """Who may use it."""
    devices: list[AllocatedDeviceStatus] = []
    """What drivers say of the devices."""


@resource(plural="resourceclaims", builtin=True, columns=(_AGE,))
class ResourceClaim(Object):
    """A request for devices, for one or several pods."""

    api_version: str = "resource.k8s.io/v1"
    kind: str = "ResourceClaim"
    spec: ResourceClaimSpec
    """What is claimed."""
    status: ResourceClaimStatus = ResourceClaimStatus()
    """What was given."""


class ResourceClaimTemplateSpec(Struct):
    """The claim each pod gets."""

    metadata: ObjectMeta = ObjectMeta()
    """Labels and annotations of the claims."""
    spec: ResourceClaimSpec
    """What is claimed."""


@resource(plural="resourceclaimtemplates", builtin=True, columns=(_AGE,))
class ResourceClaimTemplate(Object):
    """A claim to make copies of, one a pod."""

    api_version: str = "resource.k8s.io/v1"
    kind: str = "ResourceClaimTemplate"
    spec: ResourceClaimTemplateSpec
    """The claim."""


class ResourcePool(Struct):
    """The pool a slice is part of."""

    name: str
    """Its name."""
    generation: int
    """Grows with every change; slices of older generations do not count."""
    resource_slice_count: int
    """How many slices the pool has in this generation."""


class Device(Struct):
    """A device."""

    preserve_unknown: ClassVar[bool] = True

    name: str
    """Its name within the pool."""


class ResourceSliceSpec(Struct):
    """Devices of a driver in one place."""

    driver: str
    """The driver."""
    pool: ResourcePool
    """The pool the devices belong to."""
    node_name: str | None = None
    """The node that has them."""
    node_selector: NodeSelector | None = None
    """The nodes from which they can be used."""
    all_nodes: bool | None = None
    """Whether they can be used from every node."""
    devices: list[Device] = []
    """The devices."""
    per_device_node_selection: bool | None = None
    """Whether each device says where it can be used."""
    shared_counters: list[dict[str, Any]] = []
    """What devices share."""


@resource(plural="resourceslices", namespaced=False, builtin=True, columns=(_AGE,))
class ResourceSlice(Object):
    """Devices that a driver offers."""

    api_version: str = "resource.k8s.io/v1"
    kind: str = "ResourceSlice"
    spec: ResourceSliceSpec
    """The devices."""
