"""Which pods of a node out of service leave, and when: at once, or after their next checkpoint. Pure.

Called by `remediation_plan`. Pods of DaemonSets, static pods and jobs that mend the node stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.meta import controller_of
from springtide.api.remediation import Drain
from springtide.health.incidents import NAMESPACE

AGAIN_SECONDS = 10.0
"""A pod that a disruption budget holds back is asked again so much later."""
_STATIC = "kubernetes.io/config.mirror"


def left_on(pods: Iterable[Pod]) -> list[Pod]:
    """Pods that must be gone before the node is drained."""
    return [pod for pod in pods if pod.status.phase not in ("Succeeded", "Failed") and not _stays(pod)]


def due_to_leave(
    left: Sequence[Pod], since: datetime, drain: Drain, now: datetime
) -> tuple[list[Pod], float]:
    """Those that are asked to go now, and after how many seconds to look again."""
    until = since + timedelta(seconds=drain.checkpoint_seconds)
    going = [pod for pod in left if pod.metadata.deletion_timestamp is None]
    waiting = [pod for pod in going if until > now and _will_save(pod, since)]
    due = [pod for pod in going if pod not in waiting]
    if waiting:
        return due, min(AGAIN_SECONDS, (until - now).total_seconds())
    return due, AGAIN_SECONDS


def _will_save(pod: Pod, since: datetime) -> bool:
    """Whether a pod that writes checkpoints has written none since the node was taken out of service."""
    saved = checkpoint_time(pod)
    return saved is not None and saved <= since


def checkpoint_time(pod: Pod) -> datetime | None:
    """When the pod's program last saved a checkpoint, as it reported itself."""
    try:
        report = json.loads(pod.metadata.annotations.get(labels.PROGRESS, ""))
        moment = datetime.fromisoformat(report["checkpointTime"].replace("Z", "+00:00"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return moment if moment.tzinfo is not None else None  # any program may write this


def _stays(pod: Pod) -> bool:
    owner = controller_of(pod)
    of_node = owner is not None and owner.kind in ("DaemonSet", "Node")
    mends = labels.INCIDENT in pod.metadata.labels and pod.metadata.namespace == NAMESPACE
    return of_node or mends or _STATIC in pod.metadata.annotations
