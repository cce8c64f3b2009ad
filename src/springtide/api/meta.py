"""What all API objects share: metadata, conditions, owner references, selectors, lists.

Source of names and meaning: Kubernetes `metav1` types.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar

from msgspec import field

from springtide.api.listtypes import Limits, ListMap, ListSet, MapAtomic, Required
from springtide.api.struct import Struct, always, replace

DEFINITION_PREFIX = "io.k8s.apimachinery.pkg.apis.meta.v1"

CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
CONDITION_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"

C = TypeVar("C", bound="Condition")


class OwnerReference(Struct):
    """The object this one belongs to; deleting the owner deletes its dependents."""

    atomic: ClassVar[bool] = True

    api_version: str
    """API version of the owner."""
    kind: str
    """Kind of the owner."""
    name: str
    """Name of the owner; it lives in the same namespace or is cluster-scoped."""
    uid: str
    """UID of the owner, so that a later object of the same name is not mistaken for it."""
    controller: bool | None = None
    """Whether the owner manages this object; at most one owner does."""
    block_owner_deletion: bool | None = None
    """Whether a foreground deletion of the owner waits for this object to go first."""


class ManagedFieldsEntry(Struct):
    """Which fields one writer owns."""

    manager: str = ""
    """Name of the writer."""
    operation: str = ""
    """`Apply` or `Update`."""
    api_version: str = ""
    """Version of the kind that `fieldsV1` speaks of."""
    time: datetime | None = None
    """When the set of fields last changed."""
    fields_type: str = ""
    """Format of the field set: always `FieldsV1`."""
    fields_v1: dict[str, Any] = field(name="fieldsV1", default_factory=dict)
    """The field set as a tree of paths."""
    subresource: str = ""
    """Subresource through which the fields were written."""


class ObjectMeta(Struct):
    """Identity and bookkeeping of an object. `resource_version` is opaque to clients."""

    name: str = ""
    """Name, unique within the namespace and kind; it cannot be changed."""
    generate_name: str = ""
    """Prefix from which the server makes a unique name when `name` is empty."""
    namespace: str = ""
    """Namespace the object lives in; empty for cluster-scoped kinds."""
    self_link: str = ""
    """Legacy and always empty."""
    uid: str = ""
    """Identity in time and space, set by the server."""
    resource_version: str = ""
    """Opaque version of the object; a write that names an older one is refused."""
    generation: int = 0
    """Counts the changes of the desired state, set by the server."""
    creation_timestamp: datetime | None = None
    """When the server created the object."""
    deletion_timestamp: datetime | None = None
    """When the object is to be gone; set by the server when deletion is asked for."""
    deletion_grace_period_seconds: int | None = None
    """Seconds given to stop gracefully; set together with `deletionTimestamp`."""
    labels: dict[str, str] = {}
    """Keys and values by which objects are selected."""
    annotations: dict[str, str] = {}
    """Keys and values for tools; nothing selects by them."""
    owner_references: Annotated[list[OwnerReference], ListMap("uid")] = []
    """Objects this one belongs to; it is deleted when all of them are gone."""
    finalizers: Annotated[list[str], ListSet(merge=True)] = []
    """Names that must be removed, each by its owner, before a deleted object goes away."""
    managed_fields: list[ManagedFieldsEntry] = []
    """Who owns which fields, kept by the server."""


class Object(Struct):
    """Base of every kind that has metadata. Concrete kinds set the defaults of `api_version` and `kind`."""

    api_version: str = ""
    """Group and version of the kind, such as `v1` or `apps/v1`."""
    kind: str = ""
    """Name of the kind in CamelCase."""
    metadata: ObjectMeta = ObjectMeta()
    """Name, namespace, labels and bookkeeping."""

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` for cluster-scoped objects: the key of work queues and caches."""
        metadata = self.metadata
        return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name


class ListMeta(Struct):
    """Metadata of a list answer."""

    resource_version: str = ""
    """Version of the whole list; a watch goes on from it."""
    continue_: str = field(name="continue", default="")
    """Token for the next page; empty on the last one."""
    remaining_item_count: int | None = None
    """How many items follow this page, when known."""
    self_link: str = ""
    """Legacy and always empty."""


class LabelSelectorRequirement(Struct):
    """One condition on a label."""

    key: str
    """Label key."""
    operator: str
    """`In`, `NotIn`, `Exists` or `DoesNotExist`."""
    values: list[str] = []
    """Values for `In` and `NotIn`; empty otherwise."""


class LabelSelector(Struct):
    """Objects whose labels meet every requirement; an empty selector matches all."""

    atomic: ClassVar[bool] = True

    match_labels: dict[str, str] = {}
    """Labels that must have exactly these values."""
    match_expressions: list[LabelSelectorRequirement] = []
    """Further conditions, all of which must hold."""


