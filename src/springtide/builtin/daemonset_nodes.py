"""Which nodes a DaemonSet's pod belongs on, and the pod for one of them. Pure; called by `daemonset_plan`.

Source of the rules and tolerations: kube-controller-manager's daemonset controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from springtide.api.affinity import (
    Affinity,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Toleration,
)
from springtide.api.apps import DaemonSet
from springtide.api.core import Pod
from springtide.api.labels import TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE
from springtide.api.nodematch import term_holds, untolerated
from springtide.api.nodes import Node
from springtide.api.pods import PodSpec
from springtide.api.struct import replace
from springtide.builtin.replicaset_plan import pod_from_template
from springtide.builtin.revisions import REVISION_HASH

GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"
_NAME_FIELD = "metadata.name"
_ANY_NETWORK = (
    Toleration(key=TAINT_NOT_READY, operator="Exists", effect="NoExecute"),
    Toleration(key=TAINT_UNREACHABLE, operator="Exists", effect="NoExecute"),
    Toleration(key="node.kubernetes.io/disk-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key="node.kubernetes.io/pid-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key=TAINT_UNSCHEDULABLE, operator="Exists", effect="NoSchedule"),
)
_HOST_NETWORK = (
    Toleration(key="node.kubernetes.io/network-unavailable", operator="Exists", effect="NoSchedule"),
)


def tolerations(spec: PodSpec) -> list[Toleration]:
    """The template's tolerations, and those by which a daemon stays where others are driven away."""
    standard = (*_ANY_NETWORK, *(_HOST_NETWORK if spec.host_network else ()))
    own = [one for one in spec.tolerations if not any(_same_taint(one, other) for other in standard)]
    return [*own, *standard]


def _same_taint(one: Toleration, other: Toleration) -> bool:
    keys = ("key", "operator", "value", "effect")
    return all(getattr(one, key) == getattr(other, key) for key in keys)


class Eligibility:
    """Where a DaemonSet's pods belong; made once for a look at all nodes."""

    def __init__(self, owner: DaemonSet) -> None:
        spec = owner.spec.template.spec
        self._spec = spec
        self._tolerations = tolerations(spec)
        node_affinity = spec.affinity.node_affinity if spec.affinity is not None else None
        required = (
            node_affinity.required_during_scheduling_ignored_during_execution
            if node_affinity is not None
            else None
        )
        self._terms: Sequence[NodeSelectorTerm] | None = (
            required.node_selector_terms if required is not None else None
        )

    def of(self, node: Node) -> tuple[bool, bool]:
        """(should run there, may go on running there)."""
        name, labels = node.metadata.name, node.metadata.labels
        if self._spec.node_name not in ("", name) or not self._matches(name, labels):
            return False, False
        if not untolerated(node.spec.taints, self._tolerations, ("NoSchedule", "NoExecute")):
            return True, True
        return False, not untolerated(node.spec.taints, self._tolerations, ("NoExecute",))

    def _matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if not self._spec.node_selector.items() <= labels.items():
            return False
        return self._terms is None or any(term_holds(term, name, labels) for term in self._terms)


def node_of(pod: Pod) -> str:
    """The node a daemon's pod is on, or is meant for while it waits; empty if it says neither."""
    if pod.spec.node_name:
        return pod.spec.node_name
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    for term in required.node_selector_terms if required is not None else ():
        for field in term.match_fields:
            if field.key == _NAME_FIELD and field.operator == "In" and len(field.values) == 1:
                return field.values[0]
    return ""


def by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """Pods by the node they belong to; finished ones that are being deleted do not count."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        ended = pod.status.phase in ("Succeeded", "Failed") and pod.metadata.deletion_timestamp is not None
        if not ended and (name := node_of(pod)):
            found.setdefault(name, []).append(pod)
    return found


def generation_of(owner: DaemonSet) -> str:
    return owner.metadata.annotations.get(GENERATION_ANNOTATION, "")


def is_updated(owner: DaemonSet, pod: Pod, digest: str) -> bool:
    """Whether a pod is of the present template."""
    generation = generation_of(owner)
    labels = pod.metadata.labels
    return labels.get(REVISION_HASH) == digest or bool(
        generation and labels.get(GENERATION_LABEL) == generation
    )


def new_pod(owner: DaemonSet, node: str, digest: str, name: str, base: str) -> Pod:
    """The pod for a node; the scheduler puts it there, for its affinity leaves no other."""
    pod = pod_from_template(owner, owner.spec.template, name, base)
    labels = {**pod.metadata.labels, REVISION_HASH: digest}
    if generation := generation_of(owner):
        labels[GENERATION_LABEL] = generation
    spec = replace(pod.spec, tolerations=tolerations(pod.spec), affinity=_only(pod.spec.affinity, node))
    return replace(pod, metadata=replace(pod.metadata, labels=labels), spec=spec)


def _only(affinity: Affinity | None, node: str) -> Affinity:
    """The affinity with this node in the place of whatever nodes it required."""
    term = NodeSelectorTerm(
        match_fields=[NodeSelectorRequirement(key=_NAME_FIELD, operator="In", values=[node])]
    )
    known = affinity or Affinity()
    return replace(
        known,
        node_affinity=replace(
            known.node_affinity or NodeAffinity(),
            required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=[term]),
        ),
    )
