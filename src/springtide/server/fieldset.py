"""Sets of fields, in the form of managedFields' `fieldsV1`, and how they are read off objects.

A set is a trie of path elements: `f:name` a field, `k:{"name":"x"}` an item of a list-map, `v:"x"` a
member of a set. The node of a path that belongs to the set is `{}`, or holds `"."` beside its children.
Nodes are never changed once made, so sets share them. Called by `apply` only.

Source of the semantics: sigs.k8s.io/structured-merge-diff (fieldpath, typed).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from springtide.server.schema import Schema

FieldSet = dict[str, Any]
_LEAF: FieldSet = {}
_CONTAINERS = (dict, list)


def is_member(node: FieldSet) -> bool:
    """Whether the path of this node (not of the root) is itself in the set."""
    return not node or "." in node


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in either set (of two roots)."""
    if not left or not right:
        return left or right
    merged = dict(left)
    for element, node in right.items():
        merged[element] = _join(merged[element], node) if element in merged else node
    return merged


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in `left` that are not in `right` (of two roots)."""
    if not left or not right:
        return left
    kept: FieldSet = {}
    for element, node in left.items():
        other = right.get(element)
        rest = node if other is None else _subtract(node, other)
        if rest is not None:
            kept[element] = rest
    return kept


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in both sets (of two roots)."""
    shared: FieldSet = {}
    for element in left.keys() & right.keys():
        if (node := _meet(left[element], right[element])) is not None:
            shared[element] = node
    return shared


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """The members as Kubernetes prints them: `.spec.containers[name="web"].image`."""
    for element, node in sorted(fields.items()):
        if element == ".":
            continue
        path = prefix + _show(element)
        if is_member(node):
            yield path
        yield from paths(node, path)


def fields_of(
    value: Mapping[str, Any], schema: Schema | None, *, skip: frozenset[str] = frozenset()
) -> FieldSet:
    """All fields that an object sets, in one pass. `skip` names top-level fields to leave out."""
    return {f"f:{key}": _field(child, schema, key) for key, child in value.items() if key not in skip}


def changes(
    old: Any, new: Any, schema: Schema | None, *, skip: frozenset[str] = frozenset()
) -> tuple[FieldSet, FieldSet]:
    """Two sets: fields that `new` adds or changes, and fields of `old` that `new` no longer has."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    for key in {**old, **new}:
        if key not in skip:
            _compare_field(old, new, key, schema, changed, removed)
    return changed, removed


def list_elements(items: list[Any], schema: Schema, where: str = "") -> dict[str, Any]:
    """The items of a list-map or set by path element.

    Raises ValueError(where, rule) for an item without its key and for an item that is there twice.
    """
    found: dict[str, Any] = {}
    for index, item in enumerate(items):
        element = element_of(item, schema)
        if element is None:
            keys = ", ".join(schema.list_map_keys)
            raise ValueError(f"{where}[{index}]", f"an item of this list needs its key field ({keys})")
        if element in found:
            raise ValueError(f"{where}[{index}]", f"duplicate entries for key {_show(element)}")
        found[element] = item
    return found


def element_of(item: Any, schema: Schema) -> str | None:
    """The path element of a list's item; None for an item of a list-map that has no key."""
    if schema.list_type == "set":
        return "v:" + _json(item)
    if not isinstance(item, dict):
        return None
    keys: dict[str, Any] = {}
    for name, default in schema.key_defaults:
        value = item.get(name)
        if value is None:
            value = default
        if value is not None:
            keys[name] = value
    return "k:" + msgspec.json.encode(keys).decode() if keys else None


def is_granular(value: Any, schema: Schema | None) -> bool:
    """Whether the parts of a value are owned one by one, or the value as a whole."""
    if isinstance(value, dict):
        return schema is None or not schema.map_atomic
    return isinstance(value, list) and schema is not None and schema.list_type != "atomic"


def _join(left: FieldSet, right: FieldSet) -> FieldSet:
    if not left and not right:
        return _LEAF
    merged = union(left, right)
    return {**merged, ".": _LEAF} if is_member(left) or is_member(right) else merged


