"""POST pods/{name}/binding: says on which node a pod runs. How every scheduler places pods."""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.server import bodies, metadata
from springtide.server.apply import track_update
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, latest, persist
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.status import BadRequest, invalid, required, success

Json = dict[str, Any]


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Target(msgspec.Struct, frozen=True):
    name: str = ""


class _Binding(msgspec.Struct, frozen=True):
    """What of a v1 Binding has an effect."""

    target: _Target = _Target()
    metadata: _Metadata = _Metadata()


async def bind(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """POST pods/{name}/binding: sets spec.nodeName once, and condition PodScheduled. Answers 201."""
    binding = bodies.typed(bodies.parse_object(request), _Binding)
    if not binding.target.name:
        raise invalid("", "Binding", route.name, [required("target.name", "the node to bind to")])
    record = latest(context, kind, route.namespace, route.name)
    old = decode(record, kind)
    _check_bindable(old, binding.metadata, route.name, kind)
    new: Json = {
        **old,
        "metadata": _bound_metadata(old["metadata"], binding.metadata),
        "spec": {**old["spec"], "nodeName": binding.target.name},
        "status": _scheduled(old.get("status") or {}, context),
    }
    if errors := metadata.validate(new, old):
        raise invalid("", "Binding", route.name, errors)
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


def _check_bindable(pod: Json, binding: _Metadata, name: str, kind: ServedKind) -> None:
    if binding.uid and binding.uid != pod["metadata"]["uid"]:
        raise metadata.uid_conflict(kind, name, binding.uid, pod["metadata"]["uid"])
    if binding.name not in ("", name):
        raise BadRequest(f"the binding names pod {binding.name!r}, the URL {name!r}")
    if pod["metadata"].get("deletionTimestamp"):
        raise metadata.conflict(kind, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise metadata.conflict(
            kind, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        )
    if pod["spec"].get("schedulingGates"):
        raise metadata.conflict(kind, name, f"pod {name} has non-empty .spec.schedulingGates")


def _bound_metadata(pod: Json, binding: _Metadata) -> Json:
    """A scheduler may leave notes (such as devices) in the binding's labels and annotations."""
    merged = dict(pod)
    for key, notes in (("labels", binding.labels), ("annotations", binding.annotations)):
        if notes:
            merged[key] = {**(pod.get(key) or {}), **notes}
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
