"""POST on a collection: a new object.

In order: decode, place, default, validate, name, admit, record ownership, store. The patch verb calls the
later steps too, because a server-side apply of an object that does not exist creates it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.server import bodies, metadata, options
from springtide.server.admit import CREATE, Change
from springtide.server.apply import track_update
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import key_of, persist
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.schema_rules import FieldError
from springtide.server.status import AlreadyExists, Forbidden, NotFound, invalid
from springtide.server.templates import TemplateKey

Json = dict[str, Any]


async def create(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 201 with the stored object."""
    options.check(request, "CreateOptions")
    obj = bodies.parse_object(request)
    twice = bodies.named_twice(request, obj)
    key = None if twice else context.templates.key(kind, obj)
    spec = context.templates.complete(key, kind, obj["spec"]) if key is not None else None
    warnings = bodies.prune_unknown(obj, kind, request, twice) if spec is None else []
    begin(obj, kind, route.namespace, context)
    if spec is not None:
        obj["spec"] = spec
        _check(obj, kind, _metadata_errors(obj, kind))
    else:
        complete(obj, kind)
        if key is not None and not warnings:
            context.templates.remember(key, kind, obj["spec"])
    _record_owner(obj, kind, key, request, context)
    admit(obj, kind, context, request)
    body = await store_new(obj, kind, context, dry_run=bodies.is_dry_run(request))
    return Response(201, body, warnings=(*warnings, *kind.strategy.warn(obj)))


def prepare(obj: Json, kind: ServedKind, namespace: str, context: Context, request: Request) -> None:
    """Make an applied object a complete new one, in place. Raises Invalid naming each wrong field."""
    begin(obj, kind, namespace, context)
    complete(obj, kind)
    admit(obj, kind, context, request)


def begin(obj: Json, kind: ServedKind, namespace: str, context: Context) -> None:
    """Give the object its identity, in place."""
    check_namespace(kind, namespace, context)
    metadata.begin(obj, kind, namespace, context)
    if kind.status and not kind.builtin:
        obj.pop("status", None)


def complete(obj: Json, kind: ServedKind) -> None:
    """Default and validate, in place.

    What the server adds of its own (`admit`) comes later: the user does not own that.
    """
    kind.validator.default(obj)
    errors = kind.errors(obj)
    if not errors:
        kind.strategy.default(obj)
        errors = [*_metadata_errors(obj, kind), *kind.strategy.validate(obj)]
    bodies.check_types(errors, kind)
    _check(obj, kind, errors)


def _metadata_errors(obj: Json, kind: ServedKind) -> list[FieldError]:
    return metadata.validate(obj, form=kind.strategy.name_form, builtin=kind.builtin)


def admit(obj: Json, kind: ServedKind, context: Context, request: Request) -> None:
    """Let plug-ins and the kind add what the user does not own, in place; then let plug-ins refuse."""
    meta = obj["metadata"]
    change = Change(
        operation=CREATE,
        kind=kind,
        subresource="",
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        obj=obj,
        old=None,
        user=request.user,
        dry_run=bodies.is_dry_run(request),
    )
    context.admission.mutate(change, context)
    kind.strategy.before_create(obj, context)
    errors = [*kind.errors(obj), *kind.strategy.validate(obj)] if change.recheck else []
    _check(obj, kind, [*errors, *kind.strategy.validate_create(obj)])
    context.admission.validate(change, context)


def _check(obj: Json, kind: ServedKind, errors: list[FieldError]) -> None:
    if errors:
        raise invalid(kind.group, kind.kind, str(obj["metadata"].get("name", "")), errors)


def _record_owner(
    obj: Json, kind: ServedKind, key: TemplateKey | None, request: Request, context: Context
) -> None:
    """The creator owns everything but status, which is not the user's."""
    manager, meta = request.field_manager, obj["metadata"]

    def entries() -> list[Json]:
        return track_update(
            None,
            {key: value for key, value in obj.items() if key != "status"} if kind.status else obj,
            manager=manager,
            subresource="",
            now=context.now(),
            schema=kind.validator,
            api_version=kind.api_version,
        )

    if key is None:
        meta.pop("managedFields", None)
        if made := entries():
            meta["managedFields"] = made
        return
    fields = context.templates.owned(key, meta, manager, lambda: entries()[0]["fieldsV1"])
    meta["managedFields"] = [
        {
            "manager": manager,
            "operation": "Update",
            "apiVersion": kind.api_version,
            "time": context.timestamp(),
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
    ]


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
