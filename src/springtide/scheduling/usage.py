"""What each LocalQueue has used lately, and who goes first by it: Kueue's admission fair sharing.

In a ClusterQueue with `admissionScope.admissionMode: UsageBasedAdmissionFairSharing` the LocalQueue that has
used least for its weight goes first, whatever the priorities; within one, the order is as everywhere. Use
fades: what was used a half-life ago counts half. What a queue has consumed by a moment is

    consumed × 2^(-Δ) + for each that ran since: what it held × (2^(-since its end) - 2^(-since its start))

with all times in half-lives. The first is in the LocalQueue's status, sampled now and then; the rest is read
off the workloads, so that a crash loses no more than what ended since the last sample. Who has just started
counts as if it had run for a whole sampling interval: else all of one queue would start at once.
Called by `lineup` for the order and by `reports` for the status; the cluster state keeps `Spells`.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from springtide.api.kueue import (
    LocalQueue,
    LocalQueueAdmissionFairSharingStatus,
    LocalQueueFairSharingStatus,
    Workload,
)
from springtide.api.meta import find_condition
from springtide.api.quantity import format_decimal, parse
from springtide.api.struct import encode
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.quota import total_requests
from springtide.scheduling.requests import CPU, PODS
from springtide.scheduling.runs import started_at

if TYPE_CHECKING:
    from springtide.scheduling.queues import QueueTree
    from springtide.scheduling.snapshot import Snapshot

Item = WorkloadFacts | PodFacts


@dataclass(frozen=True, slots=True)
class UsageSettings:
    """Kueue's configuration `admissionFairSharing`."""

    half_life_seconds: float = 168 * 3600.0
    """After so long use counts half; 0: what was used does not count."""
    interval_seconds: float = 300.0
    """How often the status of LocalQueues follows."""
    resource_weights: Mapping[str, float] = field(default_factory=dict)
    """How much each resource counts, of what the cluster has of it; 1 for those not named."""

    def fades(self, seconds: float) -> float:
        """The part that still counts after so long."""
        return float(0.5 ** (max(0.0, seconds) / self.half_life_seconds)) if self.half_life_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Spell:
    """What one workload held from when to when; it has ended."""

    local: str
    held: Mapping[str, int]
    began: datetime
    ended: datetime


class Spells:
    """What ended since its LocalQueue was last sampled. Kept by the cluster state."""

    def __init__(self) -> None:
        self._ended: list[Spell] = []

    def change_workload(self, before: WorkloadFacts | None, new: Workload | None, tree: QueueTree) -> None:
        """A workload came, changed or went; `before`: what it was while it had not finished."""
        if before is None or before.admission is None or before.admission.cluster_queue not in tree.by_use:
            return
        began, ended = started_at(before.obj), _ended_at(before.obj, new)
        if began is not None and ended is not None:
            self._ended.append(Spell(tree.line(before.obj)[0], _held(before), began, ended))

    def since_sampled(self, queues: Iterable[object]) -> tuple[Spell, ...]:
        """Those that no sample has in it yet; the others are forgotten."""
        if self._ended:
            sampled = {queue.key: _sampled_at(queue) for queue in queues if isinstance(queue, LocalQueue)}
            self._ended = [
                one
                for one in self._ended
                if one.local in sampled and ((at := sampled[one.local]) is None or one.ended > at)
            ]
        return tuple(self._ended)


def _ended_at(was: Workload, new: Workload | None) -> datetime | None:
    """When it stopped to hold what it was given; None while it holds it."""
    if new is None:
        return was.metadata.deletion_timestamp
    conditions = new.status.conditions
    finished = find_condition(conditions, "Finished")
    if finished is not None and finished.status == "True":
        return finished.last_transition_time
    admitted = find_condition(conditions, "Admitted")
    gone = new.status.admission is None and admitted is not None
    return admitted.last_transition_time if gone and admitted is not None else None


