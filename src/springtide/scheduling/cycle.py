"""The steps of one scheduling cycle on one snapshot. Called by `plan`, which puts them in order.

What a cycle admits takes effect at once on its own free capacity and quota, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain

from springtide.api.commands import Apply, Command
from springtide.scheduling import loans, runs, status, turns
from springtide.scheduling.checks import required
from springtide.scheduling.claims import Claims
from springtide.scheduling.confinement import Confinement
from springtide.scheduling.confirmation import confirmations
from springtide.scheduling.defragmentation import Consolidation, Mover, Wish, moved_within_the_hour
from springtide.scheduling.departures import Moved, Preempted, Preemptor
from springtide.scheduling.door import Door, is_deleting
from springtide.scheduling.elastic import SURPLUS, Growth
from springtide.scheduling.facts import PodFacts, PodSetFacts, WorkloadFacts
from springtide.scheduling.given import devices_by_pod, pods_by_node
from springtide.scheduling.lineup import Item, Lineup
from springtide.scheduling.nominations import with_promised_first
from springtide.scheduling.outlook import Outlook, Start, running_with
from springtide.scheduling.parking import Parking
from springtide.scheduling.partial import largest, smallest, spare
from springtide.scheduling.patience import Patience
from springtide.scheduling.placement import Placement
from springtide.scheduling.policies import Policy
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.quota import Granted, Quota, Refused
from springtide.scheduling.releasing import held_by
from springtide.scheduling.reports import reports
from springtide.scheduling.reservations import Reservations
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Ending, Given, Placed, Verdict, outfit
from springtide.scheduling.stranded import REPLACEMENT_SECONDS, Stranded, may_be_held
from springtide.scheduling.timing import KUEUE, Timing
from springtide.scheduling.victim_policies import LEAST_LOST_WORK, VictimPolicy
from springtide.scheduling.views import Share
from springtide.scheduling.waits import Waits, explain_members


class Cycle:
    """What one plan works on: free capacity and quota shrink as it admits."""

    def __init__(
        self,
        snapshot: Snapshot,
        policy: Policy,
        starts_max: int | None,
        now: datetime,
        *,
        fair_strategies: Sequence[str] = (),
        minimum_run_seconds: float = 0.0,
        victims: VictimPolicy = LEAST_LOST_WORK,
        patience: Patience | None = None,
        timing: Timing = KUEUE,
        replacement_seconds: float = REPLACEMENT_SECONDS,
        consolidation: Consolidation | None = None,
        last: loans.Last | None = None,
    ) -> None:
        """`last`: who is considered after all others; see `loans`."""
        self._snapshot = snapshot
        self._now = now
        self._minimum_run_seconds = minimum_run_seconds
        self._door = Door(snapshot.queues, snapshot.pods_of, now, patience)
        self._starts_max = starts_max
        self._placement = Placement(snapshot, policy)
        self._flavors = Confinement(snapshot)
        self._quota = Quota(snapshot.queues.quota, snapshot.usage, self._flavors.may_use)
        self._stranded = Stranded(
            snapshot, self._placement, self._flavors.as_charged, replacement_seconds, now
        )
        self._names = [facts.name for facts in snapshot.nodes.facts]
        self._blocked: dict[str, str] = {}
        self._parked: set[tuple[PodSetFacts, ...]] = set()
        self._parking = Parking(snapshot, self._door)
        self._too_small: set[tuple[str, tuple[PodSetFacts, ...]]] = set()
        self._fair = bool(fair_strategies)
        self._behind: dict[str, list[WorkloadFacts]] = {}
        self._last: loans.Last = last or {}
        self._lent_to: set[str] = set()
        self._roomless: set[str] = set()
        self._claimants = sorted((one for one in snapshot.waiting if one.claims), key=lambda one: one.moved)
        self._released: set[str] = set()
        self._resized: dict[str, Mapping[tuple[str, str], int]] = {}
        self.admitted: dict[str, tuple[WorkloadFacts, Placed]] = {}
        self.bound: dict[str, tuple[PodFacts, Given]] = {}
        self._claims_in_use = set(snapshot.claims_in_use)
        self._charge_leftovers()
        self._claims = Claims(
            snapshot,
            self._placement,
            self._quota,
            self._flavors.on_their_nodes,
            now,
            fair_strategies,
            minimum_run_seconds,
            victims,
            self._waits_for_room,
        )
        self._consolidation = consolidation
        self._mover: Mover | None = None
        self._lineup = Lineup(snapshot, timing, now)
        self._promises = self._promising(timing) if timing.backfill else None
        self._waits = Waits(
            snapshot, self._placement, self._parking, self._claims, self._promises, self._lineup, now
        )

    def release(self) -> list[tuple[WorkloadFacts, Ending]]:
        """Admitted workloads that must give their admission back: evicted, deactivated or drained."""
        found = []
        for facts in self._snapshot.admitted:
            ending = self._stranded.judge(facts, self._door.leave(facts))
            if ending is not None and not is_deleting(facts):
                found.append((facts, ending))
        self._released = self._claims.released = {facts.key for facts, _ in found}
        for facts, _ in found:
            if facts.admission is not None:
                self._quota.end(facts.admission.cluster_queue, facts.usage)
            if facts.evicted is None or may_be_held(facts):
                self._placement.end(held_by(facts, self._snapshot.gone.get(facts.key, {})))
        return found

    def confirm(self, now: datetime) -> list[tuple[str, Command]]:
        """Keys and commands of those who have their quota and wait for admission checks."""
        spell = self._placed
        return confirmations(
            self._snapshot, self._placement, self._flavors.as_charged, spell, self.ended, now
        )

    def resize(self, now: datetime) -> list[Command]:
        """Commands for those who may have more pods, or want fewer, while they run."""
        elastic = [facts for facts in self._snapshot.admitted if facts.is_elastic]
        if not elastic:
            return []
        tools = self._placement, self._quota, self._flavors.as_charged, self._placed
        growth = Growth(*tools, self._snapshot.node_named, self._place_more)
        found = growth.sizes(elastic, self._snapshot.queues, self.ended)
        self._resized = {one.facts.key: one.usage for one in found}
        return [c for one in found for c in status.resize(one.facts, one.admission, one.pods, now)]

    def _place_more(
        self, facts: WorkloadFacts, pod_sets: tuple[PodSetFacts, ...]
    ) -> tuple[Share, ...] | None:
        if self._promises is None:
            return self._placement.place(pod_sets)
        found = self._promises.place(facts, pod_sets)
        return None if isinstance(found, Verdict) else found

    def seat(self) -> None:
        """Send pods that were made by others to the places of their group."""
        for facts in self._snapshot.admitted if self._snapshot.members else ():
            seating = self._snapshot.members.get(facts.key)
            if seating is None or facts.key in self._released:
                continue
            for pod, (node, indices) in seating.places(facts):
                if self.is_cut:
                    return
                row = self._placement.row_of(node)
                given = outfit(self._snapshot.nodes.facts[row], indices) if row >= 0 else Given(node, indices)
                self.bound[pod.key] = pod, replace(given, attempt=facts.attempt)

    def decide(self) -> loans.Last:
        """Admit all that may start, in passes over the queue until one admits nothing.

        Empty if that is well; else from where in each queue a new cycle had better consider them last.
        """
        while True:
            while self._pass():
                pass
            called_in, claimed = self._called_in()
            if called_in or not claimed:
                return loans.with_last(self._last, called_in) if called_in else {}

    def _pass(self) -> bool:
        """One pass over the queue; whether anything was admitted or bound."""
        before = self._starts
        self._blocked.clear()
        self._parked.clear()
        self._parking.clear()
        self._too_small.clear()
        self._waits.clear()
        self._behind.clear()
        if self._promises is not None:
            self._promises.look_again()
        last: list[WorkloadFacts] = []
        passes, is_cut = self._parking.passes, self.is_cut  # cut only by those who are considered
        for facts in self._queue():
            if is_cut:
                return False
            if isinstance(facts, PodFacts):
                self._consider_pod(facts)
            elif self._last and self._stands_last(facts):
                last.append(facts)
                continue
            elif passes(facts, may_borrow=False):
                continue
            else:
                self._consider(facts, may_borrow=facts.claims)
            is_cut = self.is_cut
        for borrower in chain(self._borrowers(), last):
            if is_cut:
                return False
            if not passes(borrower, may_borrow=True):
                self._consider(borrower, may_borrow=True)
                is_cut = self.is_cut
        return self._starts > before

    def _stands_last(self, facts: WorkloadFacts) -> bool:
        queue = self._door.enter(facts, {})
        place = self._lineup.key(facts)
        return isinstance(queue, ClusterQueueFacts) and loans.is_last(self._last, queue.name, place)

    def _called_in(self) -> tuple[list[tuple[str, loans.Place]], bool]:
        """Of those it admits, whom somebody who waits would make go at once: queue and place in the line.

        And whether anybody has claimed a place instead, of which only those have to go who ran before.
        """
        running, claimed = None, False
        for facts, queue in self._callers() if self._lent_to and not self.is_cut else ():
            if running is None:
                started = ((one, placed) for one, placed in self.admitted.values())
                running = self._claims.running.with_more(loans.as_running(started, self._now))
            victims = self._claims.who_would_go(facts, queue, running)
            new = [self.admitted[key] for one in victims if (key := one.facts.key) in self.admitted]
            if new:
                return [(placed.cluster_queue, self._lineup.key(one)) for one, placed in new], False
            verdict = self._claims.claim(facts, queue, anew=True) if victims else None
            if verdict is not None:
                self._waits.note(facts, verdict)
                claimed = True
        return [], claimed

    def _callers(self) -> Iterator[tuple[WorkloadFacts, ClusterQueueFacts]]:
        """Those who wait and may take back what was lent; of those that are alike the first."""
        seen: set[tuple[str, int, tuple[PodSetFacts, ...]]] = set()
        for facts in self._queue():
            short = self._fair or facts.key in self._roomless
            if isinstance(facts, PodFacts) or not loans.may_gain(self._waits.why(facts), quota=short):
                continue
            queue = self._snapshot.queues.resolve(facts.obj)
            if not isinstance(queue, ClusterQueueFacts):
                continue
            sort = queue.name, facts.order[0], facts.pod_sets
            if sort not in seen and loans.may_call_in(queue, self._lent_to, self._snapshot.queues.quota):
                seen.add(sort)
                yield facts, queue
                if len(seen) == loans.CALLERS_MAX:
                    return

    @property
    def moved(self) -> Sequence[Moved]:
        """Who has to go elsewhere, and why."""
        return self._claims.moved

    @property
    def preempted_pods(self) -> Sequence[tuple[PodFacts, Preemptor]]:
        """Plain pods that have to go, and for whom."""
        return list(self._claims.preempted_pods.values())

    @property
    def preempted(self) -> Sequence[Preempted]:
        """Who has to go, and for whom."""
        found = self._claims.preempted
        whole = {key for key in found if not key.endswith(SURPLUS)}
        return [one for key, one in found.items() if key in whole or key.removesuffix(SURPLUS) not in whole]

    @property
    def ended(self) -> set[str]:
        """Keys of the admitted workloads that this cycle ends."""
        moved = {one.victim.facts.key for one in self._claims.moved}
        return self._released | self._claims.preempted.keys() | moved

    @property
    def kept(self) -> list[Apply]:
        """What is written of gangs that lost a node and keep their places."""
        return self._stranded.commands(self.ended)

    @property
    def next_at(self) -> datetime | None:
        """When time alone makes a difference: a wait ends, somebody may be preempted, pods are not ready …"""
        snapshot = self._snapshot
        moments = (
            self._door.next_at(snapshot.waiting, snapshot.admitted, self.ended),
            self._lineup.next_at,
            self._stranded.next_at,
            runs.settled_at(snapshot.admitted, self._minimum_run_seconds, self._now, snapshot.cooling)
            if self._waits
            else None,
        )
        return min((at for at in moments if at is not None), default=None)

    @property
    def is_cut(self) -> bool:
        """Whether the cycle has started as much as it may."""
        return self._starts_max is not None and self._starts >= self._starts_max

    @property
    def _starts(self) -> int:
        return len(self.admitted) + len(self.bound)

    def promise(self) -> list[Command]:
        """Commands that tell those for whom others go that their place is held, before anybody goes."""
        return self._waits.tell_first(self._claims.preemptors)

    def explain(self, now: datetime, refresh: bool) -> tuple[list[Command], bool]:
        """Commands that tell those who wait why; and whether some keep an older sentence for now."""
        told, stale = self._waits.explain(self._queue(), refresh)
        return [*explain_members(self._snapshot.members, self.bound, now), *told], stale

    @property
    def notes(self) -> dict[str, str]:
        """What each was told that waits, by key: after `explain`."""
        return self._waits.notes

    def expected_starts(self) -> dict[str, Start]:
        """When those who wait are expected to start. Uses the cycle up: nothing can be decided afterwards."""
        known = running_with(self._snapshot, self._now, self.ended, self.admitted.values())
        ahead = Outlook(self._snapshot, self._placement, self._quota, self._flavors.on_their_nodes, known)
        doors = ((one, self._door.enter(one, {})) for one in self._queue() if isinstance(one, WorkloadFacts))
        return ahead.starts((one, queue) for one, queue in doors if not isinstance(queue, Verdict))

    def why(self, facts: Item) -> Verdict | None:
        """Why it waits; None if it does not."""
        return self._waits.verdict(facts)

    def report(self, now: datetime) -> list[Command]:
        """Commands that bring the status of queues up to date."""
        ended = self.ended
        used = {
            facts.key: self._resized.get(facts.key, facts.usage)
            for facts in self._snapshot.admitted
            if facts.key not in ended
        }
        return reports(self._snapshot, self._lineup.samples(), used, self.admitted, now, fair=self._fair)

    # -- one workload ------------------------------------------------------------------------------

    def _queue(self) -> list[Item]:
        merged: Sequence[Item] = self._lineup.items
        if self._claimants:
            merged = [*self._claimants, *(f for f in merged if isinstance(f, PodFacts) or not f.claims)]
        if self._snapshot.pods and self._snapshot.waiting:
            merged = with_promised_first(merged, self._snapshot.priorities)
        return [f for f in merged if f.key not in (self.bound if isinstance(f, PodFacts) else self.admitted)]

    def _borrowers(self) -> Iterator[WorkloadFacts]:
        """Those who would borrow, and who stands behind them: after all who ask for their queue's own."""
        if self._fair:
            above = self._snapshot.queues.quota.above
            return turns.by_share(self._behind, above, self._standing, self._lineup.key)
        return turns.by_order(self._behind, self._lineup.key)

    def _standing(self, queue: str, facts: WorkloadFacts) -> turns.Standing:
        return self._quota.standing_with(self._snapshot.queues.cluster_queues[queue], facts.pod_sets)

    def _consider(self, facts: WorkloadFacts, *, may_borrow: bool) -> None:
        if is_deleting(facts):
            return
        queue = self._door.enter(facts, self._blocked)
        if isinstance(queue, Verdict):
            self._waits.note(facts, queue)
            own = self._snapshot.queues.resolve(facts.obj) if facts.moved else None
            if isinstance(own, ClusterQueueFacts):
                self._claims.keep(facts, own)
            return
        held = self._claims.held(facts)
        if held is not None:
            self._wait(facts, queue, held)
            return
        if not may_borrow and queue.name in self._behind:
            self._behind[queue.name].append(facts)
            self._parking.stand_behind(facts, self._behind[queue.name])
            return
        granted = self._quota.ask(queue, facts.pod_sets)
        if not may_borrow and self._quota.borrows(queue, granted):
            self._behind[queue.name] = [facts]
            return
        if isinstance(granted, Refused):
            self._settle(facts, queue, Verdict(granted.reason, granted.message))
            if self._promises is not None and granted.wanted is not None and self._has_nothing(facts):
                self._promises.reserve_quota(facts, queue, granted.wanted)
            return
        self._try(facts, queue, granted, may_borrow=may_borrow)

    def _try(
        self, facts: WorkloadFacts, queue: ClusterQueueFacts, granted: Granted, *, may_borrow: bool
    ) -> None:
        """Start it with these flavors, else with others that have quota left: their nodes may have room."""
        why = self._start(facts, queue, granted)
        for other in self._quota.others(queue, facts.pod_sets, granted) if isinstance(why, tuple) else ():
            if not may_borrow and self._quota.borrows(queue, other):
                self._behind[queue.name] = [facts]
                return
            if self._start(facts, queue, other) is None:
                return
        if isinstance(why, Verdict):
            self._wait(facts, queue, why)
        elif why is not None:
            self._settle(facts, queue, why)

    def _promising(self, timing: Timing) -> Reservations:
        """What keeps a place for the first that waits."""
        return Reservations(
            self._snapshot,
            self._placement,
            self._quota,
            self._now,
            lambda: self.ended,
            timing.firm_after_seconds,
        )

    def _has_nothing(self, facts: WorkloadFacts) -> bool:
        """Whether neither it starts nor its place is held."""
        return facts.key not in self.admitted and self._claims.held(facts) is None

    def _start(
        self, facts: WorkloadFacts, queue: ClusterQueueFacts, granted: Granted
    ) -> Verdict | tuple[PodSetFacts, ...] | None:
        """Admit it, if there is room; else why not."""
        kept = self._promises.keeps(facts, queue, granted) if self._promises is not None else None
        if kept is not None:
            return kept
        placed_as = self._flavors.on_their_nodes(facts.pod_sets, granted)
        shares = self._place(facts, placed_as)
        if shares is None or isinstance(shares, Verdict):
            return shares or placed_as
        self._quota.charge(queue, granted)
        if self._promises is not None:
            self._promises.start(facts, queue, granted, placed_as, shares)
        self.admitted[facts.key] = facts, self._placed(queue.name, granted, shares)
        if granted.borrows:
            self._lent_to.add(queue.name)
        return None

    def _settle(
        self, facts: WorkloadFacts, queue: ClusterQueueFacts, why: Verdict | tuple[PodSetFacts, ...]
    ) -> None:
        """There is no room for all of it: with fewer pods, in the place of others, or later.

        Who may get more pods while it runs begins with fewer rather than make anybody go.
        """
        if facts.is_elastic and self._start_smaller(facts, queue):
            return
        asked = replace(facts, pod_sets=smallest(facts.pod_sets)) if facts.is_elastic else facts
        if isinstance(why, tuple):
            self._roomless.add(facts.key)
        claimed = self._rearrange(facts, why) or self._claims.claim(asked, queue)
        if claimed is None and not facts.is_elastic and self._start_smaller(facts, queue):
            return
        if claimed is None:
            self._parking.park(facts, why)
        else:
            self._parking.wake()
        self._wait(facts, queue, claimed or why)

    def _rearrange(self, facts: WorkloadFacts, why: Verdict | tuple[PodSetFacts, ...]) -> Verdict | None:
        """Hold a place for it that others move out of, if that gains anything: none of them has to wait."""
        if self._consolidation is None or not isinstance(why, tuple) or self._claims.anything_ends:
            return None
        if self._mover is None:
            known = (*self._snapshot.waiting, *self._snapshot.admitted)
            moved = moved_within_the_hour(known, self._now)
            budgets, running = self._snapshot.budgets, self._claims.running
            self._mover = Mover(
                self._placement, running, self._flavors.as_charged, self._consolidation, moved, budgets
            )
        found = self._mover.seek(Wish(facts, why))
        return self._claims.move(found) if found is not None else None

    def _start_smaller(self, facts: WorkloadFacts, queue: ClusterQueueFacts) -> bool:
        """Admit it with as many pods as there is room for, if that is enough for it."""
        tried = queue.name, facts.pod_sets
        if not spare(facts.pod_sets) or tried in self._too_small:
            return False
        fewer = largest(facts.pod_sets, partial(self._has_room, queue))
        granted = self._quota.ask(queue, fewer) if fewer is not None else None
        if fewer is None or not isinstance(granted, Granted):
            self._too_small.add(tried)
            return False
        return self._start(replace(facts, pod_sets=fewer), queue, granted) is None

    def _has_room(self, queue: ClusterQueueFacts, pod_sets: tuple[PodSetFacts, ...]) -> bool:
        granted = self._quota.ask(queue, pod_sets)
        if isinstance(granted, Refused):
            return False
        mark = self._placement.mark()
        found = self._placement.place(self._flavors.on_their_nodes(pod_sets, granted)) is not None
        self._placement.rollback(mark)
        return found

    def _placed(self, queue: str, granted: Granted, shares: Sequence[Share]) -> Placed:
        nodes = tuple(pods_by_node(self._names, share) for share in shares)
        devices = tuple(devices_by_pod(self._snapshot.devices.named, share) for share in shares)
        known = self._snapshot.queues.cluster_queues.get(queue)
        rules = known.checks if known is not None else ()
        names = required(rules, (f for given in granted.flavors for f in given.values())) if rules else ()
        return Placed(queue, granted.flavors, granted.usage, nodes, devices, names)

    def _wait(
        self, facts: WorkloadFacts, queue: ClusterQueueFacts, why: Verdict | tuple[PodSetFacts, ...]
    ) -> None:
        self._waits.note(facts, why)
        if self._promises is not None and not isinstance(why, Verdict):
            self._promises.reserve(facts, why)
        if queue.strict:
            self._blocked.setdefault(queue.name, facts.key)

    def _place(self, facts: Item, pod_sets: tuple[PodSetFacts, ...]) -> tuple[Share, ...] | Verdict | None:
        """Place, unless the same was refused in this pass already: capacity only shrinks within a pass."""
        if pod_sets in self._parked:
            return None
        if self._promises is None:
            shares = self._placement.place(pod_sets)
        else:
            found = self._promises.place(facts, pod_sets)
            if isinstance(found, Verdict):
                return found
            shares = found
        if shares is None:
            self._parked.add(pod_sets)
        return shares

    # -- plain pods --------------------------------------------------------------------------------

    def _consider_pod(self, facts: PodFacts) -> None:
        pod_class = facts.pod_class
        if pod_class is None:
            self._waits.note(facts, Verdict("SchedulerError", facts.error))
            return
        if facts.obj.spec.scheduling_gates:
            gates = ", ".join(gate.name for gate in facts.obj.spec.scheduling_gates)
            self._waits.note(facts, Verdict("SchedulingGated", f"Scheduling is blocked by gates: {gates}"))
            return
        obstacle = self._storage_obstacle(facts)
        if obstacle:
            self._waits.note(facts, Verdict("Unschedulable", obstacle))
            return
        held = self._claims.held(facts)
        if held is not None:
            self._waits.note(facts, held)
            return
        single = (PodSetFacts("", 1, pod_class),)
        shares = self._place(facts, single)
        if isinstance(shares, Verdict):
            self._waits.note(facts, shares)
        elif shares is None:
            claimed = self._claims.claim_pod(facts, single)
            if claimed is not None:
                self._parking.wake()
            self._waits.note(facts, claimed or single)
            if claimed is None and self._promises is not None:
                self._promises.reserve(facts, single)
        else:
            self.bound[facts.key] = facts, self._given(shares[0])
            self._claims_in_use.update(facts.storage.exclusive)

    def _waits_for_room(self, facts: PodFacts) -> bool:
        """Whether a plain pod still waits for a node, and for nothing else."""
        free = not facts.obj.spec.scheduling_gates and not self._storage_obstacle(facts)
        return free and facts.key not in self.bound

    def _storage_obstacle(self, facts: PodFacts) -> str:
        """Why a pod's claims keep it from running anywhere, or empty."""
        used = next((key for key in facts.storage.exclusive if key in self._claims_in_use), "")
        taken = f"claim {used} is for one pod alone (ReadWriteOncePod) and another has it" if used else ""
        return facts.storage.obstacle or taken

    def _given(self, share: Share) -> Given:
        """The node of a single pod, and its devices if the node names them."""
        facts = self._snapshot.nodes.facts[int(share.rows[0])]
        return outfit(facts, share.devices[0] if share.devices and facts.devices else ())

    def _charge_leftovers(self) -> None:
        for facts in self._snapshot.waiting if self._snapshot.lingering else ():
            held = self._snapshot.lingering.get(facts.key)
            queue = self._snapshot.queues.resolve(facts.obj) if held else None
            if held and isinstance(queue, ClusterQueueFacts):
                self._quota.charge_leftover(queue, held)
