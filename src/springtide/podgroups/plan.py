"""From a group of pods to its Workload, and back to its status: (View, now) -> Plan. Pure; for `controller`.

Level-triggered: the state is read off the objects, the first row that holds decides.

| # | the group                                      | what is done                                          |
|---|------------------------------------------------|-------------------------------------------------------|
| 1 | has no object although its dialect has one     | nothing: its pods wait                                |
| 2 | has pods and no Workload                       | the Workload is made; it says what is still missing   |
| 3 | has a Workload that is Finished, and new pods  | the Workload is deleted, and made anew                |
| 4 | has no pods, and was not evicted               | the Workload is deleted: it holds nothing for nobody  |
| 5 | waits, and has pods on nodes (it was evicted)  | they are marked DisruptionTarget and deleted          |
| 6 | waits                                          | pod sets follow the pods; PodsReady=False NotAdmitted |
| 7 | is admitted                                    | PodsReady, reclaimable pods and Finished follow       |

Which pod goes where is for `scheduling`: it binds them. Whoever made a pod that is deleted makes it again,
or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Plan
from springtide.api.core import Pod
from springtide.api.kueue import PodSet, PriorityClassRef, Workload, WorkloadSpec, names_nodes, nodes_of
from springtide.api.membership import Dialect, Group, membership_of
from springtide.api.meta import (
    Condition,
    ObjectMeta,
    OwnerReference,
    find_condition,
    is_true,
    owner_reference,
    set_condition,
)
from springtide.api.struct import encode
from springtide.podgroups.assembly import Asked, GroupObject, assemble
from springtide.podgroups.report import (
    NOT_ADMITTED,
    WAIT_FOR_RECOVERY,
    WAIT_FOR_START,
    apply_report,
    pods_ready,
)
from springtide.podgroups.status import group_status

_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class View:
    """A group and everything that belongs to it."""

    group: Group
    obj: GroupObject | None = None
    pods: Sequence[Pod] = ()
    """All that say they belong to it and are placed here."""
    workload: Workload | None = None
    priority_of: Callable[[str], int | None] = lambda _: None
    """The value of a PriorityClass."""
    workload_priorities: Mapping[str, int] = field(default_factory=dict)
    """The values of WorkloadPriorityClasses."""


def plan(view: View, now: datetime) -> Plan:
    """What brings the group one step further."""
    if view.obj is None and view.group.dialect in (Dialect.KUBERNETES, Dialect.VOLCANO):
        return Plan()
    there = [pod for pod in view.pods if pod.metadata.deletion_timestamp is None]
    counted = [pod for pod in there if pod.status.phase != "Failed"]
    asked = assemble(view.group, view.obj, counted, view.priority_of)
    commands = [
        *_follow(view, asked, there, now),
        *group_status(view.obj, view.workload, there, asked, now),
    ]
    return Plan(tuple(commands))


def _follow(view: View, asked: Asked, there: Sequence[Pod], now: datetime) -> list[Command]:
    """The rows of the table from the second on."""
    workload = view.workload
    if workload is None:
        return [Create(_workload(view, asked, there))] if asked.pod_sets else []
    if workload.metadata.deletion_timestamp is not None:
        return []
    live = [pod for pod in there if pod.status.phase not in _ENDED]
    conditions = workload.status.conditions
    if is_true(conditions, "Finished"):
        return [_delete_workload(workload)] if any(not pod.spec.node_name for pod in live) else []
    if not view.pods and not is_true(conditions, "Evicted"):
        return [_delete_workload(workload)]
    if workload.status.admission is None:
        return _wait(view, workload, asked, now)
    surplus = _surplus(workload, live)
    if surplus:
        return _end(workload, surplus, now)
    return [*_adapt(workload, asked), *_report(workload, asked, there, now)]


# -- rows of the table ------------------------------------------------------------------------------


def _workload(view: View, asked: Asked, pods: Sequence[Pod]) -> Workload:
    notes = {**asked.notes, labels.PODS_BY: labels.OTHERS}
    if asked.missing:
        notes[labels.INCOMPLETE] = asked.missing
    if asked.elastic:
        notes[labels.ELASTIC_JOB] = "true"
    if asked.volcano_queue:
        notes[labels.VOLCANO_QUEUE] = asked.volcano_queue
    named = asked.priority_class in view.workload_priorities
    priority = view.workload_priorities[asked.priority_class] if named else asked.priority
    carried = {labels.QUEUE_NAME: asked.queue, labels.PRIORITY_CLASS: asked.priority_class}
    return Workload(
        metadata=ObjectMeta(
            name=view.group.workload,
            namespace=view.group.namespace,
            labels={key: text for key, text in carried.items() if text},
            annotations=notes,
            owner_references=_owners(view.obj, pods),
        ),
        spec=WorkloadSpec(
            pod_sets=asked.pod_sets,
            queue_name=asked.queue,
            priority=priority,
            priority_class_ref=_class_ref(asked.priority_class) if named else None,
        ),
    )


def _owners(obj: GroupObject | None, pods: Sequence[Pod]) -> list[OwnerReference]:
    """The group's object; where there is none, all of its pods: it goes with the last of them."""
    if obj is not None:
        return [owner_reference(obj)]
    return [
        OwnerReference(api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid)
        for pod in sorted(pods, key=lambda one: one.metadata.name)
    ]


