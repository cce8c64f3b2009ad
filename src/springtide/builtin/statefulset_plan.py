"""Which pods of a StatefulSet are made, replaced and removed next, and its status. Pure.

Called by `statefulsets`. With OrderedReady one pod at a time is worked on: the first, by number, that is not
as it should be holds up all others; then numbers that are not wanted any more go, highest first; then pods of
old revisions are replaced, highest first. With Parallel only the replacing is limited.

A rollout that got stuck on a template that never becomes ready goes on, as everywhere, when the template is
put right and the pods that wait are deleted. Source of the rules: kube-controller-manager's statefulset
controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeGuard

from springtide.api.apps import ControllerRevision, StatefulSet, StatefulSetStatus
from springtide.api.core import Pod
from springtide.api.pods import PodTemplateSpec
from springtide.api.struct import replace
from springtide.builtin.pod_state import FINISHED, is_available, is_ready, until_available
from springtide.builtin.revisions import template_in
from springtide.builtin.rollout_amounts import resolve
from springtide.builtin.statefulset_pods import new_pod, ordinal_of, ordinals, revision_of, wanted


@dataclass(frozen=True)
class StatefulSetPlan:
    """What to do, in this order."""

    prepare: tuple[Pod, ...] = ()
    """Pods that wait to start: claims that are missing are made for them."""
    create: tuple[Pod, ...] = ()
    delete: tuple[Pod, ...] = ()


@dataclass
class _Steps:
    prepare: list[Pod] = field(default_factory=list)
    create: list[Pod] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)

    def plan(self) -> StatefulSetPlan:
        return StatefulSetPlan(tuple(self.prepare), tuple(self.create), tuple(self.delete))


def plan(
    owner: StatefulSet,
    pods: Sequence[Pod],
    current: ControllerRevision,
    update: ControllerRevision,
    now: datetime,
) -> StatefulSetPlan:
    """`pods` are the owner's; `current` is the revision that pods an update has not reached are of."""
    if owner.metadata.deletion_timestamp is not None:
        return StatefulSetPlan()
    numbers, steps = ordinals(owner), _Steps()
    by_number = {number: pod for pod in pods if (number := ordinal_of(owner, pod)) is not None}
    condemned = [by_number[number] for number in sorted(by_number, reverse=True) if number not in numbers]
    for number in numbers:
        done = _keep(owner, by_number.get(number), number, (current, update), steps, now)
        if not done and _one_by_one(owner):
            return steps.plan()
    if condemned and not _condemn(owner, by_number, condemned, steps, now):
        return steps.plan()
    if owner.spec.update_strategy.type != "OnDelete":
        _replace_old(owner, [by_number.get(number) for number in numbers], update, steps, now)
    return steps.plan()


def _one_by_one(owner: StatefulSet) -> bool:
    return owner.spec.pod_management_policy != "Parallel"


def _keep(
    owner: StatefulSet,
    pod: Pod | None,
    number: int,
    revisions: tuple[ControllerRevision, ControllerRevision],
    steps: _Steps,
    now: datetime,
) -> bool:
    """See to it that the pod of this number is there; whether it is as it should be."""
    if pod is None:
        revision = _revision_for(owner, number, *revisions)
        template = _template(owner, revision, revisions[1])
        steps.create.append(new_pod(owner, template, revision.metadata.name, number))
        return False
    if pod.status.phase in FINISHED:
        if pod.metadata.deletion_timestamp is None:
            steps.delete.append(pod)
        return False
    if pod.status.phase == "Pending":
        steps.prepare.append(pod)
    return pod.metadata.deletion_timestamp is None and _is_healthy(owner, pod, now)


def _revision_for(
    owner: StatefulSet, number: int, current: ControllerRevision, update: ControllerRevision
) -> ControllerRevision:
    """The old revision below the partition, the new one above."""
    strategy, start = owner.spec.update_strategy, ordinals(owner).start
    if strategy.type == "OnDelete":
        return update
    if strategy.rolling_update is None:
        kept = owner.status.current_replicas
    else:
        kept = strategy.rolling_update.partition or 0
    return current if number < start + kept else update


def _template(
    owner: StatefulSet, revision: ControllerRevision, update: ControllerRevision
) -> PodTemplateSpec:
    return owner.spec.template if revision is update else template_in(revision)


