"""The books of queues: ClusterQueues, LocalQueues, Cohorts, flavors, topologies, checks, namespaces.

Owned by the cluster state. What they are together, the `QueueTree`, is made anew when one of them changes and
is the same object for as long as none does. What queues say of themselves changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from springtide.api.kueue import (
    AdmissionCheck,
    ClusterQueue,
    Cohort,
    LocalQueue,
    ResourceFlavor,
    Topology,
)
from springtide.api.meta import Object, is_true
from springtide.scheduling.cohorts import QuotaNode
from springtide.scheduling.queues import (
    ClusterQueueFacts,
    FlavorFacts,
    LocalQueueFacts,
    QueueTree,
    cluster_queue_facts,
    cohort_node,
    flavor_facts,
    local_queue_facts,
)

F = TypeVar("F")
Q = TypeVar("Q", ClusterQueue, LocalQueue, Cohort)


class QueueBooks:
    """Applies changes of queues and what belongs to them."""

    def __init__(self, note: Callable[[], None]) -> None:
        """`note` is called when a snapshot would differ."""
        self._note = note
        self._cluster_queues: dict[str, ClusterQueueFacts] = {}
        self._local_queues: dict[str, LocalQueueFacts] = {}
        self._cluster_queue_objects: dict[str, ClusterQueue] = {}
        self._local_queue_objects: dict[str, LocalQueue] = {}
        self._cohort_objects: dict[str, Cohort] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._cohorts: dict[str, QuotaNode] = {}
        self._flavors: dict[str, FlavorFacts] = {}
        self._topologies: dict[str, tuple[str, ...]] = {}
        self._checks: dict[str, bool] = {}
        self._tree: QueueTree | None = None

    def change_cluster_queue(self, old: ClusterQueue | None, new: ClusterQueue | None) -> None:
        """A ClusterQueue came, changed or went. Its status is no concern of the engine."""
        facts = cluster_queue_facts(new) if new is not None else None
        _remember(key_of(old, new), new, self._cluster_queue_objects)
        self._keep(self._cluster_queues, key_of(old, new), facts)

    def change_local_queue(self, old: LocalQueue | None, new: LocalQueue | None) -> None:
        """A LocalQueue came, changed or went."""
        facts = local_queue_facts(new) if new is not None else None
        _remember(key_of(old, new), new, self._local_queue_objects)
        self._keep(self._local_queues, key_of(old, new), facts)

    def change_cohort(self, old: Cohort | None, new: Cohort | None) -> None:
        """A Cohort came, changed or went. One whose quota does not parse has none."""
        node = None
        if new is not None:
            try:
                node = cohort_node(new)
            except ValueError:
                node = QuotaNode(new.metadata.name, new.spec.parent_name)
        _remember(key_of(old, new), new, self._cohort_objects)
        self._keep(self._cohorts, key_of(old, new), node)

    def change_flavor(self, old: ResourceFlavor | None, new: ResourceFlavor | None) -> None:
        """A ResourceFlavor came, changed or went."""
        self._keep(self._flavors, key_of(old, new), flavor_facts(new) if new is not None else None)

    def change_topology(self, old: Topology | None, new: Topology | None) -> None:
        """A Topology came, changed or went."""
        levels = tuple(level.node_label for level in new.spec.levels) if new is not None else None
        self._keep(self._topologies, key_of(old, new), levels)

    def change_check(self, old: AdmissionCheck | None, new: AdmissionCheck | None) -> None:
        """An AdmissionCheck came, changed or went."""
        active = is_true(new.status.conditions, "Active") if new is not None else None
        self._keep(self._checks, key_of(old, new), active)

    def change_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A namespace has these labels now; None: it is gone."""
        self._keep(self._namespaces, name, labels)

    def tree(self) -> QueueTree:
        """All queues; the same as long as none of them changes."""
        if self._tree is None:
            self._tree = QueueTree(
                dict(self._cluster_queues),
                dict(self._local_queues),
                dict(self._namespaces),
                dict(self._cohorts),
                {
                    name: replace(flavor, levels=self._topologies.get(flavor.topology, ()))
                    for name, flavor in self._flavors.items()
                },
                dict(self._checks),
            )
        return self._tree

    @property
    def objects(self) -> tuple[ClusterQueue | LocalQueue, ...]:
        """The queues as last seen, for what their status says."""
        return (*self._cluster_queue_objects.values(), *self._local_queue_objects.values())

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """The Cohorts as last seen, for what their status says."""
        return tuple(self._cohort_objects.values())

    @property
    def local_queues(self) -> Iterable[LocalQueue]:
        """The LocalQueues as last seen."""
        return self._local_queue_objects.values()

    def _keep(self, known: dict[str, F], key: str, facts: F | None) -> None:
        if known.get(key) == facts:
            return
        if facts is None:
            del known[key]
        else:
            known[key] = facts
        self._tree = None
        self._note()


def key_of(old: Object | None, new: Object | None) -> str:
    """The key of an object that came, changed or went."""
    obj = new if new is not None else old
    if obj is None:
        raise ValueError("a change has an object before it, after it, or both")
    return obj.key


def _remember(key: str, new: Q | None, objects: dict[str, Q]) -> None:
    if new is None:
        objects.pop(key, None)
    else:
        objects[key] = new
