"""POST serviceaccounts/{name}/token: a signed token of a service account, for a while.

What `kubectl create token` and every node that starts a pod ask for. Rules and messages: Kubernetes'
TokenRequest.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.api.authentication import TokenRequest, TokenRequestSpec
from springtide.server import bodies, metadata
from springtide.server.admit import CREATE, Change
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, latest
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.schema_rules import FieldError
from springtide.server.status import BadRequest, Conflict, bad_value, invalid
from springtide.server.token_accounts import ISSUER

Json = dict[str, Any]

_GROUP = "authentication.k8s.io"
_DEFAULT_SECONDS = 3600
_SHORTEST_SECONDS = 600
_LONGEST_SECONDS = 1 << 32
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


async def create(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 201 with the TokenRequest, its status filled in."""
    body = bodies.parse_object(request)
    wanted = bodies.typed(body, TokenRequest)
    account = decode(latest(context, kind, route.namespace, route.name), kind)
    _check_identity(wanted, account, route)
    spec = wanted.spec
    seconds = _DEFAULT_SECONDS if spec.expiration_seconds is None else spec.expiration_seconds
    if errors := _duration_errors(seconds):
        raise invalid(_GROUP, "TokenRequest", "", errors)
    bound = _bound_objects(spec, account, context)
    _admit(context, request, route, kind, body)
    audiences = list(spec.audiences) or [ISSUER]
    token, ends = context.account_tokens.issue(
        account, audiences=audiences, seconds=seconds, token_id=context.new_uid(), bound=bound
    )
    answered = {**(body.get("spec") or {}), "audiences": audiences, "expirationSeconds": seconds}
    answered.setdefault("boundObjectRef", None)
    meta = account["metadata"]
    answer = {
        "kind": "TokenRequest",
        "apiVersion": f"{_GROUP}/v1",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "creationTimestamp": context.timestamp(),
        },
        "spec": answered,
        "status": {"token": token, "expirationTimestamp": ends.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }
    return Response(201, msgspec.json.encode(answer))


def _check_identity(wanted: TokenRequest, account: Json, route: Route) -> None:
    named = (
        ("name", wanted.metadata.name, route.name),
        ("namespace", wanted.metadata.namespace, route.namespace),
    )
    for part, sent, expected in named:
        if sent and sent != expected:
            rule = f"must match the service account {part} if specified"
            raise invalid(_GROUP, "TokenRequest", route.name, [bad_value(f"metadata.{part}", sent, rule)])
    uid = account["metadata"]["uid"]
    if wanted.metadata.uid and wanted.metadata.uid != uid:
        raise _conflict(
            "TokenRequest",
            _GROUP,
            route.name,
            f"the UID in the token request ({wanted.metadata.uid}) does not match the UID of the service "
            f"account ({uid})",
        )


def _duration_errors(seconds: int) -> list[FieldError]:
    if seconds < _SHORTEST_SECONDS:
        return [
            bad_value("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        ]
    if seconds > _LONGEST_SECONDS:
        return [
            bad_value(
                "spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"
            )
        ]
    return []


def _bound_objects(spec: TokenRequestSpec, account: Json, context: Context) -> dict[str, Json]:
    """The objects the token is bound to, by the names they have in its claims."""
    ref = spec.bound_object_ref
    if ref is None:
        return {}
    group = ref.api_version.rpartition("/")[0]
    plural = _BINDABLE.get(ref.kind) if not group else None
    kind = context.kinds.find("", "v1", plural) if plural else None
    if kind is None:
        raise BadRequest(f"cannot bind token to object of type {ref.api_version}, Kind={ref.kind}")
    namespace = account["metadata"]["namespace"]
    obj = decode(latest(context, kind, namespace, ref.name), kind)
    name = account["metadata"]["name"]
    if ref.kind == "Pod" and obj["spec"].get("serviceAccountName", "") != name:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{name}" to pod running with different serviceaccount '
            "name."
        )
    if ref.uid and ref.uid != obj["metadata"]["uid"]:
        raise _conflict(
            ref.kind,
            "",
            ref.name,
            f"the UID in the bound object reference ({ref.uid}) does not match the UID in record. The object "
            "might have been deleted and then recreated",
        )
    bound = {ref.kind.lower(): obj}
    node = obj["spec"].get("nodeName") if ref.kind == "Pod" else None
    if node:
        record = context.store.get("nodes", node)
        bound["node"] = msgspec.json.decode(record.value) if record else {"metadata": {"name": node}}
    return bound


def _admit(context: Context, request: Request, route: Route, kind: ServedKind, body: Json) -> None:
    change = Change(
        operation=CREATE,
        kind=kind,
        subresource="token",
        namespace=route.namespace,
        name=route.name,
        obj={**body, "metadata": metadata.metadata_of(body)},
        old=None,
        user=request.user,
        dry_run=bodies.is_dry_run(request),
    )
    context.admission.mutate(change, context)
    context.admission.validate(change, context)


def _conflict(kind: str, group: str, name: str, why: str) -> Conflict:
    qualified = f"{kind}.{group}" if group else kind
    return Conflict(
        f'Operation cannot be fulfilled on {qualified} "{name}": {why}', name=name, group=group, kind=kind
    )
