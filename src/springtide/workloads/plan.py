"""From an admitted workload to its pods and its end: (View, now) -> Plan. Pure; called by `controller`.

Level-triggered: the state is read off the objects, the first row that holds decides.

| # | the workload                               | what is done                                            |
|---|--------------------------------------------|---------------------------------------------------------|
| 1 | is being deleted                           | nothing: the garbage collector follows owner references |
| 2 | is Finished                                | pods still running are deleted; ended ones keep logs    |
| 3 | has no admission                           | its pods are deleted; PodsReady=False NotAdmitted       |
| 4 | is Evicted and still has an admission      | nothing: `scheduling` ends the attempt                  |
| 5 | has pods of another attempt or owner       | those of other attempts are deleted, none is created    |
| 6 | has a Diagnosis fail_fast of this attempt  | Finished=True Failed; running pods are deleted          |
| 6b| is judged by its owner                    | `judged`: missing pods, or the end, as the owner says   |
| 7 | has PodsReady absent or NotAdmitted        | missing pods are created; PodsReady=False WaitForStart  |
| 8 | has only pods that succeeded               | Finished=True Succeeded                                 |
| 9 | is none of these                           | PodsReady follows the pods; none is created again       |

PodsReady with any reason but NotAdmitted thus says: this attempt was created whole. A pod that is missing
then was deleted by somebody, and whether the attempt goes on is for `health` to decide. Row 3 takes the mark
back, and `scheduling` admits the next attempt only after that, so a mark never outlives its attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Emit, Plan
from springtide.api.core import Node, Pod, Service
from springtide.api.kueue import ReclaimablePod, Workload, WorkloadReason
from springtide.api.meta import Condition, Object, controller_of, find_condition, is_true, set_condition
from springtide.api.springtide import Action, Diagnosis
from springtide.api.struct import encode
from springtide.workloads.flavors import FlavorNamed, with_flavors
from springtide.workloads.judged import (
    arranged,
    begun_sets,
    done,
    due,
    is_judged,
    is_refilled,
    is_settled,
    to_replace,
    verdict_of,
)
from springtide.workloads.mtbf import units_of, with_mtbf
from springtide.workloads.pods import Slot, attempt_of, peer_service, pod_for, slots_of

Due = Callable[[Sequence[Slot], Mapping[str, Pod]], Sequence[Slot]]
"""Which pods should exist by now, of all and those that do."""
OWNED = ("PodsReady", "Finished")
NOT_ADMITTED = "NotAdmitted"
"""Reason of PodsReady between attempts; `scheduling` waits for it before it admits again."""
WAIT_FOR_START = "WaitForStart"
WAIT_FOR_RECOVERY = "WaitForRecovery"
BROKEN_GRACE_SECONDS = 5
"""How long the ranks of a broken gang have to end; they may have asked for more."""
_IN_ORDER = ("PodDeleted", "Evicted", "Terminated")
"""Fault classes of attempts whose pods were asked to go: they may save a checkpoint meanwhile."""
TERMINAL_PHASES = ("Succeeded", "Failed")


MtbfOf = Callable[[Mapping[str, int], datetime], float | None]
"""From the GPUs that a job uses of each node, and the time, to seconds between two interruptions."""


@dataclass(frozen=True)
class View:
    """A workload and everything that belongs to it."""

    workload: Workload
    pods: Sequence[Pod] = ()
    """All pods that bear its name, of whatever attempt or owner."""
    service: Service | None = None
    """The Service of the job's name, whoever owns it."""
    diagnoses: Sequence[Diagnosis] = ()
    """Those that name the workload."""
    node_named: Callable[[str], Node | None] = lambda _: None
    """The node of a name."""
    flavor_named: FlavorNamed = lambda _: None
    """The flavor of a name."""
    mtbf_of: MtbfOf = lambda _, __: None
    """How long a job on these nodes may expect to run undisturbed."""


def plan(view: View, now: datetime) -> Plan:
    """What brings the workload one step further."""
    workload = view.workload
    conditions = workload.status.conditions
    if workload.metadata.deletion_timestamp is not None:
        return Plan()
    if is_true(conditions, "Finished"):
        return Plan(tuple(_delete(_running(_own(view)))))
    if workload.status.admission is None or not is_true(conditions, "Admitted"):
        return Plan((*_delete(_own(view), _grace_seconds(view)), *_reset(workload, now)))
    if is_true(conditions, "Evicted"):
        return Plan()
    attempt = attempt_of(workload)
    others = [pod for pod in view.pods if not _belongs(pod, workload) or _attempt(pod) != attempt]
    if others:
        return Plan(tuple(_delete(pod for pod in others if _belongs(pod, workload))))
    verdict = _verdict(view, attempt)
    if verdict is not None:
        return Plan((_finish(workload, "Failed", verdict, now), *_delete(_running(view.pods))))
    if is_judged(workload):
        return Plan((*_service(view), *_judged(view, now)))
    if _is_created(workload):
        return Plan((*_service(view), *_follow(view, now)))
    return Plan((*_service(view), *_create(view, now)))


