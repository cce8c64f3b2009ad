"""What a node may write: its own Node, Lease and the like, its own pods' status, tokens for its own pods.

The other half of `authorize_node`, for what only the content of a request tells. Rules and messages:
Kubernetes' NodeRestriction.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.server.admit import CREATE, DELETE, UPDATE, Change, Plugin, refused
from springtide.server.authorize_node import node_of, references
from springtide.server.context import Context
from springtide.server.pod_changes import MIRROR

Json = dict[str, Any]

_RESERVED = "node-restriction.kubernetes.io"
_OWN_NAME = {
    "coordination.k8s.io/leases": "node lease",
    "storage.k8s.io/csinodes": "CSINode",
}
_OWN_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    )
)
_OWN_LABEL_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_NEEDS_THE_API = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
"""Kinds of volumes that lead to other objects, and to which."""
_BOOKKEEPING = ("resourceVersion", "managedFields")


class NodeRestriction(Plugin):
    """Looks at nodes' writes only."""

    operations = (CREATE, UPDATE, DELETE)
    resources = frozenset(
        (
            "pods",
            "nodes",
            "serviceaccounts",
            "persistentvolumeclaims",
            "resource.k8s.io/resourceslices",
            *_OWN_NAME,
        )
    )
    subresources = ("", "status", "token", "eviction")

    def validate(self, change: Change, context: Context) -> None:
        """Raise Forbidden for what is not the node's own."""
        node = node_of(change.user)
        if not node:
            return
        if change.kind.resource == "pods":
            _pod(node, change, context)
        elif change.kind.resource == "nodes":
            _node(node, change)
        elif change.kind.resource == "serviceaccounts":
            _token(node, change, context)
        elif change.kind.resource == "persistentvolumeclaims":
            _claim(node, change)
        elif change.kind.resource in _OWN_NAME:
            if change.name != node:
                what = _OWN_NAME[change.kind.resource]
                raise refused(change, f"can only access {what} with the same name as the requesting node")
        else:
            _slice(node, change)


def _pod(node: str, change: Change, context: Context) -> None:
    if change.operation == CREATE and not change.subresource:
        pod = change.obj or {}
        if MIRROR not in (pod["metadata"].get("annotations") or {}):
            raise refused(
                change, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
            )
        if pod["spec"].get("nodeName") != node:
            raise refused(change, f'node "{node}" can only create pods with spec.nodeName set to itself')
        _require_owner(node, pod, change, context)
        named = _named(pod["spec"])
        if named:
            raise refused(change, f'node "{node}" can not create pods that reference {named}')
        return
    if change.operation == UPDATE and not change.subresource:
        raise refused(change, f'node "{node}" can only update pod status')
    old = change.old or _pod_at(change.namespace, change.name, context)
    if old is not None and old["spec"].get("nodeName") != node:
        what = {"status": "update pod status for", "eviction": "evict"}.get(change.subresource, "delete")
        raise refused(change, f'node "{node}" can only {what} pods with spec.nodeName set to itself')
    if change.subresource == "status" and old is not None and change.obj is not None:
        labels = [one["metadata"].get("labels") or {} for one in (old, change.obj)]
        if labels[0] != labels[1]:
            raise refused(change, f'node "{node}" cannot update labels through pod status')
        for part in ("resourceClaimStatuses", "extendedResourceClaimStatus"):
            if (old.get("status") or {}).get(part) != (change.obj.get("status") or {}).get(part):
                raise refused(change, f'node "{node}" cannot update status.{part}')


def _require_owner(node: str, pod: Json, change: Change, context: Context) -> None:
    """A mirror pod is its Node's: it goes with it, and holds nothing else up."""
    owners = pod["metadata"].get("ownerReferences") or []
    record = context.store.latest("nodes", node)
    uid = msgspec.json.decode(record.value)["metadata"]["uid"] if record is not None else ""
    wanted = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": True}
    if len(owners) != 1 or any(owners[0].get(key) != value for key, value in wanted.items()):
        rule = "can only create pods with a single controller owner reference set to itself"
        raise refused(change, f'node "{node}" {rule}')
    if owners[0].get("blockOwnerDeletion"):
        raise refused(change, f'node "{node}" must not set blockOwnerDeletion on an owner reference')


