"""What a keeper reads off pods and nodes: whose snapshots a pod has, and where peers may be. Pure.

Topology is what labels say: those a site's networks are usually described by, and those the job itself asks
for (Kueue's annotations). The fewer values a label has in the cluster, the wider its domains. Called by
`keeper`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.meta import controller_of, is_true
from springtide.api.nodes import Node
from springtide.node.keeper_layout import Job
from springtide.node.keeper_peers import Place, domains_of

NETWORK_LEVELS = (
    labels.REGION,
    labels.ZONE,
    "cloud.provider.com/topology-block",
    "cloud.provider.com/topology-rack",
    "network.topology.nvidia.com/core",
    "network.topology.nvidia.com/spine",
    "network.topology.nvidia.com/leaf",
    "network.topology.nvidia.com/accelerator",
)
"""Labels of failure domains: Kubernetes', those of Kueue's documentation, and NVIDIA topograph's."""
_ASKED = (
    labels.PODSET_REQUIRED_TOPOLOGY,
    labels.PODSET_PREFERRED_TOPOLOGY,
    labels.PODSET_SLICE_REQUIRED_TOPOLOGY,
)
_ENDED = ("Succeeded", "Failed")


def job_of(pod: Pod) -> Job | None:
    """The Workload a pod runs for, by its controlling owner; None for any other pod."""
    owner = controller_of(pod)
    if owner is None or owner.kind != "Workload" or not owner.uid:
        return None
    return Job(pod.metadata.namespace, owner.name, owner.uid)


def is_live(pod: Pod) -> bool:
    """Whether its programs run, or are about to."""
    return pod.status.phase not in _ENDED and pod.metadata.deletion_timestamp is None


def index_of(pod: Pod) -> int:
    """The pod's number within its gang; -1 where it has none."""
    text = pod.metadata.labels.get(labels.JOB_COMPLETION_INDEX, "")
    return int(text) if text.isdecimal() else -1


def gang_size(pod: Pod) -> int:
    """How many pods the pod's job has, as its containers are told; 0 where they are not."""
    for container in pod.spec.containers:
        for variable in container.env:
            if variable.name == "SPRINGTIDE_NUM_NODES" and variable.value.isdecimal():
                return int(variable.value)
    return 0


def user_of(pod: Pod) -> tuple[int, int]:
    """User and group that the pod's first container runs as; -1 where nothing is said."""
    own = pod.spec.containers[0].security_context
    contexts = [one for one in (own, pod.spec.security_context) if one is not None]
    user = next((one.run_as_user for one in contexts if one.run_as_user is not None), -1)
    group = next((one.run_as_group for one in contexts if one.run_as_group is not None), -1)
    return user, group


@dataclass(frozen=True)
class Surroundings:
    """Where one job's snapshots are made, and where they may be kept."""

    own: Place
    gang: tuple[Place, ...]
    others: tuple[Place, ...]


def surroundings(
    node: str, pods: Collection[Pod], nodes: Iterable[Node], keepers: Collection[str], levels: Sequence[str]
) -> Surroundings | None:
    """From a job's pods and the cluster's nodes; only nodes that are ready and have a keeper count.

    None where `node` runs no live pod of the job, or is not known yet.
    """
    groups: dict[str, int] = {}
    for pod in pods:
        if is_live(pod) and pod.spec.node_name:
            groups.setdefault(pod.spec.node_name, _rank_group(pod))
    usable = {one.metadata.name: one for one in nodes if one.metadata.name == node or _usable(one, keepers)}
    if node not in groups or node not in usable:
        return None
    asked = (pod.metadata.annotations.get(key, "") for pod in pods for key in _ASKED)
    found = [one.metadata.labels for one in usable.values()]
    widest = _widest_first({*levels, *filter(None, asked)}, found)

    def place(name: str) -> Place:
        return Place(name, domains_of(usable[name].metadata.labels, widest), groups.get(name, -1))

    return Surroundings(
        own=place(node),
        gang=tuple(place(name) for name in sorted(groups.keys() & usable.keys()) if name != node),
        others=tuple(place(name) for name in sorted(usable.keys() - groups.keys())),
    )


def _usable(node: Node, keepers: Collection[str]) -> bool:
    """Not one that is silent, or on its way to repair: what is left there may go with it."""
    return (
        node.metadata.name in keepers
        and is_true(node.status.conditions, "Ready")
        and not node.spec.unschedulable
        and not any(taint.effect == "NoExecute" for taint in node.spec.taints)
    )


def _rank_group(pod: Pod) -> int:
    size = pod.metadata.annotations.get(labels.PODSET_SLICE_SIZE, "")
    index = index_of(pod)
    return index // int(size) if size.isdecimal() and int(size) and index >= 0 else -1


def _widest_first(levels: Iterable[str], nodes: Sequence[Mapping[str, str]]) -> list[str]:
    """Labels that tell nodes apart, those with the fewest values first; the host itself is no domain."""
    values = {level: {marks.get(level, "") for marks in nodes} for level in levels}
    telling = [level for level in values if len(values[level]) > 1 and level != labels.HOSTNAME]
    return sorted(telling, key=lambda level: (len(values[level]), level))
