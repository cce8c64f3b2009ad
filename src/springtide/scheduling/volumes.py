"""What the claims of a pod for storage mean for where it may run: nodes its volumes can be reached from.

Kept by the cluster state: claims, volumes, classes and what drivers say of nodes; a pod without claims costs
nothing. What is found becomes part of the pod's class: more node affinity, and volumes to attach as amounts
of a resource that nodes have. Source of the rules: Kubernetes' VolumeBinding, VolumeZone, VolumeRestrictions
and NodeVolumeLimits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace as replaced
from itertools import product
from typing import TypeVar

from springtide.api.affinity import NodeSelectorRequirement, NodeSelectorTerm
from springtide.api.core import PersistentVolume, PersistentVolumeClaim, PodSpec
from springtide.api.meta import Object, controller_of
from springtide.api.storage import CSINode, StorageClass
from springtide.scheduling.classes import Constraints, PodClass, class_of, constraints
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.storage import NOTHING, SELECTED_NODE, Terms, VolumeDemand

WAITS_FOR_POD = "WaitForFirstConsumer"
ONE_POD = "ReadWriteOncePod"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"
_ATTACHABLE = "attachable-volumes-csi-"
_UNLIMITED = 2**31
_ZONE_LABELS = {
    "topology.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
"""Labels of volumes that say where they are, and those of nodes that must agree."""
_BETWEEN_ZONES = "__"

V = TypeVar("V", PersistentVolumeClaim, PersistentVolume, StorageClass)


class Volumes:
    """Claims and volumes, as last seen."""

    def __init__(self, changed: Callable[[bool], None], *, provisioned: bool) -> None:
        """`changed` is called after every change, with whether nodes offer anything else now.

        `provisioned`: somebody binds claims to volumes, and pods wait for it; else nodes serve claims.
        """
        self.stale = False
        """Whether pods with claims have to be looked at again."""
        self._changed = changed
        self._provisioned = provisioned
        self._claims: dict[str, PersistentVolumeClaim] = {}
        self._volumes: dict[str, PersistentVolume] = {}
        self._classes: dict[str, StorageClass] = {}
        self._limits: dict[str, Mapping[str, int]] = {}
        self._drivers: Counter[str] = Counter()

    def change_claim(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        """A claim came, changed or went."""
        self._change(self._claims, old, new)

    def change_volume(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        """A volume came, changed or went."""
        self._change(self._volumes, old, new)

    def change_class(self, old: StorageClass | None, new: StorageClass | None) -> None:
        """A StorageClass came, changed or went."""
        self._change(self._classes, old, new)

    def change_csi_node(self, old: CSINode | None, new: CSINode | None) -> None:
        """What drivers say of a node came, changed or went."""
        node = _name(old, new)
        limits = _limits_of(new) if new is not None else {}
        known = self._limits.get(node, {})
        if limits == known:
            return
        self._drivers.subtract(known.keys())
        self._drivers.update(limits.keys())
        self._drivers = +self._drivers
        self._limits[node] = limits
        self.stale = True
        self._changed(True)

    def attachable(self, node: str) -> dict[str, int]:
        """How many volumes a node can hold, by driver, as resources; no limit where a driver says none."""
        limits = self._limits.get(node, {})
        return {f"{_ATTACHABLE}{driver}": limits.get(driver, _UNLIMITED) for driver in self._drivers}

    def demand(self, spec: PodSpec, namespace: str, pod: str = "", uid: str = "") -> VolumeDemand:
        """What the claims of a pod ask. Without its name, claims that are made for it are not looked for."""
        names = list(_claimed(spec, pod))
        if not names:
            return NOTHING
        terms: list[Terms] = []
        attached: Counter[str] = Counter()
        exclusive: list[str] = []
        for name, own in names:
            key = f"{namespace}/{name}"
            claim = self._claims.get(key)
            obstacle = self._obstacle(name, claim, uid if own else "")
            if obstacle:
                return VolumeDemand(obstacle=obstacle)
            if claim is None:
                continue
            if ONE_POD in claim.spec.access_modes:
                exclusive.append(key)
            terms += self._terms(claim)
            driver = self._driver(claim)
            if driver in self._drivers:
                attached[f"{_ATTACHABLE}{driver}"] += 1
        return VolumeDemand(tuple(terms), tuple(sorted(attached.items())), tuple(exclusive))

    def to_select(self, spec: PodSpec, namespace: str, pod: str) -> Iterator[PersistentVolumeClaim]:
        """Claims of a pod that has a node whose volumes are to be made there, and nobody has said so yet."""
        for name, _ in _claimed(spec, pod) if self._provisioned else ():
            claim = self._claims.get(f"{namespace}/{name}")
            if claim is None or claim.spec.volume_name or SELECTED_NODE in claim.metadata.annotations:
                continue
            if self._waits_for_pod(claim):
                yield claim

    def _change(self, known: dict[str, V], old: V | None, new: V | None) -> None:
        key = _name(old, new)
        if known.get(key) == new:
            return
        if new is None:
            del known[key]
        else:
            known[key] = new
        self.stale = True
        self._changed(False)

    def _obstacle(self, name: str, claim: PersistentVolumeClaim | None, uid: str) -> str:
        """Why a claim keeps its pod from running anywhere."""
        if claim is None:
            return f"persistentvolumeclaim {name} not found; create it" if self._provisioned else ""
        if claim.metadata.deletion_timestamp is not None:
            return f"persistentvolumeclaim {name} is being deleted"
        owner = controller_of(claim)
        if uid and (owner is None or owner.uid != uid):
            return f"persistentvolumeclaim {name} was not made for this pod; delete it or rename the pod"
        if claim.spec.volume_name:
            known = claim.spec.volume_name in self._volumes
            lost = f"persistentvolume {claim.spec.volume_name} of claim {name} not found"
            return lost if self._provisioned and not known else ""
        if not self._provisioned:
            return ""
        if not self._waits_for_pod(claim):
            return f"persistentvolumeclaim {name} is not bound to a volume yet"
        storage = self._classes[claim.spec.storage_class_name or ""]
        if storage.provisioner == _NO_PROVISIONER:
            return (
                f"persistentvolumeclaim {name}: StorageClass {storage.metadata.name} provisions nothing; "
                "name a volume in spec.volumeName"
            )
        return ""

    def _waits_for_pod(self, claim: PersistentVolumeClaim) -> bool:
        storage = self._classes.get(claim.spec.storage_class_name or "")
        return storage is not None and storage.volume_binding_mode == WAITS_FOR_POD

    def _terms(self, claim: PersistentVolumeClaim) -> Iterator[Terms]:
        volume = self._volumes.get(claim.spec.volume_name)
        if volume is not None:
            required = volume.spec.node_affinity.required if volume.spec.node_affinity is not None else None
            if required is not None:
                yield tuple(required.node_selector_terms)
            zones = _zones_of(volume)
            if zones:
                yield zones
            return
        selected = claim.metadata.annotations.get(SELECTED_NODE, "")
        if selected:
            yield (NodeSelectorTerm(match_fields=[_one_of("metadata.name", [selected])]),)
        storage = self._classes.get(claim.spec.storage_class_name or "")
        if storage is not None and storage.allowed_topologies:
            yield tuple(
                NodeSelectorTerm(
                    match_expressions=[_one_of(one.key, one.values) for one in term.match_label_expressions]
                )
                for term in storage.allowed_topologies
            )

    def _driver(self, claim: PersistentVolumeClaim) -> str:
        volume = self._volumes.get(claim.spec.volume_name)
        if volume is not None:
            return volume.spec.csi.driver if volume.spec.csi is not None else ""
        storage = self._classes.get(claim.spec.storage_class_name or "")
        return storage.provisioner if storage is not None else ""


def with_volumes(pod_class: PodClass, demand: VolumeDemand) -> PodClass:
    """The class of such pods, confined to nodes from which their volumes can be reached."""
    if not demand.terms and not demand.attached:
        return pod_class
    requests = tuple(sorted({**dict(pod_class.requests), **dict(demand.attached)}.items()))
    return replaced(pod_class, requests=requests, constraints=_confined(pod_class.constraints, demand.terms))


def has_claims(spec: PodSpec) -> bool:
    """Whether pods of this spec use claims at all."""
    return any(one.persistent_volume_claim or one.ephemeral for one in spec.volumes)


def _confined(asked: Constraints, terms: Iterable[Terms]) -> Constraints:
    every = [*([asked.affinity] if asked.affinity is not None else []), *terms]
    if not every:
        return asked
    joined = tuple(
        NodeSelectorTerm(
            match_expressions=[one for term in some for one in term.match_expressions],
            match_fields=[one for term in some for one in term.match_fields],
        )
        for some in product(*([term for term in terms if _holds_somewhere(term)] for terms in every))
    )
    return constraints(asked.selector, joined, asked.tolerations, asked.preferred)


def _holds_somewhere(term: NodeSelectorTerm) -> bool:
    """An empty term matches no node; joined with others it would match too many."""
    return bool(term.match_expressions or term.match_fields)


def _claimed(spec: PodSpec, pod: str) -> Iterator[tuple[str, bool]]:
    """Names of claims, and whether they are made for the pod."""
    for volume in spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield volume.persistent_volume_claim.claim_name, False
        elif volume.ephemeral is not None and pod:
            yield f"{pod}-{volume.name}", True


def _zones_of(volume: PersistentVolume) -> Terms:
    """Nodes in the zones that a volume's labels name, or in none at all."""
    found = {
        node_label: value.split(_BETWEEN_ZONES)
        for label, node_label in _ZONE_LABELS.items()
        if (value := volume.metadata.labels.get(label))
    }
    if not found:
        return ()
    inside = NodeSelectorTerm(match_expressions=[_one_of(label, values) for label, values in found.items()])
    nowhere = NodeSelectorTerm(
        match_expressions=[
            NodeSelectorRequirement(key=label, operator="DoesNotExist") for label in _ZONE_LABELS
        ]
    )
    return inside, nowhere


