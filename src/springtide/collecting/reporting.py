"""What stands in NodeHealth, and when it is written again. Pure; `controller.py` writes it.

New things at once: an observation, a collector that stopped working, a pod that fell quiet, stopped or woke.
Moments that only moved wait some seconds for each other. What is left of a node that has nothing to say is
one write each half minute, by whose age a dead collector shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
BUSY_WRITES = 5
"""Writes within `BUSY_SECONDS`, from which on the next waits longer: a storm must not cost the node much."""
BUSY_SECONDS = 10.0
BUSY_FACTOR = 5.0
SLOW_REFRESH_SECONDS = 3.0
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
                (replace(pod, sample_time=_second(now)) for pod in self.pods.values()),
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
        if news(status, now) != self._news:
            recent = sum(1 for at in self._times if monotonic - at < BUSY_SECONDS)
            factor = BUSY_FACTOR if recent >= BUSY_WRITES else 1.0
            return max(0.0, self.settings.quick_seconds * factor - since)
        if _moments(status) != _moments(self._written):
            refresh = self.settings.refresh_seconds
            slow = any(is_slower(rank) for pod in status.pods for rank in pod.ranks)
            return max(0.0, (min(refresh, SLOW_REFRESH_SECONDS) if slow else refresh) - since)
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


def _moments(status: NodeHealthStatus) -> tuple[Any, ...]:
    """What else may change: all but when each collector last looked."""
    pods = tuple(replace(pod, sample_time=None, cpu_millis=0) for pod in status.pods)
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
