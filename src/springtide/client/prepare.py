"""First of the three steps of every call (prepare, send, interpret): arguments become a Request.

Pure functions, so that what goes over the wire is tested in tables. Called by `collection`.
Source of paths, query names and media types: the Kubernetes API concepts reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from springtide.api.resources import Resource
from springtide.client.errors import BadRequest
from springtide.client.transport import Request

PatchBody = Mapping[str, Any] | list[Any]
"""A merge or strategic patch is an object, a JSON patch a list of operations."""

JSON = "application/json"
PATCH_TYPES: Mapping[str, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


def request(
    method: str,
    path: str,
    query: Mapping[str, object] | None = None,
    *,
    body: bytes = b"",
    content_type: str = JSON,
    accept: str = JSON,
) -> Request:
    """A request whose empty query values (None, "", False, 0) are left out and the others spelled out."""
    headers = {"accept": accept}
    if body:
        headers["content-type"] = content_type
    return Request(method, path, _query(query or {}), headers, body)


def object_path(resource: Resource, namespace: str, name: str, subresource: str = "") -> str:
    """The path of one object. Raises BadRequest for a name no object can have: `get ""` must never list."""
    check_segment(resource, "name", name)
    if resource.namespaced:
        check_segment(resource, "namespace", namespace)
        return resource.path(namespace, name, subresource)
    return resource.path("", name, subresource)


def check_segment(resource: Resource, field: str, value: str) -> None:
    """A value that becomes one path segment must be one, and must not be empty."""
    if not value:
        raise BadRequest(f"{resource.kind}: {field} is empty; give the {field} of the object")
    if value in (".", "..") or "/" in value or "%" in value:
        raise BadRequest(f"{resource.kind}: {field} {value!r} may not be '.' or '..' nor contain '/' or '%'")


def collection_path(resource: Resource, namespace: str) -> str:
    """The path of all objects of a kind, in one namespace or (namespace "") in all."""
    if namespace:
        check_segment(resource, "namespace", namespace)
    return resource.path(namespace)


def delete_options(uid: str, grace_period_seconds: int | None, propagation: str, *, dry_run: bool) -> bytes:
    """The body of a delete: `metav1.DeleteOptions`."""
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if propagation:
        options["propagationPolicy"] = propagation
    if uid:
        options["preconditions"] = {"uid": uid}
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    if dry_run:
        options["dryRun"] = ["All"]
    return msgspec.json.encode(options)


def apply_body(resource: Resource, namespace: str, name: str, fields: Mapping[str, Any]) -> bytes:
    """The body of a server-side apply: the fields with the object's identity around them."""
    metadata = {**(fields.get("metadata") or {}), "name": name}
    if resource.namespaced:
        metadata["namespace"] = namespace
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    return msgspec.json.encode({**head, **fields, **head, "metadata": metadata})


def eviction_body(namespace: str, pod: str, uid: str) -> bytes:
    """A policy/v1 Eviction, only while the pod has this uid."""
    body: dict[str, Any] = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
    }
    if uid:
        body["deleteOptions"] = {"preconditions": {"uid": uid}}
    return msgspec.json.encode(body)


def binding_body(
    namespace: str, pod: str, uid: str, node: str, notes: Mapping[str, str] | None = None
) -> bytes:
    """A core/v1 Binding: puts one pod on one node, while the pod still has this uid, with annotations."""
    metadata: dict[str, object] = {"name": pod, "namespace": namespace}
    if uid:
        metadata["uid"] = uid
    if notes:
        metadata["annotations"] = dict(notes)
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    return msgspec.json.encode(
        {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
    )


def _query(values: Mapping[str, object]) -> dict[str, str]:
    spelled: dict[str, str] = {}
    for name, value in values.items():
        if value is None or value is False or value == "":
            continue
        spelled[name] = "true" if value is True else str(value)
    return spelled
