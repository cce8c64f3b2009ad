"""Why each of those who wait does so, in one cycle, and what is written of it. Called by the cycle.

An explanation is written when its reason changes; its numbers change with every pod that comes and goes, so
they are rewritten only for the first in the queue, and for the others when the caller asks (`refresh`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from springtide.api.commands import Command
from springtide.scheduling import status
from springtide.scheduling.claims import Claims
from springtide.scheduling.facts import PodFacts, PodSetFacts
from springtide.scheduling.lineup import Item, Lineup, Ref
from springtide.scheduling.members import Seating
from springtide.scheduling.parking import Parking, Why
from springtide.scheduling.placement import Placement
from springtide.scheduling.reservations import Reservations
from springtide.scheduling.shortage import shortage
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Verdict

FRESH_HEADS = 32
"""So many at the head of the queue always have their explanation up to date."""


class Waits:
    """What was found of each in the latest pass."""

    def __init__(
        self,
        snapshot: Snapshot,
        placement: Placement,
        parking: Parking,
        claims: Claims,
        promises: Reservations | None,
        lineup: Lineup,
        now: datetime,
    ) -> None:
        self._snapshot = snapshot
        self._placement = placement
        self._parking = parking
        self._claims = claims
        self._promises = promises
        self._lineup = lineup
        self._now = now
        self._found: dict[Ref, Why] = {}
        self._short: dict[tuple[PodSetFacts, ...], Verdict] = {}
        self._told_first: set[Ref] = set()
        self.notes: dict[str, str] = {}
        """What is said of each, by key."""

    def __bool__(self) -> bool:
        return bool(self._found)

    def clear(self) -> None:
        """A new pass begins."""
        self._found.clear()

    def note(self, facts: Item, why: Why) -> None:
        """Why it waits: a sentence, or the pod sets for which there is no room."""
        self._found[ref(facts)] = why

    def why(self, facts: Item) -> Why | None:
        """Why it waits: it was asked for, its place is held, or one like it was refused."""
        why = self._found.get(ref(facts))
        if why is not None or isinstance(facts, PodFacts):
            return why
        why = self._parking.why(facts)
        return (self._claims.held(facts) or why) if why is not None else None

    def verdict(self, facts: Item) -> Verdict | None:
        """The same in words; None if it does not wait."""
        why = self.why(facts)
        return self._said(facts, why) if why is not None else None

    def _said(self, facts: Item, why: Why) -> Verdict:
        found = why if isinstance(why, Verdict) else self._shortage(facts, why)
        promise = self._promises.promised(facts) if self._promises is not None else None
        said = promise.said(self._now) if promise is not None else ""
        more = [one for one in (said, self._lineup.note(facts)) if one]
        return Verdict(found.reason, "; ".join((found.message, *more))) if more else found

    def tell_first(self, some: Iterable[Item]) -> list[Command]:
        """Commands that tell these that their place is held; `explain` leaves them out."""
        commands: list[Command] = []
        for facts in some:
            why = self._claims.held(facts)
            verdict = self._said(facts, why) if why is not None else None
            if verdict is None or status.is_told(facts.obj, verdict):
                continue
            self._told_first.add(ref(facts))
            commands += self._explained(facts, verdict)
        return commands

    def _explained(self, facts: Item, verdict: Verdict) -> Sequence[Command]:
        if isinstance(facts, PodFacts):
            return status.explain_pod(facts, verdict, self._now)
        return [status.explain(facts, verdict, self._now)]

    def explain(self, queue: Iterable[Item], refresh: bool) -> tuple[list[Command], bool]:
        """Commands that tell those who wait why; and whether some keep an older sentence for now."""
        commands: list[Command] = []
        stale = False
        promised = self._promises.keys() if self._promises is not None else frozenset()
        has_notes, told_first = self._lineup.has_notes, self._told_first
        shared: dict[int, Verdict] = {}
        for position, facts in enumerate(queue):
            why = self.why(facts)
            if why is None:
                continue
            if has_notes or facts.key in promised:
                verdict = self._said(facts, why)
            else:  # all who are like one that was refused are told the same
                verdict = shared.get(id(why)) or shared.setdefault(id(why), self._said(facts, why))
            self.notes[facts.key] = verdict.message
            if status.is_told(facts.obj, verdict) or (told_first and ref(facts) in told_first):
                continue
            known = status.told(facts.obj)
            if (
                known is not None
                and (known.reason, known.nominated) == (verdict.reason, verdict.nominated)
                and not refresh
                and position >= FRESH_HEADS
            ):
                stale = True
            else:
                commands += self._explained(facts, verdict)
        return commands, stale

    def _shortage(self, facts: Item, pod_sets: tuple[PodSetFacts, ...]) -> Verdict:
        found = self._short.get(pod_sets)
        if found is None:
            reason = "Unschedulable" if isinstance(facts, PodFacts) else "TopologyPlacementFailed"
            message = shortage(self._placement, self._snapshot.nodes, pod_sets)
            found = self._short[pod_sets] = Verdict(reason, message)
        return found


def ref(facts: Item) -> Ref:
    """Kind and key of what waits: a pod may have a workload's name."""
    return facts.obj.kind, facts.key


def explain_members(
    members: Mapping[str, Seating], bound: Mapping[str, object], now: datetime
) -> Iterator[Command]:
    """Once for each pod: it is the group that waits, and the group's Workload that says for what."""
    for key, seating in members.items():
        verdict = Verdict("Unschedulable", f"waits for its group: Workload {key} says for what")
        for pod in seating.pods:
            if pod.key not in bound and status.told(pod.obj) != verdict:
                yield from status.explain_pod(pod, verdict, now)
