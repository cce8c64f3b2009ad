"""Schemas of CRDs that were checked and found sound: the same one need not be looked at again.

Called by `customresources`. The definitions that this version ships are known from the start: a test checks
them, so that a platform need not at each start.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import msgspec

from springtide.api.crds import bundled
from springtide.api.struct import encode

Json = dict[str, Any]

_REMEMBERED = 1024
"""Schemas kept besides the shipped ones; the one that came first gives way."""


class SoundSchemas:
    """What one server knows."""

    def __init__(self) -> None:
        self._known: dict[bytes, None] = {}

    def has(self, schema: Json, *, status: bool) -> bool:
        """Whether this schema, of a kind with or without a status subresource, is known to be sound."""
        digest = _digest(schema, status)
        return digest in _shipped() or digest in self._known

    def add(self, schema: Json, *, status: bool) -> None:
        """It was checked."""
        if len(self._known) >= _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[_digest(schema, status)] = None


def is_shipped(schema: Json, *, status: bool) -> bool:
    """Whether it is one of this version's own, which say nothing that is not understood here."""
    return _digest(schema, status) in _shipped()


@cache
def _shipped() -> frozenset[bytes]:
    return frozenset(
        _digest(version["schema"]["openAPIV3Schema"], "status" in (version.get("subresources") or {}))
        for definition in bundled()
        for version in encode(definition)["spec"]["versions"]
    )


def _digest(schema: Json, status: bool) -> bytes:
    """The same for the same schema, whatever the order of its keys."""
    return hashlib.sha256(msgspec.json.encode([schema, status], order="sorted")).digest()
