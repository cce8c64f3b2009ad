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
    """`live` with everything `config` says, nulls included. Raises `PatchError`."""
    if isinstance(config, dict) and fieldset.is_granular(config, schema):
        return _merge_maps(live if isinstance(live, dict) else {}, config, schema, where)
    if isinstance(config, list) and schema is not None and schema.list_type != "atomic":
        return _merge_lists(live if isinstance(live, list) else [], config, schema, where)
    return config


def remove_fields(value: Any, gone: FieldSet, kept: FieldSet, schema: Schema | None) -> Any:
    """`value` without the fields of `gone`, each with all below it, unless something of it is in `kept`."""
    if isinstance(value, list):
        assert schema is not None  # only lists with a schema have items of their own
        elements = ((fieldset.element_of(item, schema) or "", item) for item in value)
        rest = [_left_of(item, element, gone, kept, schema.items) for element, item in elements]
        return [item for item in rest if item is not _GONE]
    left = dict(value)
    for element in gone:
        key = element[2:]
        if element == "." or key not in left:
            continue
        rest = _left_of(left[key], element, gone, kept, schema.child(key) if schema is not None else None)
        if rest is _GONE:
            del left[key]
        else:
            left[key] = rest
    return left


_GONE = object()


def _left_of(value: Any, element: str, gone: FieldSet, kept: FieldSet, schema: Schema | None) -> Any:
    """What is left of the value of a field or an item.

    An item goes with its owner's claim to the item as such, though others may have changed a field of it; a
    field stays for whoever owns anything below.
    """
    if element not in gone:
        return value
    node, held = gone[element], kept.get(element)
    is_item = not element.startswith("f:")
    if held is None or (is_item and fieldset.is_member(node) and not fieldset.is_member(held)):
        return _GONE
    if not isinstance(value, dict | list) or not fieldset.is_granular(value, schema):
        return value
    return remove_fields(value, node, held, schema)


def _merge_maps(
    live: dict[str, Any], config: dict[str, Any], schema: Schema | None, where: str
) -> dict[str, Any]:
    merged = dict(live)
    for key, value in config.items():
        if isinstance(value, dict | list):
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
