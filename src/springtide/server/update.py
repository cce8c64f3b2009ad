"""PUT on an object or its status: the whole new state, checked against the version it was based on.

`revise` is the course every change of an existing object takes; the patch verb calls it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from springtide.server import bodies, metadata, options
from springtide.server.admit import UPDATE, Change
from springtide.server.apply import track_update
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, latest, persist
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.status import bad_value, invalid
from springtide.server.strategy import Strategy
from springtide.store import Record

Json = dict[str, Any]


async def update(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 200 with the stored object; an update that changes nothing writes nothing."""
    options.check(request, "UpdateOptions")
    new = bodies.parse_object(request)
    record = latest(context, kind, route.namespace, route.name)
    old = decode(record, kind)
    metadata.place(new, kind, route.namespace)
    warnings = bodies.prune_unknown(new, kind, request, bodies.named_twice(request, new))
    if not kind.builtin and not new["metadata"].get("resourceVersion"):
        fault = bad_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(kind.group, kind.kind, route.name, [fault])
    body = await revise(context, request, route, kind, record, old, new)
    return Response(200, body, warnings=(*warnings, *warned(kind, route, new)))


def warned(kind: ServedKind, route: Route, new: Json) -> Sequence[str]:
    """Warnings of the kind; none for a subresource, of which most is not looked at."""
    return () if route.subresource else kind.strategy.warn(new)


async def revise(
    context: Context,
    request: Request,
    route: Route,
    kind: ServedKind,
    record: Record,
    old: Json,
    new: Json,
    *,
    managed: bool = False,
    writes_as: str = "",
) -> bytes:
    """Make `new` the state after `record` (whose object is `old`), within what the subresource may change.

    `writes_as` names the subresource under which the writer owns what it changed, if not the route's.
    `managed`: `new` carries its managedFields already (server-side apply). Returns the stored JSON.
    """
    metadata.check_preconditions(new, old, kind, patched=request.method == "PATCH")
    new = {**new, "metadata": {**new["metadata"]}}  # a patch shares what it did not touch with `old`
    metadata.keep_identity(new, old, kind)
    new = _within_subresource(new, old, kind, route.subresource)
    sent_owners = new["metadata"].get("managedFields")
    managed_too = managed or bool(sent_owners and sent_owners != old["metadata"].get("managedFields"))
    if not _same(new, old, with_owners=managed):  # what is stored already needs no second look
        change = _change(new, old, kind, request, route)
        complete(new, old, kind, route.subresource, lambda: context.admission.mutate(change, context))
        context.admission.validate(change, context)
        metadata.bump_generation(new, old, kind, route.subresource)
    if not managed_too and _same(new, old, with_owners=False):
        return await _unchanged(context, record, old)
    if not managed:
        new["metadata"]["managedFields"] = track_update(
            old,
            new,
            manager=request.field_manager,
            subresource=writes_as or route.subresource,
            now=context.now(),
            schema=kind.validator,
            api_version=kind.api_version,
        )
    if not new["metadata"].get("managedFields"):
        new["metadata"].pop("managedFields", None)
    if managed_too and _same(new, old, with_owners=True):
        return await _unchanged(context, record, old)
    if bodies.is_dry_run(request):
        return msgspec.json.encode(new)
    gone = metadata.goes_away(new, kind)
    return await persist(context, kind, new, expected=record.revision, deleted=gone)


def complete(new: Json, old: Json, kind: ServedKind, subresource: str, admit: Callable[[], None]) -> None:
    """Default, `admit` and validate a changed object, in place. Raises Invalid naming every wrong field."""
    kind.validator.default(new, old)
    errors = kind.errors(new, old)
    if not errors:
        strategy = kind.strategy
        if not _known(new, old, strategy):
            strategy.default(new)
        strategy.before_update(new, old)
        admit()
        changed = (
            strategy.validate_subresource(subresource, new, old)
            if subresource
            else strategy.validate_update(new, old)
        )
        own = () if _known(new, old, strategy) else strategy.validate(new)
        errors = [*metadata.validate(new, old, builtin=kind.builtin), *own, *changed]
    bodies.check_types(errors, kind)
    if errors:
        raise invalid(kind.group, kind.kind, old["metadata"]["name"], errors)


def _known(new: Json, old: Json, strategy: Strategy) -> bool:
    """Whether the spec is all that counts, and is as it was: it needs no second look."""
    return strategy.individual_fields is not None and new.get("spec") == old.get("spec")


def _change(new: Json, old: Json, kind: ServedKind, request: Request, route: Route) -> Change:
    return Change(
        operation=UPDATE,
        kind=kind,
        subresource=route.subresource,
        namespace=route.namespace,
        name=route.name,
        obj=new,
        old=old,
        user=request.user,
        dry_run=bodies.is_dry_run(request),
    )


def _within_subresource(new: Json, old: Json, kind: ServedKind, subresource: str) -> Json:
    """Each path changes its own part only: the main one all but status, `status` nothing but status."""
    if subresource == "status":
        changed = {**old, "metadata": _status_metadata(new, old, kind)}
        changed.pop("status", None)
        if "status" in new:
            changed["status"] = new["status"]
        return changed
    if subresource:
        bodies.check_types(kind.errors(new, old), kind)  # it is about to be taken apart
        return kind.strategy.within_subresource(subresource, new, old)
    if kind.status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _status_metadata(new: Json, old: Json, kind: ServedKind) -> Json:
    """Status writers of built-in kinds may also set labels and annotations; those of CRDs may not."""
    taken = ("managedFields", "labels", "annotations") if kind.builtin else ("managedFields",)
    result = {key: value for key, value in old["metadata"].items() if key not in taken}
    result.update({key: new["metadata"][key] for key in taken if new["metadata"].get(key)})
    return result


def _same(new: Json, old: Json, *, with_owners: bool) -> bool:
    """Whether nothing changed. Ownership counts only where it was asked for; its times never do."""
    if any(new.get(key) != old.get(key) for key in (new.keys() | old.keys()) - {"metadata"}):
        return False
    new_meta, old_meta = new["metadata"], old["metadata"]
    for key in (new_meta.keys() | old_meta.keys()) - {"managedFields"}:
        if (new_meta.get(key) or None) != (old_meta.get(key) or None):
            return False
    return not with_owners or _without_times(new_meta) == _without_times(old_meta)


def _without_times(meta: Json) -> list[Json]:
    return [{**entry, "time": None} for entry in meta.get("managedFields") or []]


async def _unchanged(context: Context, record: Record, old: Json) -> bytes:
    if record.revision > context.store.revision:
        await context.store.settle()
    return msgspec.json.encode(old)
