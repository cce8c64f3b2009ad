"""The channels of a WebSocket to a running container: several streams, each message led by its channel.

    0 stdin   1 stdout   2 stderr   3 status (or, in the first version, an error text)   4 terminal size
    255       the channel named by the next byte has ended (version 5)

Binary subprotocols put the channel into the first byte; base64 ones send text: a digit, then base64. For port
forwarding channels come in pairs, data and error, one pair a port. Source: the package `wsstream` of
Kubernetes describes the framing; KEP-4006 describes version 5. Called by `remotecommand.py` and
`portforward.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from springtide.runtime.exchange import WebSocket

STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)
CLOSED = 255
V4, V4_BASE64 = "v4.channel.k8s.io", "v4.base64.channel.k8s.io"
V5 = "v5.channel.k8s.io"
V1, V1_BASE64 = "channel.k8s.io", "base64.channel.k8s.io"
COMMAND_SUBPROTOCOLS = (V5, V4, V4_BASE64, V1, V1_BASE64)
FORWARD_SUBPROTOCOLS = (V4, V4_BASE64)


def choose(offered: Sequence[str], spoken: Sequence[str]) -> str | None:
    """The client's first choice that is spoken here; empty if it offers none, None if none is spoken."""
    if not offered:
        return ""
    return next((one for one in offered if one in spoken), None)


class Channels:
    """Channels over one WebSocket."""

    def __init__(self, socket: WebSocket, subprotocol: str) -> None:
        self._socket = socket
        self._base64 = "base64" in subprotocol
        self._closes = subprotocol == V5
        self.statuses = subprotocol in (V5, V4, V4_BASE64)
        """Whether the status channel carries a `metav1.Status`; before, it carried the text of an error."""

    async def receive(self) -> tuple[int, bytes]:
        """Channel and data of the next message; `CLOSED` with the one byte of the channel that ended.

        Raises Disconnected. What makes no sense is passed over, as Kubernetes does.
        """
        while True:
            message = await self._socket.receive()
            if self._base64:
                text = message if isinstance(message, str) else message.decode("ascii", "replace")
                if text[:1].isascii() and text[:1].isdigit():
                    try:
                        return int(text[0]), base64.b64decode(text[1:])
                    except ValueError:  # no base64, or not even ASCII
                        continue
            else:
                data = message.encode() if isinstance(message, str) else message
                if data and (data[0] != CLOSED or (self._closes and len(data) == 2)):
                    return data[0], data[1:]

    async def send(self, channel: int, data: bytes) -> None:
        """Raises Disconnected."""
        if self._base64:
            await self._socket.send(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send(bytes((channel,)) + data)