def _is_healthy(owner: StatefulSet, pod: Pod, now: datetime) -> bool:
    return pod.status.phase == "Running" and is_available(pod, owner.spec.min_ready_seconds, now)


def _is_unavailable(owner: StatefulSet, pod: Pod | None, now: datetime) -> bool:
    if pod is None or pod.metadata.deletion_timestamp is not None:
        return True
    return not is_available(pod, owner.spec.min_ready_seconds, now)


def _condemn(
    owner: StatefulSet, by_number: dict[int, Pod], condemned: list[Pod], steps: _Steps, now: datetime
) -> bool:
    """Remove pods whose numbers are not wanted; whether the update may go on beside it."""
    if not _one_by_one(owner):
        steps.delete += [pod for pod in condemned if pod.metadata.deletion_timestamp is None]
        return True
    in_order = [by_number[number] for number in sorted(by_number)]
    first_unavailable = next((pod for pod in in_order if _is_unavailable(owner, pod, now)), None)
    highest = condemned[0]
    if highest.metadata.deletion_timestamp is not None:
        return False
    if _is_healthy(owner, highest, now) or highest is first_unavailable:
        steps.delete.append(highest)
    return False


def _replace_old(
    owner: StatefulSet, pods: Sequence[Pod | None], update: ControllerRevision, steps: _Steps, now: datetime
) -> None:
    """Delete pods of other revisions, highest number first, as far as enough others are available."""
    limits = owner.spec.update_strategy.rolling_update
    partition = (limits.partition or 0) if limits is not None else 0
    above = [pods[index] for index in range(len(pods) - 1, partition - 1, -1)]
    if limits is None or limits.max_unavailable is None:
        _replace_one(owner, above, update, steps, now)
        return
    most = max(resolve(limits.max_unavailable, wanted(owner), round_up=False), 1)
    spare = most - sum(_is_unavailable(owner, pod, now) for pod in pods)
    old = [pod for pod in above if _is_old(pod, update) and pod not in steps.delete]
    steps.delete += old[: max(spare, 0)]


def _replace_one(
    owner: StatefulSet, above: Sequence[Pod | None], update: ControllerRevision, steps: _Steps, now: datetime
) -> None:
    """The highest one that is old, once all above it are available."""
    for pod in above:
        if _is_old(pod, update):
            if pod not in steps.delete:
                steps.delete.append(pod)
            return
        if _is_unavailable(owner, pod, now):
            return


def _is_old(pod: Pod | None, update: ControllerRevision) -> TypeGuard[Pod]:
    """Of another revision than the newest, and not on its way out already."""
    if pod is None or pod.metadata.deletion_timestamp is not None:
        return False
    return revision_of(pod) != update.metadata.name


def status_of(
    owner: StatefulSet,
    pods: Sequence[Pod],
    current: ControllerRevision,
    update: ControllerRevision,
    now: datetime,
) -> StatefulSetStatus:
    """The status for these pods. A finished rolling update makes the new revision the current one."""
    own = [pod for pod in pods if ordinal_of(owner, pod) is not None]
    ready = [pod for pod in own if pod.status.phase == "Running" and is_ready(pod)]
    staying = [pod for pod in own if pod.metadata.deletion_timestamp is None]
    updated = sum(revision_of(pod) == update.metadata.name for pod in staying)
    status = replace(
        owner.status,
        observed_generation=owner.metadata.generation,
        replicas=len(own),
        ready_replicas=len(ready),
        available_replicas=sum(is_available(pod, owner.spec.min_ready_seconds, now) for pod in ready),
        current_replicas=sum(revision_of(pod) == current.metadata.name for pod in staying),
        updated_replicas=updated,
        current_revision=current.metadata.name,
        update_revision=update.metadata.name,
        collision_count=owner.status.collision_count or 0,
    )
    complete = updated == len(ready) == len(own) == wanted(owner)
    if owner.spec.update_strategy.type == "RollingUpdate" and complete:
        return replace(status, current_replicas=updated, current_revision=update.metadata.name)
    return status


def look_again(owner: StatefulSet, pods: Sequence[Pod], now: datetime) -> float | None:
    """Seconds until a pod that is ready becomes available."""
    return until_available(pods, owner.spec.min_ready_seconds, now)
