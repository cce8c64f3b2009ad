"""How important the pods of workloads are: what counts between workloads and plain pods.

Among each other workloads go by their own priority, which a WorkloadPriorityClass may give and which says
nothing of their pods (Kueue's rule). Against plain pods the priority of the pods counts, as it would with
kube-scheduler once they exist: the template's own, that of its PriorityClass, or the workload's where that
comes from a PriorityClass itself. A gang goes whole: it is as hard to send away as its most important pod,
and sends away only whom each of its pods might. Kept by `ClusterState`; asked by `claims` and the cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from springtide.api.kueue import Workload, WorkloadSpec
from springtide.api.pods import PodSpec
from springtide.api.scheduling import PriorityClass

NEVER = "Never"
_OF_WORKLOADS = "WorkloadPriorityClass"
_KNOWN_MAX = 65_536
"""Workloads whose standing is kept ready; beyond that they are looked at anew, for most are over."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a workload stands against plain pods."""

    lowest: int
    """Priority of its least important pods: only pods below that go for it."""
    highest: int
    """Priority of its most important pods: it goes only for pods above that."""
    preempts: bool
    """Whether its pods let others go for themselves."""


@dataclass(frozen=True)
class PodPriorities:
    """What the PriorityClasses of a cluster make of pods that do not exist yet."""

    classes: Mapping[str, PriorityClass] = field(default_factory=dict)
    _known: dict[str, tuple[WorkloadSpec, Standing]] = field(default_factory=dict, compare=False, repr=False)

    def standing(self, workload: Workload) -> Standing:
        """How a workload stands against plain pods."""
        known = self._known.get(workload.key)
        if known is not None and known[0] is workload.spec:
            return known[1]
        found = self._standing(workload.spec)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[workload.key] = workload.spec, found
        return found

    def _standing(self, spec: WorkloadSpec) -> Standing:
        reference = spec.priority_class_ref
        own = spec.priority if reference is None or reference.kind != _OF_WORKLOADS else None
        pods = [one.template.spec for one in spec.pod_sets]
        values = [self._priority(one, own) for one in pods] or [own or 0]
        return Standing(min(values), max(values), not any(self._policy(one) == NEVER for one in pods))

    def _priority(self, spec: PodSpec, own: int | None) -> int:
        if spec.priority is not None:
            return spec.priority
        named = self.classes.get(spec.priority_class_name)
        if named is not None:
            return named.value
        if own is not None:
            return own
        return max((one.value for one in self.classes.values() if one.global_default), default=0)

    def _policy(self, spec: PodSpec) -> str | None:
        named = self.classes.get(spec.priority_class_name)
        return spec.preemption_policy or (named.preemption_policy if named is not None else None)


class PriorityBook:
    """The PriorityClasses there are, kept change by change."""

    def __init__(self, classes: Iterable[PriorityClass] = ()) -> None:
        self._classes = {one.metadata.name: one for one in classes}
        self._found: PodPriorities | None = None

    def change(self, old: PriorityClass | None, new: PriorityClass | None) -> None:
        """A class came, changed or went."""
        if new is not None:
            self._classes[new.metadata.name] = new
        elif old is not None:
            self._classes.pop(old.metadata.name, None)
        self._found = None

    def priorities(self) -> PodPriorities:
        """As of now; the same as long as no class changes."""
        if self._found is None:
            self._found = PodPriorities(dict(self._classes))
        return self._found
