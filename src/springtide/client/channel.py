"""The middle step of every call: send a request, wait when the server asks for it, check the answer.

One `Channel` is a transport plus who is speaking (field manager, user agent) and where warnings go.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

from springtide import __version__
from springtide.client import interpret
from springtide.client.transport import Request, Response, Transport

T = TypeVar("T")

PATIENCE = 5
"""How often one request is sent again because the server answered 429 or 503 with `Retry-After`."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A transport and the identity that requests carry."""

    transport: Transport
    manager: str = "springtide"
    """Field manager of writes and, with our version, the user agent."""
    on_warning: Callable[[str], None] | None = None
    """Called with each distinct text of a `Warning` header."""

    async def call(self, request: Request, *, patience: int = PATIENCE) -> Response:
        """The successful answer to `request`. Raises its ApiError otherwise; with no `patience`, at once."""
        signed = self._sign(request)
        for _ in range(patience):
            response = await self.transport.send(signed)
            wait_seconds = interpret.retry_after(response)
            if wait_seconds is None:
                break
            await asyncio.sleep(wait_seconds)
        else:
            response = await self.transport.send(signed)
        if self.on_warning is not None:
            for text in interpret.warnings(response):
                self.on_warning(text)
        return interpret.check(response)

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The chunks of a long answer; entering raises its ApiError."""
        return self.transport.stream(self._sign(request))

    def read(self, request: Request, response: Response, decode: Callable[[bytes], T]) -> T:
        """The decoded body of a successful answer."""
        return interpret.body(request, response, decode)

    def _sign(self, request: Request) -> Request:
        headers: Mapping[str, str] = {
            "user-agent": f"springtide/{__version__} ({self.manager})",
            **request.headers,
        }
        return dataclasses.replace(request, headers=headers)
