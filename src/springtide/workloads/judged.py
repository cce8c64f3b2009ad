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

from springtide.api import labels
from springtide.api.core import Pod
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


def kept_missing(workload: Workload, slots: Sequence[Slot], pods: Mapping[str, Pod]) -> set[str]:
    """Names of pods that were there and are not made again.

    Of a workload that may grow, those behind the last that is there are new.
    """
    if is_refilled(workload):
        return set()
    grows = workload.metadata.annotations.get(labels.ELASTIC_JOB) == "true"
    begun = begun_sets(slots, pods)
    last: dict[str, int] = {}
    for slot in slots:
        if slot.pod in pods or not grows:
            last[slot.pod_set.name] = max(slot.index, last.get(slot.pod_set.name, 0))
    return {
        slot.pod
        for slot in slots
        if slot.pod not in pods and slot.pod_set.name in begun and slot.index <= last[slot.pod_set.name]
    }


def done(workload: Workload, slots: Sequence[Slot], pods: Mapping[str, Pod]) -> list[ReclaimablePod]:
    """How many pods of each set have ended, if the workload may grow: others may have their quota."""
    if workload.metadata.annotations.get(labels.ELASTIC_JOB) != "true":
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