def _class_ref(name: str) -> PriorityClassRef:
    return PriorityClassRef(group="kueue.x-k8s.io", kind="WorkloadPriorityClass", name=name)


def _wait(view: View, workload: Workload, asked: Asked, now: datetime) -> list[Command]:
    """Nothing of an earlier attempt may be left before the next."""
    left = [pod for pod in view.pods if pod.spec.node_name and pod.status.phase not in _ENDED]
    if left:
        return _end(workload, left, now)
    commands = _adapt(workload, asked)
    if find_condition(workload.status.conditions, "PodsReady") is not None:
        commands += pods_ready(workload, "False", NOT_ADMITTED, "The group has no admission", now)
    return commands


def _surplus(workload: Workload, live: Sequence[Pod]) -> list[Pod]:
    """Pods on places that the group has lost while it runs on: those with the last names."""
    left: Counter[tuple[str, str]] = Counter()
    admission = workload.status.admission
    for one in admission.pod_set_assignments if admission is not None else ():
        topology = one.topology_assignment
        for node, count in nodes_of(topology) if topology is not None and names_nodes(topology) else ():
            left[one.name, node] += count
    found = []
    for pod in sorted(live, key=lambda one: one.key):
        member = membership_of(pod)
        if pod.spec.node_name and member is not None:
            left[member.pod_set, pod.spec.node_name] -= 1
            if left[member.pod_set, pod.spec.node_name] < 0:
                found.append(pod)
    return found


def _end(workload: Workload, pods: Sequence[Pod], now: datetime) -> list[Command]:
    """Delete pods of a group that lost its place, and say in them why."""
    evicted = find_condition(workload.status.conditions, "Evicted")
    shrinks = workload.status.admission is not None
    preempted = shrinks or (evicted is not None and evicted.reason == "Preempted")
    reason = "PreemptionByScheduler" if preempted else "TerminationByKueue"
    message = f"Workload {workload.key} has lost its {'place' if shrinks else 'admission'}"
    if evicted is not None and not shrinks:
        message = evicted.message
    commands: list[Command] = []
    for pod in pods:
        if pod.metadata.deletion_timestamp is not None:
            continue
        target = Condition(type="DisruptionTarget", status="True", reason=reason, message=message)
        said = [one for one in pod.status.conditions if one.type == target.type]
        fields = {"status": {"conditions": [encode(one) for one in set_condition(said, target, now)]}}
        where, name, uid = pod.metadata.namespace, pod.metadata.name, pod.metadata.uid
        commands.append(Apply(Pod, where, name, fields, subresource="status", uid=uid))
        commands.append(Delete(Pod, where, name, uid))
    return commands


