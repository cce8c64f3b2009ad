"""GET pods/{name}/log: text from whoever runs the pod.

The server keeps no logs; it asks the `LogSource` that `up` wired in and passes its chunks on. On a real
cluster the API server asks the kubelet in the same way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any

from springtide.server.context import Context, LogOptions
from springtide.server.kinds import ServedKind
from springtide.server.nodes import container_of, pod_of
from springtide.server.request import Answer, Request, Response, Stream
from springtide.server.routes import Route
from springtide.server.schema_rules import INVALID, NOT_SUPPORTED, FieldError
from springtide.server.status import BadRequest, ServiceUnavailable, invalid

Json = dict[str, Any]
_TEXT = "text/plain"
_WHOLE_BYTES = 256 * 1024
"""A longer log is passed on as it is read."""
_FORBIDDEN = "FieldValueForbidden"
_STREAMS = {"": "", "All": "", "Stdout": "stdout", "Stderr": "stderr"}
"""Values of `stream`, and the stream's name in the log; empty for both."""


async def read(context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
    """Answers 200 with the log so far or as it grows, or 204 for a pod that is nowhere yet."""
    pod = pod_of(context, route, kind)
    options = _options(request, pod)
    if not pod["spec"].get("nodeName"):
        return Response(204, b"", content_type=_TEXT)  # nobody runs it yet, so nothing was written
    if context.log_source is None:
        raise ServiceUnavailable("no node of this server keeps logs", retry_after_seconds=1)
    _check_there_is_one(pod, options)
    chunks = context.log_source.logs(route.namespace, route.name, pod["metadata"]["uid"], options)
    if options.follow:
        return Stream(_through(b"", chunks), content_type=_TEXT)
    begin = bytearray()
    try:
        async for chunk in chunks:
            begin += chunk
            if len(begin) >= _WHOLE_BYTES:
                return Stream(_through(bytes(begin), chunks), content_type=_TEXT)
    except LookupError as error:
        raise BadRequest(str(error.args[0] if error.args else error)) from error
    return Response(200, bytes(begin), content_type=_TEXT)


async def _through(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
    except LookupError as error:
        yield f"{error.args[0] if error.args else error}\n".encode()
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()  # the reader behind it stops with its client, not when memory is collected


def _options(request: Request, pod: Json) -> LogOptions:
    """The query, checked. Raises BadRequest for what cannot be read and Invalid for what cannot be."""
    query = request.query
    since_time = _time(query.get("sinceTime", ""))
    since_seconds = _whole(request, "sinceSeconds")
    tail_lines, limit_bytes = _whole(request, "tailLines"), _whole(request, "limitBytes")
    stream = query.get("stream", "")
    errors: list[FieldError] = []
    if tail_lines is not None and tail_lines < 0:
        errors.append(_invalid("tailLines", tail_lines, "must be greater than or equal to 0"))
    if limit_bytes is not None and limit_bytes < 1:
        errors.append(_invalid("limitBytes", limit_bytes, "must be greater than 0"))
    if since_seconds is not None and since_time is not None:
        errors.append(_forbidden("at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif since_seconds is not None and since_seconds < 1:
        errors.append(_invalid("sinceSeconds", since_seconds, "must be greater than 0"))
    if stream not in _STREAMS:
        listed = ", ".join(f'"{one}"' for one in _STREAMS if one)
        text = f'Unsupported value: "{stream}": supported values: {listed}'
        errors.append(FieldError(NOT_SUPPORTED, "stream", text))
    elif _STREAMS[stream] and tail_lines is not None:
        errors.append(_forbidden("`tailLines` and specific `stream` are mutually exclusive for now"))
    if errors:
        raise invalid("", "PodLogOptions", pod["metadata"]["name"], errors)
    return LogOptions(
        container=container_of(pod, query.get("container", "")),
        follow=request.flag("follow"),
        previous=request.flag("previous"),
        timestamps=request.flag("timestamps"),
        tail_lines=tail_lines,
        since_seconds=since_seconds,
        since_time=since_time,
        limit_bytes=limit_bytes,
        stream=_STREAMS[stream],
    )


def _invalid(field: str, value: int, rule: str) -> FieldError:
    return FieldError(INVALID, field, f"Invalid value: {value}: {rule}")


def _forbidden(rule: str) -> FieldError:
    return FieldError(_FORBIDDEN, "", f"Forbidden: {rule}")


def _check_there_is_one(pod: Json, options: LogOptions) -> None:
    """Say why there is no log, as a kubelet does; kubectl shows the sentence, or tries again."""
    name, container = pod["metadata"]["name"], f'container "{options.container}"'
    status = pod.get("status") or {}
    parts = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    listed = [one for part in parts for one in status.get(part) or ()]
    found = next((one for one in listed if one.get("name") == options.container), None)
    if found is None:
        return  # the node has not reported yet; it knows better
    state, last = found.get("state") or {}, found.get("lastState") or {}
    if options.previous:
        if "terminated" not in last:
            raise BadRequest(f'previous terminated {container} in pod "{name}" not found')
    elif "running" not in state and "terminated" not in state and "terminated" not in last:
        waiting = state.get("waiting")
        if waiting is None:
            raise BadRequest(f'{container} in pod "{name}" is waiting to start - no logs yet')
        reason = waiting.get("reason", "")
        raise BadRequest(f'{container} in pod "{name}" is waiting to start: {reason}')


def _whole(request: Request, name: str) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f"{name}: Invalid value: {text!r}: must be a whole number") from None


def _time(text: str) -> datetime | None:
    """RFC 3339. Raises BadRequest."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BadRequest(
            f"sinceTime: Invalid value: {text!r}: must be RFC 3339, such as 2026-01-31T08:15:30Z"
        )
    return found.astimezone(UTC)
