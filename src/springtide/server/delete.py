"""DELETE on an object: at once, or after its finalizers and its grace period.

An object with finalizers, or a pod that runs somewhere, only gets a deletionTimestamp here; it goes away with
the last finalizer (see `metadata.goes_away`) or when its node deletes it with grace 0. What happens to its
dependents is recorded as a finalizer for the garbage collector: foregroundDeletion or orphan.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from springtide.server import bodies, metadata
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, latest, persist
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.status import BadRequest, success
from springtide.store import Record

Json = dict[str, Any]

_POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """`metav1.DeleteOptions`, from the body or the query."""

    grace_period_seconds: int | None = None
    policy: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


async def delete(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 200: with a Status if the object is gone, with the object while it waits."""
    options = parse_options(request)
    record = latest(context, kind, route.namespace, route.name)
    gone, body = await delete_record(context, kind, record, options)
    if not gone:
        return Response(200, body)
    uid = msgspec.json.decode(record.value)["metadata"]["uid"]
    return Response(200, success(name=route.name, group=kind.group, kind=kind.plural, uid=uid))


async def delete_record(
    context: Context, kind: ServedKind, record: Record, options: DeleteOptions
) -> tuple[bool, bytes]:
    """Delete one object; says whether it is gone, and its last JSON."""
    old = decode(record, kind)
    _check(old, options, kind)
    new: Json = {**old, "metadata": {**old["metadata"]}}
    _record_policy(new["metadata"], options.policy)
    _begin(new, old, kind, options, context)
    gone = metadata.goes_away(new, kind)
    if options.dry_run or (not gone and new == old):
        if record.revision > context.store.revision:
            await context.store.settle()
        return gone, msgspec.json.encode(new)
    return gone, await persist(context, kind, new, expected=record.revision, deleted=gone)


def parse_options(request: Request) -> DeleteOptions:
    """Options of the body win over those of the query. Raises BadRequest naming the option."""
    raw: Json = bodies.parse_object(request) if request.body else {}
    grace = raw.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
    policy = raw.get("propagationPolicy") or request.query.get("propagationPolicy", "")
    if raw.get("orphanDependents", request.flag("orphanDependents")) is True:
        policy = "Orphan"
    if policy and policy not in _POLICIES:
        raise BadRequest(
            f"propagationPolicy: Unsupported value: {policy!r}: supported: {', '.join(_POLICIES)}"
        )
    preconditions = raw.get("preconditions") or {}
    if not isinstance(preconditions, dict):
        raise BadRequest("preconditions must be an object with uid or resourceVersion")
    return DeleteOptions(
        _grace(grace),
        policy,
        preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
        bodies.is_dry_run(request) or raw.get("dryRun") == ["All"],
    )


def _grace(value: object) -> int | None:
    if value is None or value == "":
        return None
    try:
        seconds = int(str(value))
    except ValueError:
        raise BadRequest(f"gracePeriodSeconds: Invalid value: {value!r}: must be a whole number") from None
    if seconds < 0:
        raise BadRequest(f"gracePeriodSeconds: Invalid value: {seconds}: must not be negative")
    return seconds


def _check(old: Json, options: DeleteOptions, kind: ServedKind) -> None:
    meta = old["metadata"]
    if options.uid and options.uid != meta["uid"]:
        raise metadata.uid_conflict(kind, meta["name"], options.uid, meta["uid"])
    if options.resource_version and options.resource_version != meta["resourceVersion"]:
        raise metadata.conflict(
            kind,
            meta["name"],
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {meta['resourceVersion']}",
        )


def _record_policy(meta: Json, policy: str) -> None:
    finalizers = [
        one for one in meta.get("finalizers") or [] if one not in (metadata.FOREGROUND, metadata.ORPHAN)
    ]
    if not policy:
        return
    if policy == "Foreground":
        finalizers.append(metadata.FOREGROUND)
    elif policy == "Orphan":
        finalizers.append(metadata.ORPHAN)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)


def _begin(new: Json, old: Json, kind: ServedKind, options: DeleteOptions, context: Context) -> None:
    """Set the deletion time, in place; a second delete may only shorten the grace period."""
    meta = new["metadata"]
    grace = kind.strategy.grace_period_seconds(old, options.grace_period_seconds)
    if not meta.get("deletionTimestamp"):
        kind.strategy.before_delete(new)
        if kind.has_spec:
            meta["generation"] = meta.get("generation", 0) + 1
    elif options.grace_period_seconds is None or grace >= (meta.get("deletionGracePeriodSeconds") or 0):
        return
    meta["deletionGracePeriodSeconds"] = grace
    ends = context.now() + timedelta(seconds=grace)
    meta["deletionTimestamp"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