def _one_of(key: str, values: list[str]) -> NodeSelectorRequirement:
    return NodeSelectorRequirement(key=key, operator="In", values=values)


def _name(old: Object | None, new: Object | None) -> str:
    obj = new if new is not None else old
    if obj is None:
        raise ValueError("a change has an object before it, after it, or both")
    return obj.key


def _limits_of(node: CSINode) -> dict[str, int]:
    return {
        driver.name: driver.allocatable.count
        for driver in node.spec.drivers
        if driver.allocatable is not None and driver.allocatable.count is not None
    }


def claimed_pod(pod: PodFacts, volumes: Volumes) -> PodFacts:
    """The facts of a pod, what its claims ask included."""
    spec, metadata = pod.obj.spec, pod.obj.metadata
    if pod.pod_class is None or pod.error or not has_claims(spec):
        return pod
    demand = volumes.demand(spec, metadata.namespace, metadata.name, metadata.uid)
    plain = replaced(class_of(spec, metadata.annotations), between=pod.pod_class.between)
    unmade = tuple(volumes.to_select(spec, metadata.namespace, metadata.name)) if pod.node else ()
    return replaced(pod, pod_class=with_volumes(plain, demand), storage=demand, unmade=unmade)


def claimed_workload(workload: WorkloadFacts, volumes: Volumes) -> WorkloadFacts:
    """The facts of a workload, what the claims of its pods ask included."""
    if not any(has_claims(one.template.spec) for one in workload.obj.spec.pod_sets):
        return workload
    found, obstacle = [], ""
    for facts, pod_set in zip(workload.pod_sets, workload.obj.spec.pod_sets, strict=False):
        template = pod_set.template
        if has_claims(template.spec):
            demand = volumes.demand(template.spec, workload.obj.metadata.namespace)
            plain = class_of(template.spec, template.metadata.annotations)
            plain = replaced(plain, between=facts.pod_class.between)
            facts = replaced(facts, pod_class=with_volumes(plain, demand))
            obstacle = obstacle or (f"pod set {facts.name}: {demand.obstacle}" if demand.obstacle else "")
        found.append(facts)
    if all(new is old for new, old in zip(found, workload.pod_sets, strict=True)):
        return workload
    return replaced(workload, pod_sets=tuple(found), error=workload.error or obstacle)
