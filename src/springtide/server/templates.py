"""Specs seen before: the copies of one template are completed and checked once, not once a copy.

A gang's pods, a job's retries, a burst of tasks all carry the same spec but for a host name and a node.
What defaults and validation make of it depends on nothing else, so it is kept, a bounded number of specs
long, under the spec's own bytes. Which fields a creator owns depends on names only, and is kept by these.
Used by the create verb for kinds whose `Strategy` allows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from springtide.api.meta import ObjectMeta
from springtide.server.kinds import ServedKind

Json = dict[str, Any]

_KEPT = 256
_LARGEST_BYTES = 64 * 1024
_PLAIN = frozenset({"apiVersion", "kind", "metadata", "spec"})


class TemplateKey(NamedTuple):
    """What a copy has in common with its template: the kind, and the spec without individual fields."""

    resource: str
    shared: bytes
    individual: tuple[str, ...]
    """Names of the individual fields that this copy sets."""
    texts: tuple[str, ...]
    """Free texts of this copy, in their order; see `Strategy.without_texts`."""


class Templates:
    """The most recently met specs, complete and valid, and who owns what of their copies."""

    def __init__(self) -> None:
        self._specs: dict[tuple[str, bytes], Json] = {}
        self._owned: dict[tuple[object, ...], Json] = {}

    def key(self, kind: ServedKind, obj: Json) -> TemplateKey | None:
        """Under what the spec of `obj` is kept; None for an object that needs its own look."""
        names, spec = kind.strategy.individual_fields, obj.get("spec")
        if names is None or not isinstance(spec, dict) or not obj.keys() <= _PLAIN:
            return None
        try:
            msgspec.convert(obj.get("metadata"), ObjectMeta)
        except msgspec.ValidationError:
            return None  # a wrong type or an unknown field: the slow path says which
        own = tuple([name for name in names if name in spec])
        for name in own:
            if not isinstance(spec[name], str):
                return None
        shared = {name: value for name, value in spec.items() if name not in own} if own else spec
        shared, texts = kind.strategy.without_texts(shared)
        data = msgspec.json.encode(shared)
        return TemplateKey(kind.resource, data, own, texts) if len(data) <= _LARGEST_BYTES else None

    def complete(self, key: TemplateKey, kind: ServedKind, spec: Json) -> Json | None:
        """The complete spec of a copy that was sent as `spec`, or None if its template was not met yet."""
        known = self._specs.get(key[:2])
        if known is None:
            return None
        own = {**known}
        for name in key.individual:
            own[name] = spec[name]
        return kind.strategy.with_texts(own, key.texts)

    def remember(self, key: TemplateKey, kind: ServedKind, spec: Json) -> None:
        """Keep a complete and valid spec. Nobody changes parts of it in place from now on."""
        _bound(self._specs)
        shared = {name: value for name, value in spec.items() if name not in key.individual}
        self._specs[key[:2]] = kind.strategy.without_texts(shared)[0]

    def owned(self, key: TemplateKey, metadata: Json, manager: str, make: Callable[[], Json]) -> Json:
        """The `fieldsV1` of who creates this copy; `make` computes it for the first of its shape."""
        owners = metadata.get("ownerReferences")
        shape = (
            manager,
            key[:3],
            tuple(metadata.get("labels") or ()),
            tuple(metadata.get("annotations") or ()),
            tuple(metadata.get("finalizers") or ()),
            "generateName" in metadata,
            msgspec.json.encode(owners) if owners is not None else b"",
        )
        known = self._owned.get(shape)
        if known is None:
            _bound(self._owned)
            known = self._owned[shape] = make()
        return known


def _bound(kept: dict[Any, Json]) -> None:
    if len(kept) >= _KEPT:
        del kept[next(iter(kept))]
