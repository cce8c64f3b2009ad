"""What a node may write: its own Node and Lease, its own pods' status, tokens for its own pods.

The other half of `authorize_node`, for what only the content of a request tells. Rules and messages:
Kubernetes' NodeRestriction.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.server.admit import CREATE, DELETE, UPDATE, Change, Plugin, refused
from springtide.server.authorize_node import node_of
from springtide.server.context import Context

Json = dict[str, Any]

_MIRROR = "kubernetes.io/config.mirror"
_RESERVED = "node-restriction.kubernetes.io/"


class NodeRestriction(Plugin):
    """Looks at nodes' writes only."""

    operations = (CREATE, UPDATE, DELETE)
    resources = frozenset(("pods", "nodes", "serviceaccounts", "coordination.k8s.io/leases"))
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
        elif change.name != node:
            raise refused(change, "can only access node lease with the same name as the requesting node")


def _pod(node: str, change: Change, context: Context) -> None:
    if change.operation == CREATE and not change.subresource:
        pod = change.obj or {}
        if _MIRROR not in (pod["metadata"].get("annotations") or {}):
            raise refused(
                change, f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods'
            )
        if pod["spec"].get("nodeName") != node:
            raise refused(change, f'node "{node}" can only create pods with spec.nodeName set to itself')
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


def _node(node: str, change: Change) -> None:
    if change.name != node:
        raise refused(change, f'node "{node}" is not allowed to modify node "{change.name}"')
    if change.operation == DELETE:
        raise refused(change, f'node "{node}" is not allowed to delete itself')
    new, old = _labels(change.obj), _labels(change.old)
    touched = sorted(key for key in new.keys() | old.keys() if new.get(key) != old.get(key))
    reserved = [key for key in touched if _RESERVED in f"{key.partition('/')[0]}/"]
    if reserved:
        raise refused(change, f"is not allowed to modify labels: {', '.join(reserved)}")
    if change.operation == UPDATE and change.obj is not None and change.old is not None:
        taints = [(one.get("spec") or {}).get("taints") or [] for one in (change.obj, change.old)]
        if taints[0] != taints[1]:
            raise refused(change, f'node "{node}" is not allowed to modify taints')


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
