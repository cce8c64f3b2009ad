"""Which metadata is well formed: names, labels, annotations, owners, finalizers.

Called by the create and update verbs through `metadata.validate`. Rules, and the wording of the faults that
tools look for, are those of Kubernetes' apimachinery `validation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from springtide.server.schema_rules import TOO_LONG, FieldError
from springtide.server.status import bad_value, forbidden_field, required

Json = dict[str, Any]
NameForm = Literal["subdomain", "label", "label1035", "path"]
"""What a kind's names may look like: `a.b-c`, `b-c`, `b-c` that starts with a letter, or any path segment."""

MAX_ANNOTATIONS_BYTES = 256 * 1024
_LONGEST_SUBDOMAIN = 253
_LONGEST_LABEL = 63
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_PATTERN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL1035_PATTERN = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_PATTERN = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_PATTERN = rf"({_QUALIFIED_PATTERN})?"
_WORDING = {
    "subdomain": (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
        "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        f"'{_SUBDOMAIN_PATTERN}')"
    ),
    "label": (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
        "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
        f"validation is '{_LABEL}')"
    ),
    "label1035": (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
        "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex "
        f"used for validation is '{_LABEL1035_PATTERN}')"
    ),
}
_KEY_WORDING = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_QUALIFIED_PATTERN}')"
)
_VALUE_WORDING = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    f"for validation is '{_VALUE_PATTERN}')"
)
_FORMS: dict[str, tuple[re.Pattern[str], int]] = {
    "subdomain": (re.compile(_SUBDOMAIN_PATTERN), _LONGEST_SUBDOMAIN),
    "label": (re.compile(_LABEL), _LONGEST_LABEL),
    "label1035": (re.compile(_LABEL1035_PATTERN), _LONGEST_LABEL),
}
_QUALIFIED = re.compile(_QUALIFIED_PATTERN)
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def validate(
    obj: Json, old: Json | None = None, *, form: NameForm = "subdomain", builtin: bool = False
) -> list[FieldError]:
    """Faults of metadata that a schema cannot see; types are the schema's matter and are right here.

    `builtin`: the finalizers of built-in kinds must be standard ones or have a domain.
    """
    metadata = obj["metadata"]
    errors: list[FieldError] = []
    if old is None:
        errors += _name_errors(metadata, form)
    if labels := metadata.get("labels"):
        errors += _label_errors(labels, "metadata.labels")
    if annotations := metadata.get("annotations"):
        errors += _annotation_errors(annotations)
    if owners := metadata.get("ownerReferences"):
        errors += _owner_errors(owners)
    if finalizers := metadata.get("finalizers"):
        errors += _finalizer_errors(finalizers, old, builtin=builtin)
    if old is not None:
        errors += _deletion_errors(metadata, old["metadata"])
    return errors


def is_subdomain(name: str) -> bool:
    return not name_faults(name, "subdomain")


@lru_cache(maxsize=4096)
def name_faults(name: str, form: NameForm) -> tuple[str, ...]:
    """What is wrong with a name of this form; nothing if it is right."""
    if form == "path":
        return tuple(_path_faults(name))
    pattern, longest = _FORMS[form]
    too_long = (f"must be no more than {longest} bytes",) if len(name) > longest else ()
    if pattern.fullmatch(name):
        return too_long
    if form == "label" and _FORMS["subdomain"][0].fullmatch(name):
        return (*too_long, "must not contain dots")
    return (*too_long, _WORDING[form])


@lru_cache(maxsize=4096)
def key_faults(key: str) -> tuple[str, ...]:
    """What is wrong with the key of a label, an annotation or a finalizer (`name` or `domain/name`)."""
    prefix, slash, name = key.rpartition("/")
    faults: list[str] = []
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash and "/" in prefix:
        return (_KEY_WORDING.replace("name part", "a qualified name", 1),)
    elif slash:
        faults += [f"prefix part {fault}" for fault in name_faults(prefix, "subdomain")]
    if not name:
        faults.append("name part must be non-empty")
    if len(name) > _LONGEST_LABEL:
        faults.append(f"name part must be no more than {_LONGEST_LABEL} bytes")
    if not _QUALIFIED.fullmatch(name):
        faults.append(_KEY_WORDING)
    return tuple(faults)


