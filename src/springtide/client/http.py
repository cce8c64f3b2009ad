"""Requests over HTTP/1.1 with aiohttp: TLS, credentials, a pool of kept-alive connections, clear failures.

Made by `connect`; imported only then, so that a process that talks to its own server does not load aiohttp.
Every failure to get an answer becomes `Unreachable` with the server, the cause and what to check.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from yarl import URL

from springtide.client.credentials import Credential, credentials_of
from springtide.client.errors import Unreachable, error_from_response
from springtide.client.kubeconfig import Connection
from springtide.client.tls import tls_context
from springtide.client.transport import Request, Response
from springtide.client.websocket import ClientWebSocket, open_websocket

_IN_QUERY = "/:@!$&'()*+,;=~?%[]"
"""What a raw query may hold as it is; the rest, line ends above all, is encoded."""
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Pool and patience. Durations in seconds."""

    connections: int = 64
    """Open connections at most, watches not counted: those have a pool of their own without limit."""
    connect_seconds: float = 10.0
    """For name, TCP and TLS together."""
    answer_seconds: float = 60.0
    """From sending a request to its complete answer."""
    keepalive_seconds: float = 60.0
    """An unused connection is closed after this long."""
    probe_seconds: int = 15
    """Silence on a connection after which TCP asks whether the peer is still there; lost after 3."""
    chunk_bytes: int = 256 * 1024
    """Read buffer of a stream; a watch that lags by more holds the server back."""


