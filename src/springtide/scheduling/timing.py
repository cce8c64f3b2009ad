"""What of a cycle has to do with time, as settings: whose turn it is, and who may start before its turn.

Made of `Settings` or of a SchedulerConfiguration; part of `plan.Options`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from springtide.scheduling.ordering import PRIORITY, Ordering
from springtide.scheduling.reservations import FIRM_AFTER_SECONDS
from springtide.scheduling.usage import UsageSettings


@dataclass(frozen=True, slots=True)
class Timing:
    """How a cycle goes about time."""

    ordering: Ordering = PRIORITY
    """In which order those who wait are considered; the default is Kueue's: priority, then age."""
    backfill: bool = True
    """Whether the first that waits for room has its place kept free of those who would put its start off."""
    usage: UsageSettings = field(default_factory=UsageSettings)
    """How LocalQueues share by use, in the ClusterQueues that ask for it."""
    firm_after_seconds: float = FIRM_AFTER_SECONDS
    """After so long its place is kept even where nothing is known of how long others run; `inf`: never."""


KUEUE = Timing()
"""Priority, then age; places are kept."""
