"""Reads what each rank of a pod said of itself: the files that `springtide.sdk.marks` keeps.

A file is a shared mapping that its rank writes at any moment, so that its time of modification says nothing
and a read may catch it half written: `sequence` stands at both ends. Files of processes that are gone belong
to an earlier life of the container. Called by the collectors once a round.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any

from springtide.api.nodehealth import PodActivity, RankMarks
from springtide.api.struct import replace

RANKS_MAX = 16
"""As many as `NodeHealth.status.pods[].ranks` holds."""
_LAYOUT = struct.Struct("<8sQiiddqdddddddqd24sd40sQ")
"""As in `springtide.sdk.marks`, which stands alone and is imported by nobody; a test compares them."""
_MAGIC = b"STMARKS2"
_TRIES = 3


def read_marks(progress_file: Path, lives: Callable[[int], bool] | None = None) -> list[RankMarks]:
    """The marks of all ranks of a pod, by rank. `lives` says whether a process id is still there."""
    lives = lives or _lives
    found = [_read(path) for path in progress_file.parent.glob(f"{progress_file.name}.rank*")]
    living = [one for one in found if one is not None and lives(one.process)]
    return sorted(living, key=lambda one: one.rank)[:RANKS_MAX]


def with_marks(activity: PodActivity, ranks: Sequence[RankMarks]) -> PodActivity:
    """A pod's activity with what its ranks said: it is as far as the rank that is furthest behind."""
    if not ranks:
        return activity
    phases = [one for one in ranks if one.phase and one.phase_time is not None]
    newest = max(phases, key=lambda one: one.phase_time or datetime.min.replace(tzinfo=UTC), default=None)
    said = [one.time for one in ranks if one.time is not None]
    return replace(
        activity,
        ranks=list(ranks),
        progress_time=max((*said, *filter(None, [activity.progress_time])), default=None),
        phase=newest.phase if newest is not None else "",
        phase_time=newest.phase_time if newest is not None else None,
        step=min((one.step for one in ranks if one.step is not None), default=None),
        step_seconds=max((one.step_seconds for one in ranks if one.step_seconds is not None), default=None),
        busy_seconds=max((one.busy_seconds for one in ranks if one.busy_seconds is not None), default=None),
        collective=min((one.collective for one in ranks if one.collective is not None), default=None),
    )


def read_plain(path: Path, limit: int) -> bytes:
    """The beginning of a file that a program made; of a link or a FIFO nothing. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(limit)


def _read(path: Path) -> RankMarks | None:
    """None for a file that is no rank's, or was being written every time."""
    for _ in range(_TRIES):
        try:
            fields = _LAYOUT.unpack(read_plain(path, _LAYOUT.size))
        except (OSError, struct.error):
            return None
        if fields[0] == _MAGIC and fields[1] == fields[-1]:
            return _typed(fields[2:-1])
    return None


def _typed(fields: tuple[Any, ...]) -> RankMarks | None:
    rank, process, begun, said, step, *times, collective, waiting, phase, phase_time, group = fields
    if rank < 0 or process <= 0:
        return None  # any program may write here: this is not from the SDK
    wall, best_wall, busy, low, recent, best, queued = map(_seconds, times)
    try:
        return RankMarks(
            rank=rank,
            process=process,
            begun=_moment(begun),
            time=_moment(said),
            step=_count(step),
            step_seconds=wall,
            best_step_seconds=best_wall,
            busy_seconds=busy,
            low_seconds=low,
            recent_seconds=recent,
            best_seconds=best,
            queued_seconds=queued,
            collective=_count(collective),
            waiting_since=_moment(waiting),
            phase=_text(phase),
            phase_time=_moment(phase_time),
            group=_text(group),
        )
    except (ValueError, OverflowError, OSError):
        return None  # no moment of any calendar


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None


def _count(value: int) -> int | None:
    return value if value >= 0 else None


def _seconds(value: float) -> float | None:
    return round(value, 6) if value >= 0 else None


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")


def _lives(process: int) -> bool:
    return Path("/proc", str(process)).exists() or not Path("/proc/self").exists()
