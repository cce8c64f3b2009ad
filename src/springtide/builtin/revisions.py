"""Templates of the past as ControllerRevisions: which is the present one, what is new, what may go. Pure.

Called by `statefulsets` and `daemonsets`. A revision's data is the patch that puts its template back, which
is what `kubectl rollout undo` sends. Source of names and rules: kube-controller-manager's history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from springtide.api.apps import ControllerRevision, DaemonSet, StatefulSet
from springtide.api.meta import ObjectMeta, owner_reference
from springtide.api.pods import PodTemplateSpec
from springtide.api.struct import decode, encode
from springtide.builtin.pod_names import safe_encode

REVISION_HASH = "controller-revision-hash"
"""Label on pods: the revision they are of."""
_LONGEST_PREFIX = 223
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Owner = StatefulSet | DaemonSet


@dataclass(frozen=True)
class History:
    """The revisions of an owner, and what has to be written so that its template is the newest."""

    current: ControllerRevision
    """Of the present template; not written yet if `create`."""
    older: tuple[ControllerRevision, ...] = ()
    """All others, oldest first."""
    create: bool = False
    renumber: int | None = None
    """The number `current` must get, if it is an older one that counts again."""


def history(owner: Owner, revisions: Sequence[ControllerRevision], label: str) -> History:
    """Find the revision of the owner's template, or make it. `label`: where a revision bears its hash."""
    ordered = in_order(revisions)
    data = snapshot(owner.spec.template)
    known = [one for one in ordered if one.data == data]
    newest = ordered[-1].revision if ordered else 0
    if not known:
        return History(_revision(owner, data, newest + 1, label), tuple(ordered), create=True)
    current = known[-1]
    older = tuple(one for one in ordered if one is not current)
    if any(one.revision >= current.revision for one in older):
        return History(current, older, renumber=max(one.revision for one in older) + 1)
    return History(current, older)


def in_order(revisions: Sequence[ControllerRevision]) -> list[ControllerRevision]:
    """Oldest first."""
    return sorted(
        revisions,
        key=lambda one: (one.revision, one.metadata.creation_timestamp or _EPOCH, one.metadata.name),
    )


def snapshot(template: PodTemplateSpec) -> dict[str, Any]:
    """The patch that puts a template back; keys in order, so that equal ones have equal bytes."""
    plain = msgspec.json.decode(msgspec.json.encode(encode(template), order="deterministic"))
    return {"spec": {"template": {"$patch": "replace", **plain}}}


def template_in(revision: ControllerRevision) -> PodTemplateSpec:
    """The template a revision keeps. Raises ValueError if it keeps none."""
    try:
        kept = dict((revision.data or {})["spec"]["template"])
        kept.pop("$patch", None)
        return decode(PodTemplateSpec, kept)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise ValueError(
            f"controllerrevisions {revision.metadata.name!r}: data.spec.template is no pod template: "
            f"{error}; delete the revision"
        ) from error


def superfluous(
    older: Sequence[ControllerRevision], live: Collection[str], limit: int | None
) -> tuple[ControllerRevision, ...]:
    """Revisions beyond the limit, oldest first, but none whose name or hash is `live`."""
    if limit is None or limit < 0:
        return ()
    idle = [one for one in older if not {one.metadata.name, hash_of(one)} & set(live)]
    return tuple(idle[: max(len(idle) - limit, 0)])


def hash_of(revision: ControllerRevision) -> str:
    """What pods of a DaemonSet's revision are labelled with."""
    return revision.metadata.labels.get(REVISION_HASH, "")


def _revision(owner: Owner, data: dict[str, Any], number: int, label: str) -> ControllerRevision:
    text = msgspec.json.encode(data, order="deterministic")
    if owner.status.collision_count:
        text += str(owner.status.collision_count).encode()
    digest = safe_encode(int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()))
    metadata = owner.metadata
    return ControllerRevision(
        metadata=ObjectMeta(
            name=f"{metadata.name[:_LONGEST_PREFIX]}-{digest}",
            namespace=metadata.namespace,
            labels={**owner.spec.template.metadata.labels, label: digest},
            annotations=metadata.annotations,
            owner_references=[owner_reference(owner)],
        ),
        data=data,
        revision=number,
    )
