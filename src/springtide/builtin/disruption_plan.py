"""How many pods of a PodDisruptionBudget may go. Pure functions, called by `disruption`.

Counting and reasons: Kubernetes' disruption controller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.core import Pod
from springtide.api.meta import Condition, LabelSelector, find_condition, set_condition
from springtide.api.policy import DISRUPTION_ALLOWED, PodDisruptionBudget, PodDisruptionBudgetStatus
from springtide.api.selectors import Labels, from_label_selector
from springtide.api.struct import replace

GONE_WITHIN = timedelta(minutes=2)
"""A pod whose eviction was granted and that is still there after this long is taken to stay."""


@dataclass(frozen=True, slots=True)
class Disruption:
    """What to write, and when to look again."""

    status: PodDisruptionBudgetStatus
    again_seconds: float | None
    overdue: tuple[str, ...]
    """Pods that were to be deleted after their eviction and were not."""


def selector_of(budget: PodDisruptionBudget) -> Labels | None:
    """What chooses the pods; None chooses none."""
    selector: LabelSelector | None = budget.spec.selector
    return None if selector is None else from_label_selector(selector)


def needs_scales(budget: PodDisruptionBudget) -> bool:
    """Whether the number of pods there should be counts, not just that of those there are."""
    return budget.spec.max_unavailable is not None or isinstance(budget.spec.min_available, str)


def assess(
    budget: PodDisruptionBudget, pods: Sequence[Pod], scales: Mapping[str, int], now: datetime
) -> Disruption:
    """The budget's status. `scales`: replicas wanted by the pods' controllers, by UID, where they count."""
    expected, desired = _counts(budget, len(pods), sum(scales.values()))
    disrupted, overdue = _disrupted(budget, pods, now)
    healthy = sum(1 for pod in pods if _counts_as_healthy(pod, disrupted))
    allowed = max(0, healthy - desired) if expected > 0 else 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    status = PodDisruptionBudgetStatus(
        observed_generation=budget.metadata.generation or 0,
        disrupted_pods=disrupted,
        disruptions_allowed=allowed,
        current_healthy=healthy,
        desired_healthy=desired,
        expected_pods=expected,
        conditions=_conditions(budget, reason, "", now, allowed=bool(allowed)),
    )
    first = min(disrupted.values(), default=None)
    again = None if first is None else max(0.0, (first + GONE_WITHIN - now).total_seconds())
    return Disruption(status, again, overdue)


def failed(budget: PodDisruptionBudget, why: str, now: datetime) -> PodDisruptionBudgetStatus:
    """The status when the pods cannot be counted: nothing may go."""
    conditions = _conditions(budget, "SyncFailed", why, now, allowed=False)
    return replace(budget.status, disruptions_allowed=0, conditions=conditions)


def _counts(budget: PodDisruptionBudget, present: int, wanted: int) -> tuple[int, int]:
    """Pods there should be, and pods that must stay."""
    least, most = budget.spec.min_available, budget.spec.max_unavailable
    if most is not None:
        return wanted, max(0, wanted - _scaled(most, wanted))
    if isinstance(least, str):
        return wanted, _scaled(least, wanted)
    return present, least if least is not None else 0


def _scaled(value: int | str, whole: int) -> int:
    """A number, or a percentage of `whole`, rounded up."""
    if isinstance(value, int):
        return value
    return -(-int(value.removesuffix("%")) * whole // 100)


def _disrupted(
    budget: PodDisruptionBudget, pods: Sequence[Pod], now: datetime
) -> tuple[dict[str, datetime], tuple[str, ...]]:
    """Of the granted evictions those whose pods are still about to go, and those whose pods stayed."""
    going: dict[str, datetime] = {}
    overdue: list[str] = []
    known = budget.status.disrupted_pods
    for pod in pods:
        granted = known.get(pod.metadata.name)
        if granted is None or pod.metadata.deletion_timestamp is not None:
            continue
        if granted + GONE_WITHIN < now:
            overdue.append(pod.metadata.name)
        else:
            going[pod.metadata.name] = granted
    return going, tuple(overdue)


def _counts_as_healthy(pod: Pod, disrupted: Mapping[str, datetime]) -> bool:
    if pod.metadata.deletion_timestamp is not None or pod.metadata.name in disrupted:
        return False
    ready = find_condition(pod.status.conditions, "Ready")
    return ready is not None and ready.status == "True"


def _conditions(
    budget: PodDisruptionBudget, reason: str, message: str, now: datetime, *, allowed: bool
) -> list[Condition]:
    condition = Condition(
        type=DISRUPTION_ALLOWED,
        status="True" if allowed else "False",
        reason=reason,
        message=message,
        observed_generation=budget.metadata.generation,
    )
    return set_condition(budget.status.conditions, condition, now)
