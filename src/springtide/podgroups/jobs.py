"""batch/v1 Jobs in a LocalQueue: suspended until their Workload is admitted, and again when it is evicted.

Pure; called by `jobs_controller`. A Job says with the label `kueue.x-k8s.io/queue-name` that it will wait;
its pods are made by whoever runs Jobs (Kubernetes, or `builtin`), and bound by `scheduling` to the places of
the admission. Label, annotations and rules are those of Kueue's integration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from springtide.api import labels
from springtide.api.batch import Job
from springtide.api.commands import Apply, Command, Create, Delete, Plan
from springtide.api.kueue import PodSet, PodSetTopologyRequest, PriorityClassRef, Workload, WorkloadSpec
from springtide.api.membership import Dialect, Group
from springtide.api.meta import Condition, ObjectMeta, find_condition, is_true, owner_reference
from springtide.api.struct import encode, replace
from springtide.podgroups.report import (
    NOT_ADMITTED,
    WAIT_FOR_RECOVERY,
    WAIT_FOR_START,
    apply_report,
    pods_ready,
)

POD_SET = "main"
_MANAGERS = ("", labels.JOB_CONTROLLER)


@dataclass(frozen=True)
class JobView:
    """A Job and its Workload."""

    job: Job
    workload: Workload | None = None
    workload_priorities: Mapping[str, int] = field(default_factory=dict)
    """The values of WorkloadPriorityClasses."""


def is_queued(job: Job) -> bool:
    """Whether the Job wants to wait in a queue, and is one that is worked on here."""
    return bool(job.metadata.labels.get(labels.QUEUE_NAME)) and (job.spec.managed_by or "") in _MANAGERS


def group_of_job(job: Job) -> Group:
    """The group of its pods."""
    return Group(Dialect.JOB, job.metadata.namespace, job.metadata.name)


def plan(view: JobView, now: datetime) -> Plan:
    """What brings the Job one step further."""
    job, workload = view.job, view.workload
    if not is_queued(job) or job.metadata.deletion_timestamp is not None:
        return Plan()
    if workload is not None and workload.metadata.deletion_timestamp is not None:
        return Plan(tuple(_suspend(job, None)))
    ended = _ended(job)
    if ended is not None:
        over = workload is None or is_true(workload.status.conditions, "Finished")
        return Plan() if over or workload is None else Plan((apply_report(workload, ended, {}, now),))
    if workload is None:
        return Plan((*_suspend(job, None), Create(_workload(view))))
    if not is_true(workload.status.conditions, "QuotaReserved") and _differs(view, workload):
        return Plan((_delete(workload),))
    runs = is_true(workload.status.conditions, "Admitted") and not is_true(
        workload.status.conditions, "Evicted"
    )
    if workload.status.admission is None or not runs:
        return Plan((*_suspend(job, workload), *_reset(job, workload, now)))
    if job.spec.suspend:
        return Plan((_resume(job, workload),))
    if job.spec.parallelism is not None and job.spec.parallelism != _count(workload):
        return Plan((_delete(workload),))  # its owner wants another size: it is queued anew
    return Plan(tuple(_report(job, workload, now)))


# -- the Workload -----------------------------------------------------------------------------------


def _workload(view: JobView) -> Workload:
    job = view.job
    said = job.metadata.labels
    name = said.get(labels.PRIORITY_CLASS, "")
    value = view.workload_priorities.get(name)
    carried = (labels.QUEUE_NAME, labels.PRIORITY_CLASS)
    return Workload(
        metadata=ObjectMeta(
            name=group_of_job(job).workload,
            namespace=job.metadata.namespace,
            labels={key: said[key] for key in carried if key in said},
            annotations={labels.PODS_BY: labels.OTHERS, labels.REQUEST_DIGEST: _digest(job)},
            owner_references=[owner_reference(job)],
        ),
        spec=WorkloadSpec(
            pod_sets=[_pod_set(job)],
            queue_name=said[labels.QUEUE_NAME],
            priority=value if value is not None else job.spec.template.spec.priority,
            priority_class_ref=PriorityClassRef(
                group="kueue.x-k8s.io", kind="WorkloadPriorityClass", name=name
            )
            if value is not None
            else None,
        ),
    )


def _pod_set(job: Job) -> PodSet:
    wanted = job.spec.parallelism if job.spec.parallelism is not None else 1
    count = wanted if job.spec.completions is None else min(wanted, job.spec.completions)
    fewest = job.metadata.annotations.get(labels.JOB_MIN_PARALLELISM, "")
    template = job.spec.template
    notes = template.metadata.annotations
    required = notes.get(labels.PODSET_REQUIRED_TOPOLOGY) or None
    preferred = notes.get(labels.PODSET_PREFERRED_TOPOLOGY) or None
    return PodSet(
        name=POD_SET,
        template=replace(template, metadata=ObjectMeta(labels=template.metadata.labels, annotations=notes)),
        count=count,
        min_count=int(fewest) if fewest.isdecimal() and 1 <= int(fewest) < count else None,
        topology_request=PodSetTopologyRequest(required=required, preferred=None if required else preferred)
        if required or preferred
        else None,
    )


def _differs(view: JobView, workload: Workload) -> bool:
    """Whether the Job was changed since its Workload was made."""
    return workload.metadata.annotations.get(labels.REQUEST_DIGEST) != _digest(view.job)


def _digest(job: Job) -> str:
    """Of all that its Workload is made of."""
    wanted = _pod_set(job)
    spec = encode(wanted.template.spec)
    asked = [job.metadata.labels[labels.QUEUE_NAME], wanted.count, wanted.min_count, spec]
    return hashlib.blake2b(json.dumps(asked, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def _count(workload: Workload) -> int:
    """How many pods were admitted."""
    given = workload.status.admission.pod_set_assignments if workload.status.admission is not None else []
    counted = given[0].count if given else None
    return workload.spec.pod_sets[0].count if counted is None else counted


# -- the Job ----------------------------------------------------------------------------------------


def _suspend(job: Job, workload: Workload | None) -> list[Command]:
    if job.spec.suspend:
        return []
    count = workload.spec.pod_sets[0].count if workload is not None else job.spec.parallelism
    return [_apply(job, suspend=True, parallelism=count)]


def _resume(job: Job, workload: Workload) -> Command:
    return _apply(job, suspend=False, parallelism=_count(workload))


def _apply(job: Job, *, suspend: bool, parallelism: int | None) -> Apply:
    """The fields that are this room's. The pods' marks never change, so that they may stay once pods ran."""
    meta = job.metadata
    more = (job.spec.completions or 0) > (parallelism or 1)
    marks = {
        labels.KUEUE_WORKLOAD: group_of_job(job).workload,
        **({labels.PLACE: labels.REUSED} if more else {}),
    }
    fields: dict[str, Any] = {
        "spec": {
            "suspend": suspend,
            **({"parallelism": parallelism} if parallelism is not None else {}),
            "template": {"metadata": {"annotations": marks, "labels": {labels.PODSET: POD_SET}}},
        }
    }
    return Apply(Job, meta.namespace, meta.name, fields, uid=meta.uid)


# -- what is said -----------------------------------------------------------------------------------


def _ended(job: Job) -> Condition | None:
    for type_, reason in (("Complete", "Succeeded"), ("Failed", "Failed")):
        found = find_condition(job.status.conditions, type_)
        if found is not None and found.status == "True":
            message = found.message or f"Job is {type_}"
            return Condition(type="Finished", status="True", reason=reason, message=message)
    return None


def _reset(job: Job, workload: Workload, now: datetime) -> list[Command]:
    """Nothing of an earlier attempt may be left before the next."""
    if find_condition(workload.status.conditions, "PodsReady") is None or not job.spec.suspend:
        return []
    if job.status.active or job.status.terminating:
        return []
    return pods_ready(workload, "False", NOT_ADMITTED, "The Job is suspended", now)


def _report(job: Job, workload: Workload, now: datetime) -> list[Command]:
    count = _count(workload)
    succeeded, ready = job.status.succeeded or 0, job.status.ready or 0
    wanted = job.spec.completions if job.spec.completions is not None else count
    done = {POD_SET: max(0, count - max(0, wanted - succeeded))}
    known = find_condition(workload.status.conditions, "PodsReady")
    if ready + succeeded >= min(count, wanted):
        again = known is not None and known.reason in (WAIT_FOR_RECOVERY, "Recovered")
        return pods_ready(
            workload, "True", "Recovered" if again else "Started", f"All {count} pods are ready", now, done
        )
    was = known is not None and (known.status == "True" or known.reason == WAIT_FOR_RECOVERY)
    message = f"Waits for {min(count, wanted) - ready - succeeded} pods to be ready"
    return pods_ready(workload, "False", WAIT_FOR_RECOVERY if was else WAIT_FOR_START, message, now, done)


def _delete(workload: Workload) -> Command:
    meta = workload.metadata
    return Delete(Workload, meta.namespace, meta.name, meta.uid)
