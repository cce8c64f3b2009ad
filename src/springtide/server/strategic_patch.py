"""Strategic merge patch: `application/strategic-merge-patch+json`, what kubectl sends for built-in kinds.

Called by the server's patch verb. Like a merge patch, but lists that the schema gives a merge key are
merged item by item, and directives (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…`,
`$setElementOrder/…`) say what plain JSON cannot. The document handed in is not changed.
Source: Kubernetes' documentation of the patch format (sig-api-machinery, strategic-merge-patch.md).
"""

from __future__ import annotations

from typing import Any

from springtide.server.json_patch import PatchError
from springtide.server.schema import Schema

__all__ = ["PatchError", "apply_strategic_patch"]

_PATCH = "$patch"
_RETAIN_KEYS = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_ACTIONS = ("merge", "replace", "delete")
_GONE = object()
"""In place of an item that the patch deletes."""


def apply_strategic_patch(doc: dict[str, Any], patch: Any, schema: Schema | None) -> dict[str, Any]:
    """The document after the patch. Raises `PatchError` naming the field of the patch and the broken rule."""
    if not isinstance(patch, dict):
        raise PatchError("", "a strategic merge patch must be an object", malformed=True)
    return _merge_map(doc, patch, schema, "")


def _merge_map(
    doc: dict[str, Any], patch: dict[str, Any], schema: Schema | None, where: str
) -> dict[str, Any]:
    action = _action(patch, where)
    if action == "delete":
        return {}
    if action == "replace":
        return _plain_map(patch)
    merged = _retained(doc, patch, where)
    for key, value in patch.items():
        if key.startswith("$"):
            _check_directive(key, value, where)
        elif value is None:
            merged.pop(key, None)
        else:
            child = schema.child(key) if schema is not None else None
            merged[key] = _merge_value(merged.get(key), value, child, _join(where, key))
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            _delete_primitives(merged, key.removeprefix(_DELETE_PRIMITIVES), value)
        elif key.startswith(_ORDER):
            child = schema.child(key.removeprefix(_ORDER)) if schema is not None else None
            _set_order(merged, doc, key, patch, child)
    return merged


def _merge_value(doc: Any, patch: Any, schema: Schema | None, where: str) -> Any:
    replace = schema is not None and "replace" in schema.patch_strategies
    if isinstance(patch, dict):
        if replace or not isinstance(doc, dict):
            return _merge_map({}, patch, schema, where)
        return _merge_map(doc, patch, schema, where)
    if not isinstance(patch, list):
        return patch
    if schema is None or replace or not (schema.patch_merge_key or "merge" in schema.patch_strategies):
        return [_plain(item) for item in patch]
    present = doc if isinstance(doc, list) else []
    if schema.patch_merge_key:
        return _merge_items(present, patch, schema, where)
    merged, known = list(present), {_identity(item, "") for item in present}
    for item in patch:
        if (identity := _identity(item, "")) not in known:
            known.add(identity)
            merged.append(item)
    return _in_order(merged, patch, present, "")


def _merge_items(doc: list[Any], patch: list[Any], schema: Schema, where: str) -> list[Any]:
    """A list of objects matched by its merge key."""
    key = schema.patch_merge_key
    if any(
        isinstance(item, dict) and item.keys() == {_PATCH} and item[_PATCH] == "replace" for item in patch
    ):
        return [_plain(item) for item in patch if not (isinstance(item, dict) and item.keys() == {_PATCH})]
    merged: list[Any] = list(doc)
    places: dict[str, list[int]] = {}
    for at, other in enumerate(merged):
        if isinstance(other, dict) and key in other:
            places.setdefault(_identity(other, key), []).append(at)
    for index, item in enumerate(patch):
        place = f"{where}[{index}]"
        if not isinstance(item, dict):
            raise PatchError(place, f"must be an object with the merge key {key}")
        if key not in item:
            raise PatchError(place, f"does not contain declared merge key: {key}")
        same = places.setdefault(_identity(item, key), [])
        if _action(item, place) == "delete":
            for at in same:
                merged[at] = _GONE
            same.clear()
        elif same:
            merged[same[0]] = _merge_map(merged[same[0]], item, schema.items, place)
        else:
            same.append(len(merged))
            merged.append(_merge_map({}, item, schema.items, place))
    return _in_order([one for one in merged if one is not _GONE], patch, doc, key)