def refuse(view: View, why: str, now: datetime) -> Plan:
    """The end of a workload one of whose pods the API server calls invalid: it would do so every time."""
    message = f"a pod of this workload was refused: {why}"
    return Plan((_finish(view.workload, "Failed", message, now), *_delete(_running(_own(view)))))


# -- rows of the table ------------------------------------------------------------------------------


def _create(view: View, now: datetime, due_of: Due = lambda slots, _: list(slots)) -> list[Command]:
    """Every pod that is due and not there, and only then the mark that all have been created."""
    workload = view.workload
    slots = slots_of(workload)
    if slots is None:
        note = "the admission does not say on which node each pod runs; no pods are created"
        return [Emit(workload, "IncompleteAdmission", note, type="Warning", action="Creating")]
    present = {pod.metadata.name: pod for pod in view.pods}
    mtbf = view.mtbf_of(units_of(slots), now)
    creates: list[Command] = [
        Create(_pod(view, slot, mtbf)) for slot in due_of(slots, present) if slot.pod not in present
    ]
    return [*creates, *_pods_ready(workload, "False", WAIT_FOR_START, _waiting_for(slots), now)]


def _pod(view: View, slot: Slot, mtbf: float | None) -> Pod:
    made = pod_for(view.workload, slot, view.node_named(slot.node) if slot.devices else None)
    made = with_mtbf(made, mtbf)
    return with_flavors(made, view.workload, slot.pod_set.name, view.flavor_named)


def _follow(view: View, now: datetime) -> list[Command]:
    """What the pods of a wholly created attempt say about it."""
    workload = view.workload
    slots = slots_of(workload) or []
    pods = {pod.metadata.name: pod for pod in view.pods}
    found = [pods.get(slot.pod) for slot in slots]
    if all(pod is not None and pod.status.phase == "Succeeded" for pod in found):
        return [_finish(workload, "Succeeded", f"All {_count(len(slots))} succeeded", now)]
    if all(pod is not None and _ready_or_succeeded(pod) for pod in found):
        return _ready(workload, len(slots), now)
    return _not_ready(view, slots, now)


def _not_ready(view: View, slots: Sequence[Slot], now: datetime) -> list[Command]:
    workload, pods = view.workload, {pod.metadata.name: pod for pod in view.pods}
    found = [pods.get(slot.pod) for slot in slots]
    known = find_condition(workload.status.conditions, "PodsReady")
    was_ready = known is not None and (known.status == "True" or known.reason == WAIT_FOR_RECOVERY)
    missing = [slot.pod for slot, pod in zip(slots, found, strict=True) if pod is None]
    message = f"Pod {missing[0]} is gone" if missing else _waiting_for(slots)
    return _pods_ready(workload, "False", WAIT_FOR_RECOVERY if was_ready else WAIT_FOR_START, message, now)


def _judged(view: View, now: datetime) -> list[Command]:
    """One step with a workload whose owner judges its pods: what is due and missing is made."""
    workload = view.workload
    verdict = verdict_of(workload)
    if verdict is not None:
        return [_finish(workload, *verdict, now), *_delete(_running(view.pods))]
    slots = slots_of(workload)
    if slots is None or not _is_created(workload):
        return _create(view, now, due)
    pods = {pod.metadata.name: pod for pod in view.pods}
    slots, surplus = arranged(workload, slots, view.pods)
    wanted = due(slots, pods)
    kept = set() if is_refilled(workload) else begun_sets(slots, pods)
    mtbf = view.mtbf_of(units_of(slots), now)
    made: list[Command] = [
        Create(_pod(view, slot, mtbf))
        for slot in wanted
        if slot.pod not in pods and slot.pod_set.name not in kept
    ]
    made += _delete([*to_replace(workload, view.pods), *surplus])
    settled = all(is_settled(pods.get(slot.pod)) for slot in wanted)
    told = _ready(workload, len(wanted), now) if settled else _not_ready(view, wanted, now)
    return [*made, *_give_back(workload, told, done(workload, slots, pods), now)]


def _give_back(
    workload: Workload, told: list[Command], given: list[ReclaimablePod], now: datetime
) -> list[Command]:
    """The same status, with the pods that are done and need no quota any more."""
    known = find_condition(workload.status.conditions, "PodsReady")
    if not told and given != workload.status.reclaimable_pods and known is not None:
        told = [_apply(workload, known, now)]
    if not given:
        return told
    said = {"reclaimablePods": [encode(one) for one in given]}
    return [
        replace(one, fields={**one.fields, "status": {**one.fields["status"], **said}})
        for one in told
        if isinstance(one, Apply)
    ]


def _ready(workload: Workload, pods: int, now: datetime) -> list[Command]:
    known = find_condition(workload.status.conditions, "PodsReady")
    recovered = known is not None and known.reason in (WAIT_FOR_RECOVERY, "Recovered")
    return _pods_ready(
        workload, "True", "Recovered" if recovered else "Started", f"All {_count(pods)} are ready", now
    )


