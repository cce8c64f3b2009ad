"""A client transport that calls the server in the same process: no sockets, no TLS, the same answers.

What the platform's own controllers use under `up` and in simulation. Requests run as an administrator with
the client's user agent; a watch is delivered as the raw chunks a socket would carry.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote

from springtide import client
from springtide.server.request import ADMIN, Request, Response, Stream, Upgrade, User
from springtide.server.server import Server


class InProcessTransport:
    """A `client.Transport` to `server`."""

    def __init__(self, server: Server, user: User = ADMIN) -> None:
        self._server = server
        self._user = user

    async def send(self, request: client.Request) -> client.Response:
        answer = await self._server.handle(self._received(request))
        if isinstance(answer, Stream):
            body = b"".join([chunk async for chunk in answer.chunks])
            return client.Response(answer.status, _headers(answer), body)
        if isinstance(answer, Upgrade):
            raise _no_socket(request)
        return client.Response(answer.status, _headers(answer), answer.body)

    @asynccontextmanager
    async def stream(self, request: client.Request) -> AsyncIterator[AsyncIterator[bytes]]:
        answer = await self._server.handle(self._received(request))
        if isinstance(answer, Response):
            if answer.status >= 300:
                raise client.error_from_response(answer.status, answer.body)
            yield _once(answer.body)
            return
        if isinstance(answer, Upgrade):
            raise _no_socket(request)
        try:
            yield answer.chunks
        finally:
            await answer.chunks.aclose()

    async def close(self) -> None:
        """Nothing is held open."""

    def _received(self, request: client.Request) -> Request:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = unquote(request.path) if "%" in request.path else request.path
        return Request(request.method, path, request.query, headers, request.body, self._user)


def _headers(answer: Response | Stream) -> dict[str, str]:
    headers = {name.lower(): value for name, value in answer.headers}
    headers["content-type"] = answer.content_type
    if answer.warnings:
        headers["warning"] = ", ".join(warning_header(text) for text in answer.warnings)
    return headers


def warning_header(text: str) -> str:
    """RFC 7234 `Warning` with code 299, as Kubernetes sends it; quotes and control characters are escaped."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'


def _no_socket(request: client.Request) -> client.Unreachable:
    path = request.path
    return client.Unreachable(f"{path} answers with a WebSocket, which needs a connection: ask over HTTPS")


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
