"""Putting an applied configuration into an object, and taking fields out of it again.

Called by `apply` only. Neither function changes what it is given.
"""

from __future__ import annotations

from typing import Any

from springtide.server import fieldset
from springtide.server.fieldset import FieldSet
from springtide.server.json_patch import PatchError
from springtide.server.schema import Schema


def merge(live: Any, config: Any, schema: Schema | None, where: str = "") -> Any:
    """`live` with everything `config` says; null in a config removes a field. Raises `PatchError`."""
    if isinstance(config, dict) and fieldset.is_granular(config, schema):
        return _merge_maps(live if isinstance(live, dict) else {}, config, schema, where)
    if isinstance(config, list) and schema is not None and schema.list_type != "atomic":
        return _merge_lists(live if isinstance(live, list) else [], config, schema, where)
    return config


def remove_fields(value: Any, gone: FieldSet, kept: FieldSet, schema: Schema | None) -> Any:
    """`value` without the fields of `gone`. A container that becomes empty goes too, unless in `kept`."""
    if isinstance(value, list):
        return _remove_items(value, gone, kept, schema)
    left = dict(value)
    for element, node in gone.items():
        key = element[2:]
        if element == "." or key not in left:
            continue
        child = schema.child(key) if schema is not None else None
        rest = _remove_in(left[key], node, kept.get(element), child)
        if rest is _GONE:
            del left[key]
        else:
            left[key] = rest
    return left


_GONE = object()


def _merge_maps(
    live: dict[str, Any], config: dict[str, Any], schema: Schema | None, where: str
) -> dict[str, Any]:
    merged = dict(live)
    for key, value in config.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict | list):
            child = schema.child(key) if schema is not None else None
            merged[key] = merge(live.get(key), value, child, f"{where}.{key}" if where else key)
        else:
            merged[key] = value
    return merged


def _merge_lists(live: list[Any], config: list[Any], schema: Schema, where: str) -> list[Any]:
    """Items of `config` in its order; items only in `live` keep their places between them."""
    try:
        wanted = fieldset.list_elements(config, schema, where)
    except ValueError as error:
        raise PatchError(*error.args) from error
    before = {fieldset.element_of(item, schema): item for item in live}
    merged = {
        element: merge(before.get(element), item, schema.items, f"{where}[{index}]")
        for index, (element, item) in enumerate(wanted.items())
    }
    result: list[Any] = []
    waiting = iter(merged.items())
    for item in live:
        if fieldset.element_of(item, schema) not in merged:
            result.append(item)
            continue
        for element, value in waiting:
            result.append(value)
            if element in before:
                break
    result.extend(value for _, value in waiting)
    return result


def _remove_items(value: list[Any], gone: FieldSet, kept: FieldSet, schema: Schema | None) -> list[Any]:
    assert schema is not None  # only lists with a schema have items of their own
    left: list[Any] = []
    for item in value:
        element = fieldset.element_of(item, schema) or ""
        if element not in gone:
            left.append(item)
            continue
        rest = _remove_item(item, gone[element], kept.get(element), schema)
        if rest is not _GONE:
            left.append(rest)
    return left


def _remove_item(item: Any, gone: FieldSet, kept: FieldSet | None, schema: Schema) -> Any:
    """A list-map's item goes when nothing but its keys is left of it and nobody owns it."""
    rest = _remove_in(item, gone, kept, schema.items)
    if rest is _GONE or not isinstance(item, dict) or not schema.list_map_keys:
        return rest
    keys = {name: item[name] for name in schema.list_map_keys if name in item}
    if kept is None and fieldset.is_member(gone) and not rest.keys() - keys.keys():
        return _GONE
    return {**keys, **rest}


def _remove_in(value: Any, gone: FieldSet, kept: FieldSet | None, schema: Schema | None) -> Any:
    if not isinstance(value, dict | list) or not fieldset.is_granular(value, schema):
        return value if kept is not None else _GONE
    rest = remove_fields(value, gone, kept or {}, schema)
    return rest if rest or kept is not None else _GONE
