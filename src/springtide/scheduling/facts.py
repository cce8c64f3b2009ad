"""What the engine keeps of a workload or a pod: parsed once when the object changes, read every cycle.

Made by the cluster state from API objects. A template that cannot be understood does not raise here: the
error is a fact too, so that the one workload that has it is told and no other is disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from springtide.api import labels
from springtide.api.core import PersistentVolumeClaim, Pod
from springtide.api.gpus import GPU, indices_in, spelled
from springtide.api.kueue import (
    Admission,
    PodSetAssignment,
    Workload,
    WorkloadReason,
    names_nodes,
    nodes_of,
    places_of,
)
from springtide.api.membership import Membership, membership_of
from springtide.api.meta import Condition, controller_of, find_condition, is_true
from springtide.api.struct import replace
from springtide.scheduling.classes import PodClass, class_of
from springtide.scheduling.holdings import Holding, holding_of
from springtide.scheduling.requests import amounts
from springtide.scheduling.storage import NOTHING as NO_VOLUMES
from springtide.scheduling.storage import VolumeDemand
from springtide.scheduling.topology import Slice, topology_ask

if TYPE_CHECKING:
    from springtide.scheduling.releasing import Held

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WAITS_FOR_OTHERS = "WaitingForPreemptedWorkloads"
"""Reason of QuotaReserved of a workload whose place is held until others have made way."""
DISRUPTION_TARGET, PREEMPTION_BY_SCHEDULER = "DisruptionTarget", "PreemptionByScheduler"
DOOMED_BY = f"{labels.SCHEDULER_NAME}: "
"""How the message begins that tells a pod it goes for another: kube-scheduler writes the same reason."""
TERMINAL_PHASES = ("Succeeded", "Failed")
_REQUEUED_AT_THE_END = ("PodsReadyTimeout", "AdmissionCheck")
"""Evictions after which a workload queues anew, by the time of eviction (Kueue's rule)."""


@dataclass(frozen=True, slots=True)
class PodSetFacts:
    """One pod set of a workload: `count` pods of one class, perhaps within one topology domain."""

    name: str
    count: int
    pod_class: PodClass
    required_level: str = ""
    """Node label whose value all pods of the set must share."""
    preferred_level: str = ""
    """Node label whose value they share if they can, or else that of the next level up, and so on."""
    unconstrained: bool = False
    """Whether they are to fill gaps, wherever those are."""
    slices: tuple[Slice, ...] = ()
    """How pods are cut into groups that stay together, the largest first."""
    group: str = ""
    """Pod sets of one group share one domain."""
    levels: tuple[str, ...] = ()
    """The topology of the nodes it may run on, the widest level first; none: the levels it names itself."""
    min_count: int | None = None
    """How few pods will do; None: all of them are needed."""

    @property
    def fewest(self) -> int:
        """As few pods as will do."""
        return self.count if self.min_count is None else min(self.min_count, self.count)

    @property
    def named_levels(self) -> tuple[str, ...]:
        """The levels it names, the widest first."""
        named = (self.required_level, self.preferred_level, *(one.level for one in self.slices))
        return tuple(dict.fromkeys(level for level in named if level))


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """An unfinished workload."""

    obj: Workload
    key: str
    order: tuple[int, datetime, str]
    """Sorts the queue: higher priority first, then longest waiting, then by key."""
    pod_sets: tuple[PodSetFacts, ...]
    error: str
    """Why the pod sets cannot be understood, or empty."""
    evicted: Condition | None
    """The condition Evicted while it is True."""
    assigned: Mapping[tuple[str, str], int]
    """Pods per (pod set, node) by the admission."""
    usage: Mapping[tuple[str, str], int]
    """Quota taken, per (flavor, resource), by the admission."""
    devices: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """Pods per (pod set, node, devices) by the admission, of pod sets that ask for devices."""

    moved: bool = False
    """Whether it is on its way to another place, to make room here; see `defragmentation`."""
    claims: bool = False
    """Whether it was told that its place is held until others have made way: it goes before all others, lest
    somebody whom it did not make go takes what it has opened."""
    calm: bool = False
    """Whether nothing but its queue, pod sets, priority and age decides when it starts: neither an earlier
    attempt nor anything its owner has set. Only of one that waits."""
    held: tuple[Held, ...] | None = field(default=None, init=False, compare=False, repr=False)
    """What it holds with all its pods, once somebody has asked; see `releasing.held_by`."""

    def keep_held(self, held: tuple[Held, ...]) -> None:
        """Remember what it holds for as long as it stays as it is: not a fact of its own."""
        object.__setattr__(self, "held", held)

    @property
    def admission(self) -> Admission | None:
        return self.obj.status.admission

    @property
    def attempt(self) -> int:
        return attempt_of(self.obj)

    @property
    def active(self) -> bool:
        return self.obj.spec.active

    @property
    def is_elastic(self) -> bool:
        """Whether it may get more pods, and lose some, while it runs: its owner says so."""
        return self.obj.metadata.annotations.get(labels.ELASTIC_JOB) == "true"

    @property
    def counts(self) -> Mapping[str, int]:
        """How many pods of each pod set are admitted."""
        given = self.admission.pod_set_assignments if self.admission is not None else ()
        wanted = {one.name: one.count for one in self.pod_sets}
        return {one.name: wanted.get(one.name, 0) if one.count is None else one.count for one in given}

    @property
    def requeue_at(self) -> datetime | None:
        """Before when it is not considered, if it was put back for a time."""
        state = self.obj.status.requeue_state
        return state.requeue_at if state is not None else None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod, bound or not."""

    obj: Pod
    key: str
    pod_class: PodClass | None
    error: str
    node: str
    holds: bool
    """Takes its requests of its node: bound and not terminal. A terminating pod holds until it is gone."""
    workload: str
    """Key of the Workload it belongs to, or empty."""
    cell: tuple[int, str, str]
    """(attempt, pod set, node) of a workload's pod."""
    order: tuple[int, datetime, str]
    waits: bool
    """Whether this is a plain pod that this scheduler is to place."""
    ending: bool = False
    """Is being deleted and holds its requests until it is gone."""
    holding: Holding | None = None
    """What it holds of its node's devices, or will."""
    storage: VolumeDemand = NO_VOLUMES
    """What its claims ask."""
    unmade: tuple[PersistentVolumeClaim, ...] = ()
    """Claims of a pod with a node whose volumes are to be made there, of which nobody has said so yet."""
    member_of: str = ""
    """Key of the Workload that stands for its group, if somebody else made it; it is placed with that."""

    @property
    def failed(self) -> bool:
        """Whether it has failed: as a member of a gang it leaves its place to that."""
        return self.obj.status.phase == "Failed" and not self.member_of

    @property
    def devices(self) -> str:
        """Which, as `gpus.spelled`; empty if it holds none."""
        return spelled(self.holding.indices) if self.holding is not None else ""


Parse = Callable[[Workload], tuple[tuple[PodSetFacts, ...], str]]
"""The pod sets of a workload; or none, and why they cannot be understood."""


def attempt_of(workload: Workload) -> int:
    """How many admissions of the workload have ended: the number of its current attempt."""
    state = workload.status.requeue_state
    return (state.count or 0) if state is not None else 0


def workload_facts(obj: Workload, parse: Parse | None = None) -> WorkloadFacts | None:
    """The facts of a workload; None once it is finished, for then it takes no part any more.

    `parse`: what to ask for its pod sets instead of `pod_sets_of`.
    """
    if is_true(obj.status.conditions, "Finished"):
        return None
    pod_sets, error = (parse or pod_sets_of)(obj)
    evicted = find_condition(obj.status.conditions, "Evicted")
    return WorkloadFacts(
        obj=obj,
        key=obj.key,
        order=(-(obj.spec.priority or 0), _queued_since(obj), obj.key),
        pod_sets=pod_sets,
        error=error,
        evicted=evicted if evicted is not None and evicted.status == "True" else None,
        assigned=_assigned(obj.status.admission),
        usage=usage_of(obj),
        devices=_devices(obj.status.admission, pod_sets),
        moved=_moves(obj, evicted),
        claims=_moves(obj, evicted) or _claims(obj.status.conditions),
        calm=_is_calm(obj),
    )


def _is_calm(obj: Workload) -> bool:
    status, metadata = obj.status, obj.metadata
    touched = status.admission is not None or status.requeue_state is not None or obj.spec.preemption_gates
    if (
        touched
        or not obj.spec.active
        or metadata.deletion_timestamp is not None
        or _claims(status.conditions)
    ):
        return False
    asks = metadata.annotations and any(name in metadata.annotations for name in _DECIDING)
    return not asks and all(one.type in _HARMLESS for one in status.conditions)


_DECIDING = (labels.INCOMPLETE, labels.VOLCANO_QUEUE, labels.ELASTIC_JOB)
_HARMLESS = ("QuotaReserved", "UnsupportedFields")
"""What a workload that never ran is told."""


def _moves(obj: Workload, evicted: Condition | None) -> bool:
    ended = evicted is not None and evicted.status == "True" and obj.status.admission is None
    return ended and evicted is not None and evicted.reason == WorkloadReason.CONSOLIDATED


def _claims(conditions: Sequence[Condition]) -> bool:
    reserved = find_condition(conditions, "QuotaReserved")
    return reserved is not None and reserved.reason == WAITS_FOR_OTHERS


def pod_facts(
    obj: Pod,
    previous: PodFacts | None,
    assumed_node: str,
    scheduler_names: frozenset[str],
    assumed_notes: Mapping[str, str] | None = None,
) -> PodFacts:
    """The facts of a pod. What is assumed stands in for a binding that was written but not yet seen."""
    pod_class, error = _pod_class(obj, previous)
    owner = controller_of(obj)
    name = obj.metadata.labels.get(labels.WORKLOAD, "")
    owned = name and owner is not None and owner.kind == "Workload"
    node = obj.spec.node_name or assumed_node
    member = None if owned or obj.spec.scheduler_name not in scheduler_names else membership_of(obj)
    if member is not None:
        return _member_facts(obj, member, pod_class, error, node, assumed_notes or {})
    attempt = obj.metadata.labels.get(labels.ATTEMPT, "0")
    holds = bool(node) and obj.status.phase not in TERMINAL_PHASES
    return PodFacts(
        obj=obj,
        key=obj.key,
        pod_class=pod_class,
        error=error,
        node=node,
        holds=holds,
        workload=f"{obj.metadata.namespace}/{name}" if owned else "",
        cell=(int(attempt) if attempt.isdecimal() else 0, obj.metadata.labels.get(labels.PODSET, ""), node),
        order=(-(obj.spec.priority or 0), obj.metadata.creation_timestamp or EPOCH, obj.key),
        waits=not node
        and not owned
        and obj.spec.scheduler_name in scheduler_names
        and obj.metadata.deletion_timestamp is None
        and obj.status.phase not in TERMINAL_PHASES,
        ending=holds and (obj.metadata.deletion_timestamp is not None or is_doomed(obj)),
        holding=_holding(obj, pod_class, assumed_notes or {}),
    )


def is_doomed(obj: Pod) -> bool:
    """Whether the scheduler has said that the pod goes for another: it is deleted as soon as that is seen."""
    found = find_condition(obj.status.conditions, DISRUPTION_TARGET)
    told = found is not None and found.status == "True" and found.reason == PREEMPTION_BY_SCHEDULER
    return found is not None and told and found.message.startswith(DOOMED_BY)


def _member_facts(
    obj: Pod, member: Membership, pod_class: PodClass | None, error: str, node: str, notes: Mapping[str, str]
) -> PodFacts:
    """The facts of a pod of a group: bound, it is a pod of the Workload that stands for the group."""
    attempt = notes.get(labels.ATTEMPT) or obj.metadata.annotations.get(labels.ATTEMPT, "")
    holds = bool(node) and obj.status.phase not in TERMINAL_PHASES
    return PodFacts(
        obj=obj,
        key=obj.key,
        pod_class=pod_class,
        error=error,
        node=node,
        holds=holds,
        workload=member.workload if node else "",
        cell=(
            int(attempt) if attempt.isdecimal() else 0,
            member.pod_set,
            "" if _leaves_its_place(obj) else node,
        ),
        order=(-(obj.spec.priority or 0), obj.metadata.creation_timestamp or EPOCH, obj.key),
        waits=False,
        ending=holds and obj.metadata.deletion_timestamp is not None,
        holding=_holding(obj, pod_class, notes),
        member_of=member.workload,
    )


def _leaves_its_place(obj: Pod) -> bool:
    """Whether somebody may make another pod for the place of one that is over."""
    reused = obj.metadata.annotations.get(labels.PLACE) == labels.REUSED
    return obj.status.phase == "Failed" or (reused and obj.status.phase == "Succeeded")


def is_same_workload(before: WorkloadFacts | None, after: WorkloadFacts | None) -> bool:
    """Whether a change of a workload concerns others only: readiness of its pods, progress, labels."""
    if before is None or after is None:
        return before is after
    old, new = before.obj, after.obj
    return (
        before.order == after.order
        and before.evicted == after.evicted
        and old.spec == new.spec
        and old.metadata.deletion_timestamp == new.metadata.deletion_timestamp
        and (old.status == new.status or _held(old) == _held(new) is not None)
    )


def _held(obj: Workload) -> tuple[object, ...] | None:
    admission = obj.status.admission
    if admission is None:
        return None
    checked = [(one.name, one.state, one.message) for one in obj.status.admission_checks]
    said = _recovering_since(obj), _between_attempts(obj), checked, reclaimable(obj)
    return admission, attempt_of(obj), *said


def told_anew(before: WorkloadFacts, new: Workload) -> WorkloadFacts | None:
    """The facts of one that waits and has only been told why: nothing else about it is parsed again.

    None if more has changed, or nothing has: then somebody else wants it looked at again.
    """
    old = before.obj
    was, said = old.status, new.status
    if new is old or was.admission is not None or said.admission is not None or old.spec != new.spec:
        return None
    is_named_alike = (
        old.metadata.labels == new.metadata.labels
        and old.metadata.annotations == new.metadata.annotations
        and old.metadata.creation_timestamp == new.metadata.creation_timestamp
        and old.metadata.deletion_timestamp == new.metadata.deletion_timestamp
    )
    if not is_named_alike or replace(said, conditions=was.conditions) != was:
        return None
    others = [one for one in was.conditions if one.type != "QuotaReserved"]
    if others != [one for one in said.conditions if one.type != "QuotaReserved"]:
        return None
    claims = before.moved or _claims(said.conditions)
    return replaced(before, obj=new, claims=claims, calm=_is_calm(new))


def reclaimable(obj: Workload) -> dict[str, int]:
    """How many pods of each pod set are done and need their quota no more."""
    return {one.name: one.count for one in obj.status.reclaimable_pods}


def _between_attempts(obj: Workload) -> str:
    """How far the last attempt has ended, while places are held for the next one; empty while one runs."""
    if is_true(obj.status.conditions, "Admitted"):
        return ""
    ready = find_condition(obj.status.conditions, "PodsReady")
    return ready.reason if ready is not None else "unknown"


def _recovering_since(obj: Workload) -> datetime | None:
    """Since when its pods are not ready any more: from then on time counts."""
    ready = find_condition(obj.status.conditions, "PodsReady")
    return ready.last_transition_time if ready is not None and ready.reason == "WaitForRecovery" else None


def is_same_pod(before: PodFacts | None, after: PodFacts | None) -> bool:
    """Whether a change of a pod leaves every snapshot as it was: progress, probes, most of its status."""
    if before is None or after is None:
        return before is after
    return (
        (before.node, before.holds, before.workload, before.cell, before.order, before.waits, before.ending)
        == (after.node, after.holds, after.workload, after.cell, after.order, after.waits, after.ending)
        and before.pod_class == after.pod_class
        and before.holding == after.holding
        and not after.waits
        and (bool(after.node) or not after.member_of)
    )


def _holding(obj: Pod, pod_class: PodClass | None, notes: Mapping[str, str]) -> Holding | None:
    count = pod_class.amounts.get(GPU, 0) if pod_class is not None else 0
    if pod_class is None or not (count or pod_class.devices is not None):
        return None
    return holding_of(obj.spec, {**obj.metadata.annotations, **notes}, pod_class.devices, count)


def _pod_class(obj: Pod, previous: PodFacts | None) -> tuple[PodClass | None, str]:
    old = previous.obj if previous is not None else None
    if previous is not None and old is not None and old.metadata.annotations == obj.metadata.annotations:
        same_place = old.spec if previous.error else replace(old.spec, node_name=obj.spec.node_name)
        if same_place == obj.spec:  # the class of a pod does not depend on where it is
            return previous.pod_class, previous.error
    try:
        return class_of(obj.spec, obj.metadata.annotations), ""
    except ValueError as error:
        return _bare_class(obj), f"spec: {error}"


def _bare_class(obj: Pod) -> PodClass | None:
    """What a bound pod takes although it cannot be understood whole: somebody else placed it."""
    try:
        return class_of(obj.spec, None) if obj.spec.node_name else None
    except ValueError:
        return None


def pod_sets_of(obj: Workload) -> tuple[tuple[PodSetFacts, ...], str]:
    """Its pod sets; or none, and why they cannot be understood."""
    found: list[PodSetFacts] = []
    for index, pod_set in enumerate(obj.spec.pod_sets):
        try:
            template = pod_set.template
            pod_class = class_of(template.spec, template.metadata.annotations)
        except ValueError as error:
            return (), f"spec.podSets[{index}].template.spec: {error}"
        try:
            asked = topology_ask(pod_set.topology_request, pod_set.count)
        except ValueError as error:
            return (), f"spec.podSets[{index}].topologyRequest.{error}"
        found.append(
            PodSetFacts(
                name=pod_set.name,
                count=pod_set.count,
                pod_class=pod_class,
                required_level=asked.required,
                preferred_level=asked.preferred,
                unconstrained=asked.unconstrained,
                slices=asked.slices,
                group=asked.group,
                min_count=None if asked.slices else pod_set.min_count,
            )
        )
    return tuple(found), ""


def _queued_since(obj: Workload) -> datetime:
    evicted = find_condition(obj.status.conditions, "Evicted")
    if (
        evicted is not None
        and evicted.reason in _REQUEUED_AT_THE_END
        and evicted.last_transition_time is not None
    ):
        return evicted.last_transition_time
    return obj.metadata.creation_timestamp or EPOCH


def _assigned(admission: Admission | None) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for assignment in admission.pod_set_assignments if admission is not None else ():
        for node, count in _nodes_of(assignment):
            cell = (assignment.name, node)
            found[cell] = found.get(cell, 0) + count
    return found


def _nodes_of(assignment: PodSetAssignment) -> list[tuple[str, int]]:
    """Pods per node; none for an assignment that does not go down to nodes (another scheduler's)."""
    topology = assignment.topology_assignment
    if topology is None or not names_nodes(topology):
        return []
    return nodes_of(topology)


def _devices(
    admission: Admission | None, pod_sets: tuple[PodSetFacts, ...]
) -> Mapping[tuple[str, str, str], int]:
    asking = {one.name for one in pod_sets if one.pod_class.devices is not None}
    found: dict[tuple[str, str, str], int] = {}
    for assignment in admission.pod_set_assignments if admission is not None else ():
        topology = assignment.topology_assignment
        if assignment.name not in asking or topology is None or not names_nodes(topology):
            continue
        for node, devices, count in places_of(topology):
            cell = assignment.name, node, spelled(indices_in(devices))
            found[cell] = found.get(cell, 0) + count
    return found


def usage_of(obj: Workload) -> dict[tuple[str, str], int]:
    """What it is charged: pods that are done give back their part."""
    admission, done = obj.status.admission, reclaimable(obj)
    found: dict[tuple[str, str], int] = {}
    for assignment in admission.pod_set_assignments if admission is not None else ():
        count = assignment.count or 0
        left = max(0, count - done.get(assignment.name, 0))
        for name, amount in amounts(assignment.resource_usage).items():
            cell = (assignment.flavors.get(name, ""), name)
            found[cell] = found.get(cell, 0) + (amount * left // count if left < count else amount)
    return found
