"""Which waiting pods are told apart by their images: all, once any node says which images it has.

Owned by the cluster state. Until then pods that differ in their images alone are one class, and images cost
nothing; nodes that run commands of their machine never name any.
"""

from __future__ import annotations

from dataclasses import replace

from springtide.scheduling.classes import PodClass
from springtide.scheduling.facts import PodFacts, PodSetFacts, WorkloadFacts
from springtide.scheduling.images import Images, images_of
from springtide.scheduling.nodes import NodeFacts

_KEPT_MAX = 4096


class Imaging:
    """Whether images count, and the facts of those that wait with their images."""

    def __init__(self) -> None:
        self._counts = False
        self.stale = False
        """Whether everybody who waits has to be looked at again."""
        self._known: dict[tuple[PodSetFacts, Images], PodSetFacts] = {}

    def note(self, facts: NodeFacts) -> None:
        """A node came or changed."""
        if facts.images and not self._counts:
            self._counts = self.stale = True

    def of_pod(self, pod: PodFacts) -> PodFacts:
        """The facts of a pod."""
        if not self._counts or not pod.waits or pod.pod_class is None:
            return pod
        found = _with(pod.pod_class, images_of(pod.obj.spec))
        return pod if found is pod.pod_class else replace(pod, pod_class=found)

    def of_workload(self, workload: WorkloadFacts | None) -> WorkloadFacts | None:
        """The facts of a workload: equal pod sets stay one and the same."""
        if not self._counts or workload is None or not workload.pod_sets:
            return workload
        specs = (one.template.spec for one in workload.obj.spec.pod_sets)
        found = tuple(
            self._of_set(facts, images_of(spec)) for facts, spec in zip(workload.pod_sets, specs, strict=True)
        )
        if all(new is old for new, old in zip(found, workload.pod_sets, strict=True)):
            return workload
        return replace(workload, pod_sets=found)

    def _of_set(self, facts: PodSetFacts, images: Images | None) -> PodSetFacts:
        if images is None or facts.pod_class.images == images:
            return facts
        key = facts, images
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _KEPT_MAX:
                del self._known[next(iter(self._known))]
            found = replace(facts, pod_class=_with(facts.pod_class, images))
            self._known[key] = found
        return found


def _with(pod_class: PodClass, images: Images | None) -> PodClass:
    return pod_class if pod_class.images == images else replace(pod_class, images=images)
