"""A Job as the Workload and the claims it comes to: one pod set for each task. Pure; called by the plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from springtide.api import labels
from springtide.api.core import (
    Container,
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    PodSpec,
    PodTemplateSpec,
    Volume,
    VolumeMount,
)
from springtide.api.kueue import (
    PodSet,
    PodSetTopologyRequest,
    PriorityClassRef,
    Workload,
    WorkloadSpec,
)
from springtide.api.meta import ObjectMeta, owner_reference
from springtide.api.struct import encode, replace
from springtide.api.topologyrules import network_request, topology_request
from springtide.api.volcano_batch import Job, VolumeSpec
from springtide.volcano.plugins import Addition, additions
from springtide.volcano.policies import evicts_whole_job
from springtide.volcano.tasks import Task, min_available, problem_of, tasks_of, total

WORKLOAD_PREFIX = "vcjob-"
_CARRIED = "volcano.sh/"
"""Annotations of a Job that begin so are passed on to its PodGroup and Workload, as in Volcano."""


class UnresolvableError(ValueError):
    """The Job cannot become a Workload as it is; the text says what to change."""


def workload_name(job: str) -> str:
    """The name of a Job's Workload."""
    return f"{WORKLOAD_PREFIX}{job}"


def group_name(job: Job) -> str:
    """The name of a Job's PodGroup: Volcano's."""
    return f"{job.metadata.name}-{job.metadata.uid}"


def workload_for(job: Job, priority: int | None) -> Workload:
    """The Workload of a job. `priority` is what its PriorityClass is worth. Raises UnresolvableError."""
    problem = problem_of(job)
    if problem:
        raise UnresolvableError(problem)
    reference = None
    if job.spec.priority_class_name:
        name = job.spec.priority_class_name
        reference = PriorityClassRef(group="scheduling.k8s.io", kind="PriorityClass", name=name)
    spec = WorkloadSpec(
        pod_sets=[_pod_set(job, task) for task in tasks_of(job)],
        priority_class_ref=reference,
        priority=priority,
    )
    carried = {**carried_labels(job), **carried_annotations(job)}
    annotations = {
        **carried,
        labels.VOLCANO_QUEUE: job.spec.queue or "default",
        labels.VERDICT: "open",
        labels.REFILL: "true" if is_refilled(job) else "false",
        labels.TEMPLATE_DIGEST: _digest([encode(spec), carried, job.spec.queue]),
    }
    if may_grow(job):
        annotations[labels.ELASTIC_JOB] = "true"
    if job.spec.running_estimate:
        annotations[labels.RUNNING_ESTIMATE] = job.spec.running_estimate
    metadata = ObjectMeta(
        name=workload_name(job.metadata.name),
        namespace=job.metadata.namespace,
        labels={labels.VOLCANO_JOB_NAME: job.metadata.name},
        annotations=annotations,
        owner_references=[owner_reference(job)],
    )
    return Workload(metadata=metadata, spec=spec)


def may_grow(job: Job) -> bool:
    """Whether it starts with fewer pods than it has, and gets the others, or gives them up, as it runs."""
    return min_available(job) < total(job)


def is_refilled(job: Job) -> bool:
    """Whether pods that go missing are made again at once, or a rule is asked first what that means."""
    return may_grow(job) or not evicts_whole_job(job)


def carried_annotations(job: Job) -> dict[str, str]:
    """Annotations that say how the whole gang is to be treated."""
    return {key: text for key, text in job.metadata.annotations.items() if key.startswith(_CARRIED)}


def carried_labels(job: Job) -> dict[str, str]:
    """The same of labels: Volcano takes `preemptable` and `cooldown-time` from either."""
    both = (labels.PREEMPTABLE, labels.COOLDOWN_TIME)
    return {key: job.metadata.labels[key] for key in both if key in job.metadata.labels}


def claims_for(job: Job) -> list[PersistentVolumeClaim]:
    """The claims that the job's volumes ask to be made."""
    return [
        PersistentVolumeClaim(
            metadata=ObjectMeta(
                name=_claim_name(job, index, volume),
                namespace=job.metadata.namespace,
                labels={labels.VOLCANO_JOB_NAME: job.metadata.name},
                owner_references=[owner_reference(job)],
            ),
            spec=volume.volume_claim,
        )
        for index, volume in enumerate(job.spec.volumes)
        if volume.volume_claim is not None
    ]


