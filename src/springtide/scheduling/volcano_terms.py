"""What Volcano's annotations on a workload or pod say to the engine: when it may go, how long it may wait.

`volcano.sh/preemptable: "false"` keeps it from being preempted, `volcano.sh/cooldown-time` until it has run
so long; after `volcano.sh/sla-waiting-time` its place is kept against all who come later; and its
`runningEstimate` is how long it is expected to run. What does not parse says nothing, as in Volcano.
Pure; called by `victims`, `reservations` and `runs` for the few workloads that it concerns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.cron import duration_seconds
from springtide.api.kueue import Workload

_FALSE = ("false", "False", "FALSE", "0", "f", "F")
"""What Go takes for false."""


def left_alone_seconds(obj: Workload) -> float:
    """How long it has to have run before it may be preempted; infinite if it may never be."""
    notes = obj.metadata.annotations
    if notes.get(labels.PREEMPTABLE) in _FALSE:
        return math.inf
    return seconds_of(notes.get(labels.COOLDOWN_TIME)) or 0.0


def patience_seconds(obj: Workload | Pod, usual: float) -> float:
    """After how long its place is kept: as usual, or sooner if it says so."""
    asked = seconds_of(obj.metadata.annotations.get(labels.SLA_WAITING_TIME))
    return usual if asked is None else min(usual, asked)


def estimated_seconds(obj: Workload) -> float | None:
    """How long the user thinks it runs; None if nobody has said."""
    return seconds_of(obj.metadata.annotations.get(labels.RUNNING_ESTIMATE)) or None


def priority_of_queue(obj: Workload | Pod, priorities: Mapping[str, int]) -> int:
    """The priority of the Queue it stands in, of those that have one: all of it go first."""
    return priorities.get(obj.metadata.annotations.get(labels.VOLCANO_QUEUE, ""), 0)


def seconds_of(text: str | None) -> float | None:
    """Seconds of a duration as Go writes it; None for none, or one that does not parse."""
    return _parsed(text) if text else None


@lru_cache(maxsize=1024)
def _parsed(text: str) -> float | None:
    try:
        return max(0.0, float(duration_seconds(text)))
    except ValueError:
        return None
