"""What stands in NodeHealth, and when it is written again. Pure; `controller.py` writes it.

New things at once: an observation, a collector that stopped working, a pod that fell quiet, stopped or woke.
Moments that only moved wait some seconds for each other. What is left of a node that has nothing to say is
one write each half minute, by whose age a dead collector shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from springtide.api.nodehealth import (
    Collector,
    CollectorState,
    NodeHealthStatus,
    Observation,
    PodActivity,
)
from springtide.api.observing import is_quiet, is_slowed, is_slower, observe
from springtide.api.struct import replace
from springtide.collecting.rounds import Round, WatchedPod
from springtide.collecting.settings import CollectSettings

MESSAGE_CHARACTERS = 512
STACK_CHARACTERS = 512 * 1024
"""Frames of all stacks together: an API server refuses an object of more than about 1.5 MB whole."""
BUSY_WRITES = 5
"""Writes within `BUSY_SECONDS`, from which on the next waits longer: a storm must not cost the node much."""
BUSY_SECONDS = 10.0
BUSY_FACTOR = 5.0
SLOW_REFRESH_SECONDS = 2.0
"""Longest time until moments are written of ranks that became slower: how long it lasts is judged."""
_MOMENTS = ("log_time", "busy_time", "io_time", "progress_time")


@dataclass
class Report:
    """All that is known now."""

    observations: list[Observation] = field(default_factory=list)
    collectors: dict[str, Collector] = field(default_factory=dict)
    pods: dict[str, PodActivity] = field(default_factory=dict)
    """By uid."""

    def take(self, source: str, found: Round, pods: Sequence[WatchedPod], now: datetime) -> None:
        """What a source saw in one round."""
        names = {pod.uid: pod.key for pod in pods}
        if found.seen:
            self.observations = observe(
                self.observations, [_completed(one, source, names, now) for one in found.seen]
            )
        for uid, fields in found.activity.items():
            if uid in names:
                self.pods[uid] = _moved(self.pods.get(uid, PodActivity(name=names[uid], uid=uid)), fields)
        self.says(source, CollectorState.WORKING, found.message, now)

    def says(self, source: str, state: CollectorState, message: str, now: datetime) -> None:
        """How a source does."""
        text = message[:MESSAGE_CHARACTERS]
        self.collectors[source] = Collector(name=source, state=state.value, message=text, time=_second(now))

    def keep(self, pods: Iterable[WatchedPod]) -> None:
        """Forget pods that are gone or have ended."""
        living = {pod.uid for pod in pods if not pod.finished}
        self.pods = {uid: pod for uid, pod in self.pods.items() if uid in living}

    def status(self, now: datetime) -> NodeHealthStatus:
        """As it is written; `history` is not ours."""
        return NodeHealthStatus(
            collectors=sorted(self.collectors.values(), key=lambda one: one.name),
            observations=list(self.observations),
            pods=sorted(
                (replace(pod, sample_time=_second(now)) for pod in _with_room(self.pods.values())),
                key=lambda one: one.name,
            ),
        )


@dataclass
class Pace:
    """When what was last written."""

    settings: CollectSettings
    _written: NodeHealthStatus | None = None
    _news: tuple[Any, ...] = ()
    _times: list[float] = field(default_factory=list)

    def wait_seconds(self, status: NodeHealthStatus, now: datetime, monotonic: float) -> float:
        """Seconds until this status is to be written; 0: now."""
        if self._written is None or not self._times:
            return 0.0
        since = monotonic - self._times[-1]
        slow = any(is_slower(rank) for pod in status.pods for rank in pod.ranks)
        refresh = self.settings.refresh_seconds
        longest = min(refresh, SLOW_REFRESH_SECONDS) if slow else refresh
        if news(status, now) != self._news:
            recent = sum(1 for at in self._times if monotonic - at < BUSY_SECONDS)
            factor = BUSY_FACTOR if recent >= BUSY_WRITES else 1.0
            return max(0.0, min(self.settings.quick_seconds * factor, longest) - since)
        if _moments(status) != _moments(self._written):
            return max(0.0, longest - since)
        return max(0.0, self.settings.heartbeat_seconds - since)

    def wrote(self, status: NodeHealthStatus, now: datetime, monotonic: float) -> None:
        """The status was written."""
        self._written, self._news = status, news(status, now)
        self._times = [*self._times[-BUSY_WRITES:], monotonic]


def news(status: NodeHealthStatus, now: datetime) -> tuple[Any, ...]:
    """What is worth a write of its own when it changes."""
    return (
        tuple((one.name, one.state, one.message) for one in status.collectors),
        tuple(one.id for one in status.observations),
        tuple(
            (
                pod.uid,
                is_quiet(pod, now),
                pod.stopped,
                pod.phase,
                tuple((one.rank, one.phase, is_slower(one), is_slowed(one)) for one in pod.ranks),
                tuple((one.process, one.time) for one in pod.stacks),
            )
            for pod in status.pods
        ),
    )


def _with_room(pods: Iterable[PodActivity]) -> Iterator[PodActivity]:
    """The pods, without the oldest of their stacks where there are more than one object holds."""
    left = STACK_CHARACTERS
    for pod in sorted(pods, key=_sampled_at, reverse=True):
        left -= sum(len(frame) for sample in pod.stacks for frame in sample.frames)
        yield pod if left >= 0 or not pod.stacks else replace(pod, stacks=[])


def _sampled_at(pod: PodActivity) -> float:
    return max((one.time.timestamp() for one in pod.stacks if one.time is not None), default=0.0)


def _moments(status: NodeHealthStatus) -> tuple[Any, ...]:
    """What else may change: all but when each collector last looked."""
    pods = tuple(
        replace(pod, sample_time=None, cpu_millis=0, gpu_millis=None, gpu_memory_mib=None)
        for pod in status.pods
    )
    return status.observations, pods


def _completed(one: Observation, source: str, names: Mapping[str, str], now: datetime) -> Observation:
    return replace(
        one,
        collector=source,
        pod=one.pod or names.get(one.pod_uid, ""),
        time=one.time or now,
    )


def _moved(pod: PodActivity, fields: Mapping[str, Any]) -> PodActivity:
    """Moments only move forward: two sources may know of the same one."""
    changes = dict(fields)
    for name in _MOMENTS:
        old, new = getattr(pod, name), changes.get(name)
        if old is not None and new is not None and new < old:
            del changes[name]
    return replace(pod, **changes)


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
