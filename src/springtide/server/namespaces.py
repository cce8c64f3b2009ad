"""Namespaces: made Active, emptied before they go.

A deleted namespace turns Terminating and stays until its content is gone: the namespace controller (builtin
room) empties it and then removes `kubernetes` from spec.finalizers through the finalize subresource.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.server import bodies, metadata
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, latest, persist
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_FINALIZER = "kubernetes"
_NAME_LABEL = "kubernetes.io/metadata.name"


class NamespaceStrategy(Strategy):
    """v1 Namespace."""

    selectable_fields = {"status.phase": "status.phase"}
    name_form = "label"

    def default(self, obj: Json) -> None:
        name = obj["metadata"].get("name")
        if name:
            obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), _NAME_LABEL: name}

    def before_create(self, obj: Json, context: Context) -> None:
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        obj["spec"] = {"finalizers": [*(one for one in finalizers if one != _FINALIZER), _FINALIZER]}
        obj["status"] = {"phase": "Active"}

    def before_update(self, new: Json, old: Json) -> None:
        new["spec"] = old.get("spec", {})

    def holds_deletion(self, obj: Json) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    def before_delete(self, obj: Json) -> None:
        obj["status"] = {**obj.get("status", {}), "phase": "Terminating"}


async def finalize(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """PUT namespaces/{name}/finalize: sets spec.finalizers; a deleted namespace without any goes away."""
    wanted = bodies.parse_object(request)
    record = latest(context, kind, "", route.name)
    old = decode(record, kind)
    metadata.check_preconditions(wanted, old, kind)
    new: Json = {**old, "metadata": {**old["metadata"]}, "spec": wanted.get("spec") or {}}
    bodies.check_types(kind.errors(new, old), kind)
    if new == old:
        return Response(200, record.value)
    gone = metadata.goes_away(new, kind)
    if bodies.is_dry_run(request):
        return Response(200, msgspec.json.encode(new))
    return Response(200, await persist(context, kind, new, expected=record.revision, deleted=gone))
