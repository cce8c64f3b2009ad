"""The kinds that a CRD makes: one for each served version, and what is particular to writing their objects.

Called by `customresources` when a CRD is established, changed or going away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from springtide.api.resources import Column
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.schema import Schema
from springtide.server.status import Forbidden
from springtide.server.strategy import Strategy

Json = dict[str, Any]

AGE = Column("Age", "date", ".metadata.creationTimestamp")


class CustomResourceStrategy(Strategy):
    """Objects of a CRD. While the CRD is `going`, none are made, and the last one to go takes it along."""

    def __init__(self, definition: str, *, going: bool, emptied: Callable[[str, Context], None]) -> None:
        self._definition = definition
        self._going = going
        self._emptied = emptied

    def before_create(self, obj: Json, context: Context) -> None:
        if self._going:
            name = obj["metadata"].get("name", "")
            why = "create not allowed while custom resource definition is terminating"
            raise Forbidden(f'{self._definition} "{name}" is forbidden: {why}', name=name)

    def after_write(self, obj: Json, context: Context, *, deleted: bool) -> None:
        if deleted and self._going:
            self._emptied(self._definition, context)


def _schema_of(version: Json) -> Json:
    found: Json = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    return found


def _compiled(schema: Json) -> Schema:
    """The same for equal schemas, as those of many versions, and of one that is served again, are."""
    return _of_bytes(msgspec.json.encode(schema))


@lru_cache(maxsize=128)
def _of_bytes(schema: bytes) -> Schema:
    return Schema(msgspec.json.decode(schema))


def served_kinds(definition: Json, strategy: Strategy) -> Iterator[ServedKind]:
    """One `ServedKind` for each served version."""
    spec = definition["spec"]
    names = {**spec["names"], **(definition.get("status") or {}).get("acceptedNames", {})}
    storage = next(version["name"] for version in spec["versions"] if version["storage"])
    rereads = definition["metadata"].get("generation", 1) > 1 or len(spec["versions"]) > 1
    stored: Json = next((one for one in spec["versions"] if one["storage"]), {})
    storing = _compiled(_schema_of(stored))
    for version in spec["versions"]:
        if not version["served"]:
            continue
        schema = _schema_of(version)
        subresources = version.get("subresources") or {}
        validator = _compiled(schema)
        yield ServedKind(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            namespaced=spec["scope"] == "Namespaced",
            schema=schema,
            validator=validator,
            singular=names.get("singular", ""),
            list_kind=names.get("listKind", ""),
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            columns=_columns(version),
            status="status" in subresources,
            builtin=False,
            storage_version=storage,
            strategy=strategy,
            selectable_fields=_selectable(version),
            scale=subresources.get("scale") or {},
            warning=_deprecation(version, spec, names),
            on_read=_reader(validator) if rereads else None,
            on_store=storing.prune if version["name"] != storage else None,
        )


def _reader(validator: Schema) -> Callable[[Json], None]:
    """What makes a stored object one of today's schema: fields it no longer has go, new defaults come."""

    def read(obj: Json) -> None:
        validator.prune(obj)
        validator.default(obj)

    return read


def _columns(version: Json) -> tuple[Column, ...]:
    listed = version.get("additionalPrinterColumns")
    if not listed:
        return (AGE,)
    return tuple(
        Column(
            column["name"],
            column["type"],
            column["jsonPath"],
            column.get("description", ""),
            column.get("priority", 0),
        )
        for column in listed
    )


def _selectable(version: Json) -> dict[str, str]:
    paths = [field["jsonPath"].strip(".") for field in version.get("selectableFields") or ()]
    return {path: path for path in paths}


def _deprecation(version: Json, spec: Json, names: Json) -> str:
    """The warning of a deprecated version; it names the newest one that is not."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    text = f"{spec['group']}/{version['name']} {names['kind']} is deprecated"
    newer = [
        one["name"]
        for one in spec["versions"]
        if one["served"] and not one.get("deprecated") and maturity(one["name"]) > maturity(version["name"])
    ]
    return f"{text}; use {spec['group']}/{max(newer, key=maturity)} {names['kind']}" if newer else text


def maturity(version: str) -> tuple[int, int, int]:
    """How versions are ordered: v2 over v1 over v1beta1 over v1alpha1, all else below."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if found is None:
        return (0, 0, 0)
    stage = {"alpha": 1, "beta": 2}.get(found[2] or "", 3)
    return (stage, int(found[1]), int(found[3] or 0))
