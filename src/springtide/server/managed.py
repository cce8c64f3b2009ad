"""managedFields entries: read, written, and the arithmetic of ownership between managers.

Called by `apply` only. An entry is identified by manager, operation, subresource and, for updates, the API
version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from springtide.server import fieldset
from springtide.server.fieldset import FieldSet

MAX_UPDATE_MANAGERS = 10
"""kube-apiserver's limit of Update entries on one object; the oldest are folded into one above it."""
_ANCIENT = "ancient-changes"


class Identity(NamedTuple):
    """Who an entry belongs to. An applier is the same one in every API version, so its version is empty."""

    manager: str
    operation: str
    api_version: str
    subresource: str

    def describe(self, entry: Entry) -> str:
        """As Kubernetes words it in a conflict."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == "Apply":
            return text
        text += f" using {entry.api_version}"
        return f"{text} at {_text(entry.time)}" if entry.time else text


@dataclass(frozen=True, slots=True)
class Entry:
    """What one manager owns."""

    fields: FieldSet
    api_version: str
    time: datetime | str
    """As text when it was read from an object: most entries are only passed on."""


Entries = dict[Identity, Entry]


def decode(entries: Sequence[Mapping[str, Any]]) -> Entries:
    """The entries of an object; those of one identity are joined, those of unknown form dropped."""
    found: Entries = {}
    for raw in entries:
        fields = raw.get("fieldsV1")
        if not isinstance(fields, dict):
            continue
        operation, version = raw.get("operation", "Update"), raw.get("apiVersion", "")
        identity = Identity(
            raw.get("manager", ""),
            operation,
            "" if operation == "Apply" else version,
            raw.get("subresource", ""),
        )
        if identity in found:
            fields = fieldset.union(found[identity].fields, fields)
        found[identity] = Entry(fields, version, raw.get("time", ""))
    return found


def is_well_formed(entries: Any) -> bool:
    """Whether entries that somebody wrote by hand can be worked with."""
    return isinstance(entries, list) and all(
        isinstance(raw, dict)
        and all(
            isinstance(raw.get(name, ""), str)
            for name in ("manager", "operation", "apiVersion", "subresource", "time")
        )
        and _is_trie(raw.get("fieldsV1"))
        for raw in entries
    )


def _is_trie(fields: Any) -> bool:
    return isinstance(fields, dict) and all(
        (key == "." or key[:2] in ("f:", "k:", "v:", "i:")) and _is_trie(node) for key, node in fields.items()
    )


def encode(entries: Entries) -> list[dict[str, Any]]:
    """The wire form, in Kubernetes' order: appliers first, then by time, then by name."""
    wire: list[dict[str, Any]] = []
    for identity, entry in entries.items():
        raw: dict[str, Any] = {
            "manager": identity.manager,
            "operation": identity.operation,
            "apiVersion": entry.api_version,
            "time": _text(entry.time),
            "fieldsType": "FieldsV1",
            "fieldsV1": entry.fields,
        }
        if not raw["time"]:
            del raw["time"]
        if identity.subresource:
            raw["subresource"] = identity.subresource
        wire.append(raw)
    if len(wire) > 1:
        wire.sort(key=_order)
    return wire


def fields_of(entries: Entries, identity: Identity) -> FieldSet:
    """What this manager owns; nothing if it is new."""
    entry = entries.get(identity)
    return entry.fields if entry is not None else {}


def disown(entries: Entries, me: Identity, changed: FieldSet, removed: FieldSet) -> Entries:
    """Everyone but me loses what changed or went away; who owns nothing any more is gone."""
    if not changed and not removed:
        return entries
    left: Entries = {}
    for identity, entry in entries.items():
        if identity != me:
            fields = fieldset.difference(fieldset.difference(entry.fields, changed), removed)
            if not fields:
                continue
            entry = entry if fields == entry.fields else Entry(fields, entry.api_version, entry.time)
        left[identity] = entry
    return left


def cap_updates(entries: Entries) -> Entries:
    """At most `MAX_UPDATE_MANAGERS` Update entries: the oldest become one of `ancient-changes`."""
    updates = [identity for identity in entries if identity.operation == "Update"]
    surplus = len(updates) - MAX_UPDATE_MANAGERS
    if surplus <= 0:
        return entries
    updates.sort(key=lambda identity: _text(entries[identity].time))
    capped = dict(entries)
    for identity in updates[: surplus + 1]:
        entry = capped.pop(identity)
        bucket = Identity(_ANCIENT, "Update", identity.api_version, "")
        fields = fieldset.union(fields_of(capped, bucket), entry.fields)
        capped[bucket] = Entry(fields, entry.api_version, entry.time)
    return capped


def _order(raw: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("operation", "time", "manager", "apiVersion", "subresource")
    return tuple(raw.get(name, "") for name in names)


def _text(time: datetime | str) -> str:
    if isinstance(time, str):
        return time
    return f"{time.astimezone(UTC).isoformat(timespec='seconds')[:19]}Z"
