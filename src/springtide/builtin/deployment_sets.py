"""The replica sets of a Deployment: which is the new one, what it is called, and what is noted on them. Pure.

Called by `deployment_plan`. Source of the rules: kube-controller-manager's deployment controller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from springtide.api.apps import Deployment, ReplicaSet, ReplicaSetSpec
from springtide.api.labels import LAST_APPLIED
from springtide.api.meta import LabelSelector, ObjectMeta, owner_reference
from springtide.api.numbers import whole_number
from springtide.api.pods import PodTemplateSpec
from springtide.api.struct import encode, replace
from springtide.builtin.pod_names import safe_encode
from springtide.builtin.rollout_amounts import max_surge, replicas_of

TEMPLATE_HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset(
    (LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAXIMUM, "deprecated.deployment.rollback.to")
)
_HISTORY_CHARACTERS = 2000
_LONGEST_NAME = 253
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def template_hash(template: PodTemplateSpec, collisions: int | None) -> str:
    """A short hash of a template; another one for each collision of names."""
    data = msgspec.json.encode(encode(template), order="deterministic")
    if collisions is not None:
        data += collisions.to_bytes(8)
    return safe_encode(int.from_bytes(hashlib.blake2b(data, digest_size=4).digest()))


def same_template(one: PodTemplateSpec, other: PodTemplateSpec) -> bool:
    """Whether two templates make the same pods; the label with their hash does not count."""
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: PodTemplateSpec) -> PodTemplateSpec:
    labels = template.metadata.labels
    if TEMPLATE_HASH not in labels:
        return template
    kept = {key: value for key, value in labels.items() if key != TEMPLATE_HASH}
    return replace(template, metadata=replace(template.metadata, labels=kept))


def oldest_first(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    return sorted(sets, key=lambda one: (one.metadata.creation_timestamp or _EPOCH, one.metadata.name))


def find_new(deployment: Deployment, sets: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The set of the present template; the oldest, should there be several."""
    template = deployment.spec.template
    return next((one for one in oldest_first(sets) if same_template(one.spec.template, template)), None)


def size(one: ReplicaSet) -> int:
    return one.spec.replicas if one.spec.replicas is not None else 1


def revision(one: ReplicaSet | Deployment) -> int:
    return whole_number(one.metadata.annotations.get(REVISION, "")) or 0


def new_set(deployment: Deployment, olds: Sequence[ReplicaSet], replicas: int) -> ReplicaSet:
    """The set to be created for the present template. Its name follows from the template."""
    spec, metadata = deployment.spec, deployment.metadata
    digest = template_hash(spec.template, deployment.status.collision_count)
    labels = {**spec.template.metadata.labels, TEMPLATE_HASH: digest}
    selector = spec.selector or LabelSelector()
    made = ReplicaSet(
        metadata=ObjectMeta(
            name=f"{metadata.name[: _LONGEST_NAME - 1 - len(digest)]}-{digest}",
            namespace=metadata.namespace,
            labels=labels,
            owner_references=[owner_reference(deployment)],
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            min_ready_seconds=spec.min_ready_seconds,
            selector=replace(selector, match_labels={**selector.match_labels, TEMPLATE_HASH: digest}),
            template=replace(spec.template, metadata=replace(spec.template.metadata, labels=labels)),
        ),
    )
    annotations = {**_copied(deployment, made, olds), **scale_notes(deployment)}
    return replace(made, metadata=replace(made.metadata, annotations=annotations))


def kept_new_set(deployment: Deployment, new: ReplicaSet, olds: Sequence[ReplicaSet]) -> ReplicaSet:
    """The existing new set with the Deployment's annotations and the next revision noted on it."""
    metadata = replace(new.metadata, annotations=_copied(deployment, new, olds))
    spec = replace(new.spec, min_ready_seconds=deployment.spec.min_ready_seconds)
    return replace(new, metadata=metadata, spec=spec)


def scale_notes(deployment: Deployment) -> dict[str, str]:
    """For which size of the Deployment a set was sized: how a scaling is told from a rollout."""
    replicas = replicas_of(deployment)
    return {DESIRED: str(replicas), MAXIMUM: str(replicas + max_surge(deployment))}


def resized(deployment: Deployment, one: ReplicaSet, replicas: int) -> ReplicaSet:
    metadata = replace(one.metadata, annotations={**one.metadata.annotations, **scale_notes(deployment)})
    return replace(one, metadata=metadata, spec=replace(one.spec, replicas=replicas))


def _copied(deployment: Deployment, new: ReplicaSet, olds: Sequence[ReplicaSet]) -> dict[str, str]:
    copied = {key: value for key, value in deployment.metadata.annotations.items() if key not in _NOT_COPIED}
    annotations = {**new.metadata.annotations, **copied}
    known, following = annotations.get(REVISION, ""), max((revision(one) for one in olds), default=0) + 1
    number = whole_number(known or "0")
    if number is None:
        return annotations  # somebody else's numbering is left alone
    if number < following:
        annotations[REVISION] = str(following)
        if known:
            annotations[REVISION_HISTORY] = _longer(annotations.get(REVISION_HISTORY, ""), known)
    return annotations


def _longer(history: str, known: str) -> str:
    """The revisions a set had before, oldest first, the oldest dropped when they grow too long."""
    numbers = [*(history.split(",") if history else ()), known]
    while len(",".join(numbers)) > _HISTORY_CHARACTERS:
        numbers.pop(0)
    return ",".join(numbers)
