"""Who may be made to go so that a workload can start, in which order, and what is lost with each.

The rules are Kueue's: within a ClusterQueue by `withinClusterQueue`; elsewhere in the cohort by
`reclaimWithinCohort`, only of queues and cohorts that use more than belongs to them, and while the preemptor
borrows only as `borrowWithinCohort` allows. A preemptor whose claim is within what belongs to it (or to a
cohort above it) may take it back from whoever borrows it; then nothing is asked about borrowing. With fair
sharing the queue with the largest share gives first, as long as the chosen strategy allows, and
`borrowWithinCohort` has no effect: who goes by priority for one with the larger share would take it back by
its share at once, and so on for ever. Of those who may go for the same reason, the ones whose going breaks a
PodDisruptionBudget go last.
Called by `claims`; `preemption` chooses among the sequences given here. Pure: the book is left as it was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from functools import lru_cache

from springtide.api.kueue import WorkloadReason
from springtide.api.meta import find_condition
from springtide.scheduling.budgets import Gangs, Going
from springtide.scheduling.classes import PodClass
from springtide.scheduling.cohorts import Book, Cell, Tree
from springtide.scheduling.colocation import is_reclaimed
from springtide.scheduling.devices import WHOLE
from springtide.scheduling.elastic import SURPLUS, parts_of
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.quota import Granted
from springtide.scheduling.releasing import Held
from springtide.scheduling.victim_policies import LEAST_LOST_WORK, Stake, VictimPolicy
from springtide.scheduling.volcano_terms import left_alone_seconds

NEVER, ANY, LOWER, LOWER_OR_NEWER = "Never", "Any", "LowerPriority", "LowerOrNewerEqualPriority"
FINAL_SHARE, INITIAL_SHARE = "LessThanOrEqualToFinalShare", "LessThanInitialShare"
FAIR_STRATEGIES = (FINAL_SHARE, INITIAL_SHARE)
"""Kueue's preemption strategies of fair sharing, in its default order."""


class Tier(IntEnum):
    """Why a workload may be made to go; the lower goes first."""

    ENTITLED = 0
    """It borrows what belongs to the preemptor's queue, or to a cohort above it."""
    COHORT = 1
    """It borrows, and has to go by its priority."""
    OWN = 2
    """It stands in the same queue."""


@dataclass(frozen=True)
class Asking:
    """A workload that does not fit, and what it would be given."""

    facts: WorkloadFacts
    queue: ClusterQueueFacts
    pod_sets: tuple[PodSetFacts, ...]
    """On the nodes of its flavors."""
    granted: Granted

    @property
    def priority(self) -> int:
        return priority_of(self.facts)


@dataclass(slots=True)
class Candidate:
    """A workload that may be made to go. Nobody changes one: it is not frozen because that takes three times
    as long to make, and a full cluster has many thousands."""

    facts: WorkloadFacts
    queue: str
    tier: Tier
    reason: WorkloadReason
    while_borrowing: bool
    """Whether it may go even for a preemptor that borrows."""
    held: tuple[Held, ...]
    seconds: float
    """How long it has run."""
    pods: int
    price: float
    """What is lost with each of its devices, by the victim policy."""
    size: float
    """Its devices."""
    level: tuple[int, bool]
    """How important it is; see `level_of`."""
    breaks_budget: bool = False
    """Whether fewer of its pods may be away, by a PodDisruptionBudget, than would go."""

    @property
    def key(self) -> str:
        """What it is called among those who may go."""
        return self.facts.key

    @property
    def usage(self) -> Mapping[Cell, int]:
        """What it is charged."""
        return self.facts.usage

    @property
    def order(self) -> tuple[int, tuple[bool, int, bool], float, float]:
        """Sorts candidates: those that borrow, the less important, the cheaper, the newer first.

        Of those that are equal in all of this who stands further back in the queue goes first.
        """
        return self.tier, self.rank, self.price, self.seconds

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """How much is to be said against its going, before all that it costs."""
        return self.breaks_budget, *self.level


def priority_of(facts: WorkloadFacts) -> int:
    """A workload's priority."""
    return -facts.order[0]


