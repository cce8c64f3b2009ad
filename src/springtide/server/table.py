"""Objects as a `meta.k8s.io/v1` Table: what `kubectl get` prints.

Called by the verbs that answer with a Table. Kinds everyone knows have their columns in `table_kinds`
and `table_pod`; CRD kinds have their `additionalPrinterColumns`; all others have Name and Age.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from springtide.api.resources import Column
from springtide.server.jsonpath import Find, compile_path
from springtide.server.table_kinds import BUILT_IN
from springtide.server.table_time import age, since

Json = dict[str, Any]
_Cell = Callable[[Json, datetime], Any]

_NAME = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace.",
    "priority": 0,
}
_DEFAULT_COLUMNS = (
    Column("Age", "date", ".metadata.creationTimestamp", "Time since the object was created"),
)


class PrintedKind(Protocol):
    """What a table needs to know of a kind."""

    @property
    def group(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def columns(self) -> tuple[Column, ...]: ...


def to_table(kind: PrintedKind, objects: Sequence[Json], *, now: datetime) -> Json:
    """A Table with a row per object, in order; each row carries its object's metadata."""
    built_in = BUILT_IN.get((kind.group, kind.kind))
    if built_in is not None:
        definitions = [_NAME, *map(_definition, built_in.columns)]
        conditions = built_in.conditions or _no_conditions
        rows = [_row(obj, built_in.cells(obj, now), conditions(obj)) for obj in objects]
    else:
        columns = _readable(kind.columns) if kind.columns else _DEFAULT_COLUMNS
        definitions = [_NAME, *map(_definition, columns)]
        cells = _cells(columns)
        rows = [_row(obj, [cell(obj, now) for cell in cells], []) for obj in objects]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _no_conditions(_: Json) -> list[Json]:
    return []


def _row(obj: Json, cells: list[Any], conditions: list[Json]) -> Json:
    metadata = obj["metadata"]
    row: Json = {
        "cells": [metadata.get("name", ""), *cells],
        "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata},
    }
    if conditions:
        row["conditions"] = conditions
    return row


def _definition(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "format": "",
        "description": column.description,
        "priority": column.priority,
    }


@lru_cache(maxsize=512)
def _readable(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns before the first whose path cannot be read: that is where kube-apiserver stops, too."""
    for index, column in enumerate(columns):
        try:
            compile_path(column.json_path)
        except ValueError:
            return columns[:index]
    return columns


@lru_cache(maxsize=512)
def _cells(columns: tuple[Column, ...]) -> tuple[_Cell, ...]:
    return tuple(_cell(column) for column in columns)


def _cell(column: Column) -> _Cell:
    find = compile_path(column.json_path)
    if column.type == "date":
        return lambda obj, now: _date(find(obj), now)
    return lambda obj, _: _value(find, column.type, obj)


def _date(found: list[Any], now: datetime) -> str | None:
    if not found:
        return None
    return age(since(found[0], now)) if isinstance(found[0], str) else "<invalid>"


def _value(find: Find, type_: str, obj: Json) -> Any:
    """The first value, as kube-apiserver gives it: text for a string column, else only the right type."""
    found = find(obj)
    value = found[0] if found else None
    if value is None:
        return None
    if type_ == "string":
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    if type_ == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if type_ == "integer" else value
