"""Equivalence classes of pods: equal requests and equal constraints are decided once, not once per pod.

The cluster state sorts every waiting pod and pod set into a class; placement keeps its feasibility and
scores per class. Constraints are what narrows the choice of nodes regardless of free capacity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from springtide.api.core import (
    NodeSelectorTerm,
    PodSpec,
    PreferredSchedulingTerm,
    Taint,
    Toleration,
)
from springtide.api.nodematch import term_holds
from springtide.scheduling.between import Sort
from springtide.scheduling.colocation import level_of
from springtide.scheduling.devices import DeviceRequest
from springtide.scheduling.images import Images
from springtide.scheduling.locality import data_wishes
from springtide.scheduling.requests import CPU, Amounts, pod_requests
from springtide.scheduling.sharing import PARTS, device_request

BLOCKING_EFFECTS = ("NoSchedule", "NoExecute")
_NO_ANNOTATIONS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Constraints:
    """Which nodes a pod may run on, whatever is free there."""

    selector: tuple[tuple[str, str], ...] = ()
    affinity: tuple[NodeSelectorTerm, ...] | None = None
    """Required node affinity: any term may hold; None asks for nothing, no terms match no node."""
    tolerations: tuple[Toleration, ...] = ()
    preferred: tuple[PreferredSchedulingTerm, ...] = ()
    key: bytes = b""
    """Equal for equal constraints; what they compare and hash by."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraints) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def admit(self, node: str, labels: Mapping[str, str], taints: Sequence[Taint]) -> bool:
        """Whether a node with these labels and taints may hold such pods."""
        return self.select(node, labels) and self.untolerated(taints) is None

    def select(self, node: str, labels: Mapping[str, str]) -> bool:
        """Whether node selector and required node affinity choose the node."""
        if any(labels.get(key) != value for key, value in self.selector):
            return False
        return self.affinity is None or any(term_holds(term, node, labels) for term in self.affinity)

    def untolerated(self, taints: Sequence[Taint]) -> Taint | None:
        """The first taint that keeps such pods away."""
        return next(
            (taint for taint in taints if taint.effect in BLOCKING_EFFECTS and not self._tolerates(taint)),
            None,
        )

    @property
    def selects(self) -> bool:
        """Whether nodes are chosen by their names or labels at all."""
        return bool(self.selector) or self.affinity is not None

    @property
    def without_selection(self) -> Constraints:
        """The same without node selector and required node affinity: for trials."""
        return constraints((), None, self.tolerations, self.preferred)

    @property
    def tolerating_all(self) -> Constraints:
        """The same with every taint tolerated: for trials."""
        return constraints(self.selector, self.affinity, (_TOLERATES_ALL,), self.preferred)

    def aversion(self, node: str, labels: Mapping[str, str], taints: Sequence[Taint]) -> float:
        """How much such pods would rather be elsewhere: soft taints and preferences that do not hold.

        A taint counts 1 and a preference its weight of at most 100 in hundredths.
        """
        shunned = sum(taint.effect == "PreferNoSchedule" and not self._tolerates(taint) for taint in taints)
        unmet = sum(p.weight for p in self.preferred if not term_holds(p.preference, node, labels))
        return shunned + unmet / 100

    def _tolerates(self, taint: Taint) -> bool:
        return any(t.tolerates(taint.key, taint.value, taint.effect) for t in self.tolerations)


@dataclass(frozen=True)
class PodClass:
    """Pods that are the same to the scheduler."""

    requests: tuple[tuple[str, int], ...]
    """Resource and amount, by name; `pods` is always among them."""
    constraints: Constraints
    devices: DeviceRequest | None = None
    """What it asks of devices, where nodes say which they have."""
    between: Sort | None = None
    """What it has to do with other pods, where pods ask about each other."""
    images: Images | None = None
    """What it runs from, where nodes say which images they have."""

    @cached_property
    def _hash(self) -> int:
        return hash((self.requests, self.constraints, self.devices, self.between, self.images))

    def __hash__(self) -> int:
        return self._hash

    @property
    def amounts(self) -> Amounts:
        return dict(self.requests)

    @cached_property
    def cpu(self) -> int:
        """What one pod asks for, in thousandths of a CPU."""
        return next((amount for name, amount in self.requests if name == CPU), 0)


def class_of(spec: PodSpec, annotations: Mapping[str, str] | None = _NO_ANNOTATIONS) -> PodClass:
    """The class of pods of this spec. Raises ValueError for what cannot be understood.

    Without annotations (None) nothing is asked of devices, and only a quantity that does not parse raises.
    """
    requests = tuple(sorted(item for item in pod_requests(spec).items() if item[0] not in PARTS))
    devices = device_request(spec, annotations) if annotations is not None else None
    level_of(annotations or _NO_ANNOTATIONS)
    asked = constraints_of(spec)
    wishes = data_wishes(annotations or _NO_ANNOTATIONS)
    if wishes:
        asked = constraints(asked.selector, asked.affinity, asked.tolerations, (*asked.preferred, *wishes))
    return PodClass(requests, asked, devices)


def constraints_of(spec: PodSpec) -> Constraints:
    """What of a spec narrows the choice of nodes."""
    selector = tuple(sorted(spec.node_selector.items()))
    required, preferred = None, []
    if spec.affinity is not None and spec.affinity.node_affinity is not None:
        required = spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
        preferred = spec.affinity.node_affinity.preferred_during_scheduling_ignored_during_execution
    affinity = tuple(required.node_selector_terms) if required is not None else None
    return constraints(selector, affinity, tuple(spec.tolerations), tuple(preferred))


def constraints(
    selector: tuple[tuple[str, str], ...],
    affinity: tuple[NodeSelectorTerm, ...] | None,
    tolerations: tuple[Toleration, ...],
    preferred: tuple[PreferredSchedulingTerm, ...],
) -> Constraints:
    """Constraints, with what they compare by."""
    distinct = (selector, affinity, tolerations, preferred)
    key = msgspec.json.encode(distinct) if distinct != _UNCONSTRAINED else b""
    return Constraints(selector, affinity, tolerations, preferred, key)


_UNCONSTRAINED = ((), None, (), ())
_TOLERATES_ALL = Toleration(operator="Exists")
