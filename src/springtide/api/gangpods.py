"""The labels that pods of a workload carry beside those of their template.

`workloads` writes them; `scheduling` has to know them before the pods exist: other pods may ask about them.
"""

from __future__ import annotations

from springtide.api import labels
from springtide.api.kueue import PodSet, Workload
from springtide.api.meta import controller_of


def job_of(workload: Workload) -> str:
    """The name of the job the workload runs for; its own where nothing owns it."""
    owner = controller_of(workload)
    return owner.name if owner is not None else workload.metadata.name


def admitted_count(workload: Workload, pod_set: PodSet) -> int:
    """How many pods of the set there are in this attempt: fewer than asked for where that will do."""
    admission = workload.status.admission
    given = admission.pod_set_assignments if admission is not None else []
    counts = {one.name: one.count for one in given if one.count is not None}
    return counts.get(pod_set.name, pod_set.count)


def host_of(workload: Workload, pod_set: str, index: int) -> str:
    """Host name of a pod, the same in every attempt: JobSet's, or Volcano's where a Job of its owns it."""
    middle = "" if is_of_volcano(workload) else "0-"
    return f"{job_of(workload)}-{pod_set}-{middle}{index}"


def is_of_volcano(workload: Workload) -> bool:
    """Whether a Job of Volcano owns the workload: then its pods are called by their host names."""
    owner = controller_of(workload)
    return owner is not None and owner.api_version.startswith("batch.volcano.sh/")


def labels_of_pods(workload: Workload, pod_set: str) -> dict[str, str]:
    """What all pods of a pod set have in common, in every attempt."""
    job = job_of(workload)
    return {
        labels.WORKLOAD: workload.metadata.name,
        labels.PODSET: pod_set,
        labels.JOBSET_NAME: job,
        labels.REPLICATED_JOB_NAME: pod_set,
    }
