"""What clients did and what came of it: the values that recorded histories are made of.

Moments are numbers of one counter, so that of two of them one is always the earlier. Written by `world`, read
by the checkers `linearizability` and `watching`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

Data = tuple[str, str]
"""The two fields `v` and `w` of an object; every write of one puts a value there that nothing else has."""


class Action(StrEnum):
    """Kinds of requests about one object."""

    GET = "get"
    CREATE = "create"
    PUT = "put"
    PATCH_V = "patch v"
    PATCH_W = "patch w"
    DELETE = "delete"


class Outcome(StrEnum):
    """What the client knows afterwards."""

    OK = "ok"
    EXISTS = "exists"
    CONFLICT = "conflict"
    MISSING = "missing"
    UNKNOWN = "unknown"
    """The server died or could not say: it may have happened, then or later."""


@dataclass
class Operation:
    """One request about one object. `expected` is the version it was based on, 0 if on none."""

    client: int
    key: str
    action: Action
    invoked: int
    data: Data = ("", "")
    expected: int = 0
    returned: int = -1
    outcome: Outcome = Outcome.UNKNOWN
    revision: int = 0
    """Version of the answered object."""
    seen: Data = ("", "")
    """Data of the answered object."""


@dataclass(frozen=True)
class Listing:
    """A list of the whole collection. `cached` ones (resourceVersion=0) may be old, but are of one moment."""

    client: int
    invoked: int
    returned: int
    revision: int
    items: dict[str, tuple[int, Data]]
    cached: bool


@dataclass(frozen=True)
class Change:
    """One committed revision of one object, as the log has it; the truth that watches are held against."""

    revision: int
    key: str
    data: Data
    selected: bool
    """Whether it bears the label that some watches select by."""
    deleted: bool


@dataclass
class Heard:
    """One thing that a watch said."""

    type: str
    key: str
    revision: int
    data: Data = ("", "")


@dataclass
class Watching:
    """One connection of one watch: where it began, with which state, and what it said until it ended."""

    client: int
    selecting: bool
    after: int
    """It was asked for changes after this revision."""
    before: dict[str, Data]
    """What the client knew at that revision."""
    heard: list[Heard] = field(default_factory=list)
    expired: bool = False
    """It was told 410 instead."""


@dataclass
class History:
    """Everything recorded in one run."""

    operations: list[Operation] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    watchings: list[Watching] = field(default_factory=list)
    finals: list[tuple[bool, dict[str, Data]]] = field(default_factory=list)
    """What each watching client knew when everything had come to rest, and whether it selects."""
    truth: list[Change] = field(default_factory=list)
