"""Server-side apply, and the bookkeeping of who owns which field (`metadata.managedFields`).

Called by the server's patch verb (`apply`) and by create, update and the other patches (`track_update`).
Semantics: Kubernetes' field managers over structured merge. An applier owns exactly what it sent last; a
field it no longer sends goes away unless somebody else owns it too; a value that somebody else owns can be
changed only by force. A write that changes nothing keeps managedFields as they were, times included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from springtide.api import labels
from springtide.server import fieldset, managed
from springtide.server.fieldset import FieldSet
from springtide.server.json_patch import PatchError
from springtide.server.managed import Entries, Identity
from springtide.server.merge import merge, remove_fields
from springtide.server.schema import Schema

__all__ = ["ApplyConflict", "PatchError", "apply", "track_update"]

_KUBECTL = "kubectl"
_BEFORE_FIRST_APPLY = "before-first-apply"

_TOP = frozenset({"apiVersion", "kind", "metadata"})
_SET_BY_SERVER = frozenset(
    {
        "uid",
        "creationTimestamp",
        "resourceVersion",
        "generation",
        "managedFields",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)
_NEVER_OWNED = _SET_BY_SERVER | {"name", "namespace"}


class ApplyConflict(Exception):
    """Other managers own fields that this apply would change. `conflicts` holds (manager, path)."""

    def __init__(self, conflicts: list[tuple[str, str]], causes: list[dict[str, str]]) -> None:
        super().__init__(_conflict_message(causes))
        self.conflicts = conflicts
        self.causes = causes
        """The same as causes of a `metav1.Status`, reason FieldManagerConflict."""


def apply(
    live: dict[str, Any] | None,
    config: dict[str, Any],
    *,
    manager: str,
    force: bool,
    schema: Schema | None,
    subresource: str,
    now: datetime,
    api_version: str,
    has_status: bool = False,
) -> dict[str, Any]:
    """The object after `manager` applied `config`; `live` itself when nothing changes.

    `subresource` "status" applies `status` only; where there is one (`has_status`), nothing else does.
    Raises `ApplyConflict`, or `PatchError` when the config cannot be applied (a list item without its key, an
    item twice).
    """
    if config.get("metadata", {}).get("managedFields"):
        raise PatchError("metadata.managedFields", "must be empty in an apply configuration", malformed=True)
    config = _applicable(config, subresource, has_status=has_status)
    me = Identity(manager, "Apply", "", subresource)
    before = live if live is not None else {}
    entries = _entries_before_apply(before, schema, api_version)
    last = managed.fields_of(entries, me)
    mine = _owned_fields(config, schema)
    claimed = {**entries, me: managed.Entry(mine, api_version, now)}
    merged = merge(before, config, schema)
    merged = _without_left_out(merged, last, mine, claimed, schema)
    changed, removed = _changes(before, merged, schema)
    if not force:
        excused = _last_applied_fields(before, schema) if manager == _KUBECTL else {}
        _refuse_conflicts(claimed, me, fieldset.difference(changed, excused))
    claimed = managed.disown(claimed, me, changed, removed)
    _set_times(claimed, entries, me, now, wrote=bool(changed or removed))
    if manager == _KUBECTL:
        merged = _refresh_last_applied(merged, config)
    return _with_managed(merged, live, managed.encode(claimed))


def track_update(
    old: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    subresource: str,
    now: datetime,
    schema: Schema | None,
    api_version: str,
) -> list[dict[str, Any]]:
    """managedFields after an ordinary write from `old` (None: a create) to `new`.

    What `new` itself says in metadata.managedFields counts as an edit: a list of one empty entry resets
    them, an empty or a malformed one is ignored.
    """
    me = Identity(manager, "Update", api_version, subresource)
    if old is None:
        owned, _ = _changes({}, new, schema)
        return managed.encode({me: managed.Entry(owned, api_version, now)}) if owned else []
    recorded: list[dict[str, Any]] = old.get("metadata", {}).get("managedFields") or []
    sent = new.get("metadata", {}).get("managedFields")
    if sent == [{}]:
        return []
    base = sent if sent and sent != recorded and managed.is_well_formed(sent) else recorded
    if not base:
        return []
    changed, removed = _changes(old, new, schema)
    if not changed and not removed:
        return base
    entries = managed.decode(base)
    mine = entries.get(me)
    owned = fieldset.union(fieldset.difference(mine.fields if mine else {}, removed), changed)
    entries = managed.disown(entries, me, changed, removed)
    entries[me] = managed.Entry(owned, api_version, now)
    if not owned:
        del entries[me]
    return managed.encode(managed.cap_updates(entries))


def _applicable(config: dict[str, Any], subresource: str, *, has_status: bool) -> dict[str, Any]:
    """What of a config is applied: not what only the server sets, and of a subresource only its part."""
    metadata = config.get("metadata") or {}
    stripped = {key: value for key, value in metadata.items() if key not in _SET_BY_SERVER}
    config = {**config, "metadata": stripped}
    if subresource == "scale":
        return config
    if not subresource:
        return {key: value for key, value in config.items() if key != "status" or not has_status}
    kept = {key: value for key, value in config.items() if key in ("apiVersion", "kind", subresource)}
    return {**kept, "metadata": {key: stripped[key] for key in ("name", "namespace") if key in stripped}}


def _entries_before_apply(live: Mapping[str, Any], schema: Schema | None, api_version: str) -> Entries:
    recorded = live.get("metadata", {}).get("managedFields")
    entries = managed.decode(recorded or [])
    if live and not recorded:
        owner = Identity(_BEFORE_FIRST_APPLY, "Update", api_version, "")
        owned, _ = _changes({}, live, schema)
        entries = {owner: managed.Entry(owned, api_version, "")}
    return entries


def _last_applied_fields(live: Mapping[str, Any], schema: Schema | None) -> FieldSet:
    """What kubectl applied client-side, as its annotation says, and nobody has changed since.

    kubectl that turns to server-side apply may change these, whoever is recorded as their owner.
    """
    text = (live.get("metadata", {}).get("annotations") or {}).get(labels.LAST_APPLIED)
    try:
        applied = json.loads(text) if text else None
    except ValueError:
        return {}
    if not isinstance(applied, dict) or applied.get("apiVersion") != live.get("apiVersion"):
        return {}
    try:
        changed, removed = _changes(applied, live, schema)
        return fieldset.difference(fieldset.difference(_owned_fields(applied, schema), changed), removed)
    except (ValueError, TypeError, AttributeError):
        return {}  # written by hand, and not an object of this kind


def _without_left_out(
    merged: dict[str, Any], last: FieldSet, mine: FieldSet, claimed: Entries, schema: Schema | None
) -> dict[str, Any]:
    """Without the fields that this applier sent last time and now leaves to nobody."""
    left_out = fieldset.difference(last, mine)
    if not left_out:
        return merged
    kept: FieldSet = {}
    for entry in claimed.values():
        kept = fieldset.union(kept, entry.fields)
    pruned: dict[str, Any] = remove_fields(merged, fieldset.difference(left_out, kept), kept, schema)
    return pruned


def _refuse_conflicts(entries: Entries, me: Identity, changed: FieldSet) -> None:
    conflicts: list[tuple[str, str]] = []
    causes: list[dict[str, str]] = []
    for identity, entry in entries.items():
        if identity == me:
            continue
        for path in fieldset.paths(fieldset.intersection(entry.fields, changed)):
            conflicts.append((identity.manager, path))
            message = f"conflict with {identity.describe(entry)}"
            causes.append({"reason": "FieldManagerConflict", "message": message, "field": path})
    if conflicts:
        raise ApplyConflict(conflicts, causes)


def _set_times(entries: Entries, before: Entries, me: Identity, now: datetime, *, wrote: bool) -> None:
    """My entry keeps its time when neither it nor the object changed; one made only now has none yet."""
    for identity, entry in entries.items():
        if identity.manager == _BEFORE_FIRST_APPLY and not entry.time:
            entries[identity] = managed.Entry(entry.fields, entry.api_version, now)
    old = before.get(me)
    mine = entries[me]
    if not mine.fields:
        del entries[me]
    elif old is not None and old.fields == mine.fields and old.api_version == mine.api_version and not wrote:
        entries[me] = managed.Entry(mine.fields, mine.api_version, old.time)


def _refresh_last_applied(obj: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Client-side apply, should it come back, must see what server-side apply did."""
    annotations = obj.get("metadata", {}).get("annotations") or {}
    if labels.LAST_APPLIED not in annotations:
        return obj
    text = json.dumps(config, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    metadata = {**obj["metadata"], "annotations": {**annotations, labels.LAST_APPLIED: text}}
    return {**obj, "metadata": metadata}


def _conflict_message(causes: list[dict[str, str]]) -> str:
    """As Kubernetes words it: one in a line, several in groups by manager."""
    if len(causes) == 1:
        return f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    lines: list[str] = []
    for message in sorted({cause["message"] for cause in causes}):
        lines.append(message.replace("conflict with", "conflicts with", 1) + ":")
        lines += [f"- {cause['field']}" for cause in causes if cause["message"] == message]
    return f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)


