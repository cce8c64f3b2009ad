"""The labels that pods of a workload carry beside those of their template.

`workloads` writes them; `scheduling` has to know them before the pods exist: other pods may ask about them.
"""

from __future__ import annotations

from springtide.api import labels
from springtide.api.kueue import Workload
from springtide.api.meta import controller_of


def job_of(workload: Workload) -> str:
    """The name of the job the workload runs for; its own where nothing owns it."""
    owner = controller_of(workload)
    return owner.name if owner is not None else workload.metadata.name


def labels_of_pods(workload: Workload, pod_set: str) -> dict[str, str]:
    """What all pods of a pod set have in common, in every attempt."""
    job = job_of(workload)
    return {
        labels.WORKLOAD: workload.metadata.name,
        labels.PODSET: pod_set,
        labels.JOBSET_NAME: job,
        labels.REPLICATED_JOB_NAME: pod_set,
    }