def _reset(workload: Workload, now: datetime) -> list[Command]:
    if not _is_created(workload):
        return []
    return _pods_ready(workload, "False", NOT_ADMITTED, "The workload has no admission", now)


def _service(view: View) -> list[Command]:
    """The headless Service that gives the pods their names; an earlier owner's serves until it goes."""
    return [] if view.service is not None else [Create(peer_service(view.workload))]


def _verdict(view: View, attempt: int) -> str | None:
    """The message of the diagnosis that ends the workload, if there is one."""
    for diagnosis in view.diagnoses:
        spec = diagnosis.spec
        if spec.attempt == attempt and spec.action == Action.FAIL_FAST and _about(diagnosis, view.workload):
            return spec.message or f"{spec.fault_class or 'A failure'} of pod {spec.pod}"
    return None


# -- commands ---------------------------------------------------------------------------------------


def _delete(pods: Iterable[Pod], grace_seconds: int | None = None) -> list[Command]:
    """`grace_seconds`: at most so much of their own grace."""
    return [
        Delete(
            Pod,
            pod.metadata.namespace,
            pod.metadata.name,
            pod.metadata.uid,
            grace_period_seconds=_shorter(pod, grace_seconds),
        )
        for pod in pods
        if pod.metadata.deletion_timestamp is None
    ]


def _shorter(pod: Pod, grace_seconds: int | None) -> int | None:
    own = pod.spec.termination_grace_period_seconds
    return grace_seconds if grace_seconds is not None and (own is None or own > grace_seconds) else None


def _grace_seconds(view: View) -> int | None:
    """The grace of pods whose gang is broken: its collectives never end, and a stopped rank hears no signal.

    None, their own: the attempt ends in order, for somebody else's sake or because its pods were asked to go.
    """
    evicted = find_condition(view.workload.status.conditions, "Evicted")
    if evicted is None or evicted.reason not in (WorkloadReason.NODE_FAILURES, WorkloadReason.PROGRAM_FAILED):
        return None
    about = (one.spec for one in view.diagnoses if _about(one, view.workload))
    newest = max(about, key=lambda spec: spec.attempt, default=None)
    in_order = newest is None or newest.fault_class in _IN_ORDER
    return None if in_order else BROKEN_GRACE_SECONDS


def _pods_ready(workload: Workload, status: str, reason: str, message: str, now: datetime) -> list[Command]:
    known = find_condition(workload.status.conditions, "PodsReady")
    if known is not None and (known.status, known.reason, known.message) == (status, reason, message):
        return []
    return [_apply(workload, Condition(type="PodsReady", status=status, reason=reason, message=message), now)]


def _finish(workload: Workload, reason: str, message: str, now: datetime) -> Command:
    return _apply(workload, Condition(type="Finished", status="True", reason=reason, message=message), now)


def _apply(workload: Workload, new: Condition, now: datetime) -> Apply:
    """Apply all conditions of this room: what its manager leaves out would be removed."""
    owned = [condition for condition in workload.status.conditions if condition.type in OWNED]
    fields: dict[str, Any] = {
        "status": {"conditions": [encode(condition) for condition in set_condition(owned, new, now)]}
    }
    metadata = workload.metadata
    if (
        metadata.resource_version
    ):  # a mark must not reach the next attempt: what changed since is decided anew
        fields["metadata"] = {"resourceVersion": metadata.resource_version}
    return Apply(Workload, metadata.namespace, metadata.name, fields, subresource="status", uid=metadata.uid)


# -- reading ----------------------------------------------------------------------------------------


def _own(view: View) -> list[Pod]:
    return [pod for pod in view.pods if _belongs(pod, view.workload)]


def _running(pods: Iterable[Pod]) -> list[Pod]:
    return [pod for pod in pods if pod.status.phase not in TERMINAL_PHASES]


def _belongs(obj: Object, workload: Workload) -> bool:
    owner = controller_of(obj)
    return owner is not None and owner.uid == workload.metadata.uid


def _about(diagnosis: Diagnosis, workload: Workload) -> bool:
    """A diagnosis of an earlier workload of the same name is about another one."""
    owners = [owner for owner in diagnosis.metadata.owner_references if owner.kind == "Workload"]
    return not owners or any(owner.uid == workload.metadata.uid for owner in owners)


def _attempt(pod: Pod) -> int:
    text = pod.metadata.labels.get(labels.ATTEMPT, "")
    return int(text) if text.isdecimal() else -1


def _is_created(workload: Workload) -> bool:
    known = find_condition(workload.status.conditions, "PodsReady")
    return known is not None and known.reason != NOT_ADMITTED


def _ready_or_succeeded(pod: Pod) -> bool:
    return pod.status.phase == "Succeeded" or is_true(pod.status.conditions, "Ready")


def _waiting_for(slots: Sequence[Slot]) -> str:
    return f"Waits for {_count(len(slots))} to be ready"


def _count(pods: int) -> str:
    return "1 pod" if pods == 1 else f"{pods} pods"
