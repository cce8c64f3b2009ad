"""Quota of one cycle: which flavors a workload is given, of its queue's own or borrowed from the cohort.

Each pod set is given one flavor per resource group: the first, in the queue's order, that its pods may use
and that has room, as the queue's flavorFungibility says. A ClusterQueue without `resourceGroups` sets no
limit, so that a laptop needs no quota; one with them refuses resources it does not cover, as Kueue does.
Called by the cycle. Source of the rules: Kueue's flavor assignment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations
from typing import NamedTuple

from springtide.scheduling.cohorts import Book, Cell, Tree
from springtide.scheduling.dominance import Share
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.queues import DEFAULT_FLAVOR, ClusterQueueFacts, FlavorQuota
from springtide.scheduling.requests import PODS, Amounts, readable_amount, readable_pair

Usable = Callable[[PodSetFacts, FlavorQuota, Sequence[FlavorQuota]], bool]
"""Whether pods of a set may be given this flavor of a group."""


_SETS_MAX = 4
"""Of so many pod sets the flavors are thought over one by one; of more only of all together."""


class Mode(IntEnum):
    """How a workload may have its flavors; the higher the better."""

    NEVER = 0
    PREEMPT = 1
    """Others have to go first."""
    BORROW = 2
    FIT = 3


@dataclass(frozen=True)
class Granted:
    """Flavors for a workload: per pod set, which flavor each resource is charged to."""

    flavors: tuple[Mapping[str, str], ...]
    usage: Mapping[Cell, int]
    borrows: bool = False


@dataclass(frozen=True)
class Refused:
    """No room in the queue: Kueue's reason and what would change it."""

    reason: str
    message: str
    wanted: Granted | None = None
    """What it would be given if others made way; None if that would not help."""


class _Choice(NamedTuple):
    """One flavor for one pod set's resources of a group."""

    mode: Mode
    flavor: FlavorQuota
    refused: Refused | None = None


class _Wish(NamedTuple):
    """What a pod set asks of one group of its queue's flavors."""

    group: tuple[FlavorQuota, ...]
    usable: tuple[FlavorQuota, ...]
    """Those that its pods may be given."""
    amounts: Amounts


