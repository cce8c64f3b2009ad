"""How the server reaches nodes: the seam between a request about a running pod and the node that runs it.

A node has an API of its own in the paths of the kubelet (`springtide.node.kubelet`). Under `up` it is in this
process and `up` wires it in; nodes in processes of their own are reached over HTTPS (`remote_nodes`). Used by
`streams`, `proxy` and `metrics_api`.
"""

from __future__ import annotations

from typing import Any, Protocol

from springtide.server.context import Context, LogSource
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, key_of, not_found
from springtide.server.request import Answer, Request, Response, Stream
from springtide.server.routes import Route
from springtide.server.status import BadRequest, InternalError, ServiceUnavailable

Json = dict[str, Any]


class NodeUnreachable(Exception):
    """The node did not answer; the text says which, where and why."""


class NodeAccess(LogSource, Protocol):
    """Asks nodes."""

    async def ask(self, node: str, request: Request) -> Answer:
        """The answer of the node's own API. Raises NodeUnreachable."""
        ...


async def ask(context: Context, node: str, request: Request) -> Answer:
    """As `NodeAccess.ask`, with failures worded for the client."""
    if context.nodes is None:
        raise ServiceUnavailable("no node of this server can be reached", retry_after_seconds=1)
    try:
        return await context.nodes.ask(node, request)
    except NodeUnreachable as error:
        raise InternalError(f"error dialing backend: {error}") from None


async def whole(answer: Answer) -> Response:
    """An answer taken to its end. Raises InternalError for one that has none."""
    if isinstance(answer, Stream):
        try:
            body = b"".join([chunk async for chunk in answer.chunks])
        finally:
            await answer.chunks.aclose()
        return Response(answer.status, body, answer.content_type)
    if isinstance(answer, Response):
        return answer
    raise InternalError("the node offers a WebSocket where an answer was expected")


def pod_of(context: Context, route: Route, kind: ServedKind) -> Json:
    """The pod a path names. Raises NotFound."""
    record = context.store.get(kind.resource, key_of(kind, route.namespace, route.name))
    if record is None:
        raise not_found(kind, route.name)
    return decode(record, kind)


def node_of(pod: Json) -> str:
    """The node it is bound to. Raises BadRequest."""
    node = pod["spec"].get("nodeName", "")
    if not node:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def container_of(pod: Json, asked: str) -> str:
    """The container that is meant; a pod with one needs no name. Raises BadRequest."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    parts = ("initContainers", "containers", "ephemeralContainers")
    names = [one["name"] for part in parts for one in spec.get(part) or ()]
    if asked:
        if asked not in names:
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(spec["containers"]) > 1:
        raise BadRequest(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        )
    return str(spec["containers"][0]["name"])
