"""Pods that somebody else made for a gang: which of the gang's places each of them goes to.

A group's Workload is admitted with a place for every pod; binding follows, pod by pod. Nothing is
remembered of it: a place is taken while there is a pod of this attempt on it, so that after a crash in the
middle the rest goes to the places that are left. Kept by the cluster state, called by the cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from springtide.api.gpus import indices_in, spelled
from springtide.api.kueue import names_nodes, places_of
from springtide.api.membership import index_of
from springtide.api.meta import is_true
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.releasing import PodSetOnNode

Place = tuple[str, tuple[int, ...]]
"""A node, and the devices of it."""
Taken = Callable[[WorkloadFacts], Mapping[PodSetOnNode, int]]
"""Which places of an admitted workload there are pods on."""


@dataclass(frozen=True)
class Seating:
    """The pods of one group that have no node yet."""

    pods: tuple[PodFacts, ...]
    """By their number, then by name."""
    taken: Mapping[PodSetOnNode, int] = field(default_factory=dict)
    """Places of the current attempt that pods have already."""

    def places(self, facts: WorkloadFacts) -> Iterator[tuple[PodFacts, Place]]:
        """Where each of them goes, of an admitted workload: none of a group that is not admitted wholly."""
        if facts.admission is None or not is_true(facts.obj.status.conditions, "Admitted"):
            return
        if facts.evicted is not None or facts.obj.metadata.deletion_timestamp is not None:
            return
        for name, left in self._left(facts).items():
            mine = [pod for pod in self.pods if pod.cell[1] == name and _is_ready(pod)]
            numbered = {index: pod for pod in mine if (index := index_of(pod.obj)) in left}
            rest = [pod for pod in mine if numbered.get(index_of(pod.obj) or 0) is not pod]
            for number, place in left.items():
                pod = numbered.get(number)
                if pod is None and rest:
                    pod = rest.pop(0)
                if pod is not None:
                    yield pod, place

    def _left(self, facts: WorkloadFacts) -> dict[str, dict[int, Place]]:
        """The places that nobody has, by pod set and number."""
        taken = Counter(self.taken)
        found: dict[str, dict[int, Place]] = {}
        for assignment in facts.admission.pod_set_assignments if facts.admission is not None else ():
            topology = assignment.topology_assignment
            if topology is None or not names_nodes(topology):
                continue
            number = 0
            for node, devices, count in places_of(topology):
                given = indices_in(devices)
                for _ in range(count):
                    seat = assignment.name, node, spelled(given) if given else ""
                    if taken[seat] > 0:
                        taken[seat] -= 1
                    else:
                        found.setdefault(assignment.name, {})[number] = node, given
                    number += 1
        return found


class Members:
    """All pods of groups that have no node yet."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, PodFacts]] = {}

    def add(self, pod: PodFacts) -> None:
        """A pod came, or changed."""
        if not pod.node and not _is_over(pod):
            self._of.setdefault(pod.member_of, {})[pod.key] = pod

    def discard(self, pod: PodFacts) -> None:
        """A pod went, or is about to be added as it is now."""
        known = self._of.get(pod.member_of)
        if known is not None:
            known.pop(pod.key, None)
            if not known:
                del self._of[pod.member_of]

    def waiting(self, workloads: Mapping[str, WorkloadFacts], taken: Taken) -> dict[str, Seating]:
        """The groups of which some wait."""
        found = {}
        for key in sorted(self._of):
            workload = workloads.get(key)
            pods = tuple(sorted(self._of[key].values(), key=_by_number))
            admitted = workload is not None and workload.admission is not None
            found[key] = Seating(pods, taken(workload) if admitted and workload is not None else {})
        return found


def _by_number(pod: PodFacts) -> tuple[int, str]:
    number = index_of(pod.obj)
    return (number if number is not None else 1 << 31), pod.key


def _is_ready(pod: PodFacts) -> bool:
    return not pod.obj.spec.scheduling_gates and pod.pod_class is not None


def _is_over(pod: PodFacts) -> bool:
    return pod.obj.metadata.deletion_timestamp is not None or pod.obj.status.phase in ("Succeeded", "Failed")
