"""How many pods of an application may be away: what PodDisruptionBudgets leave when victims are chosen.

Kept by the cluster state, asked by `pod_preemption`. A budget is respected as far as possible: where there is
no other choice, pods go nevertheless, as with kube-scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from springtide.api.core import Pod
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
