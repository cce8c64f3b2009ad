"""What the machines under the ranks recorded around a failure: a kernel's word beats a framework's. Pure.

Called by `diagnosis` with what the collectors of each rank's node saw (NodeHealth). A record counts where it
was made while the rank ran and shortly before the first exit; where ranks only complain about each other,
as long before it as a collective waits for a rank that will never come.
"""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api.core import Pod
from springtide.api.nodehealth import NodeHealth, Observation
from springtide.api.springtide import Action, Blame
from springtide.faults import Fault, Match, Role, Secondary, match
from springtide.health.evidence import Finding, stamp
from springtide.health.tracebacks import LogLine

BEFORE_EXIT_SECONDS = 120.0
"""How long before the first exit a record may lie where a rank shows a cause of its own."""
BEFORE_COMPLAINT_SECONDS = 35 * 60.0
"""The same where ranks only complain: PyTorch's collectives wait for 10 or 30 minutes."""
AFTER_EXIT_SECONDS = 30.0
"""Records of the kernel may reach the node's collectors in another order than exits reach the server."""
_OF_PROGRAMS = ("logs", "exits", "activity", "marks", "stacks", "flight")
"""Collectors that see programs, not the machine: what they tell, any program may have made up."""


def is_of_machine(seen: Observation) -> bool:
    """Whether the machine itself recorded it (kernel, driver, counters)."""
    return seen.collector not in _OF_PROGRAMS and not seen.source.startswith(("log:", "flight:"))


def machine_records(health: NodeHealth | None) -> tuple[Observation, ...]:
    """What the node's own collectors saw of the machine, earliest first."""
    if health is None:
        return ()
    seen = filter(is_of_machine, health.status.observations)
    return tuple(sorted(seen, key=lambda one: (stamp(one.time), one.id)))


def telling_records(
    records: Iterable[Observation], pod: Pod | None, first_exit: float, *, only_complaints: bool
) -> list[Finding]:
    """Records that explain a failure at `first_exit` (seconds of the epoch), earliest first.

    `pod` is the rank's: what lies before it concerned somebody else, and some records name a pod.
    """
    since = first_exit - (BEFORE_COMPLAINT_SECONDS if only_complaints else BEFORE_EXIT_SECONDS)
    if pod is not None and pod.metadata.creation_timestamp is not None:
        since = max(since, stamp(pod.metadata.creation_timestamp))
    found: list[Finding] = []
    for one in records:
        moments = [moment for moment in (one.time, one.last_time) if moment is not None]
        within = [one for one in moments if since <= stamp(one) <= first_exit + AFTER_EXIT_SECONDS]
        meaning = match(one.line, one.context) if within else None
        if meaning is not None and _explains(meaning, one, pod):
            line = LogLine(one.line, within[0])
            found.append(Finding(meaning.fault, True, one.line.strip(), line, meaning=meaning))
    return found


def _explains(meaning: Match, record: Observation, pod: Pod | None) -> bool:
    """Whether a record is a cause: the machine's own trouble, or memory that this very pod ran out of."""
    if meaning.role is not Role.ROOT or meaning.secondary is not Secondary.NO:
        return False
    if meaning.fault is Fault.OUT_OF_MEMORY:
        return pod is not None and record.pod == pod.key
    return meaning.blame is not Blame.PROGRAM and meaning.action is not Action.IGNORE
