"""{nodes,pods,services}/{name}/proxy/{path}: plain HTTP through the API server, to a node or into a pod.

`kubectl get --raw` and `kubectl proxy` use it. The node makes the request to the pod at the address it gave
it itself, so what a pod's status claims leads nowhere else. A node's own API is passed on but for what talks
to containers: that takes `pods/exec` and its like. Answers are passed on whole, redirects and WebSockets are
not followed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.runtime.exchange import REFUSED_BY_NODE
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.nodes import ask, node_of, pod_of, whole
from springtide.server.persist import decode, key_of, not_found
from springtide.server.request import Answer, Request
from springtide.server.routes import Route
from springtide.server.status import BadRequest, Forbidden, ServiceUnavailable

Json = dict[str, Any]

_TALKS = frozenset(("exec", "attach", "portForward", "run", "cri", "podProxy"))
_OURS = ("authorization", "impersonate-", "x-remote-", "cookie", "proxy-")
"""Beginnings of header names that are between the client and this server."""
_HOP_BY_HOP = frozenset(
    ("host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "content-length", "upgrade")
)
"""Headers about one connection. The way to the node has its own: whoever could say how a body is framed there
could put a request of its own behind it, which the node would take for ours."""
_UNANSWERABLE = frozenset(("accept-encoding", "expect"))


async def node(context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
    """The node's own API: health, figures, logs."""
    name = route.name.partition(":")[0]
    if context.store.get(kind.resource, name) is None:
        raise not_found(kind, name)
    if route.tail.lstrip("/").partition("/")[0] in _TALKS:
        raise Forbidden(
            f'nodes "{name}" is forbidden: /{route.tail} is not proxied; use the subresources of pods'
        )
    return await whole(await ask(context, name, _inner(request, f"/{route.tail}")))


async def pod(context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
    """A program in the pod, at `name:port`, or at the first port that its containers declare."""
    scheme, name, port = _target(route.name)
    found = pod_of(context, Route("", "v1", "pods", route.namespace, name), kind)
    declared = [one["containerPort"] for c in found["spec"]["containers"] for one in c.get("ports") or ()]
    number = _number(port, found) if port else (declared or [80])[0]
    return await _into(context, request, found, scheme, number, route.tail)


async def service(context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
    """A program in one of the service's pods that are ready, at `name:port` of the service."""
    scheme, name, port = _target(route.name)
    record = context.store.get(kind.resource, key_of(kind, route.namespace, name))
    if record is None:
        raise not_found(kind, name)
    spec = decode(record, kind)["spec"]
    ports = spec.get("ports") or []
    matching = [one for one in ports if port in (one.get("name", ""), str(one["port"]))] if port else ports
    if not matching or (not port and len(ports) > 1):
        raise ServiceUnavailable(f'no service port {port!r} found for service "{name}"')
    ready = _ready_pods(context, route.namespace, spec.get("selector") or {})
    if not ready:
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')
    chosen = context.clock.random.choice(ready)
    number = _number(str(matching[0].get("targetPort") or matching[0]["port"]), chosen)
    return await _into(context, request, chosen, scheme, number, route.tail)


async def _into(
    context: Context, request: Request, target: Json, scheme: str, port: int, tail: str
) -> Answer:
    metadata = target["metadata"]
    path = f"/podProxy/{metadata['namespace']}/{metadata['name']}/{scheme}/{port}/{tail}"
    answer = await whole(await ask(context, node_of(target), _inner(request, path)))
    if any(name == REFUSED_BY_NODE for name, _ in answer.headers):
        raise ServiceUnavailable(answer.body.decode(errors="replace"))
    return answer


def _inner(request: Request, path: str) -> Request:
    if request.websocket:
        raise BadRequest("WebSockets are not proxied: use port-forward")
    named = {one.strip().lower() for one in request.headers.get("connection", "").split(",")}
    left_out = _HOP_BY_HOP | _UNANSWERABLE | named
    headers = {
        name: text
        for name, text in request.headers.items()
        if name not in left_out and not name.startswith(_OURS)
    }
    return Request(
        request.method, path, request.query, headers, request.body, request.user, request.raw_query
    )


def _target(text: str) -> tuple[str, str, str]:
    """`name`, `name:port` or `scheme:name:port`. Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 3 and parts[0] in ("", "http", "https") and parts[1]:
        return parts[0] or "http", parts[1], parts[2]
    if len(parts) <= 2 and parts[0]:
        return "http", parts[0], parts[1] if len(parts) == 2 else ""
    raise BadRequest(f"invalid proxy target {text!r}: it is name, name:port or http(s):name:port")


def _number(port: str, target: Json) -> int:
    """A port by number, or by the name a container gives it. Raises BadRequest."""
    if port.isascii() and port.isdigit() and 0 < int(port) < 65536:
        return int(port)
    for container in target["spec"]["containers"]:
        for one in container.get("ports") or ():
            if one.get("name") == port:
                return int(one["containerPort"])
    raise BadRequest(f"port {port!r} is no number, and no container of {target['metadata']['name']} names it")


def _ready_pods(context: Context, namespace: str, selector: dict[str, str]) -> list[Json]:
    if not selector:
        return []
    records = context.store.page("pods", f"{namespace}/").records
    pods = [msgspec.json.decode(record.value) for record in records]
    wanted = selector.items()
    return [one for one in pods if wanted <= (one["metadata"].get("labels") or {}).items() and _is_ready(one)]


def _is_ready(one: Json) -> bool:
    conditions = (one.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in one["metadata"]
