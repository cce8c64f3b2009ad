"""The pods and claims of a StatefulSet as they are to be: names, ordinals, identity, storage. Pure.

Called by `statefulset_plan`. Source of the rules: kube-controller-manager's statefulset controller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from springtide.api.apps import StatefulSet
from springtide.api.core import PersistentVolumeClaim, Pod
from springtide.api.meta import ObjectMeta, OwnerReference, owner_reference
from springtide.api.pods import PodTemplateSpec
from springtide.api.struct import replace
from springtide.api.volumes import PersistentVolumeClaimVolumeSource, Volume
from springtide.builtin.replicaset_plan import pod_from_template
from springtide.builtin.revisions import REVISION_HASH

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def wanted(owner: StatefulSet) -> int:
    return owner.spec.replicas if owner.spec.replicas is not None else 1


def ordinals(owner: StatefulSet) -> range:
    """The numbers of the pods that are wanted."""
    start = owner.spec.ordinals.start if owner.spec.ordinals is not None else 0
    return range(start, start + wanted(owner))


def ordinal_of(owner: StatefulSet, pod: Pod) -> int | None:
    """The pod's number; None for a pod whose name is none of this set's."""
    parent, dash, number = pod.metadata.name.rpartition("-")
    if not dash or parent != owner.metadata.name or not number.isdecimal():
        return None
    return int(number)


def revision_of(pod: Pod) -> str:
    return pod.metadata.labels.get(REVISION_HASH, "")


def new_pod(owner: StatefulSet, template: PodTemplateSpec, revision: str, ordinal: int) -> Pod:
    """The pod with this number, of a template of the present or the past."""
    name = f"{owner.metadata.name}-{ordinal}"
    pod = pod_from_template(owner, template, name, f"{owner.metadata.name}-"[:58])
    labels = {**pod.metadata.labels, **_identity(name, ordinal), REVISION_HASH: revision}
    volumes = _with_claims(owner, pod.spec.volumes, ordinal)
    spec = replace(pod.spec, hostname=name, subdomain=owner.spec.service_name, volumes=volumes)
    return replace(pod, metadata=replace(pod.metadata, labels=labels), spec=spec)


def missing_labels(owner: StatefulSet, pod: Pod) -> dict[str, str]:
    """Labels of its identity that a pod does not have, or not any more."""
    ordinal = ordinal_of(owner, pod)
    if ordinal is None or pod.metadata.labels.get(POD_NAME) == pod.metadata.name:
        return {}
    return _identity(pod.metadata.name, ordinal)


def claims_for(owner: StatefulSet, ordinal: int) -> list[PersistentVolumeClaim]:
    """The claims of the pod with this number."""
    selector = owner.spec.selector
    shared = selector.match_labels if selector is not None else {}
    return [
        PersistentVolumeClaim(
            metadata=ObjectMeta(
                name=_claim_name(owner, template, ordinal),
                namespace=owner.metadata.namespace,
                labels={**template.metadata.labels, **shared},
                annotations=template.metadata.annotations,
                finalizers=template.metadata.finalizers,
            ),
            spec=template.spec,
        )
        for template in owner.spec.volume_claim_templates
    ]


def is_stale(claim: PersistentVolumeClaim, pod_name: str, pod_uid: str) -> bool:
    """Whether a claim still belongs to an earlier pod of this name: it goes with that one."""
    owners = [one for one in claim.metadata.owner_references if (one.kind, one.name) == ("Pod", pod_name)]
    return any(one.uid != pod_uid for one in owners)


def claim_owners(
    owner: StatefulSet, pod: Pod, claim: PersistentVolumeClaim, *, condemned: bool
) -> list[OwnerReference] | None:
    """The owners a claim should have by the retention policy; None to leave it as it is.

    `condemned`: the pod's number is not wanted any more.
    """
    policy = owner.spec.persistent_volume_claim_retention_policy
    deleted = policy is not None and policy.when_deleted == "Delete"
    scaled = policy is not None and policy.when_scaled == "Delete"
    present = claim.metadata.owner_references
    ours = ((owner.kind, owner.metadata.name), ("Pod", pod.metadata.name))
    known = {owner.metadata.uid, pod.metadata.uid}
    if any((one.kind, one.name) in ours and one.uid not in known for one in present):
        return None  # it belongs to an earlier set or pod of the name, and goes with that
    kept = [one for one in present if (one.kind, one.name) not in ours]
    if (deleted or scaled) and any(one.controller for one in kept):
        after = kept
    elif scaled and condemned:
        after = [*kept, owner_reference(pod)]
    elif deleted and not (scaled and condemned):
        after = [*kept, owner_reference(owner)]
    else:
        after = kept
    return after if after != present else None


def _identity(name: str, ordinal: int) -> dict[str, str]:
    return {POD_NAME: name, POD_INDEX: str(ordinal)}


def _claim_name(owner: StatefulSet, template: PersistentVolumeClaim, ordinal: int) -> str:
    return f"{template.metadata.name}-{owner.metadata.name}-{ordinal}"


def _with_claims(owner: StatefulSet, volumes: Sequence[Volume], ordinal: int) -> list[Volume]:
    """The template's volumes, those of claims taking the place of any of the same name."""
    claims: Mapping[str, Volume] = {
        one.metadata.name: Volume(
            name=one.metadata.name,
            persistent_volume_claim=PersistentVolumeClaimVolumeSource(
                claim_name=_claim_name(owner, one, ordinal)
            ),
        )
        for one in owner.spec.volume_claim_templates
    }
    return [*claims.values(), *(volume for volume in volumes if volume.name not in claims)]
