"""HTTP/1.1 on one connection: uvicorn's protocol, and what the API needs beyond it.

It knows the client's certificate, leaves WebSockets to `websocket`, says goodbye to idle clients, and writes
a plain answer in one piece. Used by `asgi`, which `HttpsServer` gives to uvicorn.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from springtide.server.request import JSON, Response
from springtide.server.traffic import PIECE_BYTES

ABORT = "springtide.abort"
"""ASGI extension: what breaks a connection off, whatever waits in it."""
PEER_CERTIFICATE = "springtide.peer_certificate"
"""ASGI extension: the verified client certificate a connection was opened with."""
WHOLE_ANSWER = "springtide.whole_answer"
"""ASGI extension: writes a plain answer at once, or returns False and leaves it to ASGI's messages."""
NO_CACHE = (b"cache-control", b"no-cache, private")
NOT_MODIFIED = 304
_GOODBYE_SECONDS = 0.1


class Protocol(HttpToolsProtocol):
    """Tells the application which client certificate the connection was opened with, and answers at once."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {ABORT: self.transport.abort}
        certificate = self.transport.get_extra_info("peercert")
        if certificate:
            extensions[PEER_CERTIFICATE] = certificate
        self.scope["extensions"] = extensions

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection is ended, also one whose last answer was never read."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(_GOODBYE_SECONDS, self.transport.abort)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        extensions: dict[str, Any] = cast("dict[str, Any]", cycle.scope["extensions"])
        extensions[WHOLE_ANSWER] = partial(_answer_whole, cycle)
        super()._start_asgi_task(cycle, app)

    def _should_upgrade_to_ws(self) -> bool:
        return True

    def _unsupported_upgrade_warning(self) -> None:
        """kubectl tries SPDY after a refused WebSocket; the answer says what to do."""

    def handle_websocket_upgrade(self) -> None:
        from springtide.server import websocket  # not before somebody needs it: see there

        self.ws_protocol_class = websocket.Protocol
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """An idle client is told that the connection ends, and not waited for if it does not answer."""
        super().shutdown()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.loop.call_later(_GOODBYE_SECONDS, self.transport.abort)


def _answer_whole(cycle: RequestResponseCycle, answer: Response) -> bool:
    """Write a plain answer in one piece: one record of TLS and one packet, where ASGI's two messages are two.

    Anything out of the ordinary goes the ordinary way, through ASGI.
    """
    body = answer.body
    if (
        answer.headers
        or answer.warnings
        or answer.content_type != JSON
        or answer.status == NOT_MODIFIED
        or len(body) > PIECE_BYTES
        or cycle.flow.write_paused
        or cycle.disconnected
        or not cycle.keep_alive
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(_head(answer.status) % len(body) + body)
    cycle.message_event.set()
    cycle.on_response()
    return True


@lru_cache(maxsize=64)
def _head(status: int) -> bytes:
    """Status line and headers; the length is left open."""
    lines = (b"content-type: " + JSON.encode(), b": ".join(NO_CACHE), b"content-length: %d\r\n\r\n")
    return STATUS_LINE[status] + b"\r\n".join(lines)
