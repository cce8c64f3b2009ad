"""Which pods stand on which node, by sort: kept change by change, and only where pods ask about each other.

Owned by `ClusterState`. As long as no pod asks for nearness, distance, spread or a port of its node, no pod
has a sort and nothing is counted. A label counts from the moment on that a selector looks at it; then all
pods are sorted anew, once. What has begun to count is not given up again while the scheduler runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replaced

import numpy as np

from springtide.api.core import PodSpec
from springtide.api.gangpods import labels_of_pods
from springtide.scheduling.arrays import Ints
from springtide.scheduling.between import Group, Own, Sort, asks, own_of, sort_of
from springtide.scheduling.classes import PodClass
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.relations import Relations

_FORGOTTEN_MAX = 4096
"""So many sorts of which no pod runs any more are kept."""


@dataclass(frozen=True, eq=False)
class Standing:
    """Pods of one sort per node: all, and those of them that are being deleted."""

    nodes: Mapping[str, int]
    leaving: Mapping[str, int]
    _rows: list[tuple[Nodes, Ints, Ints, Ints]] = field(default_factory=list)

    def rows(self, nodes: Nodes, row_of: Mapping[str, int]) -> tuple[Ints, Ints, Ints]:
        """Row, pods and leaving pods of each node that still exists."""
        if self._rows and self._rows[0][0] is nodes:
            return self._rows[0][1:]
        leaving = self.leaving
        there = [(row_of[n], count, leaving.get(n, 0)) for n, count in self.nodes.items() if n in row_of]
        table = np.array(there, dtype=np.int64).reshape(len(there), 3)
        self._rows[:] = [(nodes, table[:, 0], table[:, 1], table[:, 2])]
        return self._rows[0][1:]


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """What a snapshot knows of pods that have to do with each other."""

    relations: Relations
    standing: Mapping[Sort, Standing]


class Neighbours:
    """Sorts pods and counts them."""

    def __init__(self) -> None:
        self.stale = False
        """Whether all pods have to be sorted and counted anew (`begin_anew`)."""
        self._label_keys: set[str] = set()
        self._groups: set[Group] = set()
        self._any_pod = False
        self._used = False
        self._sorts: dict[tuple[str, tuple[tuple[str, str], ...], Own | None], Sort] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._relations = Relations(self._namespaces)
        self._counts: dict[Sort, tuple[dict[str, int], dict[str, int]]] = {}
        self._frozen: dict[Sort, Standing] = {}

    @property
    def idle(self) -> bool:
        """Whether nobody has asked for anything of others yet."""
        return not self._used

    def change_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A namespace has other labels now; None: it is gone."""
        if (labels or {}) == self._namespaces.get(name, {}):
            return
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels
        if any(group.by_namespace_labels for group in self._groups):
            self._relations = Relations(self._namespaces)
            self.stale = True

    def sorted_as(
        self, pod_class: PodClass, spec: PodSpec, namespace: str, labels: Mapping[str, str]
    ) -> PodClass:
        """The class, and with it the sort of pods of this spec. Raises ValueError for an unknown operator."""
        if not self._used and not asks(spec):
            return pod_class
        own = own_of(spec, namespace, labels)
        if own is not None:
            self._use(own)
        sort = self._sort(namespace, labels, own)
        return pod_class if sort == pod_class.between else replaced(pod_class, between=sort)

    def count(self, pod_class: PodClass, node: str, pods: int, *, leaving: bool = False) -> None:
        """So many more pods of a class stand on a node; fewer, if negative."""
        sort = pod_class.between
        if sort is None or self.stale or not pods:
            return
        counts = self._counts.get(sort)
        if counts is None:
            counts = self._counts[sort] = {}, {}
            self._relations.add(sort)
        _add(counts[0], node, pods)
        if leaving:
            _add(counts[1], node, pods)
        self._frozen.pop(sort, None)
        if not counts[0]:
            del self._counts[sort]

    def begin_anew(self) -> None:
        """Forget all counts: whoever calls counts everything again."""
        self.stale = False
        self._sorts.clear()
        self._counts.clear()
        self._frozen.clear()
        self._relations = Relations(self._namespaces)

    def neighbourhood(self) -> Neighbourhood | None:
        """What there is now; None where no pod asks about others."""
        if not self._used:
            return None
        if len(self._relations) > 2 * len(self._counts) + _FORGOTTEN_MAX:
            self._forget()
        for sort, (nodes, leaving) in self._counts.items():
            if sort not in self._frozen:
                self._frozen[sort] = Standing(dict(nodes), dict(leaving))
        return Neighbourhood(self._relations, dict(self._frozen))

    def _forget(self) -> None:
        """Keep only what has to do with pods that run."""
        self._sorts.clear()
        self._groups.clear()
        self._relations = Relations(self._namespaces)
        for sort in self._counts:
            self._relations.add(sort)

    def _sort(self, namespace: str, labels: Mapping[str, str], own: Own | None) -> Sort | None:
        told = {key: labels[key] for key in self._label_keys if key in labels}
        if own is None and not told and not self._any_pod:
            return None
        key = namespace, tuple(sorted(told.items())), own
        found = self._sorts.get(key)
        if found is None:
            found = self._sorts[key] = sort_of(namespace, told, own)
        return found

    def _use(self, own: Own) -> None:
        """Look at what a pod asks about: its selectors may be of labels that did not count so far."""
        self._used = True
        for group in own.groups:
            if group in self._groups:
                continue
            self._groups.add(group)
            keys = frozenset(group.label_keys)
            any_pod = all(part.selector is not None and part.selector.matches({}) for part in group.parts)
            if not keys <= self._label_keys or (any_pod and not self._any_pod):
                self._label_keys |= keys
                self._any_pod = self._any_pod or any_pod
                self.stale = True


