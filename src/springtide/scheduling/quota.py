"""Quota of ClusterQueues in one cycle: nominal quota against simple sums, no borrowing yet.

One flavor is chosen per resource group for the whole workload: the first, in the queue's order, that has
room for all of it. A ClusterQueue without `resourceGroups` sets no limit, so that a laptop needs no
quota; one with them refuses resources it does not cover, as Kueue does. Called by the plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.queues import DEFAULT_FLAVOR, ClusterQueueFacts, FlavorQuota
from springtide.scheduling.requests import PODS, Amounts, readable_amount, readable_pair


@dataclass(frozen=True)
class Granted:
    """Room in the queue: which flavor each resource is charged to."""

    flavors: Mapping[str, str]


@dataclass(frozen=True)
class Refused:
    """No room in the queue: Kueue's reason and what would change it."""

    reason: str
    message: str


class Quota:
    """What is used of every queue; grows as the cycle admits."""

    def __init__(self, usage: Mapping[str, Mapping[tuple[str, str], int]]) -> None:
        self._used = {queue: Counter(cells) for queue, cells in usage.items()}

    def ask(self, queue: ClusterQueueFacts, wanted: Amounts) -> Granted | Refused:
        """Whether the queue has room for so much more. Takes nothing."""
        if not queue.groups:
            return Granted(
                {name: DEFAULT_FLAVOR for name, amount in wanted.items() if amount and name != PODS}
            )
        flavors: dict[str, str] = {}
        for name, amount in sorted(wanted.items()):
            if name in flavors or not amount:
                continue
            group = _group_of(queue, name)
            if group is None:
                if name == PODS:
                    continue
                return Refused(
                    "NoMatchingFlavor",
                    f"ClusterQueue {queue.name} has no quota for {name}: "
                    "add it to spec.resourceGroups or do not ask for it",
                )
            of_group = {
                other: wanted[other] for other in wanted if other in group[0].nominal and wanted[other]
            }
            chosen = self._first_with_room(queue, group, of_group)
            if isinstance(chosen, Refused):
                return chosen
            flavors.update(dict.fromkeys(of_group, chosen.name))
        return Granted(flavors)

    def charge(self, queue: ClusterQueueFacts, wanted: Amounts, flavors: Mapping[str, str]) -> None:
        """Take what was granted."""
        used = self._used.setdefault(queue.name, Counter())
        for name, flavor in flavors.items():
            used[(flavor, name)] += wanted[name]

    def charge_leftover(self, queue: ClusterQueueFacts, held: Amounts) -> None:
        """Count what pods of an ended attempt still hold, on the first flavor that covers it."""
        groups = {name: group for name in held if (group := _group_of(queue, name)) is not None}
        self.charge(queue, held, {name: group[0].name for name, group in groups.items()})

    def _first_with_room(
        self, queue: ClusterQueueFacts, group: tuple[FlavorQuota, ...], wanted: Amounts
    ) -> FlavorQuota | Refused:
        used = self._used.get(queue.name, Counter())
        waits: Refused | None = None
        exceeds: Refused | None = None
        for flavor in group:
            short = next((n for n, amount in wanted.items() if amount > flavor.nominal.get(n, 0)), None)
            if short is not None:
                exceeds = exceeds or _exceeds(queue, flavor, short, wanted[short])
                continue
            full = next((n for n in wanted if used[(flavor.name, n)] + wanted[n] > flavor.nominal[n]), None)
            if full is None:
                return flavor
            waits = waits or _waits(queue, flavor, full, wanted[full], used[(flavor.name, full)])
        return (
            waits
            or exceeds
            or Refused("NoMatchingFlavor", f"ClusterQueue {queue.name} has a group without flavors")
        )


def total_requests(pod_sets: tuple[PodSetFacts, ...]) -> dict[str, int]:
    """What all pods of a workload ask for together."""
    total: Counter[str] = Counter()
    for pod_set in pod_sets:
        for name, amount in pod_set.pod_class.requests:
            total[name] += amount * pod_set.count
    return dict(total)


def _group_of(queue: ClusterQueueFacts, resource: str) -> tuple[FlavorQuota, ...] | None:
    return next(
        (group for group in queue.groups if any(resource in flavor.nominal for flavor in group)), None
    )


def _exceeds(queue: ClusterQueueFacts, flavor: FlavorQuota, name: str, amount: int) -> Refused:
    asked, nominal = readable_pair(name, amount, flavor.nominal.get(name, 0))
    return Refused(
        "ExceedsMaxQuota",
        f"can never start in ClusterQueue {queue.name}: asks {asked} {name}, "
        f"the whole quota of flavor {flavor.name} is {nominal}; ask for less or raise nominalQuota",
    )


def _waits(queue: ClusterQueueFacts, flavor: FlavorQuota, name: str, amount: int, used: int) -> Refused:
    nominal = flavor.nominal[name]
    return Refused(
        "WaitingForQuota",
        f"needs {readable_amount(name, amount)} {name} of ClusterQueue {queue.name}, flavor {flavor.name}; "
        f"{readable_amount(name, max(0, nominal - used))} of {readable_amount(name, nominal)} is free",
    )
