"""What the server decides about every object's metadata, whatever its kind.

Identity at creation, what an update may not touch, generation, names and labels that are well formed, and
when a deleted object really goes. Called by the create, update, patch and delete verbs. Rules and messages:
Kubernetes apimachinery `validation` and API conventions.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.schema_rules import FieldError
from springtide.server.status import BadRequest, Conflict, bad_value, duplicate, forbidden_field, required

Json = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_KEPT_ON_UPDATE = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "generateName",
)


def begin(obj: Json, kind: ServedKind, namespace: str, context: Context) -> None:
    """Give a new object its identity, in place. Raises BadRequest where it contradicts the path."""
    metadata = metadata_of(obj)
    if metadata.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    place(obj, kind, namespace)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = f"{str(metadata['generateName'])[:58]}{context.name_suffix()}"
    for server_side in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(server_side, None)
    metadata["uid"] = context.new_uid()
    metadata["creationTimestamp"] = context.timestamp()
    if kind.has_spec:
        metadata["generation"] = 1


def place(obj: Json, kind: ServedKind, namespace: str) -> None:
    """Check apiVersion, kind and namespace against the path; fill in the namespace."""
    metadata = metadata_of(obj)
    if obj.setdefault("kind", kind.kind) != kind.kind or obj.setdefault("apiVersion", kind.api_version) != (
        kind.api_version
    ):
        raise BadRequest(
            f"the object provided is {obj.get('apiVersion')} {obj.get('kind')}, "
            f"but the path is that of {kind.api_version} {kind.kind}"
        )
    if not kind.namespaced:
        if metadata.pop("namespace", ""):
            raise BadRequest(f"metadata.namespace must be empty: {kind.kind} is not namespaced")
        return
    if metadata.setdefault("namespace", namespace) not in (namespace, ""):
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


def check_preconditions(obj: Json, old: Json, kind: ServedKind) -> None:
    """The new object must be the same one, and based on the newest version if it names a version."""
    new_meta, old_meta = metadata_of(obj), old["metadata"]
    name = old_meta["name"]
    if new_meta.setdefault("name", name) != name:
        raise BadRequest(
            f"the name of the object ({new_meta['name']}) does not match the name on the URL ({name})"
        )
    if new_meta.get("uid") and new_meta["uid"] != old_meta["uid"]:
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


def keep_identity(new: Json, old: Json) -> None:
    """Put back what no update may change, in place."""
    new_meta, old_meta = new["metadata"], old["metadata"]
    for key in _KEPT_ON_UPDATE:
        if key in old_meta:
            new_meta[key] = old_meta[key]
        else:
            new_meta.pop(key, None)
    new_meta["resourceVersion"] = old_meta["resourceVersion"]


def bump_generation(new: Json, old: Json, kind: ServedKind, subresource: str = "") -> None:
    """One more for a change of what the user wants: not of metadata, nor of status where that is separate."""
    if not kind.has_spec:
        return
    aside = ("metadata", "status") if kind.status else ("metadata",)
    keys = (new.keys() | old.keys()).difference(aside)
    changed = any(new.get(key) != old.get(key) for key in keys)
    if kind.strategy.generation_counts_annotations and not subresource:
        before, after = (one["metadata"].get("annotations") or {} for one in (old, new))
        changed = changed or before != after
    if changed:
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def validate(obj: Json, old: Json | None = None) -> list[FieldError]:
    """Faults of metadata that a schema cannot see. Types are the schema's matter and are right here."""
    metadata = obj["metadata"]
    errors: list[FieldError] = []
    if old is None:
        errors += _name_errors(metadata)
    errors += _label_errors(metadata.get("labels") or {}, "metadata.labels")
    errors += [
        bad_value("metadata.annotations", key, _key_rule(key))
        for key in metadata.get("annotations") or {}
        if not _is_label_key(key)
    ]
    errors += _owner_errors(metadata.get("ownerReferences") or [])
    errors += _finalizer_errors(metadata, old)
    return errors


def goes_away(obj: Json, kind: ServedKind) -> bool:
    """Whether a deleted object has nothing left to wait for."""
    metadata = obj["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not kind.strategy.holds_deletion(obj)
    )


def is_subdomain(name: str) -> bool:
    return len(name) <= 253 and _SUBDOMAIN.fullmatch(name) is not None


def _name_errors(metadata: Json) -> list[FieldError]:
    name = metadata.get("name", "")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    return [] if _valid_name(name) else [bad_value("metadata.name", name, _SUBDOMAIN_RULE)]


@lru_cache(maxsize=1024)
def _valid_name(name: str) -> bool:
    return is_subdomain(name)


def _label_errors(labels: Json, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in labels.items():
        if not _is_label_key(key):
            errors.append(bad_value(field, key, _key_rule(key)))
        if not _is_label_value(value):
            errors.append(
                bad_value(
                    field,
                    value,
                    "a valid label must be empty or consist of alphanumeric characters, '-', '_' or '.', "
                    "and must start and end with an alphanumeric character, 63 characters at most",
                )
            )
    return errors


@lru_cache(maxsize=4096)
def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix.lower()):
        return False
    return len(name) <= 63 and _QUALIFIED.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _is_label_value(value: str) -> bool:
    return not value or (len(value) <= 63 and _QUALIFIED.fullmatch(value) is not None)


def _key_rule(key: str) -> str:
    return (
        f"name part of {key!r} must consist of alphanumeric characters, '-', '_' or '.', start and end "
        "with an alphanumeric one, 63 at most, with an optional DNS subdomain prefix and '/'"
    )


def _owner_errors(owners: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, owner in enumerate(owners):
        missing = [key for key in ("apiVersion", "kind", "name", "uid") if not owner.get(key)]
        errors += [required(f"metadata.ownerReferences[{index}].{key}") for key in missing]
    if sum(1 for owner in owners if owner.get("controller")) > 1:
        errors.append(
            bad_value(
                "metadata.ownerReferences",
                [owner.get("name") for owner in owners if owner.get("controller")],
                "Only one reference can have Controller set to true",
            )
        )
    return errors


def _finalizer_errors(metadata: Json, old: Json | None) -> list[FieldError]:
    finalizers = metadata.get("finalizers") or []
    errors = [
        bad_value("metadata.finalizers", one, _key_rule(one)) for one in finalizers if not _is_label_key(one)
    ]
    if len(set(finalizers)) != len(finalizers):
        errors.append(duplicate("metadata.finalizers", finalizers))
    if old is not None and metadata.get("deletionTimestamp"):
        added = set(finalizers) - set(old["metadata"].get("finalizers") or [])
        if added:
            errors.append(
                forbidden_field(
                    "metadata.finalizers",
                    f"no new finalizers can be added if the object is being deleted, found {sorted(added)}",
                )
            )
    return errors
