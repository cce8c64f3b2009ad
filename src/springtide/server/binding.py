"""Two subresources by which others decide over a pod: binding (which node) and eviction (that it must go).

`pods/binding` is how every scheduler places a pod; `pods/eviction` is how `kubectl drain` asks one to go.
"""

from __future__ import annotations

from typing import Any

from springtide.server import bodies, metadata
from springtide.server.apply import track_update
from springtide.server.context import Context
from springtide.server.delete import DeleteOptions, delete_record
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, latest, persist
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.status import BadRequest, invalid, required, success

Json = dict[str, Any]


async def bind(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """POST pods/{name}/binding: sets spec.nodeName once, and condition PodScheduled. Answers 201."""
    body = bodies.parse_object(request)
    node = (body.get("target") or {}).get("name", "")
    if not node:
        raise invalid("", "Binding", route.name, [required("target.name", "the node to bind to")])
    record = latest(context, kind, route.namespace, route.name)
    old = decode(record, kind)
    _check_bindable(old, metadata.metadata_of(body), route.name, kind)
    new: Json = {
        **old,
        "metadata": _bound_metadata(old["metadata"], body["metadata"]),
        "spec": {**old["spec"], "nodeName": node},
        "status": _scheduled(old.get("status") or {}, context),
    }
    new["metadata"]["managedFields"] = track_update(
        old,
        new,
        manager=request.field_manager,
        subresource="binding",
        now=context.now(),
        schema=kind.validator,
        api_version=kind.api_version,
    )
    if not bodies.is_dry_run(request):
        await persist(context, kind, new, expected=record.revision)
    return Response(201, success())


async def evict(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """POST pods/{name}/eviction: deletes the pod with the grace it asks for. Answers 201."""
    body = bodies.parse_object(request)
    options = body.get("deleteOptions") or {}
    record = latest(context, kind, route.namespace, route.name)
    await delete_record(
        context,
        kind,
        record,
        DeleteOptions(
            grace_period_seconds=options.get("gracePeriodSeconds"),
            uid=(options.get("preconditions") or {}).get("uid") or "",
            dry_run=bodies.is_dry_run(request),
        ),
    )
    return Response(201, success())


def _check_bindable(pod: Json, binding_metadata: Json, name: str, kind: ServedKind) -> None:
    uid = binding_metadata.get("uid")
    if uid and uid != pod["metadata"]["uid"]:
        raise metadata.uid_conflict(kind, name, uid, pod["metadata"]["uid"])
    if binding_metadata.get("name", name) != name:
        raise BadRequest(f"the binding names pod {binding_metadata['name']!r}, the URL {name!r}")
    if pod["metadata"].get("deletionTimestamp"):
        raise metadata.conflict(kind, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise metadata.conflict(
            kind, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        )
    if pod["spec"].get("schedulingGates"):
        raise metadata.conflict(kind, name, f"pod {name} has non-empty .spec.schedulingGates")


def _bound_metadata(pod: Json, binding: Json) -> Json:
    """A scheduler may leave notes (such as devices) in the binding's labels and annotations."""
    merged = dict(pod)
    for key in ("labels", "annotations"):
        if binding.get(key):
            merged[key] = {**(pod.get(key) or {}), **binding[key]}
    return merged


def _scheduled(status: Json, context: Context) -> Json:
    conditions = [one for one in status.get("conditions") or [] if one.get("type") != "PodScheduled"]
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": context.timestamp(),
    }
    return {**status, "conditions": [*conditions, scheduled]}