def level_of(facts: WorkloadFacts) -> tuple[int, bool]:
    """How important it is: its priority; of equal ones those less so that live on what others leave."""
    return -facts.order[0], not is_reclaimed(facts.obj)


def can_preempt(facts: WorkloadFacts, queue: ClusterQueueFacts) -> bool:
    """Whether a workload of this queue may make other workloads go at all."""
    policy = queue.preemption
    if policy.within_cluster_queue == NEVER and (not queue.cohort or policy.reclaim_within_cohort == NEVER):
        return False
    return has_open_gates(facts)


def has_open_gates(facts: WorkloadFacts) -> bool:
    """Whether nobody holds it back from making others go."""
    open_gates = {gate.name for gate in facts.obj.status.preemption_gates if gate.position == "Open"}
    return all(gate.name in open_gates for gate in facts.obj.spec.preemption_gates)


@dataclass(frozen=True)
class Running:
    """Who runs where: what candidates are found in."""

    tree: Tree
    of_queue: Mapping[str, Sequence[WorkloadFacts]]
    """By ClusterQueue, as they stood in the line."""
    held: Callable[[WorkloadFacts], tuple[Held, ...]]
    now: datetime
    fair: bool = False
    """Whether queues share fairly."""
    minimum_run_seconds: float = 0.0
    """Workloads are left alone until they have run so long."""
    policy: VictimPolicy = LEAST_LOST_WORK
    checkpoints: Mapping[str, datetime] = field(default_factory=dict)
    """When workloads last saved their work."""
    budgets: Gangs | None = None
    """None where there are none."""
    _stakes: dict[str, Stake] = field(default_factory=dict)

    def with_more(self, more: Iterable[tuple[str, WorkloadFacts]]) -> Running:
        """The same, and these run too, by the ClusterQueue of each."""
        of_queue = {queue: list(some) for queue, some in self.of_queue.items()}
        for queue, facts in more:
            of_queue.setdefault(queue, []).append(facts)
            of_queue[queue].sort(key=lambda one: one.order)
        return replace(self, of_queue=of_queue)

    def stake(self, facts: WorkloadFacts) -> Stake:
        """What is lost if this workload goes now."""
        found = self._stakes.get(facts.key)
        if found is None:
            since = running_since(facts, self.now)
            saved = self.checkpoints.get(facts.key)
            ran = (self.now - since).total_seconds()
            lost = ran if saved is None or saved <= since else (self.now - saved).total_seconds()
            found = self._stakes[facts.key] = Stake(ran, lost, size_of(facts))
        return found


CORES_PER_DEVICE = 16
"""A pod counts as much as its devices, or as a device for so many of its cores, if that is more."""
_LEAST_SIZE = 0.01


def size_of(facts: WorkloadFacts) -> float:
    """How much a running workload holds, in devices."""
    sets = facts.pod_sets
    if len(sets) == 1:
        return size_of_pod(sets[0]) * sum(facts.assigned.values()) or _LEAST_SIZE
    pods_of: Counter[str] = Counter()
    for (pod_set, _), count in facts.assigned.items():
        pods_of[pod_set] += count
    return sum(size_of_pod(one) * pods_of[one.name] for one in sets) or _LEAST_SIZE


def size_of_pod(pod_set: PodSetFacts) -> float:
    """How much one pod of the set asks for, in devices."""
    return _size_of_class(pod_set.pod_class)


@lru_cache(maxsize=1024)
def _size_of_class(pod_class: PodClass) -> float:
    asked = pod_class.devices
    devices = asked.count * (asked.cut or asked.part).size(0) / WHOLE if asked is not None else 0.0
    return max(devices, pod_class.cpu / (1000 * CORES_PER_DEVICE), _LEAST_SIZE)


