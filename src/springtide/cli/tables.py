"""The server's Table answers as aligned columns: the server knows each kind's columns, also of CRDs.

Called by `get`. Source of the format: meta.k8s.io/v1 Table, and kubectl's rules for wide columns.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.cli.output import columns

ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class ColumnDefinition(msgspec.Struct, frozen=True):
    name: str
    priority: int = 0


class RowMetadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class RowObject(msgspec.Struct, frozen=True):
    metadata: RowMetadata = RowMetadata()


class Row(msgspec.Struct, frozen=True):
    cells: list[Any]
    object: RowObject = RowObject()


class ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class Table(msgspec.Struct, frozen=True, rename="camel"):
    kind: str = ""
    metadata: ListMetadata = ListMetadata()
    column_definitions: list[ColumnDefinition] | None = None
    rows: list[Row] | None = None


class TableEvent(msgspec.Struct, frozen=True):
    """One event of a watch that was asked for in Table form; an ERROR's object is a Status."""

    type: str
    object: msgspec.Raw


table_of = msgspec.json.Decoder(Table).decode
event_of = msgspec.json.Decoder(TableEvent).decode


class Printer:
    """Formats tables of one kind; keeps the columns, which a watch sends only once."""

    def __init__(self, *, wide: bool, namespaces: bool) -> None:
        self._wide = wide
        self._namespaces = namespaces
        self._definitions: list[ColumnDefinition] = []

    def format(self, table: Table, *, with_header: bool = True) -> str:
        """The rows as text, "" if there are none."""
        if table.column_definitions:
            self._definitions = table.column_definitions
        rows = [self._row(row) for row in table.rows or []]
        header = [d.name.upper() for d in self._definitions if self._shown(d)]
        if self._namespaces:
            header.insert(0, "NAMESPACE")
        return columns(header, rows, with_header=with_header) if rows else ""

    def _row(self, row: Row) -> list[str]:
        pairs = zip(self._definitions, row.cells, strict=False)
        cells = [_cell(value) for definition, value in pairs if self._shown(definition)]
        return [row.object.metadata.namespace, *cells] if self._namespaces else cells

    def _shown(self, definition: ColumnDefinition) -> bool:
        return self._wide or definition.priority == 0


def _cell(value: Any) -> str:
    return "<none>" if value is None or value == "" else str(value)
