"""Pods: what a user may leave out, what may change later, and that a running pod is deleted with grace.

Defaults and mutability rules are those of the Kubernetes API reference for v1 Pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from springtide.server.context import Context
from springtide.server.metadata import is_subdomain
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, forbidden_field, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_DEFAULT_GRACE_SECONDS = 30
_FINISHED = ("Succeeded", "Failed")
_UNREACHABLE_SECONDS = 300
_DEFAULT_TOLERATIONS = tuple(
    {
        "key": f"node.kubernetes.io/{problem}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": _UNREACHABLE_SECONDS,
    }
    for problem in ("not-ready", "unreachable")
)
_SPEC_DEFAULTS: Json = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": _DEFAULT_GRACE_SECONDS,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
}
_CONTAINER_DEFAULTS: Json = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE_DEFAULTS: Json = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}
_CHANGEABLE_SPEC = (
    "activeDeadlineSeconds",
    "tolerations",
    "terminationGracePeriodSeconds",
    "schedulingGates",
)


class PodStrategy(Strategy):
    """v1 Pod."""

    individual_fields = ("hostname", "nodeName")

    selectable_fields = {
        "spec.nodeName": "spec.nodeName",
        "spec.restartPolicy": "spec.restartPolicy",
        "spec.schedulerName": "spec.schedulerName",
        "spec.serviceAccountName": "spec.serviceAccountName",
        "spec.hostNetwork": "spec.hostNetwork",
        "status.phase": "status.phase",
        "status.podIP": "status.podIP",
        "status.nominatedNodeName": "status.nominatedNodeName",
    }

    def default(self, obj: Json) -> None:
        default_pod_spec(obj.setdefault("spec", {}))

    def before_create(self, obj: Json, context: Context) -> None:
        spec = obj["spec"]
        _tolerate_short_outages(spec)
        obj["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}

    def before_update(self, new: Json, old: Json) -> None:
        quality = old.get("status", {}).get("qosClass")
        if quality and isinstance(new.get("status"), dict):
            new["status"].setdefault("qosClass", quality)

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return validate_pod_spec(obj["spec"], "spec")

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        before, after = old["spec"], new["spec"]
        if before is after or before == after:
            return ()
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        changed.difference_update(_CHANGEABLE_SPEC)
        for part in ("containers", "initContainers"):
            if part in changed and _same_but_image(before.get(part) or [], after.get(part) or []):
                changed.discard(part)
        return [
            forbidden_field(
                f"spec.{key}",
                "pod updates may not change fields other than `spec.containers[*].image`, "
                "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations`, "
                "`spec.terminationGracePeriodSeconds` and `spec.schedulingGates`",
            )
            for key in sorted(changed)
        ]

    def grace_period_seconds(self, obj: Json, requested: int | None) -> int:
        """A pod that runs nowhere, or has run, needs nobody's leave to go."""
        spec = obj["spec"]
        if not spec.get("nodeName") or obj.get("status", {}).get("phase") in _FINISHED:
            return 0
        if requested is not None:
            return requested
        return int(spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS))


def default_pod_spec(spec: Json) -> None:
    """Fill in what a pod spec leaves out, in place; also used for pod templates."""
    for key, value in _SPEC_DEFAULTS.items():
        if key not in spec:
            spec[key] = value
    if "securityContext" not in spec:
        spec["securityContext"] = {}
    for container in spec.get("containers") or ():
        _default_container(container)
    for container in spec.get("initContainers") or ():
        _default_container(container)


def _default_container(container: Json) -> None:
    for key, value in _CONTAINER_DEFAULTS.items():
        if key not in container:
            container[key] = value
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = _pull_policy(container.get("image", ""))
    resources = container.setdefault("resources", {})
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            for key, value in _PROBE_DEFAULTS.items():
                container[probe].setdefault(key, value)
    for variable in container.get("env") or ():
        field_ref = (variable.get("valueFrom") or {}).get("fieldRef")
        if field_ref:
            field_ref.setdefault("apiVersion", "v1")


def _pull_policy(image: str) -> str:
    name = image.rpartition("/")[2]
    tag = name.rpartition(":")[2] if ":" in name else "latest"
    return "Always" if tag == "latest" and "@" not in name else "IfNotPresent"


def _tolerate_short_outages(spec: Json) -> None:
    """A node may be away for five minutes before its pods are given up, unless the pod says otherwise."""
    tolerations = spec.get("tolerations") or []
    for default in _DEFAULT_TOLERATIONS:
        if not any(
            toleration.get("key", "") in ("", default["key"])
            and toleration.get("effect", "") in ("", "NoExecute")
            and (toleration.get("key") or toleration.get("operator") == "Exists")
            for toleration in tolerations
        ):
            tolerations = [*tolerations, dict(default)]
    spec["tolerations"] = tolerations


def quality_of_service(spec: Json) -> str:
    """BestEffort, Burstable or Guaranteed, by the CPU and memory of all containers."""
    guaranteed, any_set = True, False
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            if name in requests or name in limits:
                any_set = True
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def validate_pod_spec(spec: Json, field: str) -> list[FieldError]:
    """Rules of a pod spec that its schema does not say."""
    errors: list[FieldError] = []
    containers = spec.get("containers") or []
    if not containers:
        errors.append(required(f"{field}.containers"))
    names: set[str] = set()
    for part in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(part) or ()):
            errors += _container_errors(container, f"{field}.{part}[{index}]", names)
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for part in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(part) or ()):
            errors += _mount_errors(container, f"{field}.{part}[{index}]", volumes)
    if spec["restartPolicy"] not in ("Always", "OnFailure", "Never"):
        errors.append(
            unsupported(f"{field}.restartPolicy", spec["restartPolicy"], ("Always", "OnFailure", "Never"))
        )
    if spec["terminationGracePeriodSeconds"] < 0:
        errors.append(
            bad_value(
                f"{field}.terminationGracePeriodSeconds",
                spec["terminationGracePeriodSeconds"],
                "must be greater than or equal to 0",
            )
        )
    return errors


def _container_errors(container: Json, field: str, names: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    name = container.get("name", "")
    if not name:
        errors.append(required(f"{field}.name"))
    elif len(name) > 63 or "." in name or not is_subdomain(name):
        errors.append(
            bad_value(
                f"{field}.name",
                name,
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
                "must start and end with an alphanumeric character",
            )
        )
    elif name in names:
        errors.append(duplicate(f"{field}.name", name))
    names.add(name)
    if not container.get("image"):
        errors.append(required(f"{field}.image"))
    if container["imagePullPolicy"] not in ("Always", "IfNotPresent", "Never"):
        errors.append(
            unsupported(
                f"{field}.imagePullPolicy", container["imagePullPolicy"], ("Always", "IfNotPresent", "Never")
            )
        )
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            errors.append(required(f"{field}.env[{index}].name"))
    return errors


def _mount_errors(container: Json, field: str, volumes: set[str | None]) -> list[FieldError]:
    return [
        FieldError(
            "FieldValueNotFound",
            f"{field}.volumeMounts[{index}].name",
            f'Not found: "{mount.get("name", "")}"',
        )
        for index, mount in enumerate(container.get("volumeMounts") or ())
        if mount.get("name") not in volumes
    ]


def _same_but_image(before: list[Json], after: list[Json]) -> bool:
    def rest(containers: list[Json]) -> list[Json]:
        return [
            {key: value for key, value in container.items() if key not in ("image", "imagePullPolicy")}
            for container in containers
        ]

    return rest(before) == rest(after)
