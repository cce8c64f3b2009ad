"""The writes a node makes about a pod, as commands. Used by `agent.py` and `simulated.py`."""

from __future__ import annotations

from springtide.api.commands import Apply, Delete
from springtide.api.core import Pod
from springtide.api.labels import PROGRESS
from springtide.api.podstatus import PodStatus
from springtide.api.struct import encode, replace


def status_command(pod: Pod, status: PodStatus) -> Apply:
    """Write the node's fields of the pod's status."""
    metadata = pod.metadata
    return Apply(Pod, metadata.namespace, metadata.name, {"status": encode(status)}, "status", metadata.uid)


def same_status(known: PodStatus, new: PodStatus) -> bool:
    """Whether the object already says all this; conditions of others do not count."""
    ours = {condition.type for condition in new.conditions}
    conditions = [condition for condition in known.conditions if condition.type in ours]
    return replace(known, conditions=conditions) == new


def progress_command(pod: Pod, report: str) -> Apply:
    """Put a progress report, one line of JSON, on the pod."""
    fields = {"metadata": {"annotations": {PROGRESS: report}}}
    return Apply(Pod, pod.metadata.namespace, pod.metadata.name, fields, uid=pod.metadata.uid)


def release(pod: Pod) -> Delete:
    """Let the object of a deleted pod go: nothing of it runs any more."""
    metadata = pod.metadata
    return Delete(Pod, metadata.namespace, metadata.name, metadata.uid, grace_period_seconds=0)
