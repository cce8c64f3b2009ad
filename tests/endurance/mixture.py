"""Plain pods of several priorities among the workloads of a random cluster, and what must be true of them.

Used by `clusters --mixed`. Whoever is sent away for somebody must be less important, by a model that looks at
the objects alone: pods by their priority, workloads by that of their pods.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from random import Random

from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Object, find_condition
from springtide.api.struct import replace
from tests.builders import pod
from tests.endurance.cluster_quotas import expect
from tests.scheduling.world import World

Objects = Mapping[tuple[type[Object], str], Object]
_NAMED = re.compile(r"make room for pod (\S+) ")


class Mixture:
    """The plain pods of one cluster. It has its own numbers, so that all else stays as without it."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"pods of {seed}")
        self._lives = 0
        self.counts: Counter[str] = Counter()

    def given_priority(self, made: Pod) -> Pod:
        """The same pod, of some importance."""
        priority = self._random.choice([None, -1, 0, 1, 3, 5, 9])
        policy = self._random.choice([None, None, None, "Never"])
        return replace(made, spec=replace(made.spec, priority=priority, preemption_policy=policy))

    def end_doomed(self, world: World) -> None:
        """Pods that are being deleted end; most have a controller that makes another."""
        for one in list(world.objects.values()):
            if not isinstance(one, Pod) or one.metadata.owner_references:
                continue
            if one.metadata.deletion_timestamp is None:
                continue
            world.remove(one)
            if self._random.random() < 0.8:
                self._lives += 1
                name = f"{one.metadata.name.partition('.')[0]}.{self._lives}"
                made = pod(name, replace(one.spec, node_name=""), created=world.clock + self._lives / 10_000)
                spec = replace(made.spec, priority=one.spec.priority)
                world.add(replace(made, spec=spec))

    def check_new(self, before: Objects, after: Objects) -> None:
        """Of those who have just been told to go: each goes for somebody more important."""
        for (kind, key), one in after.items():
            old = before.get((kind, key))
            if isinstance(one, Pod) and isinstance(old, Pod) and _is_doomed(one) and not _is_doomed(old):
                self._check_pod(one, after)
            if isinstance(one, Workload) and isinstance(old, Workload) and _message(one) != _message(old):
                self._check_workload(one, after)

    def _check_pod(self, one: Pod, after: Objects) -> None:
        self.counts["pods sent away"] += 1
        own = one.spec.priority or 0
        expect(not one.metadata.owner_references, f"{one.key} of a workload goes alone")
        expect(any(_makes_go(other, own, one.spec.node_name) for other in after.values()),
               f"pod {one.key} of priority {own} goes for nobody more important")  # fmt: skip

    def _check_workload(self, one: Workload, after: Objects) -> None:
        named = _NAMED.search(_message(one))
        if named is None:
            return
        self.counts["workloads sent away for a pod"] += 1
        other = after.get((Pod, named[1]))
        assert isinstance(other, Pod), f"{one.key} goes for {named[1]}, which is not there"
        highest = max(_priorities(one))
        expect((other.spec.priority or 0) > highest, f"{one.key} goes for {other.key}, no more important")
        expect(other.spec.preemption_policy != "Never", f"{one.key} goes for {other.key}, which must not")
        expect(one.status.admission is None, f"{one.key} goes and keeps its admission")


def _makes_go(other: Object, priority: int, node: str) -> bool:
    """Whether somebody waits who might have sent away a pod of this priority from this node."""
    if isinstance(other, Workload):
        told = find_condition(other.status.conditions, "QuotaReserved")
        waits = told is not None and told.reason == "WaitingForPreemptedWorkloads"
        return waits and min(_priorities(other)) > priority
    if not isinstance(other, Pod) or other.spec.node_name or other.spec.preemption_policy == "Never":
        return False
    return other.status.nominated_node_name == node and (other.spec.priority or 0) > priority


def _priorities(one: Workload) -> list[int]:
    return [
        found.template.spec.priority if found.template.spec.priority is not None else one.spec.priority or 0
        for found in one.spec.pod_sets
    ]


def _message(one: Workload) -> str:
    found = find_condition(one.status.conditions, "Preempted")
    return found.message if found is not None and found.status == "True" else ""


def _is_doomed(one: Pod) -> bool:
    return any(found.type == "DisruptionTarget" and found.status == "True" for found in one.status.conditions)
