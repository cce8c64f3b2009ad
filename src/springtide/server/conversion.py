"""Kinds that are one set of objects under two names: how the stored form turns into the served one, and back.

Events are stored as v1 and also served as events.k8s.io/v1; autoscalers are stored as autoscaling/v2 and also
served as v1, which knows CPU only: other measurements travel in an annotation there, as in Kubernetes.
Used by `persist` for kinds that name a `Conversion`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

Json = dict[str, Any]

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
_CPU = "targetCPUUtilizationPercentage"

_EVENT_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""Fields of events.k8s.io/v1, and what v1 calls them; all others have the same name."""
_EVENT_NAMES_BACK = {stored: served for served, stored in _EVENT_NAMES.items()}


@dataclass(frozen=True)
class Conversion:
    """Where objects of a served kind are stored, and how they turn. Both functions return a new object."""

    resource: str
    """The collection in the store."""
    api_version: str
    """The version that is stored."""
    to_stored: Callable[[Json], Json]
    from_stored: Callable[[Json], Json]


def _event_to_stored(event: Json) -> Json:
    return {_EVENT_NAMES.get(key, key): value for key, value in event.items()}


def _event_from_stored(event: Json) -> Json:
    return {_EVENT_NAMES_BACK.get(key, key): value for key, value in event.items()}


def _autoscaler_to_stored(scaler: Json) -> Json:
    metadata, spec = dict(scaler["metadata"]), dict(scaler.get("spec") or {})
    annotations = dict(metadata.get("annotations") or {})
    metrics = _taken(annotations, _METRICS) or []
    percentage = spec.pop(_CPU, None)
    if percentage is not None:
        metrics.insert(0, _cpu_metric(percentage))
    if metrics:
        spec["metrics"] = metrics
    if behavior := _taken(annotations, _BEHAVIOR):
        spec["behavior"] = behavior
    status = dict(scaler.get("status") or {})
    if conditions := _taken(annotations, _CONDITIONS):
        status["conditions"] = conditions
    current = _taken(annotations, _CURRENT_METRICS) or []
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None:
        current.insert(0, _cpu_measured(used))
    if current:
        status["currentMetrics"] = current
    return _put_together(scaler, metadata, annotations, spec, status)


def _autoscaler_from_stored(scaler: Json) -> Json:
    metadata, spec = dict(scaler["metadata"]), dict(scaler.get("spec") or {})
    annotations = dict(metadata.get("annotations") or {})
    cpu, others = _first_cpu(spec.pop("metrics", None) or [], "target")
    if cpu is not None:
        spec[_CPU] = cpu
    _note(annotations, _METRICS, others)
    _note(annotations, _BEHAVIOR, spec.pop("behavior", None))
    status = dict(scaler.get("status") or {})
    _note(annotations, _CONDITIONS, status.pop("conditions", None))
    used, others = _first_cpu(status.pop("currentMetrics", None) or [], "current")
    if used is not None:
        status["currentCPUUtilizationPercentage"] = used
    _note(annotations, _CURRENT_METRICS, others)
    return _put_together(scaler, metadata, annotations, spec, status)


def _put_together(scaler: Json, metadata: Json, annotations: Json, spec: Json, status: Json) -> Json:
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    made = {**scaler, "metadata": metadata, "spec": spec}
    if "status" in scaler or status:
        made["status"] = status
    return made


def _cpu_metric(percentage: int) -> Json:
    target = {"type": "Utilization", "averageUtilization": percentage}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _cpu_measured(percentage: int) -> Json:
    return {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percentage}}}


def _first_cpu(metrics: list[Json], part: str) -> tuple[int | None, list[Json]]:
    """The use of CPU in percent, if it is among the metrics, and the others."""
    for index, metric in enumerate(metrics):
        found = metric.get("resource") or {}
        percentage = (found.get(part) or {}).get("averageUtilization")
        if found.get("name") == "cpu" and percentage is not None:
            return percentage, [*metrics[:index], *metrics[index + 1 :]]
    return None, metrics


def _note(annotations: Json, key: str, value: Any) -> None:
    if value:
        annotations[key] = msgspec.json.encode(value).decode()


def _taken(annotations: Json, key: str) -> Any:
    """The value of an annotation, which is removed; None if there is none or it is no JSON."""
    try:
        return msgspec.json.decode(annotations.pop(key, "null"))
    except msgspec.DecodeError:
        return None


CONVERSIONS: dict[tuple[str, str], Conversion] = {
    ("events.k8s.io/v1", "Event"): Conversion("events", "v1", _event_to_stored, _event_from_stored),
    ("autoscaling/v1", "HorizontalPodAutoscaler"): Conversion(
        "autoscaling/horizontalpodautoscalers",
        "autoscaling/v2",
        _autoscaler_to_stored,
        _autoscaler_from_stored,
    ),
}
"""By apiVersion and kind as served."""
