"""POST on a collection: a new object.

In order: decode, place, default, validate, name, admit, record ownership, store. The patch verb calls the
later steps too, because a server-side apply of an object that does not exist creates it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.server import bodies, metadata
from springtide.server.apply import track_update
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import key_of, persist
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.status import AlreadyExists, Forbidden, NotFound, invalid

Json = dict[str, Any]


async def create(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 201 with the stored object."""
    obj = bodies.parse_object(request)
    metadata.place(obj, kind, route.namespace)
    warnings = bodies.prune_unknown(obj, kind, request)
    prepare(obj, kind, route.namespace, context)
    obj["metadata"]["managedFields"] = track_update(
        None,
        {key: value for key, value in obj.items() if key != "status"} if kind.status else obj,
        manager=request.field_manager,
        subresource="",
        now=context.now(),
        schema=kind.validator,
        api_version=kind.api_version,
    )
    body = await store_new(obj, kind, context, dry_run=bodies.is_dry_run(request))
    return Response(201, body, warnings=tuple(warnings))


def prepare(obj: Json, kind: ServedKind, namespace: str, context: Context) -> None:
    """Make what the user sent a complete new object, in place. Raises Invalid naming each wrong field."""
    check_namespace(kind, namespace, context)
    metadata.begin(obj, kind, namespace, context)
    if kind.status and not kind.builtin:
        obj.pop("status", None)
    kind.validator.default(obj)
    errors = kind.validator.validate(obj)
    if not errors:
        kind.strategy.default(obj)
        errors = [*metadata.validate(obj), *kind.strategy.validate(obj)]
    if errors:
        raise invalid(kind.group, kind.kind, str(obj["metadata"].get("name", "")), errors)
    kind.strategy.before_create(obj, context)


def check_namespace(kind: ServedKind, namespace: str, context: Context) -> None:
    """Nothing is created in a namespace that does not exist or is going away."""
    if not kind.namespaced:
        return
    record = context.store.latest("namespaces", namespace)
    if record is None:
        raise NotFound(f'namespaces "{namespace}" not found', name=namespace, kind="namespaces")
    if context.is_terminating(record):
        raise Forbidden(
            f"unable to create new content in namespace {namespace} because it is being terminated",
            name=namespace,
            kind="namespaces",
        )


async def store_new(obj: Json, kind: ServedKind, context: Context, *, dry_run: bool) -> bytes:
    """Store a prepared object under its name, which must be free."""
    name = obj["metadata"]["name"]
    if context.store.latest(kind.resource, key_of(kind, obj["metadata"].get("namespace", ""), name)):
        raise AlreadyExists(
            f'{kind.qualified_plural} "{name}" already exists', name=name, group=kind.group, kind=kind.plural
        )
    if dry_run:
        return msgspec.json.encode(obj)
    return await persist(context, kind, obj, expected=0)