def _subtract(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left:
        return None if is_member(right) else left
    rest = difference(_below(left), _below(right))
    if is_member(left) and not is_member(right):
        return {**rest, ".": _LEAF} if rest else _LEAF
    return rest or None


def _meet(left: FieldSet, right: FieldSet) -> FieldSet | None:
    both = is_member(left) and is_member(right)
    shared = intersection(_below(left), _below(right))
    if not shared:
        return _LEAF if both else None
    return {**shared, ".": _LEAF} if both else shared


def _below(node: FieldSet) -> FieldSet:
    """The children of a node, as a root."""
    return {element: child for element, child in node.items() if element != "."} if "." in node else node


def _field(value: Any, parent: Schema | None, key: str) -> FieldSet:
    """The node of a field: keys of a map belong to the set themselves, named fields of a type do not."""
    if not isinstance(value, _CONTAINERS):
        return _LEAF
    schema = parent.child(key) if parent is not None else None
    return _node(value, schema, member=parent is None or key not in parent.properties)


def _node(value: Any, schema: Schema | None, *, member: bool) -> FieldSet:
    if not is_granular(value, schema):
        return _LEAF
    node = _children(value, schema)
    return {".": _LEAF, **node} if member and node else node


def _children(value: Any, schema: Schema | None) -> FieldSet:
    if isinstance(value, dict):
        return {
            f"f:{key}": _field(child, schema, key) if isinstance(child, _CONTAINERS) else _LEAF
            for key, child in value.items()
        }
    assert schema is not None
    if schema.list_type == "set":
        return {"v:" + _json(item): _LEAF for item in value}
    node: FieldSet = {}
    for item in value:
        if (element := element_of(item, schema)) is not None:
            node[element] = _node(item, schema.items, member=True)
    return node


def _compare_field(
    old: Any, new: Any, key: str, parent: Schema | None, changed: FieldSet, removed: FieldSet
) -> None:
    if key not in old:
        schema = parent.child(key) if parent is not None else None
        if parent is not None and schema is not None and _stands_empty(new[key], parent, schema, key):
            _compare([] if isinstance(new[key], list) else {}, new[key], schema, f"f:{key}", changed, removed)
        else:
            changed[f"f:{key}"] = _whole(_field(new[key], parent, key))
    elif key not in new:
        removed[f"f:{key}"] = _whole(_field(old[key], parent, key))
    else:
        schema = parent.child(key) if parent is not None else None
        _compare(old[key], new[key], schema, f"f:{key}", changed, removed)


def _compare(
    old: Any, new: Any, schema: Schema | None, element: str, changed: FieldSet, removed: FieldSet
) -> None:
    if old is new or old == new:
        return
    if type(old) is not type(new) or not (is_granular(old, schema) and is_granular(new, schema)):
        changed[element] = _whole(_node(new, schema, member=True))
        if is_granular(old, schema) and (gone := _children(old, schema)):
            removed[element] = {key: _whole(node) for key, node in gone.items()}
        return
    inner_changed: FieldSet = {}
    inner_removed: FieldSet = {}
    if isinstance(new, dict):
        for key in {**old, **new}:
            _compare_field(old, new, key, schema, inner_changed, inner_removed)
    else:
        assert schema is not None
        _compare_lists(old, new, schema, inner_changed, inner_removed)
    if inner_changed:
        changed[element] = inner_changed
    elif not new:
        changed[element] = _LEAF
    if inner_removed:
        removed[element] = inner_removed


def _stands_empty(value: Any, parent: Schema, schema: Schema, key: str) -> bool:
    """Whether what an object lacks is still there as an empty value: the structs and the required lists of
    built-in kinds, which Go's types hold by value. Only what is filled in below then counts as new."""
    if not parent.null_is_absent or not value or not is_granular(value, schema):
        return False
    if isinstance(value, list):
        return key in parent.source.get("required", ())
    return isinstance(value, dict) and bool(schema.properties)


def _compare_lists(old: Any, new: Any, schema: Schema, changed: FieldSet, removed: FieldSet) -> None:
    before = {element_of(item, schema): item for item in old}
    after = {element_of(item, schema): item for item in new}
    for element in {**before, **after}:
        if element is None:
            continue
        if element not in before:
            changed[element] = _whole(_node(after[element], schema.items, member=True))
        elif element not in after:
            removed[element] = _whole(_node(before[element], schema.items, member=True))
        else:
            _compare(before[element], after[element], schema.items, element, changed, removed)


def _whole(node: FieldSet) -> FieldSet:
    """The node with every path below it a member: what goes when a value goes."""
    if not node:
        return node
    return {".": _LEAF, **{element: _whole(child) for element, child in node.items() if element != "."}}


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _show(element: str) -> str:
    kind, _, text = element.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "k":
        keys = json.loads(text)
        return "[" + ",".join(f"{name}={_json(value)}" for name, value in keys.items()) + "]"
    return f"[={text}]" if kind == "v" else f"[{text}]"
