"""Markers on fields: how lists merge, and which values are allowed.

They stand in `Annotated[...]` beside a field's type and change nothing at run time. The generated
schemas read them (`springtide.api.schema`); server-side apply and strategic merge patch follow the
list markers. List types and merge keys are those of the Kubernetes API reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ListMap:
    """A list of objects that is a map by `keys`: two writers may each own items of their own."""

    keys: tuple[str, ...]
    merge: bool = True
    """Whether strategic merge patch merges it too (`patchMergeKey`); else that patch replaces the list."""
    merge_key: str = ""
    """The one key strategic merge patch goes by where it differs from the first of `keys`."""

    def __init__(self, *keys: str, merge: bool = True, merge_key: str = "") -> None:
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "merge", merge)
        object.__setattr__(self, "merge_key", merge_key or keys[0])


@dataclass(frozen=True)
class ListSet:
    """A list of scalars without duplicates or meaning of order."""

    merge: bool = False


@dataclass(frozen=True)
class PatchMerge:
    """An atomic list for server-side apply that strategic merge patch nevertheless merges by `key`."""

    key: str


@dataclass(frozen=True)
class MapAtomic:
    """An object or map that server-side apply replaces as a whole."""


@dataclass(frozen=True)
class RetainKeys:
    """A union: strategic merge patch that sets one member clears the others."""


@dataclass(frozen=True)
class Limits:
    """What values the schema lets in. `items` holds for the members of a list, `keys` for nothing else."""

    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
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
            "pattern": self.pattern or None,
            "enum": list(self.enum) or None,
            "format": self.format or None,
        }
        return {name: value for name, value in keywords.items() if value is not None}


@dataclass(frozen=True)
class Required:
    """The schema requires the field although Python gives it a default."""


@dataclass(frozen=True)
class Default:
    """A default the API server fills in although the Python default is the zero value."""

    value: Any


@dataclass(frozen=True)
class Rule:
    """A CEL rule of the CRD, with what the server answers when it does not hold."""

    cel: str
    message: str
    path: str = field(default="")
