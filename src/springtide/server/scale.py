"""The scale subresource: one number of replicas, wherever a kind keeps it (`autoscaling/v1` Scale).

Served for built-in kinds with replicas and for CRDs that declare `subresources.scale`; `kubectl scale` and
autoscalers speak it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from springtide.server import bodies, options
from springtide.server.apply import ApplyConflict, apply
from springtide.server.context import Context
from springtide.server.json_patch import PatchError, apply_json_patch
from springtide.server.kinds import ServedKind
from springtide.server.merge_patch import apply_merge_patch
from springtide.server.patch import (
    APPLY_TYPES,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    conflict_of,
    unknown_format,
)
from springtide.server.persist import decode, latest
from springtide.server.request import Answer, Request, Response
from springtide.server.routes import Route
from springtide.server.status import BadRequest, bad_value, invalid
from springtide.server.table_apps import format_selector
from springtide.server.update import revise

Json = dict[str, Any]

_API_VERSION, _KIND = "autoscaling/v1", "Scale"


async def read(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 200 with the Scale."""
    obj = decode(latest(context, kind, route.namespace, route.name), kind)
    return Response(200, msgspec.json.encode(_scale_of(obj, kind)))


async def write(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """PUT or PATCH of the Scale: only spec.replicas has an effect. The writer owns it through `scale`."""
    applied = request.media_type in APPLY_TYPES and request.method == "PATCH"
    options.check(request, "PatchOptions" if request.method == "PATCH" else "UpdateOptions", apply=applied)
    record = latest(context, kind, route.namespace, route.name)
    old = decode(record, kind)
    wanted = bodies.parse_object(request) if applied else _wanted(request, _scale_of(old, kind), kind)
    if not all(isinstance(wanted.get(part) or {}, dict) for part in ("metadata", "spec")):
        raise BadRequest(f"metadata and spec of a {_KIND} must be objects")
    if (wanted.get("apiVersion"), wanted.get("kind")) != (_API_VERSION, _KIND):
        raise BadRequest(f"the object provided must be {_API_VERSION} {_KIND}")
    replicas = _replicas(wanted, kind, route.name)
    path = kind.scale["specReplicasPath"]
    if applied:
        new = _applied(context, request, old, kind, path, replicas)
    else:
        new = msgspec.json.decode(msgspec.json.encode(old))
        _put(new, path, replicas)
    if version := (wanted.get("metadata") or {}).get("resourceVersion"):
        new = {**new, "metadata": {**new["metadata"], "resourceVersion": version}}
    main = Route(route.group, route.version, route.plural, route.namespace, route.name)
    body = await revise(context, request, main, kind, record, old, new, managed=applied, writes_as="scale")
    return Response(200, msgspec.json.encode(_scale_of(msgspec.json.decode(body), kind)))


def _replicas(wanted: Json, kind: ServedKind, name: str) -> int:
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    if isinstance(replicas, int) and not isinstance(replicas, bool) and replicas >= 0:
        return replicas
    if kind.builtin:
        fault = bad_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", _KIND, name, [fault])
    fault = bad_value(kind.scale["specReplicasPath"], replicas, "should be a non-negative integer")
    raise invalid(kind.group, kind.kind, name, [fault])


def _applied(
    context: Context, request: Request, old: Json, kind: ServedKind, path: str, replicas: int
) -> Json:
    """The object after its replicas, and nothing else, were applied."""
    config: Json = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}}
    _put(config, path, replicas)
    try:
        return apply(
            old,
            config,
            manager=request.field_manager,
            force=request.flag("force"),
            schema=kind.validator,
            subresource="scale",
            now=context.now(),
            api_version=kind.api_version,
        )
    except ApplyConflict as error:
        raise conflict_of(error, old["metadata"]["name"], kind) from error


VERBS: dict[str, Callable[[Context, Request, Route, ServedKind], Awaitable[Answer]]] = {
    "GET": read,
    "PUT": write,
    "PATCH": write,
}


def _wanted(request: Request, current: Json, kind: ServedKind) -> Json:
    if request.method == "PUT":
        return bodies.parse_object(request)
    body = bodies.parse(request)
    try:
        if request.media_type == JSON_PATCH:
            patched = apply_json_patch(current, body)
        elif request.media_type == MERGE_PATCH or (request.media_type == STRATEGIC_PATCH and kind.builtin):
            patched = apply_merge_patch(current, body)  # a Scale has no lists, of which alone these differ
        else:
            raise unknown_format(kind)
    except PatchError as error:
        raise BadRequest(f"the patch does not fit the Scale: {error}") from error
    if not isinstance(patched, dict):
        raise BadRequest("the patch must leave an object")
    return patched


def _scale_of(obj: Json, kind: ServedKind) -> Json:
    meta, paths = obj["metadata"], kind.scale
    status: Json = {"replicas": _at(obj, paths.get("statusReplicasPath", "")) or 0}
    if selector := _at(obj, paths.get("labelSelectorPath", "")):
        status["selector"] = selector if isinstance(selector, str) else format_selector(selector)
    replicas = _at(obj, paths["specReplicasPath"])
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": _KIND,
        "apiVersion": _API_VERSION,
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _at(obj: Any, path: str) -> Any:
    for step in path.strip(".").split("."):
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def _put(obj: Json, path: str, value: int) -> None:
    *parents, last = path.strip(".").split(".")
    for step in parents:
        inner = obj.get(step)
        obj[step] = inner = inner if isinstance(inner, dict) else {}
        obj = inner
    obj[last] = value
