"""What is written down of a reason: its meaning and the next step. Filled by `reasons`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason on one kind of object."""

    name: str
    meaning: str
    next_step: str = ""
    """What the reader should do; "" when there is nothing to do."""


@dataclass(frozen=True)
class Group:
    """The reasons of one condition, or the events about one kind."""

    kind: str
    condition: str
    """Type of the condition; "" for events and for reasons of a phase or a container state."""
    meaning: str
    reasons: tuple[Reason, ...]
    what: str = "condition"
