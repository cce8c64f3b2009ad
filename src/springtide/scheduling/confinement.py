"""Which nodes a pod set may go to by the flavors it is given, and which flavors it may be given. Pure.

Called by the cycle and by all who place for it: quota names flavors, flavors name nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.flavors import may_use, on_nodes_of
from springtide.scheduling.hypernodes import in_network
from springtide.scheduling.queues import FlavorFacts, FlavorQuota
from springtide.scheduling.quota import Granted
from springtide.scheduling.snapshot import Snapshot


@dataclass(frozen=True)
class Confinement:
    """Flavors and the network of one snapshot."""

    snapshot: Snapshot

    def may_use(self, pod_set: PodSetFacts, flavor: FlavorQuota, group: Sequence[FlavorQuota]) -> bool:
        """Whether pods of the set may be given this flavor of a group."""
        known = self.snapshot.queues.flavors
        if flavor.name not in known:
            return False
        keys = {key for one in group if one.name in known for key in known[one.name].labels}
        return may_use(pod_set, known[flavor.name], keys)

    def on_their_nodes(self, pod_sets: tuple[PodSetFacts, ...], granted: Granted) -> tuple[PodSetFacts, ...]:
        """The pod sets, confined to the nodes of their flavors."""
        known, network = self._confining, self.snapshot.nodes.network
        if not known and not any(one.required_level or one.preferred_level or one.slices for one in pod_sets):
            return pod_sets
        found = []
        for pod_set, flavors in zip(pod_sets, granted.flavors, strict=True):
            confining = [known[name] for name in sorted(set(flavors.values())) if name in known]
            on_theirs = on_nodes_of(pod_set, confining) if confining else pod_set
            found.append(in_network(on_theirs, network))
        return tuple(found)

    @cached_property
    def _confining(self) -> dict[str, FlavorFacts]:
        """The flavors that are not of all nodes alike."""
        flavors = self.snapshot.queues.flavors.items()
        return {name: one for name, one in flavors if one.labels or one.tolerations or one.levels}

    def as_charged(self, facts: WorkloadFacts) -> tuple[PodSetFacts, ...]:
        """An admitted workload's pod sets, on the nodes of the flavors it is charged to."""
        given = facts.admission.pod_set_assignments if facts.admission is not None else ()
        flavors = {one.name: one.flavors for one in given}
        charged = Granted(tuple(flavors.get(one.name, {}) for one in facts.pod_sets), {}, False)
        return self.on_their_nodes(facts.pod_sets, charged)
