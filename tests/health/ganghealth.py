"""Gangs as their nodes see them, second by second: builders for `hangs`, `quiet` and `stragglers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from springtide.api.core import Pod
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import NodeHealth, NodeHealthStatus, PodActivity, RankMarks, StackSample
from springtide.api.struct import replace
from springtide.health.diagnosis import RankReport
from springtide.health.gang import Member, members_of
from tests.builders import at
from tests.health.scene import rank

IN_ALL_REDUCE = (
    "all_reduce (torch/distributed/distributed_c10d.py:3252)",
    "wrapper (torch/distributed/c10d_logger.py:83)",
    "evaluate (train.py:80)",
    "main (train.py:31)",
)
IN_BACKWARD = (
    "_engine_run_backward (torch/autograd/graph.py:841)",
    "backward (torch/_tensor.py:630)",
    "train_epoch (train.py:60)",
    "main (train.py:31)",
)
IN_SLEEP = ("pause (train.py:90)", "evaluate (train.py:80)", "main (train.py:31)")
IN_READ = (
    "read (tarfile.py:683)",
    "__next__ (loader.py:20)",
    "train_epoch (train.py:55)",
    "main (train.py:31)",
)
IN_TORCHRUN = (
    "_monitor_workers (torch/distributed/elastic/agent/server/local_elastic_agent.py:10)",
    "run (torch/distributed/run.py:900)",
)


@dataclass(frozen=True)
class Rank:
    """One rank, alone in its pod. Seconds of its last signs of life; None: as `quiet_from`."""

    quiet_from: float = 100.0
    log: float | None = None
    busy: float | None = None
    progress: float | None = None
    state: str = "S"
    frames: Sequence[str] = ()
    """Empty: its stack was not sampled."""
    sampled: float | None = None
    step: int | None = None
    collective: int | None = None
    waiting: bool = False
    phase: str = ""
    busy_seconds: float | None = None
    best_seconds: float | None = None
    low_seconds: float | None = None
    """None: as `busy_seconds`; `recent_seconds` likewise."""
    recent_seconds: float | None = None
    queued_seconds: float | None = None
    best_step_seconds: float | None = None
    step_seconds: float | None = None
    group: str = ""
    marked: bool = False


def members(ranks: Sequence[Rank], now: float) -> list[Member]:
    """The gang, rank n on node `n<n>`, as seen a moment ago."""
    found = members_of(reports(len(ranks)), healths(ranks, now).get, at(now))
    assert found is not None
    return found


def reports(count: int) -> list[RankReport]:
    """One running pod a rank."""
    return [
        RankReport("node", index, running(index), f"job-node-0-{index}", f"n{index}")
        for index in range(count)
    ]


def running(index: int) -> Pod:
    """The pod of a rank, with the uid its activity is known by."""
    pod = rank(index)
    return replace(pod, metadata=replace(pod.metadata, uid=f"uid-{index}"))


def healths(ranks: Sequence[Rank], now: float) -> Mapping[str, NodeHealth]:
    """NodeHealth of each node, written a second ago."""
    return {
        f"n{index}": NodeHealth(
            metadata=ObjectMeta(name=f"n{index}"),
            status=NodeHealthStatus(pods=[activity(one, index, at(now - 1))]),
        )
        for index, one in enumerate(ranks)
    }


def activity(one: Rank, index: int, seen: datetime) -> PodActivity:
    """What the collectors say of the pod of a rank."""

    def moment(seconds: float | None) -> datetime:
        return at(one.quiet_from if seconds is None else seconds)

    sampled = at(one.sampled if one.sampled is not None else one.quiet_from + 10)
    stacks = [
        StackSample(time=sampled, process=50 + index, rank=index, state=one.state, frames=list(one.frames))
    ]
    marked = one.marked or one.step is not None or one.collective is not None or bool(one.phase)
    return PodActivity(
        name=f"default/job-node-0-{index}-abcde",
        uid=f"uid-{index}",
        sample_time=seen,
        log_time=moment(one.log),
        busy_time=moment(one.busy),
        io_time=moment(None),
        progress_time=moment(one.progress),
        stopped=one.state in ("T", "D", "t"),
        stacks=stacks if one.frames or one.state != "S" else [],
        ranks=[marks(one, index)] if marked or one.busy_seconds is not None else [],
    )


def marks(one: Rank, index: int) -> RankMarks:
    """What the rank said of itself."""
    return RankMarks(
        rank=index,
        process=50 + index,
        time=at(one.quiet_from),
        step=one.step,
        step_seconds=one.step_seconds,
        busy_seconds=one.busy_seconds,
        best_seconds=one.best_seconds,
        low_seconds=one.busy_seconds if one.low_seconds is None else one.low_seconds,
        recent_seconds=one.busy_seconds if one.recent_seconds is None else one.recent_seconds,
        queued_seconds=one.queued_seconds,
        best_step_seconds=one.best_step_seconds,
        collective=one.collective,
        waiting_since=at(one.quiet_from) if one.waiting else None,
        phase=one.phase,
        group=one.group,
    )
