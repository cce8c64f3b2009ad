"""Columns of the kinds every cluster has, as `kubectl get` shows them.

Called by `table`. Source of the columns: kube-apiserver's printers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from springtide.api.rbac import GROUP as RBAC
from springtide.api.resources import Column
from springtide.server import table_apps, table_batch, table_cluster, table_pod, table_rbac, table_services
from springtide.server.table_time import UNKNOWN, age, created, since

Json = dict[str, Any]
_NONE = "<none>"
_ROLE = "node-role.kubernetes.io/"


@dataclass(frozen=True)
class Printer:
    """The columns after Name, and how an object fills them."""

    columns: tuple[Column, ...]
    cells: Callable[[Json, datetime], list[Any]]
    conditions: Callable[[Json], list[Json]] | None = None


def _text(name: str, description: str, priority: int = 0, type_: str = "string") -> Column:
    return Column(name, type_, "", description, priority)


_AGE = _text("Age", "Time since the object was created")


def _node(node: Json, now: datetime) -> list[Any]:
    status = node.get("status", {})
    info = status.get("nodeInfo", {})
    addresses = {item["type"]: item["address"] for item in reversed(status.get("addresses", []))}
    return [
        _node_status(node),
        _roles(node["metadata"].get("labels", {})),
        created(node, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(node: Json) -> str:
    conditions = node.get("status", {}).get("conditions", [])
    ready = [item.get("status") == "True" for item in conditions if item.get("type") == "Ready"]
    word = "Unknown" if not ready else "Ready" if ready[0] else "NotReady"
    return f"{word},SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else word


def _roles(labels: dict[str, str]) -> str:
    roles = {key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE) and key != _ROLE}
    if labels.get("kubernetes.io/role"):
        roles.add(labels["kubernetes.io/role"])
    return ",".join(sorted(roles)) or _NONE


def _service(service: Json, now: datetime) -> list[Any]:
    spec = service.get("spec", {})
    kind = spec.get("type") or "ClusterIP"
    return [
        kind,
        spec.get("clusterIP") or _NONE,
        _external_ip(service, kind),
        ",".join(map(_port, spec.get("ports", []))) or _NONE,
        created(service, now),
        ",".join(f"{key}={value}" for key, value in sorted(spec.get("selector", {}).items())) or _NONE,
    ]


def _external_ip(service: Json, kind: str) -> str:
    spec = service.get("spec", {})
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    addresses = list(spec.get("externalIPs", []))
    if kind != "LoadBalancer":
        return ",".join(addresses) or _NONE
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    found = [item.get("ip") or item.get("hostname", "") for item in ingress]
    return ",".join([*found, *addresses]) or "<pending>"


def _port(port: Json) -> str:
    outer = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{outer}/{port.get('protocol', 'TCP')}"


def _event(event: Json, now: datetime) -> list[Any]:
    regarding, source = event.get("involvedObject", {}), event.get("source", {})
    series = event.get("series") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    return [
        age(since(last, now)),
        event.get("type", ""),
        event.get("reason", ""),
        f"{regarding.get('kind', '').lower()}/{regarding.get('name', '')}",
        event.get("message", "").strip(),
        regarding.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        age(since(first, now)),
        series.get("count") or event.get("count") or 1,
    ]


def _claim(claim: Json, now: datetime) -> list[Any]:
    spec, status = claim.get("spec", {}), claim.get("status", {})
    leaving = "deletionTimestamp" in claim["metadata"]
    bound = bool(spec.get("volumeName"))
    return [
        "Terminating" if leaving else status.get("phase", ""),
        spec.get("volumeName", ""),
        str(status.get("capacity", {}).get("storage", "")) if bound else "",
        ",".join(map(_access_mode, status.get("accessModes", []))) if bound else "",
        spec.get("storageClassName", ""),
        created(claim, now),
        spec.get("volumeMode", "Filesystem"),
    ]


def _access_mode(mode: str) -> str:
    short = {
        "ReadWriteOnce": "RWO",
        "ReadOnlyMany": "ROX",
        "ReadWriteMany": "RWX",
        "ReadWriteOncePod": "RWOP",
    }
    return short.get(mode, mode)


def _data_count(obj: Json) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


BUILT_IN: dict[tuple[str, str], Printer] = {
    **{kind: Printer(*printed) for kind, printed in table_cluster.PRINTERS.items()},
    ("", "Pod"): Printer(table_pod.COLUMNS, table_pod.cells, table_pod.conditions),
    ("", "Node"): Printer(
        (
            _text("Status", "Whether the node is ready, and open for pods"),
            _text("Roles", "Roles by its labels"),
            _AGE,
            _text("Version", "Version of the node's agent"),
            _text("Internal-IP", "Address inside the cluster", 1),
            _text("External-IP", "Address from outside", 1),
            _text("OS-Image", "Operating system", 1),
            _text("Kernel-Version", "Kernel", 1),
            _text("Container-Runtime", "What runs the containers", 1),
        ),
        _node,
    ),
    ("", "Namespace"): Printer(
        (_text("Status", "Active or Terminating"), _AGE),
        lambda obj, now: [obj.get("status", {}).get("phase", ""), created(obj, now)],
    ),
    ("", "ConfigMap"): Printer(
        (_text("Data", "Number of entries"), _AGE), lambda obj, now: [_data_count(obj), created(obj, now)]
    ),
    ("", "Secret"): Printer(
        (_text("Type", "What the secret holds"), _text("Data", "Number of entries"), _AGE),
        lambda obj, now: [obj.get("type") or "Opaque", _data_count(obj), created(obj, now)],
    ),
    ("", "Service"): Printer(
        (
            _text("Type", "How the service is exposed"),
            _text("Cluster-IP", "Address inside the cluster"),
            _text("External-IP", "Addresses from outside"),
            _text("Port(s)", "Ports and protocols"),
            _AGE,
            _text("Selector", "Labels of the pods behind it", 1),
        ),
        _service,
    ),
    ("", "Endpoints"): Printer(
        (_text("Endpoints", "Ready addresses and their ports"), _AGE), table_services.endpoints
    ),
    ("discovery.k8s.io", "EndpointSlice"): Printer(
        (
            _text("AddressType", "What kind of addresses"),
            _text("Ports", "Their ports"),
            _text("Endpoints", "The addresses"),
            _AGE,
        ),
        table_services.endpoint_slice,
    ),
    ("", "ServiceAccount"): Printer(
        (_text("Secrets", "Number of secrets"), _AGE),
        lambda obj, now: [len(obj.get("secrets", [])), created(obj, now)],
    ),
    ("", "Event"): Printer(
        (
            _text("Last Seen", "Time since it happened last"),
            _text("Type", "Normal or Warning"),
            _text("Reason", "Why, in one word"),
            _text("Object", "What it is about"),
            _text("Message", "What happened"),
            _text("Subobject", "Part of the object", 1),
            _text("Source", "Who says so", 1),
            _text("First Seen", "Time since it happened first", 1),
            _text("Count", "How often", 1),
        ),
        _event,
    ),
    ("", "PersistentVolumeClaim"): Printer(
        (
            _text("Status", "Phase of the claim"),
            _text("Volume", "Volume it is bound to"),
            _text("Capacity", "Size of that volume"),
            _text("Access Modes", "How it may be mounted"),
            _text("StorageClass", "Class of storage"),
            _AGE,
            _text("VolumeMode", "Filesystem or Block", 1),
        ),
        _claim,
    ),
    ("apps", "Deployment"): Printer(table_apps.DEPLOYMENT_COLUMNS, table_apps.deployment),
    ("apps", "ReplicaSet"): Printer(table_apps.REPLICA_SET_COLUMNS, table_apps.replica_set),
    ("apps", "StatefulSet"): Printer(table_apps.STATEFUL_SET_COLUMNS, table_apps.stateful_set),
    ("apps", "DaemonSet"): Printer(table_apps.DAEMON_SET_COLUMNS, table_apps.daemon_set),
    ("apps", "ControllerRevision"): Printer(
        table_apps.CONTROLLER_REVISION_COLUMNS, table_apps.controller_revision
    ),
    ("batch", "Job"): Printer(table_batch.JOB_COLUMNS, table_batch.job),
    ("batch", "CronJob"): Printer(table_batch.CRON_JOB_COLUMNS, table_batch.cron_job),
    (RBAC, "Role"): Printer(table_rbac.ROLE_COLUMNS, table_rbac.role),
    (RBAC, "ClusterRole"): Printer(table_rbac.ROLE_COLUMNS, table_rbac.role),
    (RBAC, "RoleBinding"): Printer(table_rbac.BINDING_COLUMNS, table_rbac.binding),
    (RBAC, "ClusterRoleBinding"): Printer(table_rbac.BINDING_COLUMNS, table_rbac.binding),
    ("coordination.k8s.io", "Lease"): Printer(
        (_text("Holder", "Who holds the lease"), _AGE),
        lambda obj, now: [obj.get("spec", {}).get("holderIdentity", ""), created(obj, now)],
    ),
    ("scheduling.k8s.io", "PriorityClass"): Printer(
        (
            _text("Value", "Priority of its pods", type_="integer"),
            _text("Global-Default", "Whether pods without a class get it", type_="boolean"),
            _AGE,
            _text("PreemptionPolicy", "Whether its pods may preempt others"),
        ),
        lambda obj, now: [
            obj.get("value", 0),
            bool(obj.get("globalDefault")),
            created(obj, now),
            obj.get("preemptionPolicy", "PreemptLowerPriority"),
        ],
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Printer(
        (_text("Created At", "When it was created"),),
        lambda obj, _: [obj["metadata"].get("creationTimestamp", UNKNOWN)],
    ),
}
