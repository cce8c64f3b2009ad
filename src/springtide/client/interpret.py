"""Last of the three steps of every call: a Response becomes a value or an exception. Called by `channel`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from springtide.api.meta import Status
from springtide.client.errors import ServerError, error_from_response
from springtide.client.transport import Request, Response

T = TypeVar("T")

_WARNING = re.compile(r'\b\d{3} \S+ "((?:[^"\\]|\\.)*)"')


def check(response: Response) -> Response:
    """The response itself when it is a success; raises its ApiError otherwise."""
    if 200 <= response.status < 300:
        return response
    raise error_from_response(response.status, response.body)


def body(request: Request, response: Response, decode: Callable[[bytes], T]) -> T:
    """The decoded body. A body that is not what the kind promises is the server's fault, and named."""
    try:
        return decode(response.body)
    except msgspec.DecodeError as error:
        message = f"{request.method} {request.path}: the server's answer cannot be read: {error}"
        raise ServerError(
            status=Status(status="Failure", code=500, reason="UnreadableAnswer", message=message)
        ) from error


def warnings(response: Response) -> list[str]:
    """What the server warns of: the texts of the `Warning` headers (RFC 7234 section 5.5)."""
    header = response.headers.get("warning", "")
    return [re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(header)] if header else []


def retry_after(response: Response) -> float | None:
    """Seconds the server asks us to wait before the same request may succeed; None when it did not ask."""
    if response.status not in (429, 503):
        return None
    header = response.headers.get("retry-after", "")
    return float(header) if header.isdigit() else None
