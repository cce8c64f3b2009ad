"""Looks at running gangs through the eyes of their nodes: caches -> `hangs`, `slowness` -> what is told.

Held by the controller. It remembers only what the next look is compared with: forgotten with a restart, it
costs one lesson about a quiet spell and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api import labels
from springtide.api.commands import Apply, Command
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.nodehealth import NodeHealth, PodActivity
from springtide.api.observing import is_quiet, is_slowed, is_slower
from springtide.health import quiet, slowness
from springtide.health.diagnosis import RankReport
from springtide.health.gang import Member, members_of
from springtide.health.hangs import HangSettings, Look, look
from springtide.health.slowness import Since, Slow
from springtide.runtime.informer import Informer

ASK_AGAIN_SECONDS = 30.0
"""Stacks are asked for so often at most: sampling stops a process for some milliseconds."""
STEPS_SECONDS = 30.0
"""How often the steps of a gang are compared that shows nothing else."""

_NOTHING = Look()


@dataclass(frozen=True)
class Watched:
    """What a look brought."""

    look: Look = _NOTHING
    again_seconds: float | None = None
    """When to look again; None: when something changes."""
    lessons: tuple[Command, ...] = ()
    """A quiet spell to be remembered, on the Workload."""
    questions: tuple[Command, ...] = ()
    """Stacks to be sampled, asked for on pods."""
    slow: Sequence[Slow] = ()
    """Ranks that have been slow for several steps."""


class GangWatch:
    """The running gangs, and how each was when it was last looked at."""

    def __init__(
        self, healths: Informer[NodeHealth], workloads: Informer[Workload], settings: HangSettings
    ) -> None:
        self._healths = healths
        self._workloads = workloads
        self._settings = settings
        self._sights: dict[str, quiet.Sight] = {}
        self._slow: dict[str, tuple[int, dict[int, Since]]] = {}
        """By workload: its attempt, and since which step each of its slow ranks is slow."""

    def forget(self, key: str) -> None:
        """The workload is gone, or does not run."""
        self._sights.pop(key, None)
        self._slow.pop(key, None)

    def watched(
        self, workload: Workload, reports: Sequence[RankReport], attempt: int, now: datetime
    ) -> Watched:
        """Look at one gang."""
        if self._settings.watch_seconds <= 0:
            return Watched()
        members = members_of(reports, self._healths.cache.get, now)
        if members is None:
            self.forget(workload.key)
            return Watched()
        lessons = self._learn(workload, members, attempt)
        still = any(member.is_quiet or member.activity.stopped for member in members)
        known = quiet.learned_alike(workload, self._workloads.cache.list()) if still else 0.0
        found = look(members, known, now, self._settings)
        questions = tuple(_ask(member.report.pod, now) for member in found.wants_stacks if member.report.pod)
        asked = tuple(one for one in questions if one is not None)
        slow = self._persistent(workload.key, attempt, slowness.find(members))
        return Watched(found, self._again(workload.key, members, found), lessons, asked, slow)

    def _persistent(self, key: str, attempt: int, found: Sequence[Slow]) -> Sequence[Slow]:
        known = self._slow.get(key, (attempt, {}))
        since, sure = slowness.still_slow(known[1] if known[0] == attempt else {}, found)
        self._slow[key] = (attempt, since)
        return sure

    def _again(self, key: str, members: Sequence[Member], found: Look) -> float | None:
        """When to look again: soon where somebody is quiet or slow, now and then where steps are known."""
        if found.again_seconds is not None or found.hang is not None:
            return found.again_seconds
        if self._slow[key][1]:
            return self._settings.watch_seconds
        steps = any(
            rank.marks is not None and rank.marks.step is not None for one in members for rank in one.ranks
        )
        return STEPS_SECONDS if steps and len(members) > 1 else None

    def _learn(self, workload: Workload, members: Sequence[Member], attempt: int) -> tuple[Command, ...]:
        now = quiet.sight(members, attempt)
        spell = quiet.spell_seconds(self._sights.get(workload.key), now)
        if now is not None:
            self._sights[workload.key] = now
        lesson = quiet.remember(workload, spell)
        return (lesson,) if lesson is not None else ()


def pods_in_question(health: NodeHealth, settings: HangSettings) -> Iterable[str]:
    """Keys of the pods of a node that a change of its NodeHealth may say something new about."""
    return [one.name for one in health.status.pods if _is_in_question(one, settings)]


def _is_in_question(pod: PodActivity, settings: HangSettings) -> bool:
    seen = pod.sample_time
    if seen is None or settings.watch_seconds <= 0:
        return False
    if pod.stopped or is_quiet(pod, seen):
        return True
    spoken = [one for one in (pod.log_time, pod.io_time, pod.progress_time) if one is not None]
    if spoken and seen - max(spoken) >= timedelta(seconds=settings.silent_seconds):
        return True
    return any(is_slower(one) or is_slowed(one) for one in pod.ranks)


def _ask(pod: Pod, now: datetime) -> Apply | None:
    """Ask for samples of a pod's stacks, unless that was done a moment ago."""
    asked = pod.metadata.annotations.get(labels.SAMPLE_STACKS, "")
    try:
        recent = bool(asked) and now - datetime.fromisoformat(asked) < timedelta(seconds=ASK_AGAIN_SECONDS)
    except (ValueError, TypeError):  # a person may have asked in other words
        recent = False
    if recent:
        return None
    fields = {"metadata": {"annotations": {labels.SAMPLE_STACKS: now.isoformat(timespec="seconds")}}}
    return Apply(Pod, pod.metadata.namespace, pod.metadata.name, fields, uid=pod.metadata.uid)
