"""What a pod spec may leave out, and what stands there then; in place, for pods and for templates of pods.

Called by `PodStrategy` and by the strategies of kinds that hold templates. Values: the Kubernetes API
reference. What `default_pod` adds is filled in for pods alone: a template keeps it open.
"""

from __future__ import annotations

from typing import Any

from springtide.server.resource_rules import canonical_amounts

Json = dict[str, Any]

DEFAULT_GRACE_SECONDS = 30
_READABLE = 0o644
_TOKEN_SECONDS = 3600
_SPEC: Json = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": DEFAULT_GRACE_SECONDS,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}
_CONTAINER: Json = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE: Json = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_WITH_MODE = ("secret", "configMap", "downwardAPI", "projected")
CONTAINERS = ("containers", "initContainers")


def default_pod(spec: Json) -> None:
    """Fill in a pod's spec."""
    default_pod_spec(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    for part in CONTAINERS:
        for container in spec.get(part) or ():
            resources = container["resources"]
            if limits := resources.get("limits"):
                resources["requests"] = {**limits, **(resources.get("requests") or {})}
            if spec.get("hostNetwork"):
                for port in container.get("ports") or ():
                    port["hostPort"] = port.get("hostPort") or port.get("containerPort")


def default_pod_spec(spec: Json) -> None:
    """Fill in the spec of a pod or of a template."""
    for key, value in _SPEC.items():
        if spec.get(key) in (None, ""):
            spec[key] = value
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for part in (*CONTAINERS, "ephemeralContainers"):
        for container in spec.get(part) or ():
            _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def _default_container(container: Json) -> None:
    for key, value in _CONTAINER.items():
        if not container.get(key):
            container[key] = value
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    resources = container.get("resources")
    if resources is None:
        container["resources"] = {}
    elif resources:
        canonical_amounts(resources, "limits", "requests")
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    _default_probes(container)
    for variable in container.get("env") or ():
        if source := variable.get("valueFrom"):
            _default_source(source)


def _default_probes(container: Json) -> None:
    for name in _PROBES:
        if (probe := container.get(name)) is not None:
            _default_probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_action(hook)


def _default_probe(probe: Json) -> None:
    for key, value in _PROBE.items():
        if not probe.get(key):
            probe[key] = value
    _default_action(probe)


def _default_action(action: Json) -> None:
    if (http := action.get("httpGet")) is not None:
        http["path"] = http.get("path") or "/"
        http["scheme"] = http.get("scheme") or "HTTP"
    if (grpc := action.get("grpc")) is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_source(source: Json) -> None:
    """Of a value for a variable or a file."""
    if (field := source.get("fieldRef")) is not None and not field.get("apiVersion"):
        field["apiVersion"] = "v1"
    if (resource := source.get("resourceFieldRef")) is not None and resource.get("divisor") in (None, ""):
        resource["divisor"] = "0"


def _default_volume(volume: Json) -> None:
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    if not sources:
        volume["emptyDir"] = {}
        return
    for name in _WITH_MODE:
        if (source := volume.get(name)) is not None and source.get("defaultMode") is None:
            source["defaultMode"] = _READABLE
    if (path := volume.get("hostPath")) is not None and path.get("type") is None:
        path["type"] = ""
    if (image := volume.get("image")) is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = pull_policy(image.get("reference") or "")
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None and isinstance(template.get("spec"), dict):
        template["spec"].setdefault("volumeMode", "Filesystem")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _default_source(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        if (token := source.get("serviceAccountToken")) is not None and not token.get("expirationSeconds"):
            token["expirationSeconds"] = _TOKEN_SECONDS
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _default_source(item)


def pull_policy(image: str) -> str:
    """`Always` for what may change under its name, `IfNotPresent` for what carries a tag or a digest."""
    name = image.rpartition("/")[2]
    tag = name.rpartition(":")[2] if ":" in name else "latest"
    return "Always" if tag == "latest" and "@" not in name else "IfNotPresent"