class Uses:
    """What the LocalQueues of one snapshot have used by now."""

    def __init__(self, snapshot: Snapshot, settings: UsageSettings, now: datetime) -> None:
        self._settings = settings
        self._now = now
        self._tree = snapshot.queues
        self._queues = {
            queue.key: queue
            for queue in snapshot.queue_objects
            if isinstance(queue, LocalQueue) and queue.spec.cluster_queue in self._tree.by_use
        }
        whole = snapshot.capacity.sum(axis=0).tolist()
        self._capacity = {
            name: amount for name, amount in zip(snapshot.resources, whole, strict=True) if name != PODS
        }
        self._runs: dict[str, list[Spell]] = {}
        for facts in snapshot.admitted:
            local = self._tree.line(facts.obj)[0]
            if local in self._queues:
                began = started_at(facts.obj) or now
                self._runs.setdefault(local, []).append(Spell(local, _held(facts), began, now))
        for spell in snapshot.spells:
            self._runs.setdefault(spell.local, []).append(spell)

    def consumed(self, key: str, *, ahead: bool = False) -> dict[str, float]:
        """What a queue has consumed, by resource; `ahead`: who just started counts for a whole interval."""
        queue = self._queues[key]
        sampled = _sampled_at(queue)
        total: defaultdict[str, float] = defaultdict(float)
        if sampled is not None:
            kept = self._settings.fades((self._now - sampled).total_seconds())
            for name, amount in _said(queue).items():
                total[name] += amount * kept
        for spell in self._runs.get(key, ()):
            part = self._part(spell, sampled, ahead=ahead)
            for name, held in spell.held.items():
                total[name] += held * part
        return dict(total)

    def standing(self, key: str) -> float:
        """How much a queue has used for its weight: of all the cluster has, over all resources."""
        return self._weighed(key, self.consumed(key, ahead=True))

    def price(self, key: str, facts: WorkloadFacts) -> float:
        """By how much its standing rises when this workload of it starts."""
        part = 1.0 - self._settings.fades(self._settings.interval_seconds)
        return self._weighed(key, {name: amount * part for name, amount in _asked(facts).items()})

    def samples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """`status.fairSharing` of every such queue, as it is or as it becomes now."""
        for key, queue in self._queues.items():
            sampled = _sampled_at(queue)
            if sampled is not None and self._now < sampled + self._interval:
                yield key, _as_said(queue)
                continue
            consumed = self.consumed(key) if self._settings.half_life_seconds else {}
            if sampled is not None and not any(consumed.values()) and not any(_said(queue).values()):
                yield key, _as_said(queue)
                continue
            spelled = {name: _quantity(name, amount) for name, amount in sorted(consumed.items()) if amount}
            yield key, _status(spelled, self._now)

    def next_at(self) -> datetime | None:
        """When the next of them is to be sampled."""
        moments = [
            sampled + self._interval
            for key, queue in self._queues.items()
            if (sampled := _sampled_at(queue)) is not None
            and (self._runs.get(key) or any(_said(queue).values()))
        ]
        return min((at for at in moments if at > self._now), default=None)

    @property
    def _interval(self) -> timedelta:
        return timedelta(seconds=self._settings.interval_seconds)

    def _part(self, spell: Spell, sampled: datetime | None, *, ahead: bool) -> float:
        fades = self._settings.fades
        began = spell.began if sampled is None else max(spell.began, sampled)
        since_start = (self._now - began).total_seconds()
        since_end = (self._now - spell.ended).total_seconds()
        part = fades(since_end) - fades(since_start)
        if ahead and spell.ended == self._now and began == spell.began:
            part = max(part, 1.0 - fades(self._settings.interval_seconds))
        return max(0.0, part)

    def _weighed(self, key: str, amounts: Mapping[str, float]) -> float:
        weights = self._settings.resource_weights
        used = sum(
            weights.get(name, 1.0) * amount / self._capacity[name]
            for name, amount in amounts.items()
            if self._capacity.get(name)
        )
        weight = self._tree.local_queues[key].weight
        return used / weight if weight > 0 else math.inf


def by_use(line: Iterable[Item], tree: QueueTree, uses: Uses) -> list[Item]:
    """The line, in which queues that share by use have given the places of their workloads anew."""
    items = list(line)
    places: dict[str, list[int]] = {}
    lines: dict[str, dict[str, list[WorkloadFacts]]] = {}
    for place, facts in enumerate(items):
        if isinstance(facts, WorkloadFacts):
            local, queue = tree.line(facts.obj)
            if local and queue in tree.by_use:
                places.setdefault(queue, []).append(place)
                lines.setdefault(queue, {}).setdefault(local, []).append(facts)
    for queue, own in places.items():
        for place, facts in zip(own, _in_turn(lines[queue], uses), strict=True):
            items[place] = facts
    return items


def _in_turn(lines: Mapping[str, list[WorkloadFacts]], uses: Uses) -> Iterator[WorkloadFacts]:
    """The first of the LocalQueue that has used least, as if each started when its turn comes."""
    left = {local: list(reversed(line)) for local, line in lines.items()}
    turns = [(uses.standing(local), line[-1].order, local) for local, line in left.items()]
    heapq.heapify(turns)
    while turns:
        standing, _, local = heapq.heappop(turns)
        first = left[local].pop()
        yield first
        if left[local]:
            after = standing + uses.price(local, first)
            heapq.heappush(turns, (after, left[local][-1].order, local))


def _held(facts: WorkloadFacts) -> dict[str, int]:
    total: Counter[str] = Counter()
    for (_, name), amount in facts.usage.items():
        total[name] += amount
    return dict(total)


def _asked(facts: WorkloadFacts) -> dict[str, int]:
    return {name: amount for name, amount in total_requests(facts.pod_sets).items() if name != PODS}


def _sampled_at(queue: LocalQueue) -> datetime | None:
    sharing = queue.status.fair_sharing
    sampled = sharing.admission_fair_sharing_status if sharing is not None else None
    return sampled.last_update if sampled is not None else None


def _said(queue: LocalQueue) -> dict[str, float]:
    """What the last sample says was consumed, in the units of `requests`."""
    sharing = queue.status.fair_sharing
    sampled = sharing.admission_fair_sharing_status if sharing is not None else None
    if sampled is None:
        return {}
    return {
        name: float(parse(value) * (1000 if name == CPU else 1))
        for name, value in sampled.consumed_resources.items()
    }


def _as_said(queue: LocalQueue) -> dict[str, Any]:
    return dict(encode(queue.status.fair_sharing)) if queue.status.fair_sharing is not None else {}


def _status(consumed: Mapping[str, str], at: datetime) -> dict[str, Any]:
    sample = LocalQueueAdmissionFairSharingStatus(
        consumed_resources=dict(consumed), last_update=at.replace(microsecond=0)
    )
    return dict(encode(LocalQueueFairSharingStatus(admission_fair_sharing_status=sample)))


def _quantity(name: str, amount: float) -> str:
    """As a quantity, to a millionth: what is used little by little must not be rounded away."""
    exact = Fraction(round(amount * 1_000_000), 1_000_000)
    return format_decimal(exact / 1000 if name == CPU else exact)
