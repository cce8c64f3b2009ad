"""What becomes of a workload that does not fit now: it waits for what ends, makes others go, or just waits.

Who fits once everything has ended that is ending waits for it, and its place and quota are held against all
behind it. Nothing of this is remembered: every cycle finds the same by the objects alone, and who waits for
his own victims is found like anybody else, so that a crash between two writes loses nothing. Who does not fit
even then may make others go, if its queue's policy says so. Called by the cycle, once for each that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from springtide.scheduling.budgets import Gangs
from springtide.scheduling.classes import PodClass
from springtide.scheduling.defragmentation import Rearrangement
from springtide.scheduling.departures import Moved, Preempted, Preemptor, named
from springtide.scheduling.facts import WAITS_FOR_OTHERS, PodFacts, PodSetFacts, WorkloadFacts
from springtide.scheduling.leaving import Leaver
from springtide.scheduling.nominations import who_would_take
from springtide.scheduling.placement import Placement
from springtide.scheduling.plain_victims import PlainPods, PlainVictim
from springtide.scheduling.pod_preemption import FoundPods, Gang, Preemptible, may_preempt
from springtide.scheduling.pod_preemption import priority_of as priority_of_pod
from springtide.scheduling.preemption import Found, Trial, search
from springtide.scheduling.priorities import Standing
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.quota import Granted, Quota, Refused
from springtide.scheduling.releasing import Held, PodSetOnNode, held_by, held_by_pods
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Verdict, told
from springtide.scheduling.victim_policies import LEAST_LOST_WORK, VictimPolicy
from springtide.scheduling.victims import (
    Asking,
    Candidate,
    Running,
    anybody,
    attempts,
    can_preempt,
    candidates,
    fair_sequence,
    for_pod,
    has_open_gates,
    sequence,
)

_HIGHEST = 2**31 - 1

_Sort = tuple[str, tuple[PodSetFacts, ...], bool, Standing | None]

Confine = Callable[[tuple[PodSetFacts, ...], Granted], tuple[PodSetFacts, ...]]
"""Puts pod sets on the nodes of the flavors they are given."""


class Claims:
    """What is held in one cycle for those who wait for others to end."""

    def __init__(
        self,
        snapshot: Snapshot,
        placement: Placement,
        quota: Quota,
        confine: Confine,
        now: datetime,
        fair_strategies: Sequence[str] = (),
        minimum_run_seconds: float = 0.0,
        victims: VictimPolicy = LEAST_LOST_WORK,
        waits: Callable[[PodFacts], bool] = lambda _: True,
    ) -> None:
        """`waits`: whether a plain pod of the snapshot still waits for a node, and for nothing else."""
        self._snapshot = snapshot
        self._placement = placement
        self._quota = quota
        self._confine = confine
        self._strategies = fair_strategies
        self._minimum_run_seconds = minimum_run_seconds
        self._policy = victims
        self._waits = waits
        self._now = now
        self._held: dict[tuple[str, str], Verdict] = {}
        self._hopeless: dict[_Sort, tuple[int, datetime]] = {}
        self._hopeless_pods: set[tuple[str, tuple[PodSetFacts, ...]]] = set()
        self._running: Running | None = None
        self.preempted: dict[str, Preempted] = {}
        self._preemptible: Preemptible | None = None
        self.preempted_pods: dict[str, tuple[PodFacts, Preemptor]] = {}
        """Plain pods that have to go, and for whom."""
        self._reach = 0
        """Up to which priority of plain pods those who might go for them are known."""
        self._lowest: int | None = None
        self._plain = PlainPods(snapshot.running, snapshot.budgets, victims, now)
        self.released: Collection[str] = ()
        """Keys of the workloads that give their admission back in this cycle."""
        self.moved: list[Moved] = []

    def held(self, facts: WorkloadFacts | PodFacts) -> Verdict | None:
        """What a workload or pod waits for whose place is held already."""
        return self._held.get((facts.obj.kind, facts.key)) if self._held else None

    def claim(self, facts: WorkloadFacts, queue: ClusterQueueFacts, *, anew: bool = False) -> Verdict | None:
        """Hold a place for a workload that does not fit now; None if nothing that ends, or might, helps.

        `anew`: though nothing helped before.
        """
        preempts = can_preempt(facts, queue) or self._may_take_from_pods(facts)
        if not preempts and not self._anything_ends:
            return None
        sort, rank = self._sort_of(facts, queue), facts.order[:2]
        if not anew and sort in self._hopeless and rank >= self._hopeless[sort]:
            return None
        message = None
        if self._anything_ends or self._anybody_may_go(facts, queue):
            with self._quota.later(), self._placement.later():
                message = self._claim(facts, queue, preempts=preempts)
        if message is None:
            self._hopeless[sort] = min(rank, self._hopeless.get(sort, rank))
            return None
        known = told(facts.obj)
        if known is not None and known.reason == WAITS_FOR_OTHERS:
            message = known.message
        return self._hold(facts, Verdict(WAITS_FOR_OTHERS, message))

    def who_would_go(
        self, facts: WorkloadFacts, queue: ClusterQueueFacts, running: Running
    ) -> tuple[Candidate, ...]:
        """Whom it would make go, did these run; nobody if its place is held or that would not help."""
        if self.held(facts) is not None or not can_preempt(facts, queue):
            return ()
        with self._quota.later(), self._placement.later():
            granted = self._wanted(facts, queue)
            if granted is None:
                return ()
            asking = Asking(facts, queue, self._confine(facts.pod_sets, granted), granted)
            if not anybody(asking, list(granted.usage), self._quota.book, running):
                return ()
            found = self._search(asking, running)
        return tuple(_gangs_of(found.victims)) if found is not None else ()

    def claim_pod(self, facts: PodFacts, pod_sets: tuple[PodSetFacts, ...]) -> Verdict | None:
        """The same for a plain pod."""
        if not self._anything_ends and not self._snapshot.running and not self._snapshot.admitted:
            return None
        sort = str(priority_of_pod(facts)) if may_preempt(facts) else ""
        if (sort, pod_sets) in self._hopeless_pods:
            return None
        with self._placement.later():
            verdict = self._claim_pod(facts, pod_sets[0])
        if verdict is None:
            self._hopeless_pods.add((sort, pod_sets))
            return None
        return self._hold(facts, verdict)

    def _sort_of(self, facts: WorkloadFacts, queue: ClusterQueueFacts) -> _Sort:
        """Those who could make the same others go, but for their priority and age."""
        return queue.name, facts.pod_sets, has_open_gates(facts), self._snapshot.against_pods(facts)

    def _claim_pod(self, facts: PodFacts, pod_set: PodSetFacts) -> Verdict | None:
        """A place among what ends, best where it was promised; else one from which others are sent away."""
        promised = self._placement.row_of(facts.obj.status.nominated_node_name)
        share = None
        if promised >= 0:
            share = self._placement.place_set(pod_set, rows=np.array([promised], dtype=np.int64))
        if share is None:
            share = self._placement.place_set(pod_set)
        if share is not None:
            node = self._snapshot.nodes.facts[int(share.rows[0])].name
            message = f"fits on {node}, and waits until what is ending there has gone"
            return Verdict("Unschedulable", message, node)
        found = self._plight_of(facts, pod_set) if may_preempt(facts) else None
        if found is None:
            return None
        self._let_go(facts, found.pods, found.gangs)
        self._placement.put(pod_set.pod_class, found.share)
        node = found.plight.node
        message = f"fits on {node}, and waits until what is ending there has gone"
        return Verdict("Unschedulable", message, node)

    def keep(self, facts: WorkloadFacts, queue: ClusterQueueFacts) -> None:
        """Hold the place of one that is moved while its old pods are ending."""
        if self.held(facts) is None:
            with self._quota.later(), self._placement.later():
                message = self._claim(facts, queue, preempts=False)
            if message is not None:
                self._hold(facts, Verdict(WAITS_FOR_OTHERS, message))

    def move(self, found: Rearrangement) -> Verdict:
        """Hold the places of a rearrangement; its quota is taken already, or is that of the waiting one."""
        with self._placement.later():
            self._placement.vacate(held for one, _ in found.places for held in one.victim.held)
            for pod_set, share in zip(found.wish.pod_sets, found.shares, strict=True):
                self._placement.put(pod_set.pod_class, share)
            for movable, shares in found.places:
                for pod_set, share in zip(movable.pod_sets, shares, strict=True):
                    self._placement.put(pod_set.pod_class, share)
        self.moved += [Moved(movable.victim, found) for movable, _ in found.places]
        for movable, _ in found.places:
            self._leaves("Workload", movable.victim.key)
        names = named([movable.victim for movable, _ in found.places])
        return self._hold(
            found.wish.facts, Verdict(WAITS_FOR_OTHERS, f"waits until {names} moved; its place is held")
        )

    def _hold(self, facts: WorkloadFacts | PodFacts, verdict: Verdict) -> Verdict:
        self._held[facts.obj.kind, facts.key] = verdict
        return verdict

    @property
    def preemptors(self) -> list[Preemptor]:
        """For whom others go, once each: they are told before anybody goes, and hold their place by it.

        Then a crash between two writes makes nobody go in vain.
        """
        found = [one.preemptor for one in self.preempted.values()]
        found += [preemptor for _, preemptor in self.preempted_pods.values()]
        found += [one.why.wish.facts for one in self.moved]
        return list({(one.obj.kind, one.key): one for one in found}.values())

    @property
    def running(self) -> Running:
        """Who runs where."""
        return self._who_runs()

    @property
    def anything_ends(self) -> bool:
        """Whether anybody is on the way out, so that it is too early to say who fits where."""
        return self._anything_ends

    @property
    def _anything_ends(self) -> bool:
        ends = self._snapshot.releasing or self._quota.ending or self.preempted
        return bool(ends or self.preempted_pods)

    def _claim(self, facts: WorkloadFacts, queue: ClusterQueueFacts, *, preempts: bool) -> str | None:
        answer = self._quota.ask(queue, facts.pod_sets)
        granted = answer.wanted if isinstance(answer, Refused) else answer
        if granted is None:
            return None
        pod_sets = self._confine(facts.pod_sets, granted)
        if answer is granted and self._placement.place(pod_sets) is not None:
            self._quota.charge(queue, granted)
            return "fits, and waits until what is ending has gone; its place is held"
        if not preempts:
            return None
        found = self._search(Asking(facts, queue, pod_sets, granted), self._who_runs())
        if found is None:
            return None
        if self._is_in_vain(facts, pod_sets, found):
            return None
        plain = [one.pod for one in found.victims if isinstance(one, PlainVictim)]
        self._let_go(facts, plain, list(_gangs_of(found.victims)))
        for pod_set, share in zip(pod_sets, found.shares, strict=True):
            self._placement.put(pod_set.pod_class, share)
        self._quota.charge(queue, granted)
        return f"waits until {named(found.victims)} made way for it; its place is held"

    def _let_go(self, preemptor: Preemptor, plain: Iterable[PodFacts], gangs: Iterable[Candidate]) -> None:
        """These go, and what they hold and are charged is free."""
        for pod in plain:
            self._placement.vacate(held_by_pods((pod,)))
            self.preempted_pods[pod.key] = pod, preemptor
            self._leaves("Pod", pod.key)
        for one in gangs:
            self._placement.vacate(one.held)
            for cell, amount in one.facts.usage.items():
                self._quota.book.use(one.queue, cell, -amount)
            self._quota.end(one.queue, one.facts.usage)
            self.preempted[one.facts.key] = Preempted(one, preemptor)
            self._leaves("Workload", one.facts.key)

    def _leaves(self, kind: str, key: str) -> None:
        if self._preemptible is not None:
            self._preemptible.leave(kind, key)

    # -- plain pods and workloads ------------------------------------------------------------------

    def _may_take_from_pods(self, facts: WorkloadFacts) -> bool:
        """Whether there are plain pods that a workload might send away for its room."""
        if not self._snapshot.running or not has_open_gates(facts):
            return False
        standing = self._snapshot.priorities.standing(facts.obj)
        return standing.preempts and self._plain.any_below(standing.lowest)

    def _plain_for(self, facts: WorkloadFacts) -> list[PlainVictim]:
        if not self._may_take_from_pods(facts):
            return []
        standing = self._snapshot.priorities.standing(facts.obj)
        return self._plain.below(standing.lowest, self.preempted_pods)

    def _is_in_vain(self, facts: WorkloadFacts, pod_sets: Sequence[PodSetFacts], found: Found) -> bool:
        """Whether a plain pod that waits would take the place from it as soon as it were free."""
        if not self._snapshot.pods:
            return False
        waiting = (one for one in self._snapshot.pods if self.held(one) is None and self._waits(one))
        highest = self._snapshot.priorities.standing(facts.obj).highest
        start = self._placement.mark()
        self._placement.vacate(held for one in found.victims for held in one.held)
        other = who_would_take(self._placement, waiting, highest, pod_sets, found.shares)
        self._placement.rollback(start)
        return other is not None

    def _plight_of(self, facts: PodFacts, pod_set: PodSetFacts) -> FoundPods | None:
        """On which node who would have to go for a plain pod."""
        own = priority_of_pod(facts)
        if not self._plain.any_below(own) and self._lowest_gang() >= own:
            return None
        if self._preemptible is None or own > self._reach:
            gangs = self._gangs_below(own) if self._lowest_gang() < own else ()
            running, budgets = self._snapshot.running, self._snapshot.budgets
            self._preemptible = Preemptible(self._placement, running, budgets, gangs)
            self._reach = own
            for kind, keys in (("Pod", self.preempted_pods), ("Workload", self._ended())):
                for key in keys:
                    self._preemptible.leave(kind, key)
        return self._preemptible.search(facts, pod_set)

    def _lowest_gang(self) -> int:
        """How important the pods of the least important workload that runs are."""
        if self._lowest is None:
            standing = self._snapshot.priorities.standing
            values = (standing(one.obj).highest for one in self._snapshot.admitted)
            self._lowest = min(values, default=_HIGHEST)
        return self._lowest

    def _gangs_below(self, priority: int) -> Iterator[Gang]:
        """Workloads whose pods are all less important, and that have run for long enough."""
        running = self._who_runs()
        for facts in (one for some in running.of_queue.values() for one in some):
            highest = self._snapshot.priorities.standing(facts.obj).highest
            if highest < priority:
                for one in for_pod(facts, running):
                    yield Gang(one, highest, self._now.timestamp() - one.seconds)

    def _ended(self) -> Iterator[str]:
        """Keys of the workloads, or parts of them, that go or move already."""
        yield from self.preempted
        yield from (one.victim.facts.key for one in self.moved)

    # -- preemption --------------------------------------------------------------------------------

    def _anybody_may_go(self, facts: WorkloadFacts, queue: ClusterQueueFacts) -> bool:
        """Whether a search for victims could find any: cheap, and mostly the end of it."""
        answer = self._quota.ask(queue, facts.pod_sets)
        granted = answer.wanted if isinstance(answer, Refused) else answer
        if granted is None:
            return False
        if answer is granted and self._may_take_from_pods(facts):
            return True
        asking = Asking(facts, queue, facts.pod_sets, granted)
        return anybody(asking, list(granted.usage), self._quota.book, self._who_runs())

    def _wanted(self, facts: WorkloadFacts, queue: ClusterQueueFacts) -> Granted | None:
        """What it would be given, perhaps once others have made way."""
        answer = self._quota.ask(queue, facts.pod_sets)
        return answer.wanted if isinstance(answer, Refused) else answer

    def _search(self, asking: Asking, running: Running) -> Found | None:
        """Whom to let go: first for the quota that is short, else for everything asked for."""
        book, usage = self._quota.book, asking.granted.usage
        short = [cell for cell in usage if usage[cell] > book.available(asking.queue.name, cell)]
        limited = asking.queue.groups
        tries = [short, list(usage)] if limited and 0 < len(short) < len(usage) else [list(usage)]
        for cells in tries:
            found = self._search_for(asking, cells, running)
            if found is not None:
                return found
        return None

    def _search_for(self, asking: Asking, cells: Sequence[tuple[str, str]], running: Running) -> Found | None:
        book = self._quota.book
        gone = {key: one.victim for key, one in self.preempted.items()}
        gone.update((one.victim.facts.key, one.victim) for one in self.moved)
        able = (
            candidates(asking, cells, book, running, gone) if can_preempt(asking.facts, asking.queue) else []
        )
        plain = self._plain_for(asking.facts)
        if not able and not plain:
            return None
        trial = Trial(self._placement, book, asking)
        if (
            self._strategies
            and running.tree.has(asking.queue.name)
            and any(c.queue != asking.queue.name for c in able)
        ):
            order = fair_sequence(asking, able, cells, book, running.tree, self._strategies)
            return search(trial, [*order, *plain], borrow=True)
        for borrow in attempts(asking, able, cells, book):
            order = sequence(asking, able, cells, book, running.tree, borrow=borrow)
            found = search(trial, [*order, *plain], borrow=borrow)
            if found is not None:
                return found
        return None

    def _who_runs(self) -> Running:
        if self._running is None:
            of_queue: dict[str, list[WorkloadFacts]] = {}
            for facts in self._snapshot.admitted:
                ends = facts.evicted is not None or facts.obj.metadata.deletion_timestamp is not None
                ends = ends or facts.key in self.released
                if facts.admission is not None and not ends:
                    of_queue.setdefault(facts.admission.cluster_queue, []).append(facts)
            held: dict[str, tuple[Held, ...]] = {}
            classes: dict[PodClass, PodClass] = {}

            def with_shared_class(one: Held) -> Held:
                shared = classes.setdefault(one.pod_class, one.pod_class)
                return one if shared is one.pod_class else replace(one, pod_class=shared)

            def held_of(facts: WorkloadFacts) -> tuple[Held, ...]:
                if facts.key not in held:
                    gone: Mapping[PodSetOnNode, int] = self._snapshot.gone.get(facts.key, {})
                    held[facts.key] = tuple(map(with_shared_class, held_by(facts, gone)))
                return held[facts.key]

            self._running = Running(
                self._snapshot.queues.quota,
                of_queue,
                held_of,
                self._now,
                bool(self._strategies),
                self._minimum_run_seconds,
                self._policy,
                self._snapshot.checkpoints,
                Gangs(self._snapshot.budgets) if self._snapshot.budgets else None,
            )
        return self._running


def _gangs_of(victims: Iterable[Leaver]) -> Iterator[Candidate]:
    return (one for one in victims if isinstance(one, Candidate))