def _with_managed(
    merged: dict[str, Any], live: dict[str, Any] | None, entries: list[dict[str, Any]]
) -> dict[str, Any]:
    result = {**merged, "metadata": {**merged.get("metadata", {}), "managedFields": entries}}
    return live if live is not None and result == live else result


def _owned_fields(obj: Mapping[str, Any], schema: Schema | None) -> FieldSet:
    """The fields of an object that managers can own."""
    owned = fieldset.fields_of(obj, schema, skip=_TOP)
    metadata = obj.get("metadata")
    if metadata:
        below = schema.child("metadata") if schema is not None else None
        if inner := fieldset.fields_of(metadata, below, skip=_NEVER_OWNED):
            owned["f:metadata"] = inner
    return owned


def _changes(
    old: Mapping[str, Any], new: Mapping[str, Any], schema: Schema | None
) -> tuple[FieldSet, FieldSet]:
    changed, removed = fieldset.changes(old, new, schema, skip=_TOP)
    below = schema.child("metadata") if schema is not None else None
    pair = old.get("metadata") or {}, new.get("metadata") or {}
    inner_changed, inner_removed = fieldset.changes(*pair, below, skip=_NEVER_OWNED)
    if inner_changed:
        changed["f:metadata"] = inner_changed
    if inner_removed:
        removed["f:metadata"] = inner_removed
    return changed, removed
