"""Markers on fields: how lists merge, and which values are allowed.

They stand in `Annotated[...]` beside a field's type and change nothing at run time. The generated
schemas read them (`springtide.api.schema`); server-side apply and strategic merge patch follow the
list markers. List types and merge keys are those of the Kubernetes API reference.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Marker(msgspec.Struct, frozen=True):
    """Base of all markers."""


class ListMap:
    """A list of objects that is a map by `keys`: two writers may each own items of their own.

    `merge` says whether strategic merge patch merges it too (it has a `patchMergeKey`, the first of
    `keys` unless `merge_key` says otherwise) or replaces the list.
    """

    __slots__ = ("keys", "merge", "merge_key")

    def __init__(self, *keys: str, merge: bool = True, merge_key: str = "") -> None:
        self.keys = keys
        self.merge = merge
        self.merge_key = merge_key or keys[0]


class ListSet(Marker, frozen=True):
    """A list of scalars without duplicates or meaning of order."""

    merge: bool = False


class ListAtomic(Marker, frozen=True):
    """A list that server-side apply replaces as a whole, though strategic merge patch merges its items."""

    merge_key: str


class MapAtomic(Marker, frozen=True):
    """An object or map that server-side apply replaces as a whole."""


class MapGranular(Marker, frozen=True):
    """An object that server-side apply merges field by field, though its type is replaced elsewhere."""


class RetainKeys(Marker, frozen=True):
    """A union: strategic merge patch that sets one member clears the others. `merge`: a list of unions."""

    merge: bool = True


class Replaced(Marker, frozen=True):
    """An object that strategic merge patch replaces as a whole."""


class Limits(Marker, frozen=True):
    """What values the schema lets in; `items` holds for the members of a list."""

    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    max_properties: int | None = None
    pattern: str = ""
    enum: tuple[str, ...] = ()
    format: str = ""
    items: Limits | None = None

    def schema(self) -> dict[str, Any]:
        """The OpenAPI keywords of these limits."""
        keywords = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "minLength": self.min_length,
            "maxLength": self.max_length,
            "minItems": self.min_items,
            "maxItems": self.max_items,
            "maxProperties": self.max_properties,
            "pattern": self.pattern or None,
            "enum": list(self.enum) or None,
            "format": self.format or None,
        }
        return {name: value for name, value in keywords.items() if value is not None}


class Required(Marker, frozen=True):
    """The schema requires the field although Python gives it a default."""


class Default(Marker, frozen=True):
    """A default the API server fills in although the Python default is the zero value."""

    value: Any


class Rule(Marker, frozen=True):
    """A CEL rule of the CRD, with what the server answers when it does not hold."""

    cel: str
    message: str
