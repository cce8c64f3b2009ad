"""PATCH on an object or a subresource: JSON, merge and strategic merge patches, and server-side apply.

The patch is applied to the latest state in the same event-loop step that stores the result, so a patch
without a resourceVersion never conflicts. Each form gives a new whole object; from there `update.revise`
takes over.
"""

from __future__ import annotations

from typing import Any

from springtide.server import bodies, metadata, options
from springtide.server.apply import ApplyConflict, apply
from springtide.server.context import Context
from springtide.server.create import prepare, store_new
from springtide.server.json_patch import PatchError, apply_json_patch
from springtide.server.kinds import ServedKind
from springtide.server.merge_patch import apply_merge_patch
from springtide.server.persist import decode, key_of, latest, not_found
from springtide.server.rbac_rules import Attributes
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.schema_rules import INVALID, FieldError
from springtide.server.status import BadRequest, Conflict, Invalid, TooLarge, UnsupportedMediaType, invalid
from springtide.server.strategic_patch import apply_strategic_patch
from springtide.server.update import revise, warned

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_TYPES = ("application/apply-patch+yaml", "application/apply-patch+json")


async def patch(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 200 with the stored object, or 201 if an apply created it."""
    if request.media_type in APPLY_TYPES:
        return await _apply(context, request, route, kind)
    options.check(request, "PatchOptions")
    record = latest(context, kind, route.namespace, route.name)
    old = decode(record, kind)
    patch_body = bodies.parse(request)
    new = _patched(old, patch_body, request, kind)
    if not isinstance(new, dict):
        raise BadRequest(f"the patch must leave an object, not {type(new).__name__}")
    if (new.get("apiVersion"), new.get("kind")) != (kind.api_version, kind.kind):
        raise _unfit(f"apiVersion and kind must stay {kind.api_version} {kind.kind}")
    metadata.place(new, kind, route.namespace)
    try:
        twice = bodies.named_twice(request, patch_body)
        warnings = bodies.prune_unknown(new, kind, request, twice, old)
        body = await revise(context, request, route, kind, record, old, new)
    except bodies.Undecodable as error:
        raise _unfit(error.message) from error
    return Response(200, body, warnings=(*warnings, *warned(kind, route, new)))


def _unfit(why: str) -> Invalid:
    """The patch leaves something that is no object of its kind."""
    return invalid("", "", "", [FieldError(INVALID, "patch", f"Invalid value: {why}")])


def _patched(old: Json, body: Any, request: Request, kind: ServedKind) -> Any:
    media_type = request.media_type
    try:
        if media_type == JSON_PATCH:
            return apply_json_patch(old, body)
        if media_type == MERGE_PATCH:
            return apply_merge_patch(old, body)
        if media_type == STRATEGIC_PATCH and kind.builtin:
            return apply_strategic_patch(old, body, kind.validator)
    except PatchError as error:
        raise _refused(error, old, kind) from error
    raise unknown_format(kind)


def unknown_format(kind: ServedKind) -> UnsupportedMediaType:
    """415 that names the forms of patches a kind takes."""
    known = [JSON_PATCH, MERGE_PATCH, *([STRATEGIC_PATCH] if kind.builtin else []), APPLY_TYPES[0]]
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(known)}"
    )


def _refused(error: PatchError, old: Json, kind: ServedKind) -> BadRequest | Invalid | TooLarge:
    if error.too_large:
        return TooLarge(f"the patch asks for too much: {error}")
    if error.malformed:
        return BadRequest(f"the patch cannot be read: {error}")
    name = old["metadata"]["name"]
    return Invalid(
        f'the patch does not fit {kind.kind} "{name}": {error}',
        name=name,
        group=kind.group,
        kind=kind.kind,
        causes=[FieldError("FieldValueInvalid", error.field, error.rule)],
    )


async def _apply(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Server-side apply: the body is what this manager wants to own, all of it."""
    options.check(request, "PatchOptions", apply=True)
    config = bodies.parse_object(request)
    twice = bodies.named_twice(request, config)
    if not (config.get("apiVersion") and config.get("kind")):
        raise BadRequest("an apply patch must say its apiVersion and its kind")
    metadata.place(config, kind, route.namespace)
    if kind.builtin and (unknown := kind.validator.unknown_fields(config)):
        raise BadRequest(f"the apply patch is no {kind.kind}: .{unknown[0]}: field not declared in schema")
    warnings = bodies.prune_unknown(config, kind, request, twice)
    record = context.store.latest(kind.resource, key_of(kind, route.namespace, route.name))
    old = decode(record, kind) if record is not None else None
    _check_target(config, old, route, kind)
    try:
        new = apply(
            old,
            config,
            manager=request.field_manager,
            force=request.flag("force"),
            schema=kind.validator,
            subresource=route.subresource,
            now=context.now(),
            api_version=kind.api_version,
            has_status=kind.status,
        )
    except ApplyConflict as error:
        raise conflict_of(error, route.name, kind) from error
    except PatchError as error:
        raise _refused(error, config, kind) from error
    if record is None or old is None:
        wanted = Attributes("create", kind.group, kind.plural, "", route.namespace, route.name)
        context.authorizer.require(request.user, wanted)
        prepare(new, kind, route.namespace, context, request)
        body = await store_new(new, kind, context, dry_run=bodies.is_dry_run(request))
        return Response(201, body, warnings=(*warnings, *warned(kind, route, new)))
    _keep_name(new, old)
    body = await revise(context, request, route, kind, record, old, new, managed=True)
    return Response(200, body, warnings=(*warnings, *warned(kind, route, new)))


def conflict_of(error: ApplyConflict, name: str, kind: ServedKind) -> Conflict:
    """409 that names each field and who owns it."""
    causes = [FieldError(cause["reason"], cause["field"], cause["message"]) for cause in error.causes]
    return Conflict(str(error), name=name, group=kind.group, kind=kind.plural, causes=causes)


def _keep_name(new: Json, old: Json) -> None:
    """Whoever claims to own an object's name does not take it away by leaving it out."""
    named = {key: old["metadata"][key] for key in ("name", "namespace") if key in old["metadata"]}
    if not named.keys() <= (new.get("metadata") or {}).keys():
        new["metadata"] = {**(new.get("metadata") or {}), **named}


def _check_target(config: Json, old: Json | None, route: Route, kind: ServedKind) -> None:
    """Apply creates what is missing, but never a subresource, nor an object that is named by uid."""
    meta = config["metadata"]
    if meta.setdefault("name", route.name) != route.name:
        raise BadRequest(f"metadata.name is {meta['name']!r}, the URL names {route.name!r}")
    if meta.get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil in an apply patch")
    if old is not None:
        metadata.check_preconditions(config, old, kind)
    elif route.subresource:
        raise not_found(kind, route.name)
    elif meta.get("uid"):
        raise metadata.conflict(
            kind,
            route.name,
            f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was "
            "found",
        )
    else:
        meta.pop("resourceVersion", None)