def candidates(
    asking: Asking, cells: Iterable[Cell], book: Book, running: Running, gone: Mapping[str, Candidate]
) -> list[Candidate]:
    """All that may go for the sake of these cells, the first to go first. `gone` (by key) go already."""
    wanted = frozenset(cells)
    own = asking.queue.name
    tiers = {own: Tier.OWN, **_reclaimable(asking, wanted, book, running.tree)}
    found = [
        _candidate(asking, one, queue, tier, running)
        for queue, tier in tiers.items()
        for one in reversed(running.of_queue.get(queue, ()))
        if _uses(one, wanted) and _may_go(asking, one, queue)
    ]
    least = running.minimum_run_seconds
    settled = [one for one in found if one.seconds >= max(least, left_alone_seconds(one.facts.obj))]
    late = {queue: running.tree.queue(queue).yields_late for queue in tiers if running.tree.has(queue)}

    def first_to_go(one: Candidate) -> tuple[object, ...]:
        later = late.get(one.queue, 0)
        return one.tier, later, one.breaks_budget, one.level, one.price, one.seconds

    parts = (part for one in settled for part in (_parts(one) if one.facts.is_elastic else (one,)))
    able = sorted((part for part in parts if part.facts.key not in gone), key=first_to_go)
    if running.budgets is None:
        return able
    breaks = running.budgets.breaking(map(going, able), map(going, gone.values()))
    told = (replace(one, breaks_budget=True) if no else one for one, no in zip(able, breaks, strict=True))
    return sorted(told, key=first_to_go)


def going(one: Candidate) -> Going:
    """Which of its pods go: those it can do without, the rest of them, or all."""
    counts = one.facts.counts
    fewest = {pod_set.name: pod_set.fewest for pod_set in one.facts.pod_sets}
    spare = {name: max(0, count - fewest.get(name, count)) for name, count in counts.items()}
    if one.facts.key.endswith(SURPLUS):
        return Going(one.facts.obj, spare)
    if one.facts.is_elastic:
        return Going(one.facts.obj, {name: count - spare[name] for name, count in counts.items()})
    return Going(one.facts.obj, counts)


def _parts(one: Candidate) -> tuple[Candidate, ...]:
    """What an elastic workload can do without goes before the rest of it, and no work is lost with it."""
    parts = parts_of(one.facts, one.held) if one.facts.is_elastic else None
    if parts is None:
        return (one,)
    spare, rest = parts
    pods = sum(held.count for held in spare.held)
    share = pods / max(1, one.pods)
    first = replace(one, facts=spare.facts, held=spare.held, pods=pods, price=0.0, size=one.size * share)
    return first, replace(one, facts=rest.facts, held=rest.held, pods=one.pods - pods)


def anybody(asking: Asking, cells: Iterable[Cell], book: Book, running: Running) -> bool:
    """Whether there are candidates at all, but for how long they have run."""
    wanted = frozenset(cells)
    return any(
        _uses(one, wanted) and _may_go(asking, one, queue)
        for queue in (asking.queue.name, *_reclaimable(asking, wanted, book, running.tree))
        for one in running.of_queue.get(queue, ())
    )


def attempts(
    asking: Asking, found: Sequence[Candidate], cells: Iterable[Cell], book: Book
) -> tuple[bool, ...]:
    """In which ways to try: letting the preemptor borrow, or not; the first that succeeds counts."""
    if all(one.tier is Tier.OWN for one in found):
        return (True,)
    borrow = asking.queue.preemption.borrow_within_cohort
    if borrow is not None and borrow.policy != NEVER:
        return True, False
    if not all(book.is_below_nominal(asking.queue.name, cell) for cell in cells):
        return (True,)
    return (True, False) if any(one.tier is Tier.ENTITLED for one in found) else (False, True)


def sequence(
    asking: Asking, found: Iterable[Candidate], cells: Iterable[Cell], book: Book, tree: Tree, *, borrow: bool
) -> list[Candidate]:
    """The candidates that may really go one after the other in this order: none of a queue once it
    borrows no more."""
    in_order = list(found)
    if all(one.tier is Tier.OWN for one in in_order):
        return in_order
    wanted = frozenset(cells)
    mark = book.mark()
    chosen = []
    for one in in_order:
        if one.tier is not Tier.OWN:
            if borrow and one.tier is Tier.COHORT and not one.while_borrowing:
                continue
            if not _borrows(asking.queue.name, one.queue, wanted, book, tree):
                continue
        _use(book, one, -1)
        chosen.append(one)
    book.rollback(mark)
    return chosen


