"""Strategies of kinds with few rules: autoscalers, runtime classes, controllers of old, templates, slices.

Listed in `admission.STRATEGIES`. Rules and messages: Kubernetes' validation of each group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from springtide.api.names import label_fault
from springtide.server.context import Context
from springtide.server.pod_defaults import default_pod_spec
from springtide.server.pod_template_rules import pod_template_errors
from springtide.server.resource_rules import canonical_amounts, requirement_errors
from springtide.server.schema_rules import FieldError
from springtide.server.selector_rules import label_errors
from springtide.server.status import bad_value, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_POSITIVE = "must be greater than or equal to 1"
_NEGATIVE = "must be greater than or equal to 0"
_TARGETS = ("AverageValue", "Utilization", "Value")
_METRICS = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}
_SCALE_UP: Json = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_SCALE_DOWN: Json = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


class AutoscalerStrategy(Strategy):
    """autoscaling/v1 and v2 HorizontalPodAutoscaler: stored; nothing here scales by it yet."""

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("minReplicas") is None:
            spec["minReplicas"] = 1
        if obj["apiVersion"].endswith("/v1"):
            return
        if not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        if (behavior := spec.get("behavior")) is not None:
            behavior["scaleUp"] = {**_SCALE_UP, **_stated(behavior.get("scaleUp"))}
            behavior["scaleDown"] = {**_SCALE_DOWN, **_stated(behavior.get("scaleDown"))}

    def before_create(self, obj: Json, context: Context) -> None:
        empty: Json = {"desiredReplicas": 0, "currentMetrics": None}
        old: Json = {"currentReplicas": 0, "desiredReplicas": 0}
        obj["status"] = old if obj["apiVersion"].endswith("/v1") else empty

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_autoscaler_errors(obj["spec"]))

    def warn(self, obj: Json) -> Sequence[str]:
        return ("no autoscaler runs in this control plane: the object is stored and has no effect",)


class RuntimeClassStrategy(Strategy):
    """node.k8s.io/v1 RuntimeClass."""

    def default(self, obj: Json) -> None:
        if obj.get("overhead"):
            canonical_amounts(obj["overhead"], "podFixed")

    def validate(self, obj: Json) -> Sequence[FieldError]:
        handler, errors = obj.get("handler") or "", []
        if fault := label_fault(handler):
            errors.append(bad_value("handler", handler, fault))
        fixed = (obj.get("overhead") or {}).get("podFixed")
        if fixed:
            errors += requirement_errors({"limits": fixed}, "overhead.podFixed")
        selector = (obj.get("scheduling") or {}).get("nodeSelector") or {}
        return [*errors, *label_errors(selector, "scheduling.nodeSelector")]

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        if new.get("handler") == old.get("handler"):
            return []
        return [bad_value("handler", new.get("handler"), "field is immutable")]


class ResourceSliceStrategy(Strategy):
    """resource.k8s.io/v1 ResourceSlice. Its driver selects those of its own node."""

    selectable_fields = {"spec.nodeName": "spec.nodeName", "spec.driver": "spec.driver"}


class PodTemplateStrategy(Strategy):
    """v1 PodTemplate."""

    def default(self, obj: Json) -> None:
        template = obj.setdefault("template", {})
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return pod_template_errors(obj["template"], "template")


class ReplicationControllerStrategy(Strategy):
    """v1 ReplicationController: its selector and labels follow from the template."""

    selectable_fields = {"status.replicas": "status.replicas"}

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("replicas") is None:
            spec["replicas"] = 1
        template = spec.get("template")
        if template is None:
            return
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))
        labels = template["metadata"].get("labels")
        if labels and not spec.get("selector"):
            spec["selector"] = dict(labels)
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"replicas": 0}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_controller_errors(obj["spec"]))

    def warn(self, obj: Json) -> Sequence[str]:
        return ("nothing here runs replication controllers: use a Deployment or ReplicaSet",)


def _stated(rules: Json | None) -> Json:
    return {key: value for key, value in (rules or {}).items() if value is not None}


def _autoscaler_errors(spec: Json) -> Iterator[FieldError]:
    least, most = spec["minReplicas"], spec.get("maxReplicas") or 0
    if least < 1:
        yield bad_value("spec.minReplicas", least, _POSITIVE)
    if most < 1:
        yield bad_value("spec.maxReplicas", most, "must be greater than 0")
    if most < least:
        rule = "must be greater than or equal to `minReplicas`"
        yield bad_value("spec.maxReplicas", most, rule)
    target = spec.get("scaleTargetRef") or {}
    yield from (required(f"spec.scaleTargetRef.{part}") for part in ("kind", "name") if not target.get(part))
    for index, metric in enumerate(spec.get("metrics") or ()):
        yield from _metric_errors(metric, f"spec.metrics[{index}]")


def _metric_errors(metric: Json, field: str) -> Iterator[FieldError]:
    kind = metric.get("type") or ""
    if not kind:
        yield required(f"{field}.type", "must specify a metric source type")
        return
    part = _METRICS.get(kind)
    if part is None:
        yield unsupported(f"{field}.type", kind, tuple(_METRICS))
        return
    source = metric.get(part)
    if source is None:
        yield required(f"{field}.{part}", "must populate information for the given metric source")
        return
    target = source.get("target") or {}
    place = f"{field}.{part}.target"
    if target.get("type") not in _TARGETS:
        yield unsupported(f"{place}.type", target.get("type"), _TARGETS)
    used = target.get("averageUtilization")
    if used is not None and used < 1:
        yield bad_value(f"{place}.averageUtilization", used, "must be greater than 0")


def _controller_errors(spec: Json) -> Iterator[FieldError]:
    selector, template = spec.get("selector") or {}, spec.get("template")
    if spec["replicas"] < 0:
        yield bad_value("spec.replicas", spec["replicas"], _NEGATIVE)
    if (spec.get("minReadySeconds") or 0) < 0:
        yield bad_value("spec.minReadySeconds", spec["minReadySeconds"], _NEGATIVE)
    if not selector:
        yield required("spec.selector")
    if template is None:
        yield required("spec.template")
        return
    labels = template["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        rule = "`selector` does not match template `labels`"
        yield bad_value("spec.template.metadata.labels", labels, rule)
    yield from pod_template_errors(template, "spec.template")
    policy = template["spec"]["restartPolicy"]
    if policy != "Always":
        yield unsupported("spec.template.spec.restartPolicy", policy, ("Always",))