def _action(patch: dict[str, Any], where: str) -> str:
    action = patch.get(_PATCH, "merge")
    if action not in _ACTIONS:
        rule = f"unknown directive {action!r}; use one of {', '.join(_ACTIONS)}"
        raise PatchError(_join(where, _PATCH), rule, malformed=True)
    return str(action)


def _check_directive(key: str, value: Any, where: str) -> None:
    if key == _PATCH:
        return
    known = key == _RETAIN_KEYS or key.startswith((_DELETE_PRIMITIVES, _ORDER))
    if not known:
        raise PatchError(_join(where, key), "unknown directive of a strategic merge patch", malformed=True)
    if not isinstance(value, list):
        raise PatchError(_join(where, key), "must be a list", malformed=True)


def _retained(doc: dict[str, Any], patch: dict[str, Any], where: str) -> dict[str, Any]:
    """A copy of the document; under `$retainKeys` only with the keys named there (unions)."""
    if _RETAIN_KEYS not in patch:
        return dict(doc)
    _check_directive(_RETAIN_KEYS, patch[_RETAIN_KEYS], where)
    keep = {key for key in patch[_RETAIN_KEYS] if isinstance(key, str)}
    for key, value in patch.items():
        if not key.startswith("$") and value is not None and key not in keep:
            raise PatchError(_join(where, key), "is set by the patch but is not among its $retainKeys")
    return {key: value for key, value in doc.items() if key in keep}


def _delete_primitives(merged: dict[str, Any], field: str, values: list[Any]) -> None:
    if isinstance(merged.get(field), list):
        gone = {_identity(value, "") for value in values}
        merged[field] = [item for item in merged[field] if _identity(item, "") not in gone]


def _set_order(
    merged: dict[str, Any], doc: dict[str, Any], key: str, patch: dict[str, Any], schema: Schema | None
) -> None:
    """Do what `$setElementOrder/<field>` says. Raises PatchError for an item the patch sets but not names."""
    field = key.removeprefix(_ORDER)
    items, order, merge_key = merged.get(field), patch[key], schema.patch_merge_key if schema else ""
    ranks = {_identity(item, merge_key) for item in order}
    for item in patch.get(field) or ():
        is_data = not isinstance(item, dict) or _PATCH not in item
        if is_data and _identity(item, merge_key) not in ranks:
            raise PatchError(key, f"does not name {_identity(item, merge_key)}, which the patch sets")
    if isinstance(items, list):
        before = doc.get(field)
        merged[field] = _in_order(items, order, before if isinstance(before, list) else [], merge_key)


def _in_order(items: list[Any], wanted: list[Any], before: list[Any], key: str) -> list[Any]:
    """The items named in `wanted` in that order; the others stay in front of those they preceded `before`."""
    ranks = {_identity(item, key): rank for rank, item in reversed(list(enumerate(wanted)))}
    places = {_identity(item, key): place for place, item in reversed(list(enumerate(before)))}
    named = sorted(
        (one for one in items if _identity(one, key) in ranks), key=lambda one: ranks[_identity(one, key)]
    )
    others = [one for one in items if _identity(one, key) not in ranks]
    others.sort(key=lambda one: places.get(_identity(one, key), len(places)))
    result: list[Any] = []
    next_other = 0
    for item in named:
        place = places.get(_identity(item, key))
        while (
            place is not None
            and next_other < len(others)
            and places.get(_identity(others[next_other], key), place) < place
        ):
            result.append(others[next_other])
            next_other += 1
        result.append(item)
    return result + others[next_other:]


def _identity(item: Any, key: str) -> str:
    """What makes an item the same one: its merge key, or all of it."""
    return repr(item.get(key) if key and isinstance(item, dict) else item)


def _plain(value: Any) -> Any:
    """A value of a patch as data: without directives and nulls."""
    if isinstance(value, dict):
        return _plain_map(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _plain_map(patch: dict[str, Any]) -> dict[str, Any]:
    return {k: _plain(v) for k, v in patch.items() if not k.startswith("$") and v is not None}


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