class Quota:
    """What is used of every queue; grows as the cycle admits."""

    def __init__(
        self, tree: Tree, usage: Mapping[str, Mapping[Cell, int]], usable: Usable | None = None
    ) -> None:
        self.book = Book(tree, usage)
        self.ending: Counter[tuple[str, Cell]] = Counter()
        """What is used by those who are ending, by queue and cell."""
        self._usable = usable
        self._wishes: dict[tuple[str, int], tuple[PodSetFacts, tuple[_Wish, ...] | Refused]] = {}
        self._without: Mapping[str, frozenset[str]] = {}

    def others(
        self, queue: ClusterQueueFacts, pod_sets: Sequence[PodSetFacts], granted: Granted
    ) -> Iterator[Granted]:
        """What else the workload may be given at once, where the nodes of its flavors have no room.

        Those of each of its pod sets are left out in turn, then of several together.
        """
        if all(len(group) < 2 for group in queue.groups):
            return
        seen = [granted.flavors]
        tried = {
            one.name: frozenset(given.values()) for one, given in zip(pod_sets, granted.flavors, strict=True)
        }
        numbers = range(1, len(tried) + 1) if len(tried) <= _SETS_MAX else (len(tried),)
        known = 0
        while known < len(seen):
            known = len(seen)
            for names in (names for number in numbers for names in combinations(tried, number)):
                self._without = {name: tried[name] for name in names}
                answer = self.ask(queue, pod_sets)
                self._without = {}
                if isinstance(answer, Granted) and answer.flavors not in seen:
                    seen.append(answer.flavors)
                    yield answer
            for given in seen[known:]:
                for one, flavors in zip(pod_sets, given, strict=True):
                    tried[one.name] |= frozenset(flavors.values())

    def ask(self, queue: ClusterQueueFacts, pod_sets: Sequence[PodSetFacts]) -> Granted | Refused:
        """Whether the queue has room for the workload. Takes nothing."""
        if not queue.groups:
            return _unlimited(pod_sets)
        usage: dict[Cell, int] = {}
        flavors: list[Mapping[str, str]] = []
        worst = Mode.FIT
        why: Refused | None = None
        for pod_set in pod_sets:
            wishes = self._wishes_of(queue, pod_set)
            if isinstance(wishes, Refused):
                return wishes
            given: dict[str, str] = {}
            for wish in wishes:
                choice = self._choose(queue, wish, usage, pod_set)
                if choice.mode is Mode.NEVER:
                    return choice.refused or _no_flavor(queue)
                flavor = choice.flavor.name
                for name, amount in wish.amounts.items():
                    given[name] = flavor
                    usage[flavor, name] = usage.get((flavor, name), 0) + amount
                if choice.mode < worst:
                    worst, why = choice.mode, choice.refused
            flavors.append(given)
        granted = Granted(tuple(flavors), usage, worst is Mode.BORROW)
        if worst is Mode.PREEMPT and why is not None:
            return Refused(why.reason, why.message, granted)
        return granted

    def _wishes_of(self, queue: ClusterQueueFacts, pod_set: PodSetFacts) -> tuple[_Wish, ...] | Refused:
        """What a pod set asks of each group of the queue; worked out once in a cycle."""
        known = self._wishes.get((queue.name, id(pod_set)))
        if known is not None and known[0] is pod_set:
            return known[1]
        found = self._asked_of(queue, pod_set)
        self._wishes[queue.name, id(pod_set)] = pod_set, found
        return found

    def _asked_of(self, queue: ClusterQueueFacts, pod_set: PodSetFacts) -> tuple[_Wish, ...] | Refused:
        wanted = {name: amount * pod_set.count for name, amount in pod_set.pod_class.requests if amount}
        seen: set[str] = set()
        found = []
        for name in sorted(wanted):
            if name in seen:
                continue
            group = _group_of(queue, name)
            if group is None:
                if name == PODS or not queue.covers_all:
                    continue
                return _uncovered(queue, name)
            of_group = {other: wanted[other] for other in wanted if other in group[0].resources}
            seen |= of_group.keys()
            usable = self._usable
            may = tuple(one for one in group if usable is None or usable(pod_set, one, group))
            found.append(_Wish(group, may, of_group))
        return tuple(found)

    def borrows(self, queue: ClusterQueueFacts, answer: Granted | Refused) -> bool:
        """Whether the workload would use what belongs to others, now or once others have made way."""
        if isinstance(answer, Granted) and queue.groups:
            return answer.borrows
        wanted = answer.wanted if isinstance(answer, Refused) else answer
        if wanted is None or not queue.cohort:
            return False
        return any(self.book.borrowed(queue.name, cell, amount) for cell, amount in wanted.usage.items())

    def standing_with(self, queue: ClusterQueueFacts, pod_sets: Sequence[PodSetFacts]) -> tuple[Share, ...]:
        """What shares the queue and its cohorts would have with this workload, from the top."""
        answer = self.ask(queue, pod_sets)
        wanted = answer.wanted if isinstance(answer, Refused) else answer
        mark = self.book.mark()
        for cell, amount in wanted.usage.items() if wanted is not None else ():
            self.book.use(queue.name, cell, amount)
        found = self.book.standing(queue.name)
        self.book.rollback(mark)
        return found

    def charge(self, queue: ClusterQueueFacts, granted: Granted) -> None:
        """Take what was granted."""
        if queue.groups:
            for cell, amount in granted.usage.items():
                self.book.use(queue.name, cell, amount)

    def charge_leftover(self, queue: ClusterQueueFacts, held: Amounts) -> None:
        """Count what pods of an ended attempt still hold, on the first flavor that covers it."""
        for name, amount in held.items():
            group = _group_of(queue, name)
            if group is not None:
                self.book.use(queue.name, (group[0].name, name), amount)
                self.ending[queue.name, (group[0].name, name)] += amount

    def end(self, queue: str, usage: Mapping[Cell, int]) -> None:
        """Note that this is given back soon; it is used until then."""
        for cell, amount in usage.items():
            self.ending[queue, cell] += amount

    @contextmanager
    def later(self) -> Iterator[None]:
        """Within: as if all that ends were given back."""
        for (queue, cell), amount in self.ending.items():
            self.book.use(queue, cell, -amount)
        yield
        for (queue, cell), amount in self.ending.items():
            self.book.use(queue, cell, amount)

    def _choose(
        self,
        queue: ClusterQueueFacts,
        wish: _Wish,
        usage: Mapping[Cell, int],
        pod_set: PodSetFacts,
    ) -> _Choice:
        """The first flavor the workload is content with, else the best there is."""
        best: _Choice | None = None
        for flavor in wish.usable:
            if self._without and flavor.name in self._without.get(pod_set.name, ()):
                continue
            found = self._try(queue, flavor, wish.amounts, usage)
            if best is None or found.mode > best.mode:
                best = found
            content = (
                found.mode is Mode.FIT
                or (found.mode is Mode.BORROW and queue.search.borrow_first)
                or (found.mode is Mode.PREEMPT and queue.search.preempt_first)
            )
            if content:
                return found
        return best or _Choice(Mode.NEVER, wish.group[0], _unsuitable(queue, pod_set))

    def _try(
        self, queue: ClusterQueueFacts, flavor: FlavorQuota, wanted: Amounts, usage: Mapping[Cell, int]
    ) -> _Choice:
        mode, refused = Mode.FIT, None
        for name, amount in wanted.items():
            cell = (flavor.name, name)
            needed = amount + usage.get(cell, 0)
            potential = self.book.potential(queue.name, cell)
            if needed > potential:
                return _Choice(Mode.NEVER, flavor, _exceeds(queue, flavor, name, needed, potential))
            available = self.book.available(queue.name, cell)
            if needed > available:
                if mode is not Mode.PREEMPT:
                    refused = _waits(queue, flavor, name, needed, available, potential)
                mode = Mode.PREEMPT
            elif mode is Mode.FIT and self.book.borrowed(queue.name, cell, needed):
                mode = Mode.BORROW
        return _Choice(mode, flavor, refused)


