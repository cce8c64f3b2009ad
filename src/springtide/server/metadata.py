"""What the server decides about every object's metadata, whatever its kind.

Identity at creation, what an update may not touch, generation, names and labels that are well formed, and
when a deleted object really goes. Called by the create, update, patch and delete verbs. Rules and messages:
Kubernetes apimachinery `validation` and API conventions.
"""

from __future__ import annotations

from typing import Any

from springtide.server.bodies import undecodable
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.metadata_rules import is_subdomain, validate
from springtide.server.persist import key_of
from springtide.server.schema_formats import FORMATS
from springtide.server.status import BadRequest, Conflict, bad_value, invalid

__all__ = ["is_subdomain", "validate"]

Json = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

_KEPT_ON_UPDATE = (
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
    "generateName",
)

_LONGEST_BASE = 58
_NAMES_TRIED = 8
"""As Kubernetes: how often a generated name may be one that is taken."""
_TIMES = ("creationTimestamp", "deletionTimestamp")
_is_time = FORMATS["date-time"]


def begin(obj: Json, kind: ServedKind, namespace: str, context: Context) -> None:
    """Give a new object its identity, in place. Raises BadRequest where it contradicts the path."""
    metadata = metadata_of(obj)
    if metadata.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    place(obj, kind, namespace)
    _check_times(metadata, {}, kind)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = _free_name(str(metadata["generateName"])[:_LONGEST_BASE], kind, namespace, context)
    for server_side in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(server_side, None)
    metadata["uid"] = context.new_uid()
    metadata["creationTimestamp"] = context.timestamp()
    if kind.counts_generations:
        metadata["generation"] = 1


def _free_name(base: str, kind: ServedKind, namespace: str, context: Context) -> str:
    """A name that begins so. After so many that are taken it is the last, for `store_new` to refuse."""
    for _ in range(_NAMES_TRIED):
        name = f"{base}{context.name_suffix()}"
        if context.store.latest(kind.resource, key_of(kind, namespace, name)) is None:
            break
    return name


def place(obj: Json, kind: ServedKind, namespace: str) -> None:
    """Check apiVersion, kind and namespace against the path; fill in the namespace."""
    metadata = metadata_of(obj)
    if not kind.builtin and not (obj.get("kind") and obj.get("apiVersion")):
        missing = "apiVersion" if obj.get("kind") else "kind"
        raise BadRequest(f"the object has no {missing}; an object of a custom kind must say what it is")
    sent, version = obj.setdefault("kind", kind.kind), obj.setdefault("apiVersion", kind.api_version)
    if (sent, version) != (kind.kind, kind.api_version):
        raise BadRequest(
            f'{sent} in version "{str(version).rpartition("/")[2]}" cannot be handled as a {kind.kind}: the '
            f"object provided is {version} {sent}, but the path is that of {kind.api_version} {kind.kind}"
        )
    if not kind.namespaced:
        metadata.pop("namespace", "")
        return
    if (metadata.get("namespace") or namespace) != namespace:
        raise BadRequest(
            f"the namespace of the provided object does not match the namespace sent on the request: "
            f"{metadata['namespace']!r} and {namespace!r}"
        )
    metadata["namespace"] = namespace


def metadata_of(obj: Json) -> Json:
    """`obj.metadata`, made if missing. Raises BadRequest if it is no object."""
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise BadRequest(f"metadata must be an object, not {type(metadata).__name__}")
    return metadata


def check_preconditions(obj: Json, old: Json, kind: ServedKind, *, patched: bool = False) -> None:
    """The new object must be the same one, and based on the newest version if it names a version.

    `patched`: it is the outcome of a patch, which was made for this very object and may not rename it.
    """
    new_meta, old_meta = metadata_of(obj), old["metadata"]
    name = old_meta["name"]
    if new_meta.setdefault("name", name) != name:
        raise BadRequest(
            f"the name of the object ({new_meta['name']}) does not match the name on the URL ({name})"
        )
    if new_meta.get("uid") and new_meta["uid"] != old_meta["uid"]:
        if patched:
            fault = bad_value("metadata.uid", new_meta["uid"], "field is immutable")
            raise invalid(kind.group, kind.kind, name, [fault])
        raise uid_conflict(kind, name, new_meta["uid"], old_meta["uid"])
    if new_meta.get("resourceVersion") and new_meta["resourceVersion"] != old_meta["resourceVersion"]:
        raise conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )


def conflict(kind: ServedKind, name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {kind.qualified_plural} "{name}": {why}',
        name=name,
        group=kind.group,
        kind=kind.plural,
    )


def uid_conflict(kind: ServedKind, name: str, wanted: str, found: str) -> Conflict:
    """Somebody means an object of this name that is gone, not the one that is there."""
    return conflict(
        kind, name, f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )


def keep_identity(new: Json, old: Json, kind: ServedKind) -> None:
    """Put back what no update may change, in place. Another deletion time is for `validate` to refuse.

    Raises Undecodable for what is no time at all.
    """
    new_meta, old_meta = new["metadata"], old["metadata"]
    _check_times(new_meta, old_meta, kind)
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if new_meta.get(key) is None:
            new_meta.pop(key, None)
            if key in old_meta:
                new_meta[key] = old_meta[key]
    for key in _KEPT_ON_UPDATE:
        if key in old_meta:
            new_meta[key] = old_meta[key]
        else:
            new_meta.pop(key, None)
    new_meta["resourceVersion"] = old_meta["resourceVersion"]


def _check_times(new: Json, old: Json, kind: ServedKind) -> None:
    """Times are the server's to say, and what a client sends is not looked at; but it must be one."""
    for key in _TIMES:
        value = new.get(key)
        if value is None or value == old.get(key):
            continue
        if type(value) is not str or not _is_time(value):
            raise undecodable(
                kind, kind, f"metadata.{key} must be a time such as 2026-01-02T15:04:05Z, not {value!r}"
            )


def bump_generation(new: Json, old: Json, kind: ServedKind, subresource: str = "") -> None:
    """One more for a change of what the user wants: not of metadata, nor of status where that is separate."""
    if not kind.counts_generations:
        return
    aside = ("metadata", "status") if kind.status else ("metadata",)
    keys = (new.keys() | old.keys()).difference(aside)
    changed = any(new.get(key) != old.get(key) for key in keys)
    if kind.strategy.generation_counts_annotations and not subresource:
        before, after = (one["metadata"].get("annotations") or {} for one in (old, new))
        changed = changed or before != after
    if changed:
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def goes_away(obj: Json, kind: ServedKind) -> bool:
    """Whether a deleted object has nothing left to wait for."""
    metadata = obj["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not kind.strategy.holds_deletion(obj)
    )