class Condition(Struct):
    """One observation of an object's state; the newest per `type`. `status` is True, False or Unknown."""

    type: Annotated[str, Limits(max_length=316, pattern=CONDITION_TYPE)]
    """What is observed, in CamelCase."""
    status: Annotated[str, Limits(enum=("True", "False", "Unknown"))]
    """`True`, `False` or `Unknown`."""
    reason: Annotated[str, Limits(min_length=1, max_length=1024, pattern=CONDITION_REASON)] = always("")
    """Cause of the last change of status, one CamelCase word for programs."""
    message: Annotated[str, Limits(max_length=32768)] = always("")
    """What it means, one sentence for people."""
    last_transition_time: Annotated[datetime | None, Required()] = None
    """When `status` last changed."""
    observed_generation: Annotated[int | None, Limits(minimum=0)] = None
    """The `metadata.generation` the observation was made on."""


class Status(Struct):
    """The answer of an API server that is not an object: an error, or the outcome of a deletion."""

    api_version: str = always("v1")
    """Always `v1`."""
    kind: str = always("Status")
    """Always `Status`."""
    metadata: ListMeta = always(ListMeta())
    """Empty."""
    status: str = ""
    """`Success` or `Failure`."""
    message: str = ""
    """What happened, for people."""
    reason: str = ""
    """Why, one CamelCase word for programs, such as `NotFound`."""
    details: StatusDetails | None = None
    """Which object and fields it is about."""
    code: int = 0
    """HTTP status code."""


class StatusCause(Struct):
    """One of several causes of an error."""

    reason: str = ""
    """Kind of cause, such as `FieldValueInvalid`."""
    message: str = ""
    """What is wrong, for people."""
    field: str = ""
    """Path of the field at fault."""


class StatusDetails(Struct):
    """The object and the fields an error is about."""

    name: str = ""
    """Name of the object."""
    group: str = ""
    """API group of the object."""
    kind: str = ""
    """Kind or resource of the object."""
    uid: str = ""
    """UID of the object."""
    causes: list[StatusCause] = []
    """Every single fault found."""
    retry_after_seconds: int = 0
    """When to try again, if that may help."""


class Preconditions(Struct):
    """What must hold for a deletion to happen."""

    uid: str | None = None
    """The object must have this UID."""
    resource_version: str | None = None
    """The object must be at this version."""


class DeleteOptions(Struct):
    """How to delete."""

    api_version: str = ""
    """`v1` or `meta.k8s.io/v1`."""
    kind: str = ""
    """`DeleteOptions`."""
    grace_period_seconds: int | None = None
    """Seconds given to stop gracefully; 0 means now."""
    preconditions: Preconditions | None = None
    """What must hold."""
    orphan_dependents: bool | None = None
    """Deprecated form of `propagationPolicy: Orphan`."""
    propagation_policy: str | None = None
    """What becomes of dependents: `Orphan`, `Background` or `Foreground`."""
    dry_run: list[str] = []
    """`All`: check everything and change nothing."""


ATOMIC = MapAtomic()
"""Shared by fields whose map or object is replaced as a whole."""


def find_condition(conditions: Sequence[C], type_: str) -> C | None:
    """The condition of this type, if any."""
    for condition in conditions:
        if condition.type == type_:
            return condition
    return None


def is_true(conditions: Sequence[Condition], type_: str) -> bool:
    """Whether the condition of this type exists with status True."""
    found = find_condition(conditions, type_)
    return found is not None and found.status == "True"


def set_condition(conditions: Sequence[C], new: C, now: datetime) -> list[C]:
    """A list with `new` in the place of its type; the transition time moves only when the status does."""
    old = find_condition(conditions, new.type)
    since = old.last_transition_time if old is not None and old.status == new.status else whole_second(now)
    stamped = replace(new, last_transition_time=since)
    if old is None:
        return [*conditions, stamped]
    return [stamped if condition.type == new.type else condition for condition in conditions]


def whole_second(moment: datetime) -> datetime:
    """`metav1.Time` has whole seconds in UTC."""
    return moment.astimezone(UTC).replace(microsecond=0)


def micro_time(moment: datetime) -> datetime:
    """`metav1.MicroTime` must have six decimals on the wire, so a whole second is moved by a microsecond."""
    exact = moment.astimezone(UTC)
    return exact if exact.microsecond else exact.replace(microsecond=1)


def owner_reference(owner: Object, *, controller: bool = True) -> OwnerReference:
    """A reference to `owner`, which must have been read from the API (it needs a uid)."""
    return OwnerReference(
        api_version=owner.api_version,
        kind=owner.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=controller,
        block_owner_deletion=True,
    )


def controller_of(value: Object) -> OwnerReference | None:
    """The one owner reference with `controller: true`, if any."""
    return next((owner for owner in value.metadata.owner_references if owner.controller), None)