def fair_sequence(
    asking: Asking,
    found: Iterable[Candidate],
    cells: Iterable[Cell],
    book: Book,
    tree: Tree,
    strategies: Sequence[str],
) -> list[Candidate]:
    """The same by fair sharing: of the queue whose share is largest first."""
    mark = book.mark()
    for cell, amount in asking.granted.usage.items():
        book.use(asking.queue.name, cell, amount)
    walk = _FairWalk(asking.queue.name, frozenset(cells), book, tree)
    chosen, rest = walk.first(found, strategies[0])
    if len(strategies) > 1:
        chosen += walk.second(rest, strategies[1])
    book.rollback(mark)
    return chosen


class _FairWalk:
    """One walk over candidates, on a book in which the preemptor has started already."""

    def __init__(self, own: str, cells: frozenset[Cell], book: Book, tree: Tree) -> None:
        self._own = own
        self._cells = cells
        self._book = book
        self._tree = tree

    def first(
        self, found: Iterable[Candidate], strategy: str
    ) -> tuple[list[Candidate], dict[str, list[Candidate]]]:
        """Those the first strategy lets go, and by queue those it does not."""
        left = _by_queue(found)
        chosen: list[Candidate] = []
        rest: dict[str, list[Candidate]] = defaultdict(list)
        while left:
            queue = max(left, key=self._book.standing)
            if queue != self._own and not _borrows(self._own, queue, self._cells, self._book, self._tree):
                del left[queue]
                continue
            one = left[queue].pop(0)
            if not left[queue]:
                del left[queue]
            if queue != self._own and self._claims(one):
                _use(self._book, one, -1)
                chosen.append(replace(one, reason=WorkloadReason.IN_COHORT_RECLAMATION))
            elif queue == self._own or self._allows(one, strategy):
                _use(self._book, one, -1)
                chosen.append(one)
            else:
                rest[queue].append(one)
        return chosen, rest

    def second(self, rest: dict[str, list[Candidate]], strategy: str) -> list[Candidate]:
        """One more of each queue, if the second strategy lets it go."""
        chosen = []
        for queue in sorted(rest, key=self._book.standing, reverse=True):
            one = rest[queue][0]
            if _borrows(self._own, queue, self._cells, self._book, self._tree) and self._allows(
                one, strategy
            ):
                _use(self._book, one, -1)
                chosen.append(one)
        return chosen

    def _claims(self, one: Candidate) -> bool:
        """Whether the preemptor, or a cohort it is in and the other is not, takes back no more than its own.

        Then its share does not matter: it may have borrowed something else altogether.
        """
        meeting = self._tree.meeting(self._own, one.queue)
        for node in self._tree.queue(self._own).line():
            if node is meeting:
                return False
            if not self._book.exceeds(node, self._cells):
                return True
        return False

    def _allows(self, one: Candidate, strategy: str) -> bool:
        meeting = self._tree.meeting(self._own, one.queue)
        own = next(node for node in self._tree.queue(self._own).line() if node.parent is meeting)
        other = next(node for node in self._tree.queue(one.queue).line() if node.parent is meeting)
        ours = self._book.share_of(own)
        if strategy == INITIAL_SHARE:
            return ours < self._book.share_of(other)
        mark = self._book.mark()
        _use(self._book, one, -1)
        theirs = self._book.share_of(other)
        self._book.rollback(mark)
        return ours <= theirs


