"""How many pods a ReplicaSet is short of or has too many, which of them go, and its status. Pure.

Called by `replicasets`. Source of the rules: kube-controller-manager's replicaset controller.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from springtide.api.apps import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from springtide.api.core import Pod
from springtide.api.meta import ObjectMeta, find_condition, owner_reference, whole_second
from springtide.api.pods import PodTemplateSpec
from springtide.api.struct import replace
from springtide.builtin.pod_state import (
    is_active,
    is_available,
    is_ending,
    is_ready,
    ready_since,
    restarts,
    until_available,
)

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
FAILED_CREATE = "FailedCreate"
FAILED_DELETE = "FailedDelete"
_PHASE_ORDER = {"Pending": 0, "Unknown": 1}
_WHOLE = re.compile("-[0-9]{1,20}|0|[1-9][0-9]{0,19}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ReplicaSetPlan:
    """What to do about the number of pods."""

    create: int = 0
    delete: tuple[Pod, ...] = ()


def plan(
    owner: ReplicaSet, pods: Sequence[Pod], siblings: Sequence[Pod], now: datetime, burst: int
) -> ReplicaSetPlan:
    """`pods` are the owner's; `siblings` those of all sets of the same owner, for spreading over nodes."""
    if owner.metadata.deletion_timestamp is not None:
        return ReplicaSetPlan()
    active = [pod for pod in pods if is_active(pod)]
    missing = wanted(owner) - len(active)
    if missing >= 0:
        return ReplicaSetPlan(create=min(missing, burst))
    ranked = by_deletion(active, siblings, now)
    return ReplicaSetPlan(delete=tuple(ranked[: min(-missing, burst)]))


def wanted(owner: ReplicaSet) -> int:
    return owner.spec.replicas if owner.spec.replicas is not None else 1


def by_deletion(pods: Sequence[Pod], siblings: Sequence[Pod], now: datetime) -> list[Pod]:
    """The pods in the order in which they are to go: those whose loss costs least first."""
    crowd = Counter(pod.spec.node_name for pod in siblings if is_active(pod))

    def rank(pod: Pod) -> tuple[Any, ...]:
        ready = is_ready(pod)
        return (
            bool(pod.spec.node_name),
            _PHASE_ORDER.get(pod.status.phase, 2),
            ready,
            deletion_cost(pod),
            -crowd[pod.spec.node_name],
            _youth(ready_since(pod), now) if ready else 0,
            -restarts(pod),
            _youth(pod.metadata.creation_timestamp, now),
            pod.metadata.uid,
        )

    return sorted(pods, key=rank)


def deletion_cost(pod: Pod) -> int:
    """What the pod says its deletion costs; 0 where it says nothing or no whole number of 32 bits."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    cost = int(text) if _WHOLE.fullmatch(text) else 0
    return cost if -(2**31) <= cost < 2**31 else 0


def _youth(since: datetime | None, now: datetime) -> int:
    """Ages by their power of two, so that it is not always the youngest that goes."""
    nanoseconds = (now - (since or _EPOCH)).total_seconds() * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds >= 1 else -1


def status_of(
    owner: ReplicaSet, pods: Sequence[Pod], failure: str, now: datetime, generation: int
) -> ReplicaSetStatus:
    """The status for these pods; `failure` is why creating or deleting them failed, or empty.

    `generation` is that of the spec that was acted upon, which may be older than the owner's.
    """
    active = [pod for pod in pods if is_active(pod)]
    ready = [pod for pod in active if is_ready(pod)]
    wished = owner.spec.template.metadata.labels.items()
    return replace(
        owner.status,
        observed_generation=generation,
        replicas=len(active),
        fully_labeled_replicas=sum(wished <= pod.metadata.labels.items() for pod in active),
        ready_replicas=len(ready),
        available_replicas=sum(is_available(pod, owner.spec.min_ready_seconds, now) for pod in ready),
        terminating_replicas=sum(is_ending(pod) for pod in pods),
        conditions=_conditions(owner, len(active), failure, now),
    )


def _conditions(owner: ReplicaSet, active: int, failure: str, now: datetime) -> list[ReplicaSetCondition]:
    known = find_condition(owner.status.conditions, "ReplicaFailure")
    if failure and known is None:
        failed = ReplicaSetCondition(
            type="ReplicaFailure",
            status="True",
            reason=FAILED_CREATE if active < wanted(owner) else FAILED_DELETE,
            message=failure,
            last_transition_time=whole_second(now),
        )
        return [*owner.status.conditions, failed]
    if not failure and known is not None:
        return [one for one in owner.status.conditions if one.type != "ReplicaFailure"]
    return owner.status.conditions


def look_again(owner: ReplicaSet, pods: Sequence[Pod], now: datetime) -> float | None:
    """Seconds until a pod that is ready becomes available."""
    return until_available([pod for pod in pods if is_active(pod)], owner.spec.min_ready_seconds, now)


def pod_of(owner: ReplicaSet, name: str, base: str) -> Pod:
    """A pod of the owner's template."""
    return pod_from_template(owner, owner.spec.template, name, base)


def pod_from_template(owner: Any, template: PodTemplateSpec, name: str, base: str = "") -> Pod:
    """A pod of any template that belongs to the owner; `base` is what upstream would generate names from."""
    return Pod(
        metadata=ObjectMeta(
            name=name,
            generate_name=base,
            namespace=owner.metadata.namespace,
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            owner_references=[owner_reference(owner)],
        ),
        spec=template.spec,
    )