def _add(counts: dict[str, int], node: str, pods: int) -> None:
    now = counts.get(node, 0) + pods
    if now:
        counts[node] = now
    else:
        del counts[node]


def sorted_pod(pod: PodFacts, neighbours: Neighbours, before: PodFacts | None = None) -> PodFacts:
    """The facts of a pod, its sort included. What it asks in words nobody knows is its error.

    `before`: what was known of it; if neither its spec nor its labels changed, its sort has not either.
    """
    metadata = pod.obj.metadata
    if pod.pod_class is None:
        return pod
    if (
        before is not None
        and before.pod_class is pod.pod_class
        and before.obj.metadata.labels == metadata.labels
    ):
        return pod
    try:
        found = neighbours.sorted_as(pod.pod_class, pod.obj.spec, metadata.namespace, metadata.labels)
    except ValueError as error:
        return pod if pod.node else replaced(pod, pod_class=None, error=f"spec: {error}")
    return pod if found is pod.pod_class else replaced(pod, pod_class=found)


def sorted_workload(workload: WorkloadFacts, neighbours: Neighbours) -> WorkloadFacts:
    """The facts of a workload, the sorts of its pods included."""
    obj = workload.obj
    if neighbours.idle and not any(asks(one.template.spec) for one in obj.spec.pod_sets):
        return workload
    found = []
    for facts, pod_set in zip(workload.pod_sets, obj.spec.pod_sets, strict=False):
        labels = {**pod_set.template.metadata.labels, **labels_of_pods(obj, pod_set.name)}
        try:
            pod_class = neighbours.sorted_as(
                facts.pod_class, pod_set.template.spec, obj.metadata.namespace, labels
            )
        except ValueError as error:
            return replaced(workload, error=f"pod set {pod_set.name}: template.spec: {error}")
        found.append(facts if pod_class is facts.pod_class else replaced(facts, pod_class=pod_class))
    if all(new is old for new, old in zip(found, workload.pod_sets, strict=True)):
        return workload
    return replaced(workload, pod_sets=tuple(found))
