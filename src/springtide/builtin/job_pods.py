"""One pod as a Job sees it: its index, whether its end is counted, when it ended; and how pods are made.

Pure; called by `job_plan` and `jobs`. Source of the rules: kube-controller-manager's job controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from springtide.api import labels
from springtide.api.batch import Job
from springtide.api.containers import Container, EnvVar, EnvVarSource
from springtide.api.core import Pod
from springtide.api.meta import ObjectMeta, find_condition, owner_reference
from springtide.api.numbers import whole_number
from springtide.api.podstatus import ContainerStatus
from springtide.api.struct import replace
from springtide.api.volumes import ObjectFieldSelector
from springtide.builtin.pod_names import PodNames

INDEXED = "Indexed"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
_LONGEST_BASE = 58
_SUFFIX_LETTERS = 5
_MOST = 2**31 - 1


class JobPodNames(PodNames):
    """Names of a job's pods: those of an indexed one have the index before the suffix."""

    def number(self, name: str) -> int | None:
        return super().number(self.base + name[-_SUFFIX_LETTERS:])


def is_indexed(job: Job) -> bool:
    return job.spec.completion_mode == INDEXED


def is_suspended(job: Job) -> bool:
    return bool(job.spec.suspend)


def is_tracked(pod: Pod) -> bool:
    """Whether the pod's end is still to be counted."""
    return labels.JOB_TRACKING in pod.metadata.finalizers


def replaces_only_failed(job: Job) -> bool:
    """Whether a pod that is going is replaced only once it has ended."""
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


def is_failed(pod: Pod, job: Job) -> bool:
    """Whether it counts as failed: a pod that is going does, unless the job waits for its end."""
    if pod.status.phase == "Failed":
        return True
    going = pod.metadata.deletion_timestamp is not None and pod.status.phase != "Succeeded"
    return going and not replaces_only_failed(job)


def index_of(pod: Pod) -> int | None:
    """The pod's completion index, if it has one."""
    return _number(pod, labels.JOB_COMPLETION_INDEX)


def valid_index(pod: Pod, job: Job) -> int | None:
    """The pod's index, if the job has it."""
    index = index_of(pod)
    return index if index is not None and index < (job.spec.completions or 0) else None


def index_failures(pod: Pod) -> int:
    """How often the pod's index failed before this pod, as far as it counts."""
    return _count(pod, labels.JOB_INDEX_FAILURES)


def all_index_failures(pod: Pod) -> int:
    """How often the pod's index failed before this pod, ignored failures included."""
    return index_failures(pod) + _count(pod, labels.JOB_INDEX_IGNORED_FAILURES)


def _count(pod: Pod, annotation: str) -> int:
    return _number(pod, annotation) or 0


def _number(pod: Pod, annotation: str) -> int | None:
    """What an annotation counts; None for what is no number of 32 bits, however long it is."""
    number = whole_number(pod.metadata.annotations.get(annotation, ""))
    return number if number is not None and number <= _MOST else None


def finished_at(pod: Pod) -> datetime:
    """When it ended: by its containers, else by its Ready condition, its deletion, or its creation."""
    ended = _containers_ended_at(pod)
    if ended is not None:
        return ended
    ready = find_condition(pod.status.conditions, "Ready")
    if ready is not None and ready.status == "False" and ready.last_transition_time is not None:
        return ready.last_transition_time
    metadata = pod.metadata
    if metadata.deletion_timestamp is not None:
        return metadata.deletion_timestamp - timedelta(seconds=metadata.deletion_grace_period_seconds or 0)
    if metadata.creation_timestamp is None:
        raise ValueError(f"pod {pod.key} was never created: metadata.creationTimestamp is missing")
    return metadata.creation_timestamp


def _containers_ended_at(pod: Pod) -> datetime | None:
    sidecars = {one.name for one in pod.spec.init_containers if one.restart_policy == "Always"}
    counted: Sequence[ContainerStatus] = [
        *pod.status.container_statuses,
        *(one for one in pod.status.init_container_statuses if one.name in sidecars),
    ]
    ends = [one.state.terminated.finished_at if one.state.terminated else None for one in counted]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def make_pod(job: Job, name: str, index: int | None = None, failures: tuple[int, int] | None = None) -> Pod:
    """A pod of the job under the name that `JobPodNames` gave. `failures` of the index: counted, ignored."""
    template = job.spec.template
    found = template.metadata
    annotations, marks = dict(found.annotations), dict(found.labels)
    spec, base = template.spec, f"{job.metadata.name}-"
    if index is not None:
        annotations[labels.JOB_COMPLETION_INDEX] = marks[labels.JOB_COMPLETION_INDEX] = str(index)
        base = index_base(job.metadata.name, index)
        name = base + name[-_SUFFIX_LETTERS:]
        spec = replace(
            spec,
            hostname=f"{job.metadata.name}-{index}",
            containers=[_with_index(one) for one in spec.containers],
            init_containers=[_with_index(one) for one in spec.init_containers],
        )
    if failures is not None:
        annotations[labels.JOB_INDEX_FAILURES] = str(failures[0])
        if failures[1]:
            annotations[labels.JOB_INDEX_IGNORED_FAILURES] = str(failures[1])
    metadata = ObjectMeta(
        name=name,
        generate_name=base[:_LONGEST_BASE],
        namespace=job.metadata.namespace,
        labels=marks,
        annotations=annotations,
        finalizers=list(dict.fromkeys([*found.finalizers, labels.JOB_TRACKING])),
        owner_references=[owner_reference(job)],
    )
    return Pod(metadata=metadata, spec=spec)


def index_base(job: str, index: int) -> str:
    """What the names of the pods of one index begin with; long job names are cut, the index never."""
    end = f"-{index}-"
    return job[: _LONGEST_BASE - len(end)] + end


def _with_index(container: Container) -> Container:
    if any(one.name == INDEX_VARIABLE for one in container.env):
        return container
    path = f"metadata.labels['{labels.JOB_COMPLETION_INDEX}']"
    source = EnvVarSource(field_ref=ObjectFieldSelector(api_version="v1", field_path=path))
    return replace(container, env=[*container.env, EnvVar(name=INDEX_VARIABLE, value_from=source)])
