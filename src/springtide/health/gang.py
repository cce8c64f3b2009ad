"""A gang as its nodes see it: one member a pod, one view a rank. Pure; read by `hangs` and `stragglers`.

NodeHealth says what processes do, marks and stacks say what ranks do. Where a pod has no ranks of its own
(no SDK, no stacks) it counts as one rank, its index in the gang.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.core import Pod
from springtide.api.nodehealth import NodeHealth, PodActivity, RankMarks, StackSample
from springtide.api.observing import is_quiet, quiet_since
from springtide.health.diagnosis import RankReport

STALE_SECONDS = 60.0
"""Collectors write at least every half minute; what is older says nothing about now."""
FRAMES = 6
"""Innermost calls by which stacks are compared."""

SPINNING_SECONDS = 30.0
"""So old a stack of a rank that uses its processor may be."""
_ABOUT = timedelta(seconds=1)

_WAITS = re.compile(
    r"(?:\(|/)(?:torch/distributed/|torch/autograd/graph\.py|torch/cuda/|torch/futures/"
    r"|horovod/|deepspeed/comm/|mpi4py/|cupy/nccl|cupyx/distributed/|jax/_src/(?:array|dispatch|distributed)\.py"
    r"|jaxlib/|megatron/core/parallel_state\.py|ray/util/collective/)"
)
"""Files in which a process that uses no processor, or that spins, waits for its peers or its device.

`torch/autograd/graph.py` is where Python stands during backward, in which DDP and FSDP wait."""
_WAITING_CALLS = re.compile(
    r"^(?:synchronize|block_until_ready|wait_for_everyone|barrier|all_reduce|allreduce)\b"
)
_OUTER = re.compile(r"torch/distributed/(?:elastic|run|launch|launcher)\b")
"""torchrun itself is no rank."""
_LINE = re.compile(r":\d+\)$")


@dataclass(frozen=True)
class RankView:
    """One rank, from what is known of it."""

    report: RankReport
    """Its pod."""
    rank: int
    """Global rank; the pod's index where nobody says."""
    marks: RankMarks | None = None
    sample: StackSample | None = None
    """What it was doing, sampled after the last sign of life of its pod."""

    @property
    def state(self) -> str:
        """State of its process as the kernel says it; empty: not sampled."""
        return self.sample.state[:1] if self.sample is not None else ""

    @property
    def frames(self) -> Sequence[str]:
        """Innermost first; without the note in brackets that stands where a stack could not be read."""
        return [one for one in self.sample.frames if one[:1] != "["] if self.sample is not None else ()

    @property
    def waits(self) -> bool | None:
        """Whether it waits for its peers; None: nobody knows."""
        if self.marks is not None and self.marks.waiting_since is not None:
            return True
        if self.frames:
            return any(waits_in(frame) for frame in self.frames[:FRAMES])
        return False if self.marks is not None and self.marks.collective is not None else None

    @property
    def shape(self) -> tuple[str, ...]:
        """Its innermost calls without lines: ranks that do the same have the same."""
        return tuple(_LINE.sub(")", frame) for frame in self.frames[:FRAMES])


@dataclass(frozen=True)
class Member:
    """One pod of the gang."""

    report: RankReport
    activity: PodActivity
    ranks: tuple[RankView, ...]

    @property
    def seen_at(self) -> datetime | None:
        return self.activity.sample_time

    @property
    def heard_at(self) -> datetime | None:
        """Its last sign of life."""
        return quiet_since(self.activity)

    @property
    def is_quiet(self) -> bool:
        """Whether it was quiet when its node last wrote: had it woken since, the node would have written."""
        seen = self.seen_at
        return seen is not None and is_quiet(self.activity, seen)

    @property
    def spoke_at(self) -> datetime | None:
        """When it last did something that waiting does not: log, files and sockets, progress."""
        activity = self.activity
        moments = (activity.log_time, activity.io_time, activity.progress_time)
        return max((one for one in moments if one is not None), default=None)


def waits_in(frame: str) -> bool:
    """Whether a frame is one in which processes wait for peers or for their device."""
    if _OUTER.search(frame):
        return False
    return _WAITS.search(frame) is not None or _WAITING_CALLS.match(frame) is not None


def members_of(
    reports: Sequence[RankReport], health_of: Callable[[str], NodeHealth | None], now: datetime
) -> list[Member] | None:
    """All that have not done their part; None unless all of these run and working collectors see them."""
    members = []
    for report in reports:
        if report.pod is not None and report.pod.status.phase == "Succeeded":
            continue
        if report.pod is None or report.pod.status.phase != "Running":
            return None
        health = health_of(report.node)
        activity = _activity_of(report.pod, health)
        if activity is None or activity.sample_time is None:
            return None
        if now - activity.sample_time > timedelta(seconds=STALE_SECONDS):
            return None
        members.append(Member(report, activity, _ranks(report, activity)))
    return members or None


def _activity_of(pod: Pod, health: NodeHealth | None) -> PodActivity | None:
    if health is None:
        return None
    return next((one for one in health.status.pods if one.uid == pod.metadata.uid), None)


def _ranks(report: RankReport, activity: PodActivity) -> tuple[RankView, ...]:
    fresh = [one for one in activity.stacks if _is_fresh(one, activity)]
    samples = {one.rank: one for one in fresh if one.rank is not None}
    marks = {one.rank: one for one in activity.ranks}
    numbers = sorted(marks.keys() | samples.keys())
    if not numbers:
        return (RankView(report, report.index, None, _only(fresh)),)
    return tuple(RankView(report, number, marks.get(number), samples.get(number)) for number in numbers)


def _is_fresh(sample: StackSample, activity: PodActivity) -> bool:
    """Whether a sample still tells what goes on: nothing was said, written or read since.

    Processors may have been used since, for ranks that wait for a device spin; then it must be new.
    """
    if sample.time is None or activity.sample_time is None:
        return False
    spoken = (activity.log_time, activity.io_time, activity.progress_time)
    if any(one is not None and one - sample.time > _ABOUT for one in spoken):
        return False
    busy = activity.busy_time
    quiet_since_then = busy is None or busy - sample.time <= _ABOUT
    return quiet_since_then or activity.sample_time - sample.time <= timedelta(seconds=SPINNING_SECONDS)


def _only(samples: Sequence[StackSample]) -> StackSample | None:
    """The process of a pod whose ranks have no numbers: one that is stopped, else the deepest in its work."""
    stopped = [one for one in samples if one.state.startswith(("T", "D"))]
    programs = [one for one in samples if not any(_OUTER.search(frame) for frame in one.frames)]
    return max(stopped or programs, key=lambda one: (len(one.frames), -one.process), default=None)
