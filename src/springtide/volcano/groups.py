"""The PodGroup of a Job: what it says of the gang, and where that stands. Pure; called by the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import (
    LabelSelector,
    ObjectMeta,
    find_condition,
    is_true,
    owner_reference,
    whole_second,
)
from springtide.api.quantity import Quantity, format_bytes, format_milli, milli
from springtide.api.struct import replace
from springtide.api.volcano import (
    PodGroup,
    PodGroupCondition,
    PodGroupPhase,
    PodGroupSpec,
    PodGroupStatus,
    SubGroupPolicySpec,
)
from springtide.api.volcano_batch import Job
from springtide.volcano.tasks import Task, min_available, tasks_of
from springtide.volcano.templates import carried_annotations, group_name

SCHEDULED, UNSCHEDULABLE = "Scheduled", "Unschedulable"


def group_for(job: Job) -> PodGroup:
    """The PodGroup of a job."""
    tasks = tasks_of(job)
    least = min_available(job)
    spec = PodGroupSpec(
        min_member=least,
        min_task_member={task.name: task.fewest for task in tasks},
        queue=job.spec.queue or "default",
        priority_class_name=job.spec.priority_class_name,
        min_resources=_min_resources(tasks),
        network_topology=job.spec.network_topology,
        sub_group_policy=[one for task in tasks if (one := _sub_group(task)) is not None],
    )
    metadata = ObjectMeta(
        name=group_name(job),
        namespace=job.metadata.namespace,
        labels=dict(job.metadata.labels),
        annotations=carried_annotations(job),
        owner_references=[owner_reference(job)],
    )
    return PodGroup(metadata=metadata, spec=spec)


def _min_resources(tasks: Sequence[Task]) -> dict[str, Quantity] | None:
    """What the fewest pods ask for together."""
    total: Counter[str] = Counter()
    for task in tasks:
        for container in task.spec.template.spec.containers:
            asked = {**container.resources.limits, **container.resources.requests}
            for name, amount in asked.items():
                total[name] += task.fewest * milli(amount)
    return {name: _quantity(name, amount) for name, amount in sorted(total.items())} or None


def _quantity(name: str, thousandths: int) -> Quantity:
    whole, rest = divmod(thousandths, 1000)
    return format_bytes(whole) if name == "memory" and not rest else format_milli(thousandths)


def _sub_group(task: Task) -> SubGroupPolicySpec | None:
    partition = task.spec.partition_policy
    if partition is None:
        return None
    return SubGroupPolicySpec(
        name=task.name,
        sub_group_size=partition.partition_size,
        min_sub_groups=partition.min_partitions,
        network_topology=partition.network_topology,
        label_selector=LabelSelector(match_labels={labels.VOLCANO_TASK: task.name}),
        match_label_keys=[labels.VOLCANO_PARTITION],
    )


def group_status(
    group: PodGroup, workload: Workload | None, pods: Iterable[Pod], now: datetime
) -> PodGroupStatus:
    """Where the gang stands."""
    phases = Counter(pod.status.phase for pod in pods if pod.metadata.deletion_timestamp is None)
    return PodGroupStatus(
        phase=_phase(group, workload, phases).value,
        conditions=_conditions(group, workload, now),
        running=phases["Running"],
        succeeded=phases["Succeeded"],
        failed=phases["Failed"],
    )


def _phase(group: PodGroup, workload: Workload | None, phases: Counter[str]) -> PodGroupPhase:
    if workload is None:
        done = group.status.phase == PodGroupPhase.COMPLETED
        return PodGroupPhase.COMPLETED if done else PodGroupPhase.PENDING
    if is_true(workload.status.conditions, "Finished"):
        return PodGroupPhase.COMPLETED
    if workload.status.admission is None:
        return PodGroupPhase.PENDING
    if phases["Running"] + phases["Succeeded"] >= max(1, group.spec.min_member):
        return PodGroupPhase.RUNNING
    begun = group.status.phase in (PodGroupPhase.RUNNING, PodGroupPhase.UNKNOWN)
    return PodGroupPhase.UNKNOWN if begun else PodGroupPhase.INQUEUE


def _conditions(group: PodGroup, workload: Workload | None, now: datetime) -> list[PodGroupCondition]:
    """Scheduled, or Unschedulable with what it waits for."""
    reserved = find_condition(workload.status.conditions, "QuotaReserved") if workload is not None else None
    if workload is None or reserved is None:
        return group.status.conditions
    if reserved.status == "True":
        new = PodGroupCondition(
            type=SCHEDULED,
            status="True",
            reason="tasks in gang are ready to be scheduled",
            message=reserved.message,
        )
    else:
        new = PodGroupCondition(
            type=UNSCHEDULABLE,
            status="True",
            reason="NotEnoughResources",
            message=f"{reserved.reason}: {reserved.message}",
        )
    known = next((one for one in group.status.conditions if one.type == new.type), None)
    if known is not None:
        unchanged = replace(
            new, last_transition_time=known.last_transition_time, transition_id=known.transition_id
        )
        return [unchanged]
    return [replace(new, last_transition_time=whole_second(now), transition_id=workload.metadata.uid)]
