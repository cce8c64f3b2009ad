"""A signature as the YAML files of this room state it: a pattern, its verdict, its source, its examples.

Read by `catalog`, which checks every entry while loading; documented for those who add one in
docs/faults/index.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from springtide.api.springtide import Action, Blame
from springtide.faults.fault import Fault
from springtide.faults.verdicts import VERDICTS


class Role(StrEnum):
    """What part a line plays in an incident."""

    ROOT = "root"
    """It shows a cause."""
    CASCADE = "cascade"
    """A rank says it because another one failed."""
    WRAPPER = "wrapper"
    """It carries another error, or continues one: the inner error decides where there is one."""
    TEARDOWN = "teardown"
    """Processes say it while they are stopped; it never counts."""
    BENIGN = "benign"
    """It looks like trouble and is none."""


class Secondary(StrEnum):
    """Whether a line is only a consequence of something else."""

    NO = "no"
    MAYBE = "maybe"
    """Only where a better cause is there."""
    YES = "yes"


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line as it was seen, with the lines before it and what this room must say about it."""

    line: str
    context: str = ""
    """Lines before it, oldest first, separated by newlines."""
    decided: str = ""
    """Name of the signature that decides, where that is another one: an inner error, or the context's."""
    blame: Blame | None = None
    """Differs from the deciding signature's own where its `when` applies."""
    action: Action | None = None
    secondary: Secondary | None = None
    device: str = ""
    peer: str = ""
    rank: int | None = None


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of the verdict where the line, or the lines before it, show more."""

    line: str = ""
    """Pattern over the line."""
    context: str = ""
    """Pattern over the lines before it, joined by newlines."""
    fault: Fault | None = None
    blame: Blame | None = None
    action: Action | None = None
    secondary: Secondary | None = None
    confidence: float | None = None


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of line, and what it means."""

    name: str
    """Unique; what a Diagnosis and an observation carry, what a site's override names."""
    pattern: str
    """RE2 over the line; groups `device`, `peer`, `rank` and `inner` are taken out where they are there."""
    fault: Fault
    what: str
    """One sentence: what has happened."""
    source: str
    """Vendor's document, source of the format or public thread."""
    examples: Annotated[tuple[str | Example, ...], msgspec.Meta(min_length=1)]
    counter: tuple[str | Example, ...] = ()
    """Lines that look alike and must not be taken for this."""
    role: Role = Role.ROOT
    blame: Blame | None = None
    """None: as the fault class says."""
    action: Action | None = None
    """None: as the fault class says."""
    secondary: Secondary = Secondary.NO
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9
    unless: str = ""
    """RE2 over the line: where it matches, this signature does not apply."""
    context: str = ""
    """RE2 over the lines before it: this signature applies only where it matches."""
    when: tuple[When, ...] = ()
    """Changes of the verdict; the first that fits counts."""
    weight: int = 0
    """Of two signatures with the same role, the heavier one decides, then the one stated first; below -49
    it is a last resort, asked only where nothing else matches."""
    family: str = ""
    """Name of its file."""

    @property
    def own_blame(self) -> Blame:
        """Whose fault it is, unless a context or a site says otherwise."""
        return self.blame or VERDICTS[self.fault].blame

    @property
    def own_action(self) -> Action:
        """What is done about it, unless a context or a site says otherwise."""
        return self.action or VERDICTS[self.fault].action
