"""What a pod's status means to whoever keeps a number of pods running. Pure; called by the apps plans.

Source of the rules: kube-controller-manager's controller utilities.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from springtide.api.core import Pod
from springtide.api.meta import find_condition
from springtide.api.podstatus import PodCondition

FINISHED = ("Succeeded", "Failed")


def is_active(pod: Pod) -> bool:
    """Neither finished nor ending."""
    return pod.status.phase not in FINISHED and pod.metadata.deletion_timestamp is None


def is_ending(pod: Pod) -> bool:
    """Asked to go, and not finished yet."""
    return pod.status.phase not in FINISHED and pod.metadata.deletion_timestamp is not None


def ready_condition(pod: Pod) -> PodCondition | None:
    return find_condition(pod.status.conditions, "Ready")


def is_ready(pod: Pod) -> bool:
    found = ready_condition(pod)
    return found is not None and found.status == "True"


def ready_since(pod: Pod) -> datetime | None:
    """When it became ready; None for a pod that is not."""
    found = ready_condition(pod)
    return found.last_transition_time if found is not None and found.status == "True" else None


def is_available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    """Ready, and for long enough."""
    if not is_ready(pod):
        return False
    since = ready_since(pod)
    return not min_ready_seconds or (
        since is not None and since + timedelta(seconds=min_ready_seconds) <= now
    )


def until_available(pods: Iterable[Pod], min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until the next ready pod counts as available; None if no such pod is waited for."""
    if not min_ready_seconds:
        return None
    wait = timedelta(seconds=min_ready_seconds)
    due = [since + wait for pod in pods if (since := ready_since(pod)) is not None]
    left = [(moment - now).total_seconds() for moment in due if moment > now]
    return min(left) if left else None


def restarts(pod: Pod) -> int:
    """The highest restart count among its containers."""
    return max((status.restart_count for status in pod.status.container_statuses), default=0)