def _named(spec: Json) -> str:
    """What other objects a pod leads to: by naming them a node would get at them."""
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    for kind, plural in (("secret", "secrets"), ("configMap", "configmaps")):
        if any(references(spec, kind)):
            return plural
    if spec.get("resourceClaims"):
        return "resourceclaims"
    for volume in spec.get("volumes") or ():
        found = next((text for part, text in _NEEDS_THE_API.items() if volume.get(part)), "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            found = found or next((part for part in source if part != "downwardAPI"), "")
        if found:
            return found
    return ""


def _node(node: str, change: Change) -> None:
    if change.name != node:
        raise refused(change, f'node "{node}" is not allowed to modify node "{change.name}"')
    if change.operation == DELETE:
        raise refused(change, f'node "{node}" is not allowed to delete itself')
    new, old = _labels(change.obj), _labels(change.old)
    touched = sorted(key for key in new.keys() | old.keys() if new.get(key) != old.get(key))
    reserved = [key for key in touched if _is_reserved(key)]
    if reserved:
        start = "" if change.operation == UPDATE else f'node "{node}" '
        what = "modify labels" if change.operation == UPDATE else "set the following labels"
        raise refused(change, f"{start}is not allowed to {what}: {', '.join(reserved)}")
    if change.operation == UPDATE and change.obj is not None and change.old is not None:
        taints = [(one.get("spec") or {}).get("taints") or [] for one in (change.obj, change.old)]
        if taints[0] != taints[1]:
            raise refused(change, f'node "{node}" is not allowed to modify taints')
        owners = [one["metadata"].get("ownerReferences") or [] for one in (change.obj, change.old)]
        if owners[0] != owners[1]:
            raise refused(change, f'node "{node}" is not allowed to modify ownerReferences')


def _is_reserved(label: str) -> bool:
    """Labels of Kubernetes' own by which pods choose nodes, but for those that only a node can know."""
    domain, slash, _ = label.partition("/")
    if not slash or label in _OWN_LABELS:
        return False
    if _within(domain, _RESERVED):
        return True
    if any(_within(domain, own) for own in _OWN_LABEL_PREFIXES):
        return False
    return _within(domain, "kubernetes.io") or _within(domain, "k8s.io")


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _claim(node: str, change: Change) -> None:
    if change.subresource != "status" or change.old is None or change.obj is None:
        raise refused(change, "may only update PVC status")
    new, old = _beyond_status(change.obj), _beyond_status(change.old)
    if new != old:
        rule = "is not allowed to update fields other than status.quantity and status.conditions"
        raise refused(change, f'node "{node}" {rule}')


def _beyond_status(claim: Json) -> Json:
    """A claim without what its node tells of it."""
    told = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
    meta = {key: text for key, text in claim["metadata"].items() if key not in _BOOKKEEPING}
    status = {key: text for key, text in (claim.get("status") or {}).items() if key not in told}
    return {**claim, "metadata": meta, "status": status}


def _slice(node: str, change: Change) -> None:
    for one in (change.obj, change.old):
        if one is not None and (one.get("spec") or {}).get("nodeName") != node:
            raise refused(change, f'node "{node}" can only write a ResourceSlice with its own spec.nodeName')


def _token(node: str, change: Change, context: Context) -> None:
    if change.subresource != "token":
        raise refused(change, f'node "{node}" can only request tokens')
    ref = ((change.obj or {}).get("spec") or {}).get("boundObjectRef") or {}
    if ref.get("kind") != "Pod" or not ref.get("name") or not ref.get("uid"):
        raise refused(change, "node requested token not bound to a pod")
    pod = _pod_at(change.namespace, ref["name"], context)
    if pod is None or pod["metadata"]["uid"] != ref["uid"]:
        raise refused(change, "node requested token with a different UID than the pod's")
    if pod["spec"].get("nodeName") != node:
        raise refused(change, "node requested token bound to a pod scheduled on a different node")


def _pod_at(namespace: str, name: str, context: Context) -> Json | None:
    record = context.store.latest("pods", f"{namespace}/{name}")
    return msgspec.json.decode(record.value) if record is not None else None


def _labels(obj: Json | None) -> dict[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}
