"""A verdict on any line, also one that no signature knows: for people and programs who ask about lines.

Called by `springtide diagnose --lines` and the benchmark beside it. Where nothing is recognised the answer is
that nothing is known and nothing is to be done: a platform that acts on words it does not understand is worse
than one that waits for an exit code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from springtide.api.springtide import Action, Blame
from springtide.faults.fault import Fault
from springtide.faults.matching import Match, Override, match
from springtide.faults.signature import Role, Secondary

UNKNOWN = Match(
    signature="unknown",
    family="",
    role=Role.BENIGN,
    fault=Fault.NOTE,
    blame=Blame.UNKNOWN,
    action=Action.IGNORE,
    secondary=Secondary.MAYBE,
    confidence=0.0,
)
"""What is said about a line that no signature knows."""


def judge(line: str, context: Sequence[str] = (), overrides: Mapping[str, Override] | None = None) -> Match:
    """The meaning of `line`, `UNKNOWN` where no signature knows it; arguments as those of `match`."""
    return match(line, context, overrides) or UNKNOWN
