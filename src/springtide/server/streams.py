"""pods/{name}/exec, attach and portforward: a WebSocket between a client and the node that runs the pod.

The server checks what was asked for, asks the node and, when the node takes the call, gets out of the way:
what the messages mean is between client and node (`node.channels`, `node.spdy`). Who may was decided before:
all three need `create`, also where a GET opens the WebSocket.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode

from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.nodes import ask, container_of, node_of, pod_of, whole
from springtide.server.request import Answer, Request, Response, Upgrade
from springtide.server.routes import Route
from springtide.server.status import BadRequest, InternalError, NotFound, StatusError

_STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
"""Query parameters of the API, and what the node calls them."""
_TOKEN = "base64url.bearer.authorization.k8s.io."
"""A browser's credentials come among the subprotocols; they are nobody else's business."""


async def exec_(context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
    """Run a command beside a container's program. Answers with a WebSocket."""
    pod = pod_of(context, route, kind)
    container = container_of(pod, request.query.get("container", ""))
    node = node_of(pod)
    _require_stream(request)
    command = parse_qs(request.raw_query, keep_blank_values=True).get("command", [])
    if not command:
        raise BadRequest("you must specify at least 1 command for the container")
    query = [*_streams(request), *(("command", word) for word in command)]
    return await _open(context, request, node, f"/exec/{_place(route)}/{container}", query)


async def attach(context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
    """Listen to a container and type into it. Answers with a WebSocket."""
    pod = pod_of(context, route, kind)
    container = container_of(pod, request.query.get("container", ""))
    node = node_of(pod)
    _require_stream(request)
    return await _open(context, request, node, f"/attach/{_place(route)}/{container}", _streams(request))


async def port_forward(context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
    """Connections to ports of a pod. Answers with a WebSocket."""
    node = node_of(pod_of(context, route, kind))
    ports = [("ports", text) for text in parse_qs(request.raw_query).get("ports", [])]
    return await _open(context, request, node, f"/portForward/{_place(route)}", ports)


def _require_stream(request: Request) -> None:
    if not any(request.flag(name) for name in ("stdin", "stdout", "stderr")):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")


def _streams(request: Request) -> list[tuple[str, str]]:
    return [(inner, "1") for name, inner in _STREAMS if request.flag(name)]


def _place(route: Route) -> str:
    return f"{route.namespace}/{route.name}"


async def _open(
    context: Context, request: Request, node: str, path: str, query: list[tuple[str, str]]
) -> Answer:
    raw_query = urlencode(query)
    inner = Request(
        "GET",
        path,
        dict(query),
        user=request.user,
        raw_query=raw_query,
        websocket=request.websocket,
        subprotocols=tuple(one for one in request.subprotocols if not one.startswith(_TOKEN)),
    )
    # a client that was refused a WebSocket asks again with SPDY, and shows what that is answered: so the node
    # is asked then too, which says again what it said first
    answer = await ask(context, node, inner)
    if isinstance(answer, Upgrade):
        return answer
    raise _refusal(await whole(answer))


def _refusal(answer: Response) -> StatusError:
    """What the node said no with, as a Status."""
    text = answer.body.decode(errors="replace").strip()
    kinds: dict[int, type[StatusError]] = {400: BadRequest, 404: NotFound}
    return kinds.get(answer.status, InternalError)(f"unable to upgrade connection: {text}")
