"""What a node may do: what all nodes may, limited to what its own pods need.

A node is a user `system:node:<name>` in the group `system:nodes`. It reads a Secret, ConfigMap, claim, volume
or service account only if a pod bound to it needs that object, and asks for pods and for its own Node, Lease
and CSINode by name. What it then writes is limited by `admit_node`. Rules: Kubernetes' node authorizer.
Called by `authorize`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from springtide.api.selectors import parse_fields
from springtide.server.rbac import Verdict
from springtide.server.rbac_defaults import node_rules
from springtide.server.rbac_rules import Attributes, Rule, compile_rules
from springtide.server.request import User
from springtide.store import Store

Json = dict[str, Any]

NODES_GROUP = "system:nodes"
_PREFIX = "system:node:"
_NOT_A_NODE = Verdict(False)
_ALLOWED = Verdict(True)
_READ = ("get", "list", "watch")
_LEASE_NAMESPACE = "kube-node-lease"
_SLICES, _CLAIMS = "resource.k8s.io/resourceslices", "resource.k8s.io/resourceclaims"
_RELATED = frozenset(("persistentvolumes", "storage.k8s.io/volumeattachments", _SLICES, _CLAIMS))


def node_of(user: User) -> str:
    """The name of the node that a user is; empty for everybody else."""
    if NODES_GROUP in user.groups and user.name.startswith(_PREFIX):
        return user.name.removeprefix(_PREFIX)
    return ""


class NodeAuthorizer:
    """Decides from the pods that are bound to a node now."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self, user: User, wanted: Attributes) -> Verdict:
        """Whether a node may; others get no answer here."""
        node = node_of(user)
        if not node:
            return _NOT_A_NODE
        resource = f"{wanted.group}/{wanted.resource}" if wanted.group else wanted.resource
        if resource in ("secrets", "configmaps"):
            return self._read(node, resource, wanted, _READ)
        if resource == "persistentvolumeclaims":
            verbs = ("get", "update", "patch") if wanted.subresource == "status" else ("get",)
            return self._read(node, resource, wanted, verbs, subresource=wanted.subresource)
        if resource == "serviceaccounts":
            if wanted.subresource == "token":
                return self._read(node, resource, wanted, ("create",), subresource="token")
            return self._read(node, resource, wanted, ("get",))
        if resource == "coordination.k8s.io/leases":
            return _lease(node, wanted)
        if resource == "storage.k8s.io/csinodes" and wanted.verb != "create" and wanted.name != node:
            return Verdict(False, "can only access CSINode with the same name as the requesting node")
        if resource in _RELATED:
            return self._related(node, resource, wanted)
        if resource == "pods" and wanted.verb in _READ and not wanted.subresource:
            return self._pods(node, wanted)
        if resource == "nodes" and wanted.verb in _READ:
            return _own_node(node, wanted)
        return _ALLOWED if any(rule.allows(wanted) for rule in _rules()) else _NOT_A_NODE

    def _read(
        self, node: str, resource: str, wanted: Attributes, verbs: tuple[str, ...], *, subresource: str = ""
    ) -> Verdict:
        if wanted.verb not in verbs or wanted.subresource != subresource:
            return Verdict(False, f"a node can only {'/'.join(verbs)} {resource} that its pods name")
        if not wanted.name or not wanted.namespace:
            return Verdict(False, "No Object name found")
        return _ALLOWED if self._names(node, resource, wanted.namespace, wanted.name) else _unrelated(node)

    def _related(self, node: str, resource: str, wanted: Attributes) -> Verdict:
        """What is a node's because its own content, or its claim's pod, says so."""
        if resource == _SLICES and wanted.verb in ("list", "watch", "deletecollection"):
            if _selects(wanted.field_selector, "spec.nodeName", node):
                return _ALLOWED
            return Verdict(False, f"can only {wanted.verb} resourceslices with nodeName field selector")
        if resource == _SLICES and wanted.verb == "create" and not wanted.subresource:
            return _ALLOWED
        verbs = ("get", "update", "patch", "delete") if resource == _SLICES else ("get",)
        if wanted.verb not in verbs or wanted.subresource:
            return Verdict(False, "can only get individual resources of this type")
        if not wanted.name:
            return Verdict(False, "No Object name found")
        if resource == _CLAIMS:
            named = self._names(node, resource, wanted.namespace, wanted.name)
            return _ALLOWED if named else _unrelated(node)
        record = self._store.latest(resource, wanted.name)
        spec: Json = msgspec.json.decode(record.value).get("spec") or {} if record is not None else {}
        if resource == "persistentvolumes":
            claim = spec.get("claimRef") or {}
            place = claim.get("namespace", ""), claim.get("name", "")
            bound = all(place) and self._names(node, "persistentvolumeclaims", *place)
            return _ALLOWED if bound else _unrelated(node)
        return _ALLOWED if spec.get("nodeName") == node else _unrelated(node)

    def _names(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod of the node names the object."""
        return any(name in named_in(pod, resource) for pod in self._pods_naming(node, namespace, name))

    def _pods(self, node: str, wanted: Attributes) -> Verdict:
        if wanted.verb != "get":
            if _selects(wanted.field_selector, "spec.nodeName", node):
                return _ALLOWED
            if not wanted.name:
                return Verdict(False, "can only list/watch pods with spec.nodeName field selector")
        record = self._store.latest("pods", f"{wanted.namespace}/{wanted.name}")
        if record is None or msgspec.json.decode(record.value)["spec"].get("nodeName") != node:
            return _unrelated(node)
        return _ALLOWED

    def _pods_naming(self, node: str, namespace: str, name: str) -> Iterator[Json]:
        """The node's pods that may name an object; found by their bytes, so that few are decoded."""
        here, there = f'"nodeName":"{node}"'.encode(), f'"{name}"'.encode()
        for record in self._store.page("pods", f"{namespace}/").records:
            if here in record.value and there in record.value:
                pod: Json = msgspec.json.decode(record.value)
                if pod["spec"].get("nodeName") == node:
                    yield pod


def named_in(pod: Json, resource: str) -> set[str]:
    """Names of the objects of a kind that a pod needs."""
    spec = pod["spec"]
    if resource == _CLAIMS:
        made = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
        return {one.get("resourceClaimName", "") for one in (*(spec.get("resourceClaims") or ()), *made)}
    if resource == "serviceaccounts":
        return {spec.get("serviceAccountName") or "default"}
    if resource == "persistentvolumeclaims":
        claims = (volume.get("persistentVolumeClaim") or {} for volume in spec.get("volumes") or ())
        return {claim.get("claimName", "") for claim in claims}
    return set(references(spec, "secret" if resource == "secrets" else "configMap"))


def references(spec: Json, kind: str) -> Iterator[str]:
    """Names of Secrets (`secret`) or ConfigMaps (`configMap`) in environment, volumes and pull secrets."""
    if kind == "secret":
        yield from (one.get("name", "") for one in spec.get("imagePullSecrets") or ())
    for part in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(part) or ():
            for source in container.get("envFrom") or ():
                yield (source.get(f"{kind}Ref") or {}).get("name", "")
            for variable in container.get("env") or ():
                yield ((variable.get("valueFrom") or {}).get(f"{kind}KeyRef") or {}).get("name", "")
    for volume in spec.get("volumes") or ():
        own = volume.get(kind) or {}
        yield own.get("secretName" if kind == "secret" else "name", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield (source.get(kind) or {}).get("name", "")


def _lease(node: str, wanted: Attributes) -> Verdict:
    if wanted.verb not in ("get", "create", "update", "patch", "delete"):
        return Verdict(False, "can only get, create, update, patch, or delete a node lease")
    if wanted.namespace != _LEASE_NAMESPACE:
        return Verdict(False, f'can only access leases in the "{_LEASE_NAMESPACE}" system namespace')
    if wanted.verb != "create" and wanted.name != node:
        return Verdict(False, "can only access node lease with the same name as the requesting node")
    return _ALLOWED


def _own_node(node: str, wanted: Attributes) -> Verdict:
    if wanted.name == node and not wanted.subresource:
        return _ALLOWED
    return Verdict(False, f"node '{node}' cannot read all nodes, only its own Node object")


def _unrelated(node: str) -> Verdict:
    return Verdict(False, f"no relationship found between node '{node}' and this object")


def _selects(selector: str, path: str, value: str) -> bool:
    try:
        return parse_fields(selector).required(path) == value
    except ValueError:
        return False


@cache
def _rules() -> tuple[Rule, ...]:
    return compile_rules(node_rules())
