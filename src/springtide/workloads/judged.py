"""Workloads whose owner judges their pods itself, and says so in the annotation `springtide.dev/verdict`.

Volcano's Jobs are such owners: a pod that fails may be started anew by itself, be left as it is, or end the
job, by rules that only they know. Here pods that have ended are left alone, missing ones are made again if
the owner wants that (`springtide.dev/refill`), those it names are replaced (`springtide.dev/replace`), pod
sets may wait for others to run first, and the workload is finished when the owner says so. Pure; called by
the plan for admitted workloads of no other attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.gangpods import host_of
from springtide.api.kueue import ReclaimablePod, Workload
from springtide.api.meta import is_true
from springtide.workloads.pods import Slot

OPEN = "open"
_ENDED = ("Succeeded", "Failed")


def is_judged(workload: Workload) -> bool:
    """Whether its owner judges it."""
    return labels.VERDICT in workload.metadata.annotations


def verdict_of(workload: Workload) -> tuple[str, str] | None:
    """How the owner says it ended, `Succeeded` or `Failed`, and why; None while it goes on."""
    said = workload.metadata.annotations.get(labels.VERDICT, OPEN)
    outcome, _, why = said.partition(":")
    return (outcome, why.strip() or f"Its owner says: {outcome}") if outcome in _ENDED else None


def is_refilled(workload: Workload) -> bool:
    """Whether pods that go missing are made again."""
    return workload.metadata.annotations.get(labels.REFILL) == "true"


def to_replace(workload: Workload, pods: Iterable[Pod]) -> list[Pod]:
    """The pods that the owner wants replaced, as far as they are there still."""
    named = set(workload.metadata.annotations.get(labels.REPLACE, "").split(","))
    return [pod for pod in pods if pod.metadata.uid in named]


def due(slots: Sequence[Slot], pods: Mapping[str, Pod]) -> list[Slot]:
    """The pods that should exist by now: those whose set has begun, or does not wait for another."""
    by_set: dict[str, list[Slot]] = {}
    for slot in slots:
        by_set.setdefault(slot.pod_set.name, []).append(slot)
    going = {name for name, of in by_set.items() if all(_goes(pods.get(slot.pod)) for slot in of)}
    begun = begun_sets(slots, pods)
    return [slot for name, of in by_set.items() if name in begun or _may_start(of, going) for slot in of]


def arranged(workload: Workload, slots: Sequence[Slot], pods: Sequence[Pod]) -> tuple[list[Slot], list[Pod]]:
    """Slots and pods brought together after the workload has grown or shrunk; and pods with no place left.

    Pods stay where they are, and new ones have the lowest numbers that are free.
    """
    if not _grows(workload):
        return list(slots), []
    found: list[Slot] = []
    surplus: list[Pod] = []
    for pod_set in workload.spec.pod_sets:
        places = [slot for slot in slots if slot.pod_set.name == pod_set.name]
        numbers: set[int] = set()
        for index, pod in _of_set(pod_set.name, pods):
            place = next((one for one in places if one.node == pod.spec.node_name), None)
            if place is not None:
                places.remove(place)
                found.append(_numbered(workload, place, index))
            elif pod.status.phase not in _ENDED:
                surplus.append(pod)
            numbers.add(index)
        free = (index for index in count() if index not in numbers)
        found += [_numbered(workload, place, next(free)) for place in places]
    return found, surplus


def _of_set(pod_set: str, pods: Sequence[Pod]) -> list[tuple[int, Pod]]:
    """The pods of a set by their number; those that are going anyway come last."""
    own = [pod for pod in pods if pod.metadata.labels.get(labels.PODSET) == pod_set]
    numbered = [(int(pod.metadata.labels.get(labels.JOB_COMPLETION_INDEX, "0")), pod) for pod in own]
    return sorted(numbered, key=lambda one: (one[1].metadata.deletion_timestamp is not None, one[0]))


def _numbered(workload: Workload, slot: Slot, index: int) -> Slot:
    host = host_of(workload, slot.pod_set.name, index)
    return replace(slot, index=index, host=host, pod=slot.pod.replace(slot.host, host, 1))


def _grows(workload: Workload) -> bool:
    return workload.metadata.annotations.get(labels.ELASTIC_JOB) == "true"


def done(workload: Workload, slots: Sequence[Slot], pods: Mapping[str, Pod]) -> list[ReclaimablePod]:
    """How many pods of each set have ended, if the workload may grow: others may have their quota."""
    if not _grows(workload):
        return []
    ended = Counter(
        slot.pod_set.name
        for slot in slots
        if (pod := pods.get(slot.pod)) is not None and pod.status.phase in _ENDED
    )
    names = [pod_set.name for pod_set in workload.spec.pod_sets]
    return [ReclaimablePod(name=name, count=ended[name]) for name in names if ended[name]]


def begun_sets(slots: Sequence[Slot], pods: Mapping[str, Pod]) -> set[str]:
    """Pod sets of which a pod exists: they do not wait a second time."""
    return {slot.pod_set.name for slot in slots if slot.pod in pods}


def _may_start(slots: Sequence[Slot], going: set[str]) -> bool:
    text = slots[0].pod_set.template.metadata.annotations.get(labels.STARTS_AFTER, "")
    how, _, names = text.partition(":")
    before = [name for name in names.split(",") if name]
    if not before:
        return True
    return any(name in going for name in before) if how == "any" else all(name in going for name in before)


def _goes(pod: Pod | None) -> bool:
    """Whether a pod runs and is ready, or has succeeded."""
    if pod is None:
        return False
    return pod.status.phase == "Succeeded" or is_true(pod.status.conditions, "Ready")


def is_settled(pod: Pod | None) -> bool:
    """Whether nothing is to be waited for: the pod is ready, or has ended in whatever way."""
    return _goes(pod) or (pod is not None and pod.status.phase in _ENDED)
