"""How long a gang may be quiet before that is a hang: declared phases and learned quiet spells. Pure.

Checkpoints, compilation, evaluation and loading of data look like hangs. Who declares them (`sdk.phase`) is
given their time. Who does not is judged by experience: the longest quiet spell that ended by itself, of this
job or of one that runs the same program, is remembered on the Workload (`springtide.dev/quiet-seconds`).
Called by `hangs` and by the controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from springtide.api import labels
from springtide.api.commands import Apply
from springtide.api.kueue import Workload
from springtide.health.gang import Member

PHASE_SECONDS = {
    "start": 1800.0,
    "load": 900.0,
    "compile": 1800.0,
    "evaluate": 1800.0,
    "checkpoint": 600.0,
}
"""How long a gang may be quiet while a rank says that it does this."""
LEARNED_FACTOR = 3.0
"""A quiet spell is strange when it is so many times as long as any that ended by itself."""
LEARNED_SECONDS_MAX = 1800.0
"""Learning makes nobody more patient than this: a hang that somebody solved by hand is no habit."""
WORTH_SECONDS = 10.0
"""Shorter spells teach nothing."""
GROWTH = 1.25
"""A spell is remembered when it is so much longer than what is remembered: few writes."""


@dataclass(frozen=True)
class Patience:
    """How long quiet lasts before it is a hang, and why."""

    seconds: float
    why: str
    """In words: `declared phase checkpoint`, `learned`, `default` …"""


def patience(
    members: Sequence[Member], learned_seconds: float, base_seconds: float, early_seconds: float
) -> Patience:
    """For a gang in which nothing proves that a rank cannot go on.

    `early_seconds` is for programs that have not made a step yet: what they do first (imports, compilation,
    loading) takes longer than anything later.
    """
    found = Patience(base_seconds, "default")
    if learned_seconds * LEARNED_FACTOR > found.seconds:
        seconds = min(learned_seconds * LEARNED_FACTOR, LEARNED_SECONDS_MAX)
        found = Patience(max(seconds, base_seconds), f"it was quiet for {learned_seconds:.0f} s before")
    if _is_early(members) and early_seconds > found.seconds:
        found = Patience(early_seconds, "no step was made yet")
    for phase in phases(members):
        if PHASE_SECONDS.get(phase, 0.0) > found.seconds:
            found = Patience(PHASE_SECONDS[phase], f"declared phase {phase}")
    return found


def phases(members: Iterable[Member]) -> list[str]:
    """What its ranks say they do, those that do not wait for others first."""
    said = [
        (rank.waits is True, rank.marks.phase)
        for member in members
        for rank in member.ranks
        if rank.marks is not None and rank.marks.phase
    ]
    return list(dict.fromkeys(phase for _, phase in sorted(said)))


def _is_early(members: Sequence[Member]) -> bool:
    """Whether ranks report steps and some have made none."""
    marked = [rank.marks for member in members for rank in member.ranks if rank.marks is not None]
    return bool(marked) and any(one.step is None for one in marked)


@dataclass(frozen=True)
class Sight:
    """What is remembered of a gang from one look to the next."""

    attempt: int
    heard_at: datetime
    """The newest sign of life of any member."""
    was_quiet: bool
    """Whether all its members were quiet then."""


def sight(members: Sequence[Member], attempt: int) -> Sight | None:
    """The gang as it is now; None where it never gave a sign."""
    heard = [member.heard_at for member in members if member.heard_at is not None]
    if not heard:
        return None
    return Sight(attempt, max(heard), all(member.is_quiet for member in members))


def spell_seconds(before: Sight | None, now: Sight | None) -> float:
    """Length of the quiet spell that has ended between two looks; 0: none has."""
    if before is None or now is None or before.attempt != now.attempt or not before.was_quiet:
        return 0.0
    return max((now.heard_at - before.heard_at).total_seconds(), 0.0)


def learned(workload: Workload) -> float:
    """The longest quiet spell this workload is known to have come out of, in seconds."""
    noted = workload.metadata.annotations.get(labels.QUIET_SECONDS, "")
    try:
        return max(float(noted), 0.0) if noted else 0.0
    except ValueError:
        return 0.0  # anybody may write an annotation


def learned_alike(workload: Workload, others: Iterable[Workload]) -> float:
    """The longest of this workload and of those that run the same program in its namespace."""
    mine = program(workload)
    namespace = workload.metadata.namespace
    taught = (one for one in others if labels.QUIET_SECONDS in one.metadata.annotations)
    alike = (one for one in taught if one.metadata.namespace == namespace and program(one) == mine)
    return max([learned(workload), *(learned(one) for one in alike)])


def program(workload: Workload) -> tuple[tuple[str, ...], ...]:
    """What a workload runs: image and command of each container. Arguments differ from run to run."""
    return tuple(
        (container.image, *(container.command or container.args[:2]))
        for pod_set in workload.spec.pod_sets
        for container in pod_set.template.spec.containers
    )


def remember(workload: Workload, seconds: float) -> Apply | None:
    """Note a quiet spell that is worth it."""
    if seconds < WORTH_SECONDS or seconds < learned(workload) * GROWTH:
        return None
    meta = workload.metadata
    fields = {"metadata": {"annotations": {labels.QUIET_SECONDS: f"{seconds:.0f}"}}}
    return Apply(Workload, meta.namespace, meta.name, fields, uid=meta.uid)
