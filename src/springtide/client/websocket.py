"""The client's end of a WebSocket: how an API server talks on to a node that is another process.

Made by `HttpTransport.websocket`. Nothing is piled up: what is not received is not read from the network, and
`send` waits while the other side is full.
"""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
from yarl import URL

from springtide.client.errors import Closed

MESSAGE_BYTES = 32 * 1024 * 1024


class ClientWebSocket:
    """One open WebSocket."""

    def __init__(self, opened: aiohttp.ClientWebSocketResponse) -> None:
        self._opened = opened

    @property
    def subprotocol(self) -> str:
        """What the server chose of the offered ones; empty if nothing."""
        return self._opened.protocol or ""

    async def receive(self) -> bytes | str:
        """The next message. Raises Closed."""
        message = await self._opened.receive()
        if message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            data: bytes | str = message.data
            return data
        raise Closed

    async def send(self, message: bytes | str) -> None:
        """Raises Closed."""
        try:
            if isinstance(message, str):
                await self._opened.send_str(message)
            else:
                await self._opened.send_bytes(message)
        except (aiohttp.ClientError, ConnectionError):
            raise Closed from None

    async def close(self) -> None:
        """Say goodbye."""
        await self._opened.close()


async def open_websocket(
    session: aiohttp.ClientSession, url: URL, headers: Sequence[tuple[str, str]], offered: Sequence[str]
) -> ClientWebSocket:
    """Raises aiohttp.ClientError; WSServerHandshakeError when the server answers with something else."""
    opened = await session.ws_connect(
        url,
        protocols=tuple(offered),
        headers=list(headers),
        autoclose=True,
        compress=0,
        max_msg_size=MESSAGE_BYTES,
        timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
    )
    return ClientWebSocket(opened)
