"""What is kept of what a node's collectors see: the same again counts up, the newest 64 stay.

Pure rules over `NodeHealth.status`, shared by whoever writes it: `collecting` for real machines, `node` for
simulated ones. A source that floods pushes out its own lines first, so that one rare kernel record outlives
a thousand lines of a failing program.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from springtide.api.nodehealth import Observation, PodActivity, RankMarks
from springtide.api.struct import replace

OBSERVATIONS_MAX = 64
LINE_CHARACTERS = 1024
CONTEXT_LINES = 8
SAME_WITHIN = timedelta(minutes=1)
QUIET_AFTER = timedelta(seconds=5)
"""A pod none of whose moments moved for so long is quiet."""
SLOWER = 1.3
"""Who needs so many times what it needed at its best has become slower, by itself or by others."""

_TIMES = re.compile(r"\d{1,4}[-/]\d\d[-/]\d\d[T ]?|\d\d:\d\d:\d\d(?:[.,]\d+)?Z?|\b[IWEF]\d{4} ")
"""Dates and times in lines of logs, glog's `E1122 ` too: what differs only in them is the same."""


def observe(known: Sequence[Observation], seen: Iterable[Observation]) -> list[Observation]:
    """What is kept after these were seen, oldest first; `seen` need no id. Each needs its `time`."""
    kept = list(known)
    shapes = [_shape(one) for one in kept]
    for one in seen:
        moment = one.last_time or one.time
        shape = _shape(one)
        same = _same(kept, shapes, shape, moment)
        if same is None:
            kept.append(_numbered(kept, one))
            shapes.append(shape)
        else:
            old = kept[same]
            latest = max((at for at in (moment, old.last_time) if at is not None), default=None)
            kept[same] = replace(old, count=old.count + one.count, last_time=latest)
    while len(kept) > OBSERVATIONS_MAX:
        del kept[_dispensable(kept)]
    return kept


def quiet_since(pod: PodActivity) -> datetime | None:
    """The last moment the pod gave a sign of life; None where it never did."""
    moments = (pod.log_time, pod.busy_time, pod.io_time, pod.progress_time)
    return max((moment for moment in moments if moment is not None), default=None)


def is_quiet(pod: PodActivity, now: datetime) -> bool:
    """Whether nothing was heard of it lately; a pod that never gave a sign is not quiet but new."""
    since = quiet_since(pod)
    return since is not None and now - since >= QUIET_AFTER


def is_slower(rank: RankMarks) -> bool:
    """Whether nearly all of a rank's newest steps were more work for it than steps are at its best."""
    return _grown(rank.low_seconds, rank.best_seconds)


def is_slowed(rank: RankMarks) -> bool:
    """Whether its steps take longer than they did at its best, whoever is the reason."""
    return _grown(rank.step_seconds, rank.best_step_seconds)


def may_turn(rank: RankMarks) -> bool:
    """Whether its very last steps were longer: worth another look soon, and nothing more."""
    return _grown(rank.recent_seconds, rank.best_seconds)


def _grown(now: float | None, best: float | None) -> bool:
    return now is not None and best is not None and now >= SLOWER * best


def _same(
    kept: Sequence[Observation],
    shapes: Sequence[tuple[str, ...]],
    shape: tuple[str, ...],
    moment: datetime | None,
) -> int | None:
    for place in range(len(kept) - 1, -1, -1):
        last = kept[place].last_time
        recent = moment is not None and last is not None and moment - last <= SAME_WITHIN
        if recent and shapes[place] == shape:
            return place
    return None


def _shape(one: Observation) -> tuple[str, ...]:
    line = _TIMES.sub("", one.line[:LINE_CHARACTERS])
    return one.collector, one.source, one.device, one.pod_uid, line


def _numbered(kept: Sequence[Observation], one: Observation) -> Observation:
    newest = max((int(old.id) for old in kept if old.id.isdecimal()), default=0)
    return replace(
        one,
        id=f"{newest + 1:08d}",
        line=one.line[:LINE_CHARACTERS],
        context=[line[:LINE_CHARACTERS] for line in one.context[-CONTEXT_LINES:]],
        last_time=one.last_time or one.time,
    )


def _dispensable(kept: Sequence[Observation]) -> int:
    """The place of the oldest one of the source that has most."""
    counts = Counter(one.source for one in kept)
    most = max(counts.values())
    return next(place for place, one in enumerate(kept) if counts[one.source] == most)
