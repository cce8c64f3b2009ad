"""Plain pods that run, by node: those among whom `pod_preemption` finds victims. Owned by `ClusterState`."""

from __future__ import annotations

from collections.abc import Mapping

from springtide.scheduling.facts import PodFacts, is_doomed


class RunningPods:
    """Kept change by change; what was handed out stays as it was."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, PodFacts]] = {}

    def note(self, pod: PodFacts, sign: int) -> None:
        """A pod runs (also with other facts than before), or no more."""
        there = {key: one for key, one in self._by_node.get(pod.node, {}).items() if key != pod.key}
        if sign > 0:
            there[pod.key] = pod
        if there:
            self._by_node[pod.node] = there
        else:
            self._by_node.pop(pod.node, None)

    def renew(self, pod: PodFacts) -> None:
        """Other facts of a pod, if it runs."""
        if pod.key in self._by_node.get(pod.node, ()):
            self.note(pod, +1)

    def by_node(self) -> Mapping[str, Mapping[str, PodFacts]]:
        """As of now."""
        return dict(self._by_node)


def is_to_be_deleted(pod: PodFacts) -> bool:
    """Whether a plain pod was told that it goes, and is not being deleted yet."""
    return pod.obj.metadata.deletion_timestamp is None and not pod.workload and is_doomed(pod.obj)
