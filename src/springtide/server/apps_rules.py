"""Strategies of apps/v1: Deployment, ReplicaSet, StatefulSet, DaemonSet and ControllerRevision.

Defaults, rules and what may not change are those of the Kubernetes API reference; found by `admission`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from springtide.api.numbers import whole_number
from springtide.server.context import Context
from springtide.server.metadata_rules import name_faults
from springtide.server.pod_template_rules import (
    amount,
    beyond_all_errors,
    count_or_percent_errors,
    default_template,
    nonnegative,
    selector_errors,
    template_errors,
)
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, forbidden_field, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".spec.selector",
}
"""Where the kinds that have a scale subresource keep its numbers."""

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_HISTORY_KEPT = 10
_PROGRESS_SECONDS = 600
_MORE_THAN_ALL = "cannot be greater than status.replicas"
_STATEFUL_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_KEEPS_ALL_WARNING = (
    "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
    "a value >= 0 is recommended"
)
_NAME_WARNING = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
    "a DNS label is recommended: [{}]"
)


class PodSetStrategy(Strategy):
    """What the four kinds share: a template, a selector that never changes, a status of numbers."""

    noun = ""
    """How messages about an empty selector call the kind."""
    named = ""
    """How messages about pods call it."""
    counts: tuple[str, ...] = ("replicas", "minReadySeconds")
    """Numbers of the spec that must not be negative."""

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        default_template(spec)
        self.default_spec(spec)

    def default_spec(self, spec: Json) -> None:
        """Fill in what is particular to the kind, in place."""

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        spec = obj["spec"]
        return [
            *nonnegative(spec, "spec", *self.counts),
            *selector_errors(spec, "spec", self.noun),
            *template_errors(spec, "spec", self.named, provided=self.provided_volumes(spec)),
            *self.spec_errors(spec),
            *_status_errors(obj.get("status") or {}),
        ]

    def provided_volumes(self, spec: Json) -> frozenset[str]:
        """Volumes that the template need not name."""
        return frozenset()

    def spec_errors(self, spec: Json) -> list[FieldError]:
        """Rules particular to the kind."""
        return []

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return [*_selector_change(new, old), *_collision_change(new, old)]


class DeploymentStrategy(PodSetStrategy):
    """apps/v1 Deployment."""

    noun, named = "deployment", "ReplicaSet"
    counts = ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    generation_counts_annotations = True

    def default_spec(self, spec: Json) -> None:
        spec.setdefault("replicas", 1)
        strategy = spec.setdefault("strategy", {})
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            limits = strategy.setdefault("rollingUpdate", {})
            limits.setdefault("maxUnavailable", "25%")
            limits.setdefault("maxSurge", "25%")
        spec.setdefault("revisionHistoryLimit", _HISTORY_KEPT)
        spec.setdefault("progressDeadlineSeconds", _PROGRESS_SECONDS)

    def spec_errors(self, spec: Json) -> list[FieldError]:
        strategy, field = spec["strategy"], "spec.strategy"
        errors: list[FieldError] = []
        if strategy["type"] == "RollingUpdate":
            errors += _rolling_deployment_errors(strategy["rollingUpdate"], f"{field}.rollingUpdate")
        elif strategy["type"] != "Recreate":
            errors.append(unsupported(field, strategy, ("Recreate", "RollingUpdate")))
        elif strategy.get("rollingUpdate") is not None:
            rule = "may not be specified when strategy `type` is 'Recreate'"
            errors.append(forbidden_field(f"{field}.rollingUpdate", rule))
        deadline = spec["progressDeadlineSeconds"]
        if deadline <= spec.get("minReadySeconds", 0):
            rule = "must be greater than minReadySeconds"
            errors.append(bad_value("spec.progressDeadlineSeconds", deadline, rule))
        return errors

    def warn(self, obj: Json) -> Sequence[str]:
        return _name_warnings(obj)


class ReplicaSetStrategy(PodSetStrategy):
    """apps/v1 ReplicaSet."""

    noun, named = "deployment", "ReplicaSet"

    def default_spec(self, spec: Json) -> None:
        spec.setdefault("replicas", 1)

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"replicas": 0}

    def warn(self, obj: Json) -> Sequence[str]:
        return _name_warnings(obj)


class StatefulSetStrategy(PodSetStrategy):
    """apps/v1 StatefulSet."""

    noun, named = "statefulset", "StatefulSet"
    name_form = "label"

    def default_spec(self, spec: Json) -> None:
        spec.setdefault("replicas", 1)
        spec.setdefault("serviceName", "")
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
            strategy.setdefault("rollingUpdate", {})
        if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
            strategy["rollingUpdate"].setdefault("partition", 0)
        retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        retention.setdefault("whenDeleted", "Retain")
        retention.setdefault("whenScaled", "Retain")
        spec.setdefault("revisionHistoryLimit", _HISTORY_KEPT)
        for claim in spec.get("volumeClaimTemplates") or ():
            claim.setdefault("apiVersion", "v1")
            claim.setdefault("kind", "PersistentVolumeClaim")
            claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
            claim.setdefault("status", {}).setdefault("phase", "Pending")

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"replicas": 0, "availableReplicas": 0}

    def provided_volumes(self, spec: Json) -> frozenset[str]:
        templates = spec.get("volumeClaimTemplates") or ()
        return frozenset(str(one.get("metadata", {}).get("name", "")) for one in templates)

    def spec_errors(self, spec: Json) -> list[FieldError]:
        return [
            *_management_errors(spec),
            *_update_strategy_errors(spec["updateStrategy"]),
            *_retention_errors(spec["persistentVolumeClaimRetentionPolicy"]),
            *nonnegative(spec.get("ordinals") or {}, "spec.ordinals", "start"),
            *_claim_template_errors(spec.get("volumeClaimTemplates") or []),
        ]

    def validate(self, obj: Json) -> Sequence[FieldError]:
        service = obj["spec"].get("serviceName", "")
        faults = name_faults(service, "label") if service else ()
        return [*super().validate(obj), *(bad_value("spec.serviceName", service, fault) for fault in faults)]

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        before, after = old["spec"], new["spec"]
        errors = _collision_change(new, old)
        if any(
            before.get(key) != after.get(key)
            for key in before.keys() | after.keys()
            if key not in _STATEFUL_CHANGEABLE
        ):
            listed = ", ".join(f"'{name}'" for name in _STATEFUL_CHANGEABLE[:-1])
            rule = (
                f"updates to statefulset spec for fields other than {listed} "
                f"and '{_STATEFUL_CHANGEABLE[-1]}' are forbidden"
            )
            errors.append(forbidden_field("spec", rule))
        return errors

    def warn(self, obj: Json) -> Sequence[str]:
        if (obj["spec"].get("revisionHistoryLimit") or 0) >= 0:
            return ()
        return (_KEEPS_ALL_WARNING,)


class DaemonSetStrategy(PodSetStrategy):
    """apps/v1 DaemonSet. The generation of its template is kept in an annotation, as v1 shows it."""

    noun, named = "daemonset", "DaemonSet"
    counts = ("minReadySeconds", "revisionHistoryLimit")

    def default_spec(self, spec: Json) -> None:
        strategy = spec.setdefault("updateStrategy", {})
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            limits = strategy.setdefault("rollingUpdate", {})
            limits.setdefault("maxUnavailable", 1)
            limits.setdefault("maxSurge", 0)
        spec.setdefault("revisionHistoryLimit", _HISTORY_KEPT)

    def before_create(self, obj: Json, context: Context) -> None:
        annotations = obj["metadata"].setdefault("annotations", {})
        annotations[TEMPLATE_GENERATION] = str(max(_number(annotations.get(TEMPLATE_GENERATION)), 1))
        obj["status"] = {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }

    def before_update(self, new: Json, old: Json) -> None:
        known = _number((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION))
        changed = new["spec"]["template"] != old["spec"]["template"]
        annotations = {**(new["metadata"].get("annotations") or {})}
        annotations[TEMPLATE_GENERATION] = str(known + 1 if changed else known)
        new["metadata"]["annotations"] = annotations

    def spec_errors(self, spec: Json) -> list[FieldError]:
        strategy, field = spec["updateStrategy"], "spec.updateStrategy"
        if strategy["type"] == "OnDelete":
            return []
        if strategy["type"] != "RollingUpdate":
            return [unsupported(field, strategy, ("RollingUpdate", "OnDelete"))]
        return _rolling_daemon_errors(strategy["rollingUpdate"], f"{field}.rollingUpdate")


class ControllerRevisionStrategy(Strategy):
    """apps/v1 ControllerRevision."""

    def default(self, obj: Json) -> None:
        obj.setdefault("revision", 0)

    def validate(self, obj: Json) -> Sequence[FieldError]:
        errors = nonnegative(obj, "", "revision")
        errors = [FieldError(one.reason, "revision", one.message) for one in errors]
        if obj.get("data") is None:
            errors.append(required("data", "data is mandatory"))
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        if new.get("data") != old.get("data"):
            return [bad_value("data", new.get("data"), "field is immutable")]
        return ()


def _rolling_deployment_errors(limits: Json, field: str) -> list[FieldError]:
    unavailable, surge = limits["maxUnavailable"], limits["maxSurge"]
    errors = [
        *count_or_percent_errors(unavailable, f"{field}.maxUnavailable"),
        *count_or_percent_errors(surge, f"{field}.maxSurge"),
    ]
    if amount(unavailable) == 0 and amount(surge) == 0:
        rule = "may not be 0 when `maxSurge` is 0"
        errors.append(bad_value(f"{field}.maxUnavailable", unavailable, rule))
    return [*errors, *beyond_all_errors(unavailable, f"{field}.maxUnavailable")]


def _rolling_daemon_errors(limits: Json, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("maxUnavailable", "maxSurge"):
        errors += count_or_percent_errors(limits[name], f"{field}.{name}")
        errors += beyond_all_errors(limits[name], f"{field}.{name}")
    unavailable, surge = amount(limits["maxUnavailable"]) != 0, amount(limits["maxSurge"]) != 0
    if unavailable and surge:
        rule = "may not be set when maxUnavailable is non-zero"
        errors.append(bad_value(f"{field}.maxSurge", limits["maxSurge"], rule))
    if not unavailable and not surge:
        errors.append(required(f"{field}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def _management_errors(spec: Json) -> list[FieldError]:
    policy = spec["podManagementPolicy"]
    if policy in ("OrderedReady", "Parallel"):
        return []
    return [bad_value("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")]


def _update_strategy_errors(strategy: Json) -> list[FieldError]:
    field, limits = "spec.updateStrategy", strategy.get("rollingUpdate")
    if strategy["type"] == "OnDelete":
        rule = "only allowed for updateStrategy 'RollingUpdate'"
        return [bad_value(f"{field}.rollingUpdate", limits, rule)] if limits is not None else []
    if strategy["type"] != "RollingUpdate":
        return [bad_value(field, strategy, "must be 'RollingUpdate' or 'OnDelete'")]
    if limits is None:
        return []
    errors = nonnegative(limits, f"{field}.rollingUpdate", "partition")
    unavailable = limits.get("maxUnavailable")
    if unavailable is not None:
        place = f"{field}.rollingUpdate.maxUnavailable"
        errors += count_or_percent_errors(unavailable, place)
        if amount(unavailable) == 0:
            errors.append(bad_value(place, unavailable, "cannot be 0"))
        errors += beyond_all_errors(unavailable, place)
    return errors


def _retention_errors(policy: Json) -> list[FieldError]:
    return [
        unsupported(f"spec.persistentVolumeClaimRetentionPolicy.{name}", policy[name], ("Retain", "Delete"))
        for name in ("whenDeleted", "whenScaled")
        if policy[name] not in ("Retain", "Delete")
    ]


def _claim_template_errors(templates: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, template in enumerate(templates):
        field, spec = f"spec.volumeClaimTemplates[{index}].spec", template["spec"]
        if not spec.get("accessModes"):
            errors.append(required(f"{field}.accessModes", "at least 1 access mode is required"))
        if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
            errors.append(required(f"{field}.resources[storage]"))
    return errors


def _status_errors(status: Json) -> list[FieldError]:
    numbers = {name: value for name, value in status.items() if type(value) is int}
    errors = nonnegative(numbers, "status", *sorted(numbers))
    if "replicas" not in numbers and not numbers.keys() & {"readyReplicas", "updatedReplicas"}:
        return errors
    for name in (
        "fullyLabeledReplicas",
        "currentReplicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
    ):
        if (found := numbers.get(name, 0)) > numbers.get("replicas", 0):
            errors.append(bad_value(f"status.{name}", found, _MORE_THAN_ALL))
    if numbers.get("availableReplicas", 0) > numbers.get("readyReplicas", 0):
        rule = "cannot be greater than readyReplicas"
        errors.append(bad_value("status.availableReplicas", numbers.get("availableReplicas", 0), rule))
    return errors


def _selector_change(new: Json, old: Json) -> list[FieldError]:
    selector = new["spec"].get("selector")
    if selector == old["spec"].get("selector"):
        return []
    return [bad_value("spec.selector", selector, "field is immutable")]


def _collision_change(new: Json, old: Json) -> list[FieldError]:
    before = (old.get("status") or {}).get("collisionCount")
    after = (new.get("status") or {}).get("collisionCount")
    if before is None or (after is not None and after >= before):
        return []
    return [bad_value("status.collisionCount", after or 0, "cannot be decremented")]


def _name_warnings(obj: Json) -> Sequence[str]:
    faults = name_faults(obj["metadata"].get("name", ""), "label")
    return (_NAME_WARNING.format(" ".join(faults)),) if faults else ()


def _number(text: Any) -> int:
    return (whole_number(text) or 0) if isinstance(text, str) else 0
