"""Which group a pod belongs to that somebody else made, and which of the group's pods are like it.

Three ways to say so are known: `spec.schedulingGroup` of Kubernetes, Volcano's annotation, and Kueue's labels
for plain pods. `podgroups` makes one Workload of each group, `scheduling` puts the pods where that was
admitted; both name Workload and pod sets as here, so that neither has to mark the pods first.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.meta import controller_of

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_DEVICE_NOTES = ("nvidia.com/", "hami.io/", "kueue.x-k8s.io/podset-")
"""Annotations that say what a pod asks for begin so."""


class Dialect(StrEnum):
    """Whose groups these are; the beginning of their Workloads' names."""

    KUBERNETES = "podgroup"
    """PodGroups of scheduling.k8s.io."""
    VOLCANO = "volcano-podgroup"
    """PodGroups of scheduling.volcano.sh."""
    KUEUE = "pods"
    """Plain pods with Kueue's labels; there is no object for the group."""
    JOB = "job"
    """A batch/v1 Job in a LocalQueue."""
    KUEUE_POD = "pod"
    """A single pod in a LocalQueue."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group by name."""

    dialect: Dialect
    namespace: str
    name: str

    @property
    def workload(self) -> str:
        """Name of the Workload that stands for it."""
        return f"{self.dialect}-{self.name}"

    @property
    def key(self) -> str:
        """Key of that Workload."""
        return f"{self.namespace}/{self.workload}"

    @classmethod
    def of_key(cls, key: str) -> Group | None:
        """The group for which a Workload of this key stands; None if it stands for none."""
        namespace, _, name = key.partition("/")
        for dialect in Dialect:
            rest = name.removeprefix(f"{dialect}-")
            if rest != name:
                return cls(dialect, namespace, rest)
        return None


@dataclass(frozen=True, slots=True)
class Membership:
    """A pod's place in its group."""

    group: Group
    pod_set: str
    """The pod set of the pods that are like it."""

    @property
    def workload(self) -> str:
        """Key of the Workload that stands for the group."""
        return self.group.key


def membership_of(pod: Pod) -> Membership | None:
    """The group the pod says it belongs to; None for a pod by itself."""
    group = group_of(pod)
    return Membership(group, _pod_set_of(pod)) if group is not None else None


def group_of(pod: Pod) -> Group | None:
    """The group the pod says it belongs to."""
    metadata = pod.metadata
    said = pod.spec.scheduling_group
    if said is not None and said.pod_group_name:
        return Group(Dialect.KUBERNETES, metadata.namespace, said.pod_group_name)
    notes = metadata.annotations
    volcano = notes.get(labels.VOLCANO_GROUP_NEWER) or notes.get(labels.VOLCANO_GROUP)
    if volcano:
        return Group(Dialect.VOLCANO, metadata.namespace, volcano)
    kueue = metadata.labels.get(labels.POD_GROUP_NAME)
    if kueue:
        return Group(Dialect.KUEUE, metadata.namespace, kueue)
    workload = notes.get(labels.KUEUE_WORKLOAD)
    found = Group.of_key(f"{metadata.namespace}/{workload}") if workload else None
    if found is not None and found.dialect is Dialect.JOB:
        return found
    if labels.QUEUE_NAME in metadata.labels and controller_of(pod) is None:
        return Group(Dialect.KUEUE_POD, metadata.namespace, metadata.name)
    return None


def index_of(pod: Pod) -> int | None:
    """The pod's number among those of its group or Job, if it has one."""
    found = pod.metadata.labels
    for key in (labels.POD_GROUP_INDEX, labels.JOB_COMPLETION_INDEX, labels.VOLCANO_TASK_INDEX):
        if found.get(key, "").isdecimal():
            return int(found[key])
    return None


def _pod_set_of(pod: Pod) -> str:
    """Pods that ask for the same are of one pod set; who makes them may also say which are alike."""
    of_pod = pod.metadata.labels
    said = pod.metadata.annotations.get(labels.ROLE_HASH) or of_pod.get(labels.VOLCANO_TASK, "")
    if labels.KUEUE_WORKLOAD in pod.metadata.annotations:
        said = of_pod.get(labels.PODSET, "") or said
    if said and _NAME.match(said):
        return said
    spec = pod.spec
    asked = [
        [[one.resources, one.ports] for one in spec.containers],
        [[one.resources, one.restart_policy] for one in spec.init_containers],
        spec.resources,
        spec.overhead,
        sorted(spec.node_selector.items()),
        spec.affinity,
        spec.tolerations,
        spec.topology_spread_constraints,
        spec.resource_claims,
        spec.priority,
        sorted(one for one in pod.metadata.annotations.items() if one[0].startswith(_DEVICE_NOTES)),
    ]
    return "role-" + hashlib.blake2b(msgspec.json.encode(asked), digest_size=4).hexdigest()
