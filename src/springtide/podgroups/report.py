"""What this room says in the status of Workloads: PodsReady, Finished and reclaimable pods, always together.

Server-side apply removes what its manager leaves out. Called by the plans of groups and of Jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from springtide.api.commands import Apply, Command
from springtide.api.kueue import Workload
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.struct import encode

OWNED = ("PodsReady", "Finished")
NOT_ADMITTED = "NotAdmitted"
"""Reason of PodsReady between attempts; `scheduling` waits for it before it admits again."""
WAIT_FOR_START = "WaitForStart"
WAIT_FOR_RECOVERY = "WaitForRecovery"


def pods_ready(
    workload: Workload,
    status: str,
    reason: str,
    message: str,
    now: datetime,
    done: Mapping[str, int] | None = None,
) -> list[Command]:
    """Say whether the pods are ready, and how many are done, if that is not said yet."""
    known = find_condition(workload.status.conditions, "PodsReady")
    said = {one.name: one.count for one in workload.status.reclaimable_pods}
    finished = {name: count for name, count in (done or {}).items() if count}
    if (
        known is not None
        and (known.status, known.reason, known.message) == (status, reason, message)
        and said == finished
    ):
        return []
    new = Condition(type="PodsReady", status=status, reason=reason, message=message)
    return [apply_report(workload, new, finished, now)]


def apply_report(workload: Workload, new: Condition, done: Mapping[str, int], now: datetime) -> Apply:
    """Apply all that this room says in the status: what its manager leaves out would be removed."""
    owned = [condition for condition in workload.status.conditions if condition.type in OWNED]
    status: dict[str, Any] = {"conditions": [encode(one) for one in set_condition(owned, new, now)]}
    reclaimable = [{"name": name, "count": count} for name, count in sorted(done.items()) if count]
    if reclaimable:
        status["reclaimablePods"] = reclaimable
    meta = workload.metadata
    fields: dict[str, Any] = {"status": status}
    if meta.resource_version:
        fields["metadata"] = {"resourceVersion": meta.resource_version}
    return Apply(Workload, meta.namespace, meta.name, fields, subresource="status", uid=meta.uid)
