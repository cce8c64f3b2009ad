"""Columns of quotas, volumes, budgets, storage, networking, autoscalers and devices. Called by `table_kinds`.

Source of the columns: kube-apiserver's printers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from springtide.api.resources import Column
from springtide.server.table_time import created

Json = dict[str, Any]
Cells = Callable[[Json, datetime], list[Any]]

_NONE = "<none>"
_UNSET = "<unset>"
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _text(name: str, description: str, priority: int = 0, type_: str = "string") -> Column:
    return Column(name, type_, "", description, priority)


_AGE = _text("Age", "Time since the object was created")


def _quota(quota: Json, now: datetime) -> list[Any]:
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    lines = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    requests = [line for name, line in lines.items() if not name.startswith("limits.")]
    limits = [line for name, line in lines.items() if name.startswith("limits.")]
    return [", ".join(requests), ", ".join(limits), created(quota, now)]


def _volume(volume: Json, now: datetime) -> list[Any]:
    spec, status = volume.get("spec", {}), volume.get("status", {})
    claim = spec.get("claimRef")
    leaving = "deletionTimestamp" in volume["metadata"]
    return [
        str((spec.get("capacity") or {}).get("storage", "0")),
        ",".join(_MODES.get(mode, mode) for mode in spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if leaving else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or _UNSET,
        status.get("reason", ""),
        created(volume, now),
        spec.get("volumeMode") or _UNSET,
    ]


def _controller(controller: Json, now: datetime) -> list[Any]:
    spec, status = controller.get("spec", {}), controller.get("status", {})
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or []
    selector = sorted((spec.get("selector") or {}).items())
    return [
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        created(controller, now),
        ",".join(one.get("name", "") for one in containers),
        ",".join(one.get("image", "") for one in containers),
        ",".join(f"{key}={value}" for key, value in selector) or _NONE,
    ]


def _budget(budget: Json, now: datetime) -> list[Any]:
    spec = budget.get("spec", {})
    return [
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        (budget.get("status") or {}).get("disruptionsAllowed", 0),
        created(budget, now),
    ]


def _ingress(ingress: Json, now: datetime) -> list[Any]:
    spec = ingress.get("spec", {})
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    balancer = (ingress.get("status") or {}).get("loadBalancer") or {}
    addresses = [one.get("ip") or one.get("hostname", "") for one in balancer.get("ingress") or ()]
    return [
        spec.get("ingressClassName") or _NONE,
        ",".join(hosts) or "*",
        ",".join(addresses),
        "80, 443" if spec.get("tls") else "80",
        created(ingress, now),
    ]


def _ingress_class(one: Json, now: datetime) -> list[Any]:
    spec = one.get("spec", {})
    parameters = spec.get("parameters")
    named = _NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        named = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [spec.get("controller", ""), named, created(one, now)]


def _policy(policy: Json, now: datetime) -> list[Any]:
    selector = policy.get("spec", {}).get("podSelector") or {}
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    parts += [_expression(one) for one in selector.get("matchExpressions") or ()]
    return [",".join(parts) or _NONE, created(policy, now)]


def _expression(one: Json) -> str:
    key, operator = one.get("key", ""), one.get("operator", "")
    if operator in ("In", "NotIn"):
        word = "in" if operator == "In" else "notin"
        return f"{key} {word} ({','.join(one.get('values') or ())})"
    return key if operator == "Exists" else f"!{key}"


def _scaler(scaler: Json, now: datetime) -> list[Any]:
    spec, status = scaler.get("spec", {}), scaler.get("status", {})
    target = spec.get("scaleTargetRef") or {}
    return [
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _targets(spec),
        str(spec.get("minReplicas") or _UNSET),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        created(scaler, now),
    ]


def _targets(spec: Json) -> str:
    """What is aimed at; nothing here measures, so the present value is unknown."""
    if (percentage := spec.get("targetCPUUtilizationPercentage")) is not None:
        return f"cpu: <unknown>/{percentage}%"
    shown = []
    for metric in spec.get("metrics") or ():
        resource = metric.get("resource")
        if resource and (resource.get("target") or {}).get("averageUtilization") is not None:
            shown.append(f"{resource['name']}: <unknown>/{resource['target']['averageUtilization']}%")
        else:
            shown.append("<unknown>")
    return ", ".join(shown) or _NONE


def _claimed(claim: Json, now: datetime) -> list[Any]:
    status = claim.get("status") or {}
    states = [
        word
        for word, true in (
            ("deleted", "deletionTimestamp" in claim["metadata"]),
            ("allocated", status.get("allocation") is not None),
            ("reserved", bool(status.get("reservedFor"))),
        )
        if true
    ]
    if "allocated" not in states:
        states.append("pending")
    return [",".join(states), created(claim, now)]


def _attachment(one: Json, now: datetime) -> list[Any]:
    spec = one.get("spec", {})
    return [
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName", ""),
        spec.get("nodeName", ""),
        bool((one.get("status") or {}).get("attached")),
        created(one, now),
    ]


def _slice(one: Json, now: datetime) -> list[Any]:
    spec = one.get("spec", {})
    pool = (spec.get("pool") or {}).get("name", "")
    return [spec.get("nodeName", ""), spec.get("driver", ""), pool, created(one, now)]


PRINTERS: dict[tuple[str, str], tuple[tuple[Column, ...], Cells]] = {
    ("", "ResourceQuota"): (
        (
            _text("Request", "Requests and counts, used of allowed"),
            _text("Limit", "Limits, used of allowed"),
            _AGE,
        ),
        _quota,
    ),
    ("", "LimitRange"): (
        (_text("Created At", "When it was created"),),
        lambda obj, _: [obj["metadata"].get("creationTimestamp", "")],
    ),
    ("", "PersistentVolume"): (
        (
            _text("Capacity", "Size"),
            _text("Access Modes", "How it may be mounted"),
            _text("Reclaim Policy", "What happens when its claim goes"),
            _text("Status", "Phase"),
            _text("Claim", "Claim it is bound to"),
            _text("StorageClass", "Class of storage"),
            _text("VolumeAttributesClass", "Class of attributes"),
            _text("Reason", "Why"),
            _AGE,
            _text("VolumeMode", "Filesystem or Block", 1),
        ),
        _volume,
    ),
    ("", "ReplicationController"): (
        (
            _text("Desired", "Pods wanted", type_="integer"),
            _text("Current", "Pods that exist", type_="integer"),
            _text("Ready", "Pods that are ready", type_="integer"),
            _AGE,
            _text("Containers", "Names of the containers", 1),
            _text("Images", "Images of the containers", 1),
            _text("Selector", "Labels of its pods", 1),
        ),
        _controller,
    ),
    ("policy", "PodDisruptionBudget"): (
        (
            _text("Min Available", "Pods that must stay"),
            _text("Max Unavailable", "Pods that may be away"),
            _text("Allowed Disruptions", "Pods that may go now", type_="integer"),
            _AGE,
        ),
        _budget,
    ),
    ("storage.k8s.io", "StorageClass"): (
        (
            _text("Provisioner", "Who makes its volumes"),
            _text("ReclaimPolicy", "What happens when a claim goes"),
            _text("VolumeBindingMode", "When a claim is bound"),
            _text("AllowVolumeExpansion", "Whether claims may grow"),
            _AGE,
        ),
        lambda obj, now: [
            obj.get("provisioner", ""),
            obj.get("reclaimPolicy", "Delete"),
            obj.get("volumeBindingMode", "Immediate"),
            bool(obj.get("allowVolumeExpansion")),
            created(obj, now),
        ],
    ),
    ("storage.k8s.io", "CSINode"): (
        (_text("Drivers", "Number of drivers", type_="integer"), _AGE),
        lambda obj, now: [len(obj.get("spec", {}).get("drivers") or ()), created(obj, now)],
    ),
    ("storage.k8s.io", "VolumeAttachment"): (
        (
            _text("Attacher", "Driver that attaches it"),
            _text("PV", "The volume"),
            _text("Node", "The node"),
            _text("Attached", "Whether the node has it", type_="boolean"),
            _AGE,
        ),
        _attachment,
    ),
    ("networking.k8s.io", "Ingress"): (
        (
            _text("Class", "Class that serves it"),
            _text("Hosts", "Hosts it answers for"),
            _text("Address", "Where it is reached"),
            _text("Ports", "Ports it answers on"),
            _AGE,
        ),
        _ingress,
    ),
    ("networking.k8s.io", "IngressClass"): (
        (_text("Controller", "Who serves it"), _text("Parameters", "Its settings"), _AGE),
        _ingress_class,
    ),
    ("networking.k8s.io", "NetworkPolicy"): ((_text("Pod-Selector", "Labels of its pods"), _AGE), _policy),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        (
            _text("Reference", "What is scaled"),
            _text("Targets", "Measured of wanted"),
            _text("MinPods", "The fewest"),
            _text("MaxPods", "The most", type_="integer"),
            _text("Replicas", "Replicas there are", type_="integer"),
            _AGE,
        ),
        _scaler,
    ),
    ("resource.k8s.io", "ResourceClaim"): ((_text("State", "How far it is"), _AGE), _claimed),
    ("resource.k8s.io", "ResourceSlice"): (
        (
            _text("Node", "Node that has the devices"),
            _text("Driver", "The driver"),
            _text("Pool", "The pool"),
            _AGE,
        ),
        _slice,
    ),
}
