"""Columns of Jobs and CronJobs, as `kubectl get` shows them. Called by `table_kinds`.

Source of the columns: kube-apiserver's printers.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from springtide.api.resources import Column
from springtide.server.table_apps import format_selector
from springtide.server.table_time import age, created, since

Json = dict[str, Any]
_NONE = "<none>"


def _text(name: str, description: str, priority: int = 0) -> Column:
    return Column(name, "string", "", description, priority)


_AGE = _text("Age", "Time since the object was created")
_WIDE = (
    _text("Containers", "Names of the containers", 1),
    _text("Images", "Images of the containers", 1),
    _text("Selector", "Labels of its pods", 1),
)
_STATES = ("Suspended", "FailureTarget", "SuccessCriteriaMet")
"""Conditions that say how an unfinished job is, the weightiest first."""

JOB_COLUMNS = (
    _text("Status", "How the job is"),
    _text("Completions", "Pods that succeeded, of those that must"),
    _text("Duration", "Time from its start to its completion, or until now"),
    _AGE,
    *_WIDE,
)
CRON_JOB_COLUMNS = (
    _text("Schedule", "When its jobs are made"),
    _text("Timezone", "Zone the schedule is read in"),
    Column("Suspend", "boolean", "", "Whether no jobs are made for now"),
    Column("Active", "integer", "", "Jobs that have not finished"),
    _text("Last Schedule", "Time since a job was last made"),
    _AGE,
    *_WIDE,
)


def job(obj: Json, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        _state(obj, status),
        _completions(spec, status.get("succeeded", 0)),
        _duration(status, now),
        created(obj, now),
        *_wide(spec),
    ]


def cron_job(obj: Json, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    last = status.get("lastScheduleTime")
    suspend = spec.get("suspend")
    return [
        spec.get("schedule", ""),
        spec.get("timeZone") or _NONE,
        "<unset>" if suspend is None else str(suspend),
        len(status.get("active") or ()),
        age(since(last, now)) if last else _NONE,
        created(obj, now),
        *_wide(spec["jobTemplate"]["spec"]),
    ]


def _state(obj: Json, status: Json) -> str:
    true = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
    if "Complete" in true:
        return "Complete"
    if "Failed" in true:
        return "Failed"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return next((state for state in _STATES if state in true), "Running")


def _completions(spec: Json, succeeded: int) -> str:
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(status: Json, now: datetime) -> str:
    started, ended = status.get("startTime"), status.get("completionTime")
    if not started:
        return ""
    return age(since(started, datetime.fromisoformat(ended) if ended else now))


def _wide(spec: Json) -> list[str]:
    containers = spec["template"]["spec"].get("containers") or ()
    names = ",".join(one.get("name", "") for one in containers)
    images = ",".join(one.get("image", "") for one in containers)
    return [names, images, format_selector(spec.get("selector")) or _NONE]
