"""GET pods/{name}/log: text from whoever runs the pod.

The server keeps no logs; it asks the `LogSource` that `up` wired in and passes its chunks on. On a real
cluster the API server asks the kubelet in the same way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from springtide.server.context import Context, LogOptions
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, key_of, not_found
from springtide.server.request import Answer, Request, Response, Stream
from springtide.server.routes import Route
from springtide.server.status import BadRequest, ServiceUnavailable

Json = dict[str, Any]
_TEXT = "text/plain"


async def read(context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
    """Answers 200 with the log so far, or with a stream that follows it."""
    record = context.store.get(kind.resource, key_of(kind, route.namespace, route.name))
    if record is None:
        raise not_found(kind, route.name)
    pod = decode(record, kind)
    options = _options(request, pod)
    if context.log_source is None:
        raise ServiceUnavailable("no node of this server keeps logs", retry_after_seconds=1)
    _check_started(pod, options.container)
    chunks = context.log_source.logs(route.namespace, route.name, pod["metadata"]["uid"], options)
    if options.follow:
        return Stream(_through(chunks), content_type=_TEXT)
    try:
        return Response(200, b"".join([chunk async for chunk in chunks]), content_type=_TEXT)
    except LookupError as error:
        raise BadRequest(str(error.args[0] if error.args else error)) from error


async def _through(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in chunks:
            yield chunk
    except LookupError as error:
        yield f"{error.args[0] if error.args else error}\n".encode()
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()  # the reader behind it stops with its client, not when memory is collected


def _options(request: Request, pod: Json) -> LogOptions:
    names = [c["name"] for part in ("initContainers", "containers") for c in pod["spec"].get(part) or ()]
    container = request.query.get("container", "")
    if not container:
        if len(pod["spec"]["containers"]) > 1:
            listed = " ".join(c["name"] for c in pod["spec"]["containers"])
            name = pod["metadata"]["name"]
            raise BadRequest(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
        container = pod["spec"]["containers"][0]["name"]
    elif container not in names:
        raise BadRequest(f"container {container} is not valid for pod {pod['metadata']['name']}")
    return LogOptions(
        container=container,
        follow=request.flag("follow"),
        previous=request.flag("previous"),
        timestamps=request.flag("timestamps"),
        tail_lines=_whole(request, "tailLines"),
        since_seconds=_whole(request, "sinceSeconds"),
        limit_bytes=_whole(request, "limitBytes"),
    )


def _check_started(pod: Json, container: str) -> None:
    """A container that has not started has no log; kubectl shows this sentence and tries again."""
    name = pod["metadata"]["name"]
    if not pod["spec"].get("nodeName"):
        raise BadRequest(f"pod {name} does not have a host assigned")
    status = pod.get("status") or {}
    listed = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for one in listed:
        if (
            one.get("name") == container
            and "waiting" in (one.get("state") or {})
            and not one.get("restartCount")
        ):
            reason = one["state"]["waiting"].get("reason", "Waiting")
            raise BadRequest(f'container "{container}" in pod "{name}" is waiting to start: {reason}')


def _whole(request: Request, name: str) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise BadRequest(f"{name}: Invalid value: {text!r}: must be a whole number, 0 or more")
    return int(text)