class HttpTransport:
    """A `Transport` to one server as one user. Opens its first connection with the first request."""

    def __init__(self, connection: Connection, settings: HttpSettings | None = None) -> None:
        self._connection = connection
        self._settings = settings or HttpSettings()
        self._credentials = credentials_of(connection)
        self._host = urlsplit(connection.server).hostname or ""
        self._shown = Credential()
        self._unary: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None
        self._retired: list[aiohttp.ClientSession] = []

    async def send(self, request: Request) -> Response:
        for attempt in range(2):
            credential = await self._credentials.current()
            response = await self._send_as(request, credential)
            if response.status != 401 or attempt or not self._credentials.reject(credential):
                break
        return response

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._stream(request)

    async def websocket(
        self, path: str, raw_query: str = "", subprotocols: Sequence[str] = ()
    ) -> ClientWebSocket:
        """Open a WebSocket. Raises Unreachable, and ApiError (without a text) if the server does not."""
        request = Request("GET", path)
        try:
            credential = await self._credentials.current()
            _, streams = await self._sessions(credential)
            arguments = self._arguments(request, credential)
            url = URL(f"{arguments['url']}?{raw_query}", encoded=True) if raw_query else arguments["url"]
            return await open_websocket(streams, url, arguments["headers"], subprotocols)
        except aiohttp.WSServerHandshakeError as error:
            raise error_from_response(error.status, b"") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(request, error) from error

    async def close(self) -> None:
        sessions = [*self._retired, self._unary, self._streams]
        self._unary = self._streams = None
        self._retired.clear()
        for session in sessions:
            if session is not None:
                await session.close()

    async def _send_as(self, request: Request, credential: Credential) -> Response:
        try:
            unary, _ = await self._sessions(credential)
            async with unary.request(**self._arguments(request, credential)) as answer:
                body = await answer.read()
                return Response(answer.status, _headers(answer), body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(request, error) from error

    @asynccontextmanager
    async def _stream(self, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
        async with await self._open(request) as answer:
            if not 200 <= answer.status < 300:
                raise error_from_response(answer.status, await answer.read())
            yield self._chunks(request, answer)

    async def _open(self, request: Request) -> aiohttp.ClientResponse:
        """The answer to a streaming request once its head is there."""
        for attempt in range(2):
            credential = await self._credentials.current()
            try:
                _, streams = await self._sessions(credential)
                answer = await streams.request(**self._arguments(request, credential))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._unreachable(request, error) from error
            if answer.status != 401 or attempt or not self._credentials.reject(credential):
                break
            answer.release()
        return answer

    async def _chunks(self, request: Request, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(request, error) from error

    def _arguments(self, request: Request, credential: Credential) -> dict[str, Any]:
        connection = self._connection
        url = connection.server + quote(request.path, safe="/:@!$&'()*+,;=~")
        if request.raw_query:
            url += "?" + quote(request.raw_query, safe=_IN_QUERY)
        elif request.query:
            url += "?" + urlencode(request.query)
        headers = [*request.headers.items(), *connection.impersonate]
        if credential.authorization:
            headers.append(("authorization", credential.authorization))
        return {
            "method": request.method,
            "url": URL(url, encoded=True),
            "headers": headers,
            "data": request.body or None,
            "server_hostname": connection.tls_server_name or None,
            "proxy": connection.proxy_url or None,
            "allow_redirects": False,
        }

    async def _sessions(self, credential: Credential) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
        """The sessions for unary calls and for streams; new ones when the client certificate changed."""
        shown = Credential("", credential.certificate_data, credential.key_data)
        if self._unary is None or self._streams is None or shown != self._shown:
            for session in (self._unary, self._streams):
                if session is not None:
                    self._retired.append(session)  # running answers end in peace; closed with us
            settings = self._settings
            context = tls_context(self._connection, credential)
            whole = aiohttp.ClientTimeout(total=settings.answer_seconds, connect=settings.connect_seconds)
            head = aiohttp.ClientTimeout(
                total=None, connect=settings.connect_seconds, sock_connect=settings.connect_seconds
            )
            self._unary = self._session(context, whole, settings.connections)
            self._streams = self._session(context, head, 0)
            self._shown = shown
        return self._unary, self._streams

    def _session(
        self, context: ssl.SSLContext, timeout: aiohttp.ClientTimeout, limit: int
    ) -> aiohttp.ClientSession:
        settings = self._settings
        connector = aiohttp.TCPConnector(
            ssl=context,
            limit=limit,
            keepalive_timeout=settings.keepalive_seconds,
            socket_factory=self._socket,
            # an address changes when a cloud replaces a server; do not hold on to it for long
            ttl_dns_cache=30,
        )
        plain = self._connection.disable_compression or self._host in LOOPBACK
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            read_bufsize=settings.chunk_bytes,
            skip_auto_headers=("Accept-Encoding",) if plain else (),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket that notices a peer that vanished without a word."""
        family, kind, protocol, _, _ = address
        opened = socket.socket(family=family, type=kind, proto=protocol)
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        seconds = self._settings.probe_seconds
        for option, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", seconds), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):  # not every system has all of them
                opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        return opened

    def _unreachable(self, request: Request, error: Exception) -> Unreachable:
        server, settings = self._connection.server, self._settings
        cause, fix = _explain(error, settings)
        return Unreachable(f"{server}: {request.method} {request.path}: {cause}; {fix}")


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _explain(error: Exception, settings: HttpSettings) -> tuple[str, str]:
    """(cause, what to check) of a failure to get an answer."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            return (
                f"its certificate is not trusted ({why})",
                "check certificate-authority and tls-server-name",
            )
        case aiohttp.ClientConnectorSSLError():
            return (
                f"TLS failed ({error.os_error})",
                "does the address speak https?",
            )
        case aiohttp.ConnectionTimeoutError() | aiohttp.SocketTimeoutError():
            return (
                f"no connection within {settings.connect_seconds:g} s",
                "check address, network and firewall",
            )
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be resolved", "check the host name in the kubeconfig"
        case aiohttp.ClientConnectorError():
            return f"cannot connect ({_text(error.os_error)})", "is it running? `springtide up` starts one"
        case TimeoutError():
            return f"no answer within {settings.answer_seconds:g} s", "is it overloaded or stopped?"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return f"it closed the connection ({_text(error)})", "was it stopped? try again"
        case _:
            return _text(error), "check the server's address and log"


def _text(error: Exception) -> str:
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(message.split()) or type(error).__name__
