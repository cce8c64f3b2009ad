"""Which objects of a collection a request is about: label selector, field selector, namespace, name.

Called by the list, watch and deletecollection verbs. What it derives from a record (labels, selectable
fields) is kept in the record's memo, so that many watchers with selectors parse each object once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from springtide.api.selectors import Fields, Labels, Requirement, parse_fields, parse_labels
from springtide.server.kinds import ServedKind
from springtide.server.metadata_rules import key_faults, label_value_faults
from springtide.server.request import Request
from springtide.server.routes import Route
from springtide.server.schema import Schema
from springtide.server.status import BadRequest
from springtide.store import Record

_EMPTY = {"boolean": "false", "integer": "0"}
_COMMON_FIELDS = {"metadata.name": "metadata.name", "metadata.namespace": "metadata.namespace"}


class _Attributes(msgspec.Struct, frozen=True):
    labels: dict[str, str]
    fields: dict[str, str]
    """By path in the stored object, so that two kinds with the same objects can share it. Those of another
    version, or of a definition as it was, may lack a path: then they are read again."""


class Selection:
    """A parsed selection. Raises BadRequest for a selector that does not parse or names an unknown field."""

    def __init__(self, kind: ServedKind, route: Route, request: Request) -> None:
        self._empty = _empty_texts(kind)
        self._paths = {**_COMMON_FIELDS, **kind.strategy.selectable_fields, **kind.selectable_fields}
        try:
            self._labels: Labels = parse_labels(request.query.get("labelSelector", ""))
            self._fields: Fields = parse_fields(request.query.get("fieldSelector", ""))
        except ValueError as error:
            raise BadRequest(f"unable to parse selector: {error}") from error
        for requirement in self._labels.requirements:
            _check_requirement(requirement)
        for path, _, _ in self._fields.terms:
            if path not in self._paths:
                raise BadRequest(
                    f"field label not supported: {path}; {kind.plural} have {', '.join(sorted(self._paths))}"
                )
        self._asked = frozenset(self._paths[path] for path, _, _ in self._fields.terms)
        self.prefix = self._key_prefix(kind, route)
        self.selects_all = not self._labels.requirements and not self._fields.terms

    def matches(self, record: Record) -> bool:
        if self.selects_all:
            return True
        known: _Attributes | None = record.memo
        if known is None or not self._asked <= known.fields.keys():
            known = record.memo = self._attributes(record, known)
        fields = known.fields
        return self._labels.matches(known.labels) and self._fields.matches(
            lambda name: fields.get(self._paths[name], "")
        )

    def _key_prefix(self, kind: ServedKind, route: Route) -> str:
        """The narrowest range of keys that holds everything selected."""
        if not kind.namespaced:
            return ""
        namespace = route.namespace or self._fields.required("metadata.namespace") or ""
        return f"{namespace}/" if namespace else ""

    def _attributes(self, record: Record, known: _Attributes | None) -> _Attributes:
        obj = msgspec.json.decode(record.value)
        fields = dict(known.fields) if known is not None else {}
        fields |= {path: _text_at(obj, path) or self._empty.get(path, "") for path in self._paths.values()}
        return _Attributes(obj["metadata"].get("labels") or {}, fields)


def _check_requirement(requirement: Requirement) -> None:
    """Raise BadRequest for a key or a value that no label could have."""
    for fault in key_faults(requirement.key):
        raise BadRequest(f'unable to parse requirement: key: Invalid value: "{requirement.key}": {fault}')
    for value in requirement.values:
        for fault in label_value_faults(value) if requirement.operator in ("in", "notin") else ():
            raise BadRequest(f'unable to parse requirement: values: Invalid value: "{value}": {fault}')


@lru_cache(maxsize=256)  # kinds of definitions come and go
def _empty_texts(kind: ServedKind) -> dict[str, str]:
    """What selectable fields that are no text mean when an object lacks them, by path."""
    found: dict[str, str] = {}
    for path in {**kind.strategy.selectable_fields, **kind.selectable_fields}.values():
        schema: Schema | None = kind.validator
        for step in path.split("."):
            schema = schema.child(step) if schema is not None else None
        type_ = schema.source.get("type") if schema is not None else ""
        if kind.builtin and type_ in _EMPTY:
            found[path] = _EMPTY[type_]
    return found


def _text_at(obj: Any, path: str) -> str:
    for step in path.split("."):
        obj = obj.get(step) if isinstance(obj, dict) else None
    if obj is None:
        return ""
    return str(obj).lower() if isinstance(obj, bool) else str(obj)