@lru_cache(maxsize=4096)
def label_value_faults(value: str) -> tuple[str, ...]:
    """What is wrong with the value of a label."""
    too_long = (f"must be no more than {_LONGEST_LABEL} bytes",) if len(value) > _LONGEST_LABEL else ()
    return too_long if not value or _QUALIFIED.fullmatch(value) else (*too_long, _VALUE_WORDING)


def _path_faults(name: str) -> Iterator[str]:
    if name in (".", ".."):
        yield f"may not be '{name}'"
    for character in "/%":
        if character in name:
            yield f"may not contain '{character}'"


def _name_errors(metadata: Json, form: NameForm) -> Iterator[FieldError]:
    prefix, name = metadata.get("generateName", ""), metadata.get("name", "")
    if prefix:
        shown = prefix if form == "path" else f"{prefix.removesuffix('-')}a"
        for fault in name_faults(shown[:_LONGEST_LABEL], form):
            yield bad_value("metadata.generateName", prefix, fault)
    if not name:
        yield required("metadata.name", "name or generateName is required")
        return
    for fault in name_faults(name, form):
        yield bad_value("metadata.name", name, fault)


def _label_errors(labels: Json, field: str) -> Iterator[FieldError]:
    for key, value in labels.items():
        for fault in key_faults(key):
            yield bad_value(field, key, fault)
        for fault in label_value_faults(value):
            yield bad_value(field, value, fault)


def _annotation_errors(annotations: Json) -> Iterator[FieldError]:
    field, size = "metadata.annotations", 0
    for key, value in annotations.items():
        for fault in key_faults(key.lower()):
            yield bad_value(field, key, fault)
        size += len(key.encode()) + len(value.encode())
    if size > MAX_ANNOTATIONS_BYTES:
        yield FieldError(TOO_LONG, field, f"Too long: may not be more than {MAX_ANNOTATIONS_BYTES} bytes")


def _owner_errors(owners: list[Json]) -> Iterator[FieldError]:
    field, controller = "metadata.ownerReferences", ""
    for owner in owners:
        if not owner.get("apiVersion"):
            yield bad_value(f"{field}.apiVersion", "", "version must not be empty")
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                yield bad_value(f"{field}.{key}", "", "must not be empty")
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            yield bad_value(field, owner, "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            this = f"{owner.get('kind')}/{owner.get('name')}"
            if controller:
                yield bad_value(
                    field,
                    owners,
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {this}",
                )
            controller = controller or this


def _finalizer_errors(finalizers: list[str], old: Json | None, *, builtin: bool) -> Iterator[FieldError]:
    field = "metadata.finalizers"
    for index, finalizer in enumerate(finalizers):
        faults = key_faults(finalizer)
        for fault in faults:
            yield bad_value(field, finalizer, fault)
        if builtin and not faults and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            yield bad_value(
                f"{field}[{index}]",
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            )
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        yield bad_value(field, finalizers, "finalizer orphan and foregroundDeletion cannot be both set")
    if old is not None and old["metadata"].get("deletionTimestamp"):
        added = sorted(set(finalizers) - set(old["metadata"].get("finalizers") or ()))
        if added:
            rule = (
                f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            )
            yield forbidden_field(field, rule)


def _deletion_errors(new: Json, old: Json) -> Iterator[FieldError]:
    """Only a delete sets these; leaving them out is no attempt to change them."""
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(key) != old.get(key) and new.get(key) is not None:
            yield bad_value(f"metadata.{key}", new[key], "field is immutable")
