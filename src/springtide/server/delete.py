"""DELETE on an object: at once, or after its finalizers and its grace period.

An object with finalizers, or a pod that runs somewhere, only gets a deletionTimestamp here; it goes away with
the last finalizer (see `metadata.goes_away`) or when its node deletes it with grace 0. What happens to its
dependents is recorded as a finalizer for the garbage collector: foregroundDeletion or orphan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from springtide.server import bodies, metadata
from springtide.server import options as write_options
from springtide.server.admit import DELETE, Change
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, latest, persist
from springtide.server.request import Request, Response, User
from springtide.server.routes import Route
from springtide.server.schema_rules import FieldError
from springtide.server.status import BadRequest, Conflict, bad_value, invalid, success, unsupported
from springtide.store import Record

Json = dict[str, Any]

_ANSWERED_WITH_OBJECT = ("pods", "services", "serviceaccounts", "persistentvolumeclaims")
"""Kinds whose deletion answers with the object as it was last; typed clients decode nothing else."""
_LONGEST_GRACE_SECONDS = 7 * 24 * 3600
_POLICIES = ("Background", "Foreground", "Orphan")


class Preconditions(msgspec.Struct, frozen=True, rename="camel"):
    """Delete only while the object has this uid, this version."""

    uid: str | None = None
    resource_version: str | None = None


class DeleteOptions(msgspec.Struct, frozen=True, rename="camel"):
    """`metav1.DeleteOptions`."""

    grace_period_seconds: int | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    preconditions: Preconditions | None = None
    dry_run: tuple[str, ...] | None = None


async def delete(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 200: with the object while it waits, with a Status once it is gone (for most kinds)."""
    options = parse_options(request)
    record = latest(context, kind, route.namespace, route.name)
    gone, body = await delete_record(context, kind, record, options, request.user)
    if not gone or kind.resource in _ANSWERED_WITH_OBJECT:
        return Response(200, body)
    uid = msgspec.json.decode(record.value)["metadata"]["uid"]
    return Response(200, success(name=route.name, group=kind.group, kind=kind.plural, uid=uid))


async def delete_record(
    context: Context, kind: ServedKind, record: Record, options: DeleteOptions, user: User
) -> tuple[bool, bytes]:
    """Delete one object; says whether it is gone, and its last JSON."""
    old = decode(record, kind)
    check_preconditions(old, options, kind)
    _admit(old, kind, context, user, dry_run=bool(options.dry_run))
    new: Json = {**old, "metadata": {**old["metadata"]}}
    _record_policy(new["metadata"], options.propagation_policy or "", kind.strategy.default_propagation)
    _begin(new, old, kind, options, context)
    gone = metadata.goes_away(new, kind)
    if options.dry_run or (not gone and new == old):
        if record.revision > context.store.revision:
            await context.store.settle()
        return gone, msgspec.json.encode(new)
    return gone, await persist(context, kind, new, expected=record.revision, deleted=gone)


def parse_options(request: Request) -> DeleteOptions:
    """Options of the body win over those of the query. Raises BadRequest naming the option."""
    if not request.body:
        return checked(DeleteOptions(), request)
    sent = bodies.parse_object(request)
    if sent.get("kind", "DeleteOptions") != "DeleteOptions":
        raise BadRequest(f"the body of a deletion is DeleteOptions, not {sent['kind']}")
    return checked(bodies.typed(sent, DeleteOptions), request)


def checked(body: DeleteOptions, request: Request) -> DeleteOptions:
    """The options with those of the query filled in, all of them sound."""
    policy = body.propagation_policy or request.query.get("propagationPolicy", "")
    orphan = body.orphan_dependents
    if orphan is None and "orphanDependents" in request.query:
        orphan = request.flag("orphanDependents")
    dry_run = [*(body.dry_run or ()), *filter(None, [request.query.get("dryRun", "")])]
    if errors := list(_errors(policy, orphan, dry_run)):
        raise invalid("meta.k8s.io", "DeleteOptions", "", errors)
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    grace = body.grace_period_seconds
    if grace is None:
        grace = _whole(request.query.get("gracePeriodSeconds", ""))
    if grace is not None and not 0 <= grace <= _LONGEST_GRACE_SECONDS:
        raise BadRequest(f"gracePeriodSeconds: Invalid value: {grace}: must be 0 to {_LONGEST_GRACE_SECONDS}")
    if dry_run:
        body = msgspec.structs.replace(body, dry_run=("All",))
    return msgspec.structs.replace(body, propagation_policy=policy, grace_period_seconds=grace)


def _errors(policy: str, orphan: bool | None, dry_run: Sequence[str]) -> Iterator[FieldError]:
    if policy and orphan is not None:
        rule = "orphanDependents and deletionPropagation cannot be both set"
        yield bad_value("propagationPolicy", policy, rule)
    if policy and policy not in _POLICIES:
        yield unsupported("propagationPolicy", policy, (*_POLICIES, "nil"))
    yield from filter(None, map(write_options.dry_run_error, dry_run))


def _whole(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f"gracePeriodSeconds: Invalid value: {text!r}: must be a whole number") from None


def check_preconditions(old: Json, options: DeleteOptions, kind: ServedKind) -> None:
    """Raise Conflict if the object is not the one that is meant."""
    meta = old["metadata"]
    wanted = options.preconditions or Preconditions()
    if wanted.uid and wanted.uid != meta["uid"]:
        raise _not_meant(kind, meta["name"], "UID", wanted.uid, meta["uid"], "deleted and then recreated")
    if wanted.resource_version and wanted.resource_version != meta["resourceVersion"]:
        found = meta["resourceVersion"]
        raise _not_meant(kind, meta["name"], "ResourceVersion", wanted.resource_version, found, "modified")


def _admit(old: Json, kind: ServedKind, context: Context, user: User, *, dry_run: bool) -> None:
    meta = old["metadata"]
    namespace = meta.get("namespace", "")
    change = Change(DELETE, kind, "", namespace, meta["name"], None, old, user, dry_run)
    context.admission.validate(change, context)


def _not_meant(kind: ServedKind, name: str, what: str, wanted: str, found: str, how: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {kind.kind} "{name}": the {what} in the precondition ({wanted}) '
        f"does not match the {what} in record ({found}). The object might have been {how}",
        name=name,
        group=kind.group,
        kind=kind.plural,
    )


def _record_policy(meta: Json, policy: str, default: str) -> None:
    """Note what becomes of dependents. A finalizer that says it already outweighs the kind's default."""
    present = meta.get("finalizers") or []
    finalizers = [one for one in present if one not in (metadata.FOREGROUND, metadata.ORPHAN)]
    if not policy and finalizers == present:
        policy = default
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
        if kind.counts_generations:
            meta["generation"] = meta.get("generation", 0) + 1
    elif options.grace_period_seconds is None or grace >= (meta.get("deletionGracePeriodSeconds") or 0):
        return
    meta["deletionGracePeriodSeconds"] = grace
    ends = context.now() + timedelta(seconds=grace)
    meta["deletionTimestamp"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