def _by_queue(found: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    sorted_out: dict[str, list[Candidate]] = defaultdict(list)
    for one in found:
        sorted_out[one.queue].append(one)
    return dict(sorted_out)


def _use(book: Book, one: Candidate, sign: int) -> None:
    for cell, amount in one.facts.usage.items():
        book.use(one.queue, cell, sign * amount)


def _borrows(own: str, queue: str, cells: frozenset[Cell], book: Book, tree: Tree) -> bool:
    """Whether a queue, and every cohort of it that the preemptor is not in, uses more than its own."""
    meeting = tree.meeting(own, queue)
    for node in tree.queue(queue).line():
        if node is meeting:
            return True
        if not book.exceeds(node, cells):
            return False
    return False


def _reclaimable(asking: Asking, cells: frozenset[Cell], book: Book, tree: Tree) -> dict[str, Tier]:
    """Other queues of the cohort that use more than belongs to them."""
    own = asking.queue.name
    if asking.queue.preemption.reclaim_within_cohort == NEVER or not tree.has(own):
        return {}
    entitled_below: dict[int, bool] = {}
    more: Mapping[Cell, int] = asking.granted.usage
    entitled = False
    for node in tree.queue(own).line():
        entitled_below[id(node)] = entitled
        within, more = book.is_entitled(node, more)
        entitled = entitled or within
    found = {}
    for queue in sorted((book.exceeding(cells) & tree.around(own)) - {own}):
        if tree.queue(queue).reclaimable and _borrows(own, queue, cells, book, tree):
            meeting = tree.meeting(own, queue)
            found[queue] = Tier.ENTITLED if entitled_below[id(meeting)] else Tier.COHORT
    return found


def _uses(facts: WorkloadFacts, cells: frozenset[Cell]) -> bool:
    return any(map(facts.usage.get, cells))


def _may_go(asking: Asking, one: WorkloadFacts, queue: str) -> bool:
    """Whether the policy lets the workload go for this preemptor, by their priorities and ages."""
    policy = asking.queue.preemption
    rule = policy.within_cluster_queue if queue == asking.queue.name else policy.reclaim_within_cohort
    if rule == ANY:
        return True
    own, other = asking.facts.order, one.order
    if rule == LOWER_OR_NEWER:
        return own[:2] < other[:2]
    return rule == LOWER and own[0] < other[0]


def _candidate(asking: Asking, facts: WorkloadFacts, queue: str, tier: Tier, running: Running) -> Candidate:
    while_borrowing = False
    if tier is Tier.COHORT and not running.fair:
        while_borrowing = _goes_while_borrowing(asking, priority_of(facts))
    if tier is Tier.OWN:
        reason = WorkloadReason.IN_CLUSTER_QUEUE
    elif running.fair:
        reason = WorkloadReason.IN_COHORT_FAIR_SHARING
    elif while_borrowing:
        reason = WorkloadReason.IN_COHORT_RECLAIM_WHILE_BORROWING
    else:
        reason = WorkloadReason.IN_COHORT_RECLAMATION
    return whole(facts, running, reason, queue=queue, tier=tier, while_borrowing=while_borrowing)


def whole(
    facts: WorkloadFacts,
    running: Running,
    reason: WorkloadReason,
    *,
    queue: str | None = None,
    tier: Tier = Tier.OWN,
    while_borrowing: bool = False,
) -> Candidate:
    """An admitted workload with all its pods, as one that may go for this reason.

    `queue`: the ClusterQueue it counts to; else that of its admission.
    """
    own = facts.admission.cluster_queue if facts.admission is not None else ""
    stake = running.stake(facts)
    return Candidate(
        facts=facts,
        queue=own if queue is None else queue,
        tier=tier,
        reason=reason,
        while_borrowing=while_borrowing,
        held=running.held(facts),
        seconds=stake.ran_seconds,
        pods=sum(facts.assigned.values()),
        price=running.policy.price(stake),
        size=stake.size,
        level=level_of(facts),
    )


def for_pod(facts: WorkloadFacts, running: Running) -> tuple[Candidate, ...]:
    """An admitted workload as one that may go for a plain pod, perhaps in parts; none before it has run for
    long enough."""
    stake = running.stake(facts)
    if stake.ran_seconds < max(running.minimum_run_seconds, left_alone_seconds(facts.obj)):
        return ()
    return _parts(whole(facts, running, WorkloadReason.HIGHER_PRIORITY_POD))


def _goes_while_borrowing(asking: Asking, priority: int) -> bool:
    """Whether one of this priority goes in another queue even for a preemptor that borrows."""
    borrow = asking.queue.preemption.borrow_within_cohort
    if borrow is None or borrow.policy == NEVER or priority >= asking.priority:
        return False
    return borrow.max_priority_threshold is None or priority <= borrow.max_priority_threshold


def running_since(facts: WorkloadFacts, now: datetime) -> datetime:
    """Since when there is something to lose."""
    admitted = find_condition(facts.obj.status.conditions, "Admitted")
    return admitted.last_transition_time or now if admitted is not None and admitted.status == "True" else now
