"""What a pod is after its node was restarted: the processes are gone, the API object still says they run.

Called by `agent.py` for pods that had started containers in an earlier life. Pure. Source: containers the
kubelet cannot account for end with exit code 137 and reason ContainerStatusUnknown.
"""

from __future__ import annotations

from datetime import datetime

from springtide.api.core import Pod
from springtide.api.podstatus import ContainerStateTerminated, ContainerStatus
from springtide.node.lifecycle import Ended, Facts

REASON = "NodeRestarted"
MESSAGE = "the node was restarted while the pod was running; its processes were ended"
LOST = "ContainerStatusUnknown"


def is_restarted_in_place(pod: Pod) -> bool:
    """Whether the pod goes on with new container instances, as after a reboot; any other pod fails."""
    return (pod.spec.restart_policy or "Always") == "Always"


def facts_after_restart(pod: Pod, now: datetime) -> dict[str, Facts]:
    """What is known of the containers: those that had ended keep their end, those that ran are lost."""
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return {status.name: _facts(status, now) for status in statuses if _was_started(status)}


def _was_started(status: ContainerStatus) -> bool:
    return bool(status.state.running or status.state.terminated or status.last_state.terminated)


def _facts(status: ContainerStatus, now: datetime) -> Facts:
    instance = status.restart_count
    before = _ended(status.last_state.terminated, instance - 1, now)
    if status.state.terminated is not None:
        return Facts(instance=instance, last=_ended(status.state.terminated, instance, now), previous=before)
    if status.state.running is None:
        return Facts(instance=instance, last=_ended(status.last_state.terminated, instance, now))
    lost = Ended(137, now, status.state.running.started_at, 9, LOST, MESSAGE, instance)
    return Facts(instance=instance, last=lost, previous=before)


def _ended(state: ContainerStateTerminated | None, instance: int, now: datetime) -> Ended | None:
    if state is None:
        return None
    return Ended(
        exit_code=state.exit_code,
        finished_at=state.finished_at or now,
        started_at=state.started_at,
        signal=state.signal,
        reason=state.reason,
        message=state.message,
        instance=max(0, instance),
    )