def _claim_name(job: Job, index: int, volume: VolumeSpec) -> str:
    if volume.volume_claim_name:
        return volume.volume_claim_name
    if volume.volume_claim is None:
        raise UnresolvableError(
            f"spec.volumes[{index}] has neither volumeClaimName nor volumeClaim; set one of them"
        )
    number = hashlib.sha256(f"{job.metadata.uid}/{index}".encode()).hexdigest()[:12]
    return f"{job.metadata.name}-volume-{number}"


def _pod_set(job: Job, task: Task) -> PodSet:
    fewest = task.fewest if min_available(job) < total(job) else task.replicas
    return PodSet(
        name=task.name,
        count=task.replicas,
        min_count=fewest if fewest < task.replicas else None,
        template=_template(job, task),
        topology_request=_topology(job, task),
    )


def _topology(job: Job, task: Task) -> PodSetTopologyRequest:
    """How near the pods are to be, by Volcano's fields or else Kueue's annotations; how they are numbered."""
    partition = task.spec.partition_policy
    asked = network_request(
        job.spec.network_topology,
        job.metadata.name if len(tasks_of(job)) > 1 else "",
        partition=partition.network_topology if partition is not None else None,
        partition_size=partition.partition_size if partition is not None else 1,
    )
    try:
        asked = asked or topology_request(task.spec.template.metadata.annotations, task.replicas)
    except ValueError as error:
        raise UnresolvableError(f"spec.tasks {task.name}: {error}") from None
    numbered = replace(asked or PodSetTopologyRequest(), pod_index_label=labels.VOLCANO_TASK_INDEX)
    if partition is None:
        return numbered
    return replace(
        numbered, sub_group_index_label=labels.VOLCANO_PARTITION, sub_group_count=partition.total_partitions
    )


def _template(job: Job, task: Task) -> PodTemplateSpec:
    given = task.spec.template
    added = [*additions(job, task), _volumes(job)]
    about = {
        labels.VOLCANO_JOB_NAME: job.metadata.name,
        labels.VOLCANO_QUEUE_LABEL: job.spec.queue or "default",
        labels.VOLCANO_TASK: task.name,
    }
    annotations = {
        **given.metadata.annotations,
        **about,
        labels.VOLCANO_GROUP: group_name(job),
        **{key: text for one in added for key, text in one.annotations.items()},
        **_starts_after(task),
    }
    metadata = replace(
        given.metadata,
        labels={**given.metadata.labels, **about, labels.VOLCANO_JOB_NAMESPACE: job.metadata.namespace},
        annotations=annotations,
    )
    return replace(given, metadata=metadata, spec=_spec(given.spec, added))


def _spec(spec: PodSpec, added: Sequence[Addition]) -> PodSpec:
    return replace(
        spec,
        containers=[_with(container, added) for container in spec.containers],
        init_containers=[_with(container, added) for container in spec.init_containers],
        volumes=[*spec.volumes, *_new(spec.volumes, [one for part in added for one in part.volumes])],
    )


def _with(container: Container, added: Sequence[Addition]) -> Container:
    """A container with what is added; what it sets itself stays as it is."""
    own = {one.name for one in container.env}
    mounted = {one.mount_path for one in container.volume_mounts}
    return replace(
        container,
        env=[*container.env, *(one for part in added for one in part.env if one.name not in own)],
        volume_mounts=[
            *container.volume_mounts,
            *(one for part in added for one in part.mounts if one.mount_path not in mounted),
        ],
    )


def _new(known: Sequence[Volume], more: Sequence[Volume]) -> list[Volume]:
    """Volumes that are not there yet, each once."""
    names = {one.name for one in known}
    return list({one.name: one for one in more if one.name not in names}.values())


def _volumes(job: Job) -> Addition:
    """The job's own volumes, in all pods."""
    volumes, mounts = [], []
    for index, volume in enumerate(job.spec.volumes):
        claim = _claim_name(job, index, volume)
        source = PersistentVolumeClaimVolumeSource(claim_name=claim)
        volumes.append(Volume(name=claim, persistent_volume_claim=source))
        mounts.append(VolumeMount(name=claim, mount_path=volume.mount_path))
    return Addition(volumes=volumes, mounts=mounts)


def _starts_after(task: Task) -> Mapping[str, str]:
    depends = task.spec.depends_on
    if depends is None or not depends.name:
        return {}
    how = "any" if depends.iteration == "any" else "all"
    return {labels.STARTS_AFTER: f"{how}:{','.join(depends.name)}"}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
