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
_KUBECTL_CLIENT_SIDE = "kubectl-client-side-apply"
_LAST_APPLIED_FIELD: FieldSet = {"f:metadata": {"f:annotations": {f"f:{labels.LAST_APPLIED}": {}}}}
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
) -> dict[str, Any]:
    """The object after `manager` applied `config`; `live` itself when nothing changes.

    `subresource` "status" applies `status` only. Raises `ApplyConflict`, or `PatchError` when the config
    cannot be applied (a list item without its key, an item twice).
    """
    if config.get("metadata", {}).get("managedFields"):
        raise PatchError("metadata.managedFields", "must be empty in an apply configuration", malformed=True)
    config = _applicable(config, subresource)
    me = Identity(manager, "Apply", "", subresource)
    before = live if live is not None else {}
    entries = _entries_before_apply(before, schema, me, api_version, now)
    last = managed.fields_of(entries, me)
    mine = _owned_fields(config, schema)
    claimed = {**entries, me: managed.Entry(mine, api_version, now)}
    merged = merge(before, config, schema)
    merged = _without_left_out(merged, last, mine, claimed, schema)
    changed, removed = _changes(before, merged, schema)
    if not force:
        _refuse_conflicts(claimed, me, changed)
    claimed = managed.disown(claimed, me, changed, removed)
    _restore_times(claimed, entries, me, wrote=bool(changed or removed))
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


def _applicable(config: dict[str, Any], subresource: str) -> dict[str, Any]:
    """What of a config is applied: not what only the server sets, and of a subresource only its part."""
    metadata = config.get("metadata") or {}
    stripped = {key: value for key, value in metadata.items() if key not in _SET_BY_SERVER}
    config = {**config, "metadata": stripped}
    if not subresource:
        return config
    kept = {key: value for key, value in config.items() if key in ("apiVersion", "kind", subresource)}
    return {**kept, "metadata": {key: stripped[key] for key in ("name", "namespace") if key in stripped}}


def _entries_before_apply(
    live: Mapping[str, Any], schema: Schema | None, me: Identity, api_version: str, now: datetime
) -> Entries:
    recorded = live.get("metadata", {}).get("managedFields")
    entries = managed.decode(recorded or [])
    if live and not recorded:
        owner = Identity(_BEFORE_FIRST_APPLY, "Update", api_version, "")
        owned, _ = _changes({}, live, schema)
        entries = {owner: managed.Entry(owned, api_version, now)}
    return _adopt_client_side(entries, me) if me.manager == _KUBECTL and not me.subresource else entries


def _adopt_client_side(entries: Entries, me: Identity) -> Entries:
    """kubectl that turned to server-side apply owns what it applied client-side before.

    But not its annotation, which it would lose by not sending it: the way back stays open.
    """
    old = [
        identity
        for identity in entries
        if identity.manager == _KUBECTL_CLIENT_SIDE and not identity.subresource
    ]
    for identity in old:
        entry = entries.pop(identity)
        adopted = fieldset.difference(entry.fields, _LAST_APPLIED_FIELD)
        fields = fieldset.union(managed.fields_of(entries, me), adopted)
        entries[me] = managed.Entry(fields, entry.api_version, entry.time)
    return entries


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


def _restore_times(entries: Entries, before: Entries, me: Identity, *, wrote: bool) -> None:
    """My entry keeps its time when neither it nor the object changed."""
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
