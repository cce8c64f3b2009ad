"""Immutable fields of custom kinds: the rule `self == oldSelf` of `x-kubernetes-validations`.

Called by `schema.Schema.validate` when an object changes. It is the one CEL rule nearly every CRD has, and
needs no CEL; other rules are not evaluated here. As in Kubernetes it holds where the field was and still is:
setting it for the first time and removing it are other rules' matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from springtide.server.schema_rules import INVALID, FieldError, Path, show, spell

Transition = Callable[[Any, Any, Path, list[FieldError]], None]
"""Compares a value with the one it replaces: (new, old, path, errors)."""


def compile_transitions(source: Mapping[str, Any]) -> Transition | None:
    """The immutability rules of a schema node and all below it; None if there are none."""
    checks = [_immutable(message) for message in _messages(source)]
    fields = _compile_all(source.get("properties", {}))
    extra = source.get("additionalProperties")
    values = compile_transitions(extra) if isinstance(extra, Mapping) else None
    if fields or values is not None:
        checks.append(_of_fields(fields, values))
    keys = tuple(source.get("x-kubernetes-list-map-keys", ()))
    items = compile_transitions(source.get("items", {})) if keys else None
    if items is not None:
        checks.append(_of_items(items, keys))
    if not checks:
        return None

    def check(new: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
        for one in checks:
            one(new, old, path, errors)

    return check


def unevaluated_rules(source: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The rules of a schema that nothing here evaluates: (dotted path, rule)."""
    for rule in source.get("x-kubernetes-validations") or ():
        if not _is_immutability(rule):
            yield path, str(rule.get("rule", ""))
    for key, child in (source.get("properties") or {}).items():
        yield from unevaluated_rules(child, f"{path}.{key}" if path else key)
    for keyword, suffix in (("items", "[*]"), ("additionalProperties", ".*")):
        child = source.get(keyword)
        if isinstance(child, Mapping):
            yield from unevaluated_rules(child, path + suffix)


def _is_immutability(rule: Mapping[str, Any]) -> bool:
    return str(rule.get("rule", "")).replace(" ", "") in ("self==oldSelf", "oldSelf==self")


def _messages(source: Mapping[str, Any]) -> list[str]:
    rules = source.get("x-kubernetes-validations") or ()
    return [
        str(rule.get("message") or f"failed rule: {rule['rule']}") for rule in rules if _is_immutability(rule)
    ]


def _compile_all(properties: Mapping[str, Any]) -> dict[str, Transition]:
    compiled = {key: compile_transitions(child) for key, child in properties.items()}
    return {key: transition for key, transition in compiled.items() if transition is not None}


def _immutable(message: str) -> Transition:
    def check(new: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
        if new != old:
            field, tokens = spell(path)
            value = "object" if isinstance(new, dict) else "array" if isinstance(new, list) else new
            errors.append(FieldError(INVALID, field, f"Invalid value: {show(value)}: {message}", tokens))

    return check


def _of_fields(fields: Mapping[str, Transition], values: Transition | None) -> Transition:
    def check(new: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
        if not isinstance(new, dict) or not isinstance(old, dict):
            return
        for key in new.keys() & old.keys() if values is not None else fields.keys() & new.keys() & old.keys():
            transition = fields.get(key, values)
            if transition is not None:
                transition(new[key], old[key], (path, key), errors)

    return check


def _of_items(items: Transition, keys: tuple[str, ...]) -> Transition:
    def identity(item: Any) -> bytes:
        return msgspec.json.encode([item.get(key) for key in keys] if isinstance(item, dict) else item)

    def check(new: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
        if not isinstance(new, list) or not isinstance(old, list):
            return
        before = {identity(item): item for item in old}
        for index, item in enumerate(new):
            if (name := identity(item)) in before:
                items(item, before[name], (path, index), errors)

    return check
