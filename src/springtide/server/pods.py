"""Pods: what the server decides about them, what may change later, and that a running pod goes with grace.

What may be left out stands in `pod_defaults`, the rules of a spec in `pod_rules`, those of change in
`pod_changes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from springtide.server import pod_changes, pod_texts
from springtide.server.context import Context
from springtide.server.pod_defaults import DEFAULT_GRACE_SECONDS, default_pod
from springtide.server.pod_rules import own_name_errors, validate_pod_spec
from springtide.server.schema_rules import FieldError
from springtide.server.status import forbidden_field
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_FINISHED = ("Succeeded", "Failed")
_SUBRESOURCES = {
    "ephemeralcontainers": (pod_changes.with_ephemeral_containers, pod_changes.ephemeral_errors),
    "resize": (pod_changes.resized, pod_changes.resize_errors),
}


class PodStrategy(Strategy):
    """v1 Pod."""

    individual_fields = ("hostname", "nodeName")

    def without_texts(self, spec: Json) -> tuple[Json, tuple[str, ...]]:
        return pod_texts.without(spec)

    def with_texts(self, spec: Json, texts: tuple[str, ...]) -> Json:
        return pod_texts.filled(spec, texts) if texts else spec

    selectable_fields = {
        "spec.nodeName": "spec.nodeName",
        "spec.restartPolicy": "spec.restartPolicy",
        "spec.schedulerName": "spec.schedulerName",
        "spec.serviceAccountName": "spec.serviceAccountName",
        "spec.hostNetwork": "spec.hostNetwork",
        "status.phase": "status.phase",
        "status.podIP": "status.podIP",
        "status.podIPs": "status.podIP",
        "status.nominatedNodeName": "status.nominatedNodeName",
    }

    def default(self, obj: Json) -> None:
        default_pod(obj.setdefault("spec", {}))

    def before_create(self, obj: Json, context: Context) -> None:
        spec = obj["spec"]
        status: Json = {"phase": "Pending", "qosClass": quality_of_service(spec)}
        if spec.get("schedulingGates"):
            status["conditions"] = [_gated(context.timestamp())]
        obj["status"] = status

    def before_update(self, new: Json, old: Json) -> None:
        quality = old.get("status", {}).get("qosClass")
        if quality and isinstance(new.get("status"), dict):
            new["status"].setdefault("qosClass", quality)

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return validate_pod_spec(obj["spec"], "spec", of_pod=True)

    def validate_create(self, obj: Json) -> Sequence[FieldError]:
        spec = obj["spec"]
        errors = [*own_name_errors(spec, "spec"), *pod_changes.annotation_errors(obj)]
        if spec.get("ephemeralContainers"):
            errors.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("nodeName") and spec.get("schedulingGates"):
            rule = "cannot be set until all schedulingGates have been cleared"
            errors.append(forbidden_field("spec.nodeName", rule))
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return [*pod_changes.annotation_errors(new, old), *pod_changes.spec_errors(new["spec"], old["spec"])]

    def within_subresource(self, subresource: str, new: Json, old: Json) -> Json:
        return _SUBRESOURCES[subresource][0](new, old)

    def validate_subresource(self, subresource: str, new: Json, old: Json) -> Sequence[FieldError]:
        if subresource not in _SUBRESOURCES:
            return self.validate_update(new, old)
        return _SUBRESOURCES[subresource][1](new, old, quality_of_service)

    def grace_period_seconds(self, obj: Json, requested: int | None) -> int:
        """A pod that runs nowhere, or has run, needs nobody's leave to go."""
        spec = obj["spec"]
        if not spec.get("nodeName") or obj.get("status", {}).get("phase") in _FINISHED:
            return 0
        if requested is not None:
            return requested
        return int(spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))


def _gated(now: str) -> Json:
    return {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": now,
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def quality_of_service(spec: Json) -> str:
    """BestEffort, Burstable or Guaranteed, by CPU and memory: the pod's own, else those of all containers."""
    own = spec.get("resources") or {}
    if own.get("requests") or own.get("limits"):
        asked = [own]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        asked = [container.get("resources") or {} for container in containers]
    guaranteed, any_set = True, False
    for resources in asked:
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            if name in requests or name in limits:
                any_set = True
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