def _unlimited(pod_sets: Sequence[PodSetFacts]) -> Granted:
    flavors = tuple(
        {name: DEFAULT_FLAVOR for name, amount in pod_set.pod_class.requests if amount and name != PODS}
        for pod_set in pod_sets
    )
    usage = {
        (DEFAULT_FLAVOR, n): amount for n, amount in total_requests(pod_sets).items() if n != PODS and amount
    }
    return Granted(flavors, usage)


def total_requests(pod_sets: Sequence[PodSetFacts]) -> dict[str, int]:
    """What all pods of a workload ask for together."""
    total: Counter[str] = Counter()
    for pod_set in pod_sets:
        for name, amount in pod_set.pod_class.requests:
            total[name] += amount * pod_set.count
    return dict(total)


def _group_of(queue: ClusterQueueFacts, resource: str) -> tuple[FlavorQuota, ...] | None:
    for group in queue.groups:
        if any(resource in flavor.resources for flavor in group):
            return group
    return None


def _uncovered(queue: ClusterQueueFacts, name: str) -> Refused:
    return Refused(
        "NoMatchingFlavor",
        f"{queue.title} has no quota for {name}: add it to spec.resourceGroups or do not ask for it",
    )


def _no_flavor(queue: ClusterQueueFacts) -> Refused:
    return Refused("NoMatchingFlavor", f"{queue.title} has a group without flavors")


def _unsuitable(queue: ClusterQueueFacts, pod_set: PodSetFacts) -> Refused:
    levels = ", ".join(pod_set.named_levels)
    asked = f", or their Topology has no levels {levels} in this order" if levels else ""
    return Refused(
        "NoMatchingFlavor",
        f"pod set {pod_set.name} may use no flavor of {queue.title}: its node selector, "
        f"node affinity or tolerations match none of their nodeLabels and nodeTaints{asked}",
    )


def _exceeds(
    queue: ClusterQueueFacts, flavor: FlavorQuota, name: str, amount: int, potential: int
) -> Refused:
    asked, whole = readable_pair(name, amount, potential)
    lent = " with all it may borrow" if queue.cohort else ""
    return Refused(
        "ExceedsMaxQuota",
        f"can never start in {queue.title}: asks {asked} {name}, the whole quota of flavor "
        f"{flavor.name}{lent} is {whole}; ask for less or raise {queue.limit_field}",
    )


def _waits(
    queue: ClusterQueueFacts, flavor: FlavorQuota, name: str, amount: int, available: int, potential: int
) -> Refused:
    free = readable_amount(name, max(0, available))
    return Refused(
        "WaitingForQuota",
        f"needs {readable_amount(name, amount)} {name} of {queue.title}, flavor {flavor.name}; "
        f"{free} of {readable_amount(name, potential)} is free",
    )