def _adapt(workload: Workload, asked: Asked) -> list[Command]:
    """Bring the Workload to the pods there are: while it waits, or of a group whose pods come and go."""
    admitted = workload.status.admission is not None
    pod_sets = workload.spec.pod_sets
    if asked.pod_sets and (not admitted or _may_grow(workload, asked)):
        pod_sets = _kept(workload.spec.pod_sets, asked.pod_sets)
    notes = dict(workload.metadata.annotations)
    known = notes.get(labels.INCOMPLETE, "")
    if pod_sets == workload.spec.pod_sets and known == asked.missing:
        return []
    own = {**asked.notes, labels.PODS_BY: labels.OTHERS, labels.INCOMPLETE: asked.missing}
    meta = workload.metadata
    fields: dict[str, Any] = {
        "metadata": {"annotations": own, "resourceVersion": meta.resource_version},
        "spec": {"podSets": [encode(one) for one in pod_sets]},
    }
    return [Apply(Workload, meta.namespace, meta.name, fields, uid=meta.uid)]


def _may_grow(workload: Workload, asked: Asked) -> bool:
    """Whether the pods there are only add to what was admitted."""
    known = {one.name: one.count for one in workload.spec.pod_sets}
    wanted = {one.name: one.count for one in asked.pod_sets}
    return asked.elastic and known.keys() == wanted.keys() and all(wanted[n] >= known[n] for n in known)


def _kept(known: Sequence[PodSet], wanted: Sequence[PodSet]) -> list[PodSet]:
    """The pod sets as wanted, each with the template it has: pods that are alike may differ in names."""
    found = {one.name: one for one in known}
    kept = []
    for one in wanted:
        old = found.get(one.name)
        same = old is not None and (old.count, old.min_count, old.topology_request) == (
            one.count,
            one.min_count,
            one.topology_request,
        )
        kept.append(old if same and old is not None else one)
    return kept


def _report(workload: Workload, asked: Asked, there: Sequence[Pod], now: datetime) -> list[Command]:
    """How far the pods of an admitted group are."""
    given = workload.status.admission.pod_set_assignments if workload.status.admission is not None else []
    wanted = {one.name: one.count or 0 for one in given}
    placed = [pod for pod in there if pod.spec.node_name]
    succeeded = _by_pod_set(pod for pod in placed if pod.status.phase == "Succeeded")
    ready = _by_pod_set(pod for pod in placed if pod.status.phase != "Succeeded" and _is_ready(pod))
    if wanted and all(succeeded[name] >= count for name, count in wanted.items()):
        return [
            apply_report(
                workload,
                _finished("Succeeded", f"All {sum(succeeded.values())} pods succeeded"),
                succeeded,
                now,
            )
        ]
    failed = [pod for pod in placed if pod.status.phase == "Failed"]
    if failed and not asked.pod_sets and all(not pod.metadata.owner_references for pod in failed):
        message = f"Pod {failed[0].metadata.name} failed, and nobody makes it again"
        return [apply_report(workload, _finished("Failed", message), succeeded, now)]
    known = find_condition(workload.status.conditions, "PodsReady")
    missing = {name: count - ready[name] - succeeded[name] for name, count in wanted.items()}
    if not any(count > 0 for count in missing.values()):
        again = known is not None and known.reason in (WAIT_FOR_RECOVERY, "Recovered")
        message = f"All {sum(wanted.values())} pods are ready"
        return pods_ready(workload, "True", "Recovered" if again else "Started", message, now, succeeded)
    was = known is not None and (known.status == "True" or known.reason == WAIT_FOR_RECOVERY)
    message = asked.missing or f"Waits for {sum(n for n in missing.values() if n > 0)} pods to be ready"
    return pods_ready(
        workload, "False", WAIT_FOR_RECOVERY if was else WAIT_FOR_START, message, now, succeeded
    )


# -- commands ---------------------------------------------------------------------------------------


def _delete_workload(workload: Workload) -> Command:
    meta = workload.metadata
    return Delete(Workload, meta.namespace, meta.name, meta.uid)


def _finished(reason: str, message: str) -> Condition:
    return Condition(type="Finished", status="True", reason=reason, message=message)


# -- reading ----------------------------------------------------------------------------------------


def _by_pod_set(pods: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    for pod in pods:
        member = membership_of(pod)
        if member is not None:
            found[member.pod_set] += 1
    return found


def _is_ready(pod: Pod) -> bool:
    return is_true(pod.status.conditions, "Ready")
