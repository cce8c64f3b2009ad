"""What all API objects share: metadata, conditions, owner references, lists.

Source of names and meaning: Kubernetes `metav1` types.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import field

from springtide.api.struct import Struct, replace


class OwnerReference(Struct):
    """The object this one belongs to; deleting the owner deletes its dependents."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Struct):
    """Identity and bookkeeping of an object. `resource_version` is opaque to clients."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    self_link: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []
    finalizers: list[str] = []
    managed_fields: list[dict[str, Any]] = []


class Object(Struct):
    """Base of every kind that has metadata. Concrete kinds set the defaults of `api_version` and `kind`."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` for cluster-scoped objects: what work queues and caches are keyed by."""
        metadata = self.metadata
        return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name


class ListMeta(Struct):
    """Metadata of a list answer."""

    resource_version: str = ""
    continue_: str = field(name="continue", default="")
    remaining_item_count: int | None = None
    self_link: str = ""


class Condition(Struct):
    """One observation of an object's state; the newest per `type`. `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int | None = None


def find_condition(conditions: Sequence[Condition], type_: str) -> Condition | None:
    """The condition of this type, if any."""
    return next((condition for condition in conditions if condition.type == type_), None)


def is_true(conditions: Sequence[Condition], type_: str) -> bool:
    """Whether the condition of this type exists with status True."""
    found = find_condition(conditions, type_)
    return found is not None and found.status == "True"


def set_condition(conditions: Sequence[Condition], new: Condition, now: datetime) -> list[Condition]:
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
