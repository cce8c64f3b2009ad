"""How many pods of an application may be away: what PodDisruptionBudgets leave when victims are chosen.

Kept by the cluster state, asked by `pod_preemption` for plain pods, by `victims` for workloads and by
`defragmentation`. A budget is respected as far as possible: where there is no other choice, pods go
nevertheless, as with kube-scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from springtide.api.core import Pod
from springtide.api.gangpods import labels_of_pods
from springtide.api.kueue import PodSet, Workload
from springtide.api.meta import ObjectMeta
from springtide.api.policy import PodDisruptionBudget
from springtide.api.selectors import Labels, from_label_selector


@dataclass(frozen=True)
class Budget:
    """What one budget still allows."""

    namespace: str
    selector: Labels
    allowed: int
    disrupted: frozenset[str]
    """Pods whose eviction it counts already."""

    def covers(self, pod: Pod) -> bool:
        """Whether a pod that goes would count against it."""
        metadata = pod.metadata
        if metadata.namespace != self.namespace or not metadata.labels or metadata.name in self.disrupted:
            return False
        return self.selector.matches(metadata.labels)


def budget_of(obj: PodDisruptionBudget) -> Budget | None:
    """The facts of a budget. One without a selector, or with an empty one, is None: it keeps nobody here."""
    selector = from_label_selector(obj.spec.selector)
    if selector is None or not selector.requirements:
        return None
    status = obj.status
    return Budget(
        obj.metadata.namespace, selector, status.disruptions_allowed, frozenset(status.disrupted_pods)
    )


def strained(pods: Iterable[Pod], budgets: Sequence[Budget]) -> list[bool]:
    """For each pod, whether its going would break a budget, if all before it go, too."""
    left = [budget.allowed for budget in budgets]
    found = []
    for pod in pods:
        breaks = False
        for number, budget in enumerate(budgets):
            if budget.covers(pod):
                left[number] -= 1
                breaks = breaks or left[number] < 0
        found.append(breaks)
    return found


@dataclass(frozen=True)
class Going:
    """Pods of one workload that go together."""

    workload: Workload
    pods: Mapping[str, int]
    """How many of each pod set."""


class Gangs:
    """What budgets leave when workloads go whole; which of them cover whom is worked out once."""

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self._budgets = budgets
        self._in: dict[str, list[int]] = {}
        for number, budget in enumerate(budgets):
            self._in.setdefault(budget.namespace, []).append(number)
        self._covering: dict[tuple[str, str], tuple[int, ...]] = {}

    def breaking(self, some: Iterable[Going], gone: Iterable[Going] = ()) -> list[bool]:
        """For each, whether its going would break a budget, if `gone` and all before it that break none go.

        Of a workload that goes in parts no later part is better off than an earlier one.
        """
        left = [budget.allowed for budget in self._budgets]
        for one in gone:
            for number, count in self._taken(one).items():
                left[number] -= count
        broken: set[str] = set()
        found = []
        for one in some:
            taken = self._taken(one)
            breaks = one.workload.key in broken or any(left[number] < taken[number] for number in taken)
            if breaks:
                broken.add(one.workload.key)
            else:
                for number, count in taken.items():
                    left[number] -= count
            found.append(breaks)
        return found

    def covers(self, one: Going) -> bool:
        """Whether its going would count against any budget."""
        return bool(self._taken(one))

    def _taken(self, one: Going) -> dict[int, int]:
        """How many pods count against each budget that covers any."""
        taken: dict[int, int] = {}
        if one.workload.metadata.namespace in self._in:
            for pod_set in one.workload.spec.pod_sets:
                count = one.pods.get(pod_set.name, 0)
                for number in self._budgets_of(one.workload, pod_set) if count else ():
                    taken[number] = taken.get(number, 0) + count
        return taken

    def _budgets_of(self, workload: Workload, pod_set: PodSet) -> tuple[int, ...]:
        key = workload.key, pod_set.name
        found = self._covering.get(key)
        if found is None:
            pod = pod_like(workload, pod_set)
            here = self._in[workload.metadata.namespace]
            found = tuple(number for number in here if self._budgets[number].covers(pod))
            self._covering[key] = found
        return found


def pod_like(workload: Workload, pod_set: PodSet) -> Pod:
    """A pod of a workload, as far as budgets tell it: by its labels."""
    own = {**pod_set.template.metadata.labels, **labels_of_pods(workload, pod_set.name)}
    return Pod(metadata=ObjectMeta(namespace=workload.metadata.namespace, labels=own))
