"""Who might be moved so that somebody can start for whom there is enough free, but not in one piece.

Opt-in. A workload that waits although its quota and the sum of what is free would do is given a place by
moving others: the cheapest set of them is sought whose places it needs and all of whom fit elsewhere at once.
What is gained is stated before anything moves, in device-seconds: the devices that begin to work, for as long
as they would lie idle otherwise, less the work that the moved have to do again. Nobody is moved at a loss,
nobody for somebody less important, nobody who has not saved its work or has just started, nobody whose
disruption budget says no, and only so many an hour. A move is an eviction (reason `Consolidated`); the places
of all are then held by `claims` until the old pods are gone. Called by the cycle before it would preempt
anybody, and so by `springtide defragment`. Pure: leaves the placement as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.kueue import Workload, WorkloadReason
from springtide.api.labels import MOVABLE
from springtide.api.meta import find_condition
from springtide.scheduling.budgets import Budget, Gangs
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.openings import orders
from springtide.scheduling.placement import Placement
from springtide.scheduling.victims import (
    Candidate,
    Running,
    going,
    priority_of,
    size_of_pod,
    whole,
)
from springtide.scheduling.views import Share

_ROUNDS = 6
"""How often the search begins anew without somebody who turned out to have no other place."""
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Consolidation:
    """When workloads may be moved."""

    moves_per_hour: int = 20
    """No more than so many workloads of the cluster are moved within an hour."""
    moves_at_once: int = 8
    """No more than so many for one that waits."""
    idle_seconds: float = 1800.0
    """What is free in pieces is expected to lie idle for so long. A workload that limits its own time
    (`maximumExecutionTimeSeconds`) to less counts for that."""
    minimum_run_seconds: float = 600.0
    """Nobody is moved before having run so long since it was started or moved last."""
    tried_per_cycle: int = 4
    """For so many of those who wait a plan is sought in one cycle, the first in the queue first."""
    interval_seconds: float = 30.0
    """And in one cycle of those that begin within so long; in the others preemption goes ahead."""


@dataclass(frozen=True)
class Wish:
    """A workload that waits for room alone: its quota would do."""

    facts: WorkloadFacts
    pod_sets: tuple[PodSetFacts, ...]
    """On the nodes of its flavors."""

    @property
    def devices(self) -> float:
        """How much it would set to work."""
        return sum(size_of_pod(one) * one.count for one in self.pod_sets)


@dataclass(frozen=True)
class Movable:
    """A running workload that may be moved."""

    victim: Candidate
    pod_sets: tuple[PodSetFacts, ...]
    """On the nodes of its flavors."""

    @property
    def lost_device_seconds(self) -> float:
        """Work it has to do again, and its restart; by the victim policy."""
        return self.victim.size * self.victim.price


@dataclass(frozen=True)
class Rearrangement:
    """Who moves so that one who waits can start, and what that gains."""

    wish: Wish
    shares: tuple[Share, ...]
    """Where it runs."""
    places: tuple[tuple[Movable, tuple[Share, ...]], ...]
    """Where the moved ones run."""
    gained_device_seconds: float
    """What the devices of the one that waits do in the time they would lie idle otherwise."""

    @property
    def lost_device_seconds(self) -> float:
        """Work that has to be done again."""
        return sum(one.lost_device_seconds for one, _ in self.places)

    @property
    def net_device_seconds(self) -> float:
        """What is gained after all; always positive."""
        return self.gained_device_seconds - self.lost_device_seconds

    @property
    def words(self) -> str:
        """What it gains and costs, in words."""
        moved = "1 workload moved loses" if len(self.places) == 1 else f"{len(self.places)} moved lose"
        return (
            f"{self.wish.devices:g} devices in one piece gain {self.gained_device_seconds:.0f}"
            f" device-seconds, {moved} {self.lost_device_seconds:.0f}"
        )


Bears = Callable[[Candidate, Sequence[Candidate]], bool]
"""Whether disruption budgets let a workload go too, if those do."""
Confine = Callable[[WorkloadFacts], tuple[PodSetFacts, ...]]
"""The pod sets of an admitted workload, on the nodes of the flavors it is charged to."""


class Mover:
    """Seeks rearrangements for those who wait, one after the other, within what an hour allows."""

    def __init__(
        self,
        placement: Placement,
        running: Running,
        confine: Confine,
        settings: Consolidation,
        moved: int,
        budgets: Sequence[Budget] = (),
    ) -> None:
        """`moved`: how many were moved within the last hour. `budgets` are never broken by a move."""
        self._placement = placement
        self._settings = settings
        self._left = max(0, settings.moves_per_hour - moved)
        self._tries = settings.tried_per_cycle
        self._gangs = Gangs(budgets) if budgets else None
        self._gone: list[Candidate] = []
        admitted = [one for found in running.of_queue.values() for one in found]
        able = movables(admitted, running, confine, settings) if self._left else []
        self._able = [one for one in able if self._bears(one.victim, ())]

    def seek(self, wish: Wish) -> Rearrangement | None:
        """How it could start; those who move for it are not moved for anybody else."""
        most = min(self._left, self._settings.moves_at_once)
        self._tries -= 1
        if self._tries < 0 or not most or not self._able:
            return None
        found = rearrange(self._placement, wish, self._able, self._settings, most, self._bears)
        if found is not None:
            gone = {one.victim.facts.key for one, _ in found.places}
            self._gone += [one.victim for one, _ in found.places]
            self._able = [one for one in self._able if one.victim.facts.key not in gone]
            self._left -= len(gone)
        return found

    def _bears(self, one: Candidate, others: Iterable[Candidate]) -> bool:
        """Whether budgets let it go too, if these do and all who were moved in this cycle."""
        if self._gangs is None:
            return True
        return not any(self._gangs.breaking([going(one)], map(going, (*self._gone, *others))))


def movables(
    admitted: Iterable[WorkloadFacts], running: Running, confine: Confine, settings: Consolidation
) -> list[Movable]:
    """Who may be moved of these."""
    found = []
    for facts in admitted:
        stake = running.stake(facts)
        if stake.ran_seconds < settings.minimum_run_seconds or not _may_move(facts, running):
            continue
        victim = whole(facts, running, WorkloadReason.CONSOLIDATED)
        found.append(Movable(victim, confine(facts)))
    return found


def _may_move(facts: WorkloadFacts, running: Running) -> bool:
    """Whether it says so itself, or has saved work of its present attempt to go on from."""
    said = _said(facts.obj)
    if said:
        return said == "true"
    return running.stake(facts).lost_seconds < running.stake(facts).ran_seconds


def _said(obj: Workload) -> str:
    """What the annotation says, on the workload or on the templates of its pods."""
    texts = [obj.metadata.annotations, *(one.template.metadata.annotations for one in obj.spec.pod_sets)]
    return next((text[MOVABLE].strip().lower() for text in texts if MOVABLE in text), "")


def moved_within_the_hour(workloads: Iterable[WorkloadFacts], now: datetime) -> int:
    """How many workloads were moved in the last hour, of those that have not finished."""
    last = (find_condition(facts.obj.status.conditions, WorkloadReason.CONSOLIDATED) for facts in workloads)
    times = (one.last_transition_time for one in last if one is not None)
    return sum(at is not None and now - at < _HOUR for at in times)


def rearrange(
    placement: Placement,
    wish: Wish,
    able: Sequence[Movable],
    settings: Consolidation,
    most: int,
    bears: Bears,
) -> Rearrangement | None:
    """The cheapest way found to let the wish start by moving at most `most`; None if none gains anything."""
    seconds = _useful_seconds(wish.facts, settings)
    gained = wish.devices * seconds
    of_key = {
        one.victim.facts.key: one
        for one in able
        if priority_of(one.victim.facts) <= priority_of(wish.facts) and one.lost_device_seconds < gained
    }
    elsewhere: dict[tuple[PodSetFacts, ...], bool] = {}
    for key, one in list(of_key.items()):
        if one.pod_sets not in elsewhere:
            elsewhere[one.pod_sets] = _fits(placement, one.pod_sets)
        if not elsewhere[one.pod_sets]:
            del of_key[key]
    found: Rearrangement | None = None
    for _ in range(_ROUNDS):
        tried, homeless = _round(placement, wish, of_key, gained, most, bears)
        found = min(filter(None, (found, tried)), key=lambda one: one.lost_device_seconds, default=None)
        if not homeless:
            break
        for key in homeless:
            del of_key[key]
    return found if found is not None and found.net_device_seconds > 0 else None


def _round(
    placement: Placement,
    wish: Wish,
    of_key: Mapping[str, Movable],
    gained: float,
    most: int,
    bears: Bears,
) -> tuple[Rearrangement | None, set[str]]:
    """The best of the orders in which places might be opened; and who had no other place in any."""
    victims = sorted((one.victim for one in of_key.values()), key=lambda one: one.order)
    loss_of = {key: one.lost_device_seconds for key, one in of_key.items()}
    best: Rearrangement | None = None
    homeless: set[str] = set()
    start = placement.mark()
    for order in list(orders(placement, wish.pod_sets, victims, loss_of)):
        together = _bearable(order, most, bears)
        found = _along(placement, wish, together, of_key, gained, homeless)
        placement.rollback(start)
        if found is not None and (best is None or found.lost_device_seconds < best.lost_device_seconds):
            best = found
    return best, homeless if best is None else set()


def _bearable(order: Iterable[Candidate], most: int, bears: Bears) -> list[Candidate]:
    """The first of them, as many as may go at once and by their budgets with those before."""
    found: list[Candidate] = []
    for one in order:
        if len(found) == most:
            break
        if bears(one, found):
            found.append(one)
    return found


def _along(
    placement: Placement,
    wish: Wish,
    order: Sequence[Candidate],
    of_key: Mapping[str, Movable],
    gained: float,
    homeless: set[str],
) -> Rearrangement | None:
    """Move one after the other in this order until the wish fits, then see where they go."""
    gone: list[Candidate] = []
    shares = None
    lost = 0.0
    for one in order:
        lost += of_key[one.facts.key].lost_device_seconds
        if lost >= gained:
            return None
        placement.vacate(one.held)
        gone.append(one)
        shares = placement.place(wish.pod_sets)
        if shares is not None:
            break
    if shares is None:
        return None
    stay = {one.facts.key for one in reversed(gone) if placement.occupy(one.held)}
    places = []
    for one in sorted(gone, key=lambda one: (-one.size, one.facts.key)):
        if one.facts.key in stay:
            continue
        place = placement.place(of_key[one.facts.key].pod_sets)
        if place is None:
            homeless.add(one.facts.key)
            return None
        places.append((of_key[one.facts.key], place))
    return Rearrangement(wish, shares, tuple(places), gained)


def _fits(placement: Placement, pod_sets: tuple[PodSetFacts, ...]) -> bool:
    mark = placement.mark()
    fits = placement.place(pod_sets) is not None
    placement.rollback(mark)
    return fits


def _useful_seconds(facts: WorkloadFacts, settings: Consolidation) -> float:
    limit = facts.obj.spec.maximum_execution_time_seconds
    return settings.idle_seconds if limit is None else min(settings.idle_seconds, float(limit))
