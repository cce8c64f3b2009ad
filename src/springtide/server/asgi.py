"""The server behind HTTPS: a bare ASGI application, and uvicorn that carries it.

Every request passes here, so this file does little: read the body within its limit, identify the user, call
`Server.handle`, write the answer. A stream ends when the client goes. `up` starts it through `HttpsServer`.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from springtide.runtime.memory import give_back
from springtide.server.authn import ANONYMOUS, Authenticator, subprotocol_token
from springtide.server.ca import Credentials
from springtide.server.documents import OPEN_PATHS
from springtide.server.http_protocol import (
    ABORT,
    NO_CACHE,
    NOT_MODIFIED,
    PEER_CERTIFICATE,
    WHOLE_ANSWER,
    Protocol,
)
from springtide.server.inprocess import warning_header
from springtide.server.request import Request, Response, Service, Stream, Upgrade, User
from springtide.server.routes import parse
from springtide.server.status import (
    BadRequest,
    InternalError,
    ServiceUnavailable,
    StatusError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
)
from springtide.server.traffic import (
    PATIENCE_SECONDS,
    PIECE_BYTES,
    Load,
    Traffic,
    patiently,
    pieces,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Refused = Callable[[Request, Response], None]

MAX_BODY_BYTES = 3 * 1024 * 1024
_DRAINED_BYTES = 64 * 1024 * 1024
_WEIGHT = 2
"""Of a byte of a body: it stands in the connection's buffers too, and is copied once it is whole."""
_LARGE_BYTES = 16 * 1024
_GZIP_FROM_BYTES = 128 * 1024
"""Smaller answers are not worth the processor time on one machine; Kubernetes draws the line here too."""
MAX_WEBSOCKETS = 500
"""Open exec, attach and port-forward connections of one server; each holds a process or sockets of a node."""


class Application:
    """The ASGI application."""

    def __init__(
        self, service: Service, authenticator: Authenticator, on_refused: Refused | None = None
    ) -> None:
        self._service = service
        self._on_refused = on_refused
        self._authenticator = authenticator
        self._streams: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._websockets = 0
        self._traffic = Traffic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            user = self._identify(scope, headers)
        except StatusError as error:
            await _respond(send, self._refusal(scope, headers, error), headers)
            return
        load = self._traffic.load(user)
        try:
            await self._answer(scope, receive, send, headers, user, load)
        except TimeoutError:  # its client reads nothing, and will not hear of it
            scope["extensions"][ABORT]()
        finally:
            load.end()

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], user: User, load: Load
    ) -> None:
        try:
            body = await _body(receive, load)
            if load.heavy and scope["method"] == "GET" and _is_list(scope["path"]):
                raise load.refusal()
            answer = await self._service.handle(_request(scope, scope["method"], headers, body, user))
            if isinstance(answer, Response):
                load.take(len(answer.body), may_refuse=scope["method"] == "GET")
        except StatusError as error:
            answer = _refused(error)
        if isinstance(answer, Response):
            whole = scope["extensions"].pop(WHOLE_ANSWER)  # it knows the scope, which would keep it alive
            if not whole(answer):
                await _respond(send, answer, headers)
        elif isinstance(answer, Stream):
            await self._stream(send, receive, answer)
        else:
            fault = InternalError("the answer is a WebSocket, which this request did not ask for")
            await _respond(send, _refused(fault), headers)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket passes the same way as any request; it is opened only when the answer is one."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        await receive()  # says `websocket.connect`
        try:
            user = self._identify(scope, headers)
            if self._websockets >= MAX_WEBSOCKETS:
                raise TooManyRequests(
                    f"{MAX_WEBSOCKETS} WebSockets are open; close some, or try again", retry_after_seconds=1
                )
        except StatusError as error:
            await _refuse(send, Response(error.code, error.encode()))
            return
        answer = await self._service.handle(_request(scope, "GET", headers, b"", user))
        if isinstance(answer, Response):
            await _refuse(send, answer)
        else:
            await self._carry(send, receive, answer)

    async def _carry(self, send: Send, receive: Receive, answer: Upgrade | Stream) -> None:
        from springtide.server import websocket

        serve = answer.serve if isinstance(answer, Upgrade) else websocket.lines_of(answer.chunks)
        subprotocol = answer.subprotocol if isinstance(answer, Upgrade) else ""
        listed: list[tuple[bytes, bytes]] = []
        _add_extra(listed, answer)
        await send({"type": "websocket.accept", "subprotocol": subprotocol or None, "headers": listed})
        carrying = asyncio.create_task(websocket.carry(websocket.AsgiWebSocket(receive, send), serve))
        self._streams.add(carrying)
        self._websockets += 1
        try:
            await asyncio.wait((carrying,))
        finally:
            self._websockets -= 1
            self._streams.discard(carrying)
            if not carrying.done():
                carrying.cancel()
                await asyncio.wait((carrying,))
        if not carrying.cancelled() and (error := carrying.exception()) is not None:
            raise error

    def end_streams(self) -> None:
        """End every watch and followed log now, as if each had come to its end, and begin no new one."""
        self._stopping = True
        for stream in tuple(self._streams):
            stream.cancel()

    async def _stream(self, send: Send, receive: Receive, answer: Stream) -> None:
        """Send chunks as they come, until the stream ends, the client goes or the server stops."""
        if self._stopping:  # a client whose watch has just ended is quicker back than the door is shut
            await answer.chunks.aclose()
            refusal = ServiceUnavailable("the server is shutting down", retry_after_seconds=1)
            headers = (("Retry-After", "1"), ("Connection", "close"))
            await _respond(send, Response(refusal.code, refusal.encode(), headers=headers), {})
            return
        listed = [(b"content-type", answer.content_type.encode())]
        _add_extra(listed, answer)
        await send({"type": "http.response.start", "status": answer.status, "headers": listed})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        sending = asyncio.create_task(_send_chunks(send, answer))
        gone = asyncio.create_task(_disconnected(receive))
        self._streams.add(sending)
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.discard(sending)
            gone.cancel()
            sending.cancel()
            await asyncio.wait((sending, gone))
            await answer.chunks.aclose()
        if not sending.cancelled() and (error := sending.exception()) is not None:
            raise error
        await send({"type": "http.response.body", "body": b""})

    def _refusal(self, scope: Scope, headers: dict[str, str], error: StatusError) -> Response:
        answer = _refused(error)
        if self._on_refused is not None and isinstance(error, Unauthorized):
            request = _request(scope, scope.get("method", "GET"), headers, b"", ANONYMOUS)
            self._on_refused(request, answer)
        return answer

    def _identify(self, scope: Scope, headers: dict[str, str]) -> User:
        authorization, certificate = headers.get("authorization", ""), _peer_certificate(scope)
        if not authorization and scope["type"] == "websocket":
            token = subprotocol_token(scope["subprotocols"])
            authorization = f"Bearer {token}" if token else ""
        if scope["path"] in OPEN_PATHS and not authorization and not certificate:
            return ANONYMOUS
        return self._authenticator.identify(authorization, certificate)


class HttpsServer:
    """Listens, serves until `stop`, and then lets requests finish."""

    def __init__(
        self,
        service: Service,
        authenticator: Authenticator,
        credentials: Credentials,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        on_refused: Refused | None = None,
    ) -> None:
        """`on_refused` hears of requests that are turned away for want of credentials."""
        self._application = Application(service, authenticator, on_refused)
        config = uvicorn.Config(
            self._application,
            http=Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=3,
            ssl_certfile=str(credentials.server_certificate),
            ssl_keyfile=str(credentials.server_key),
            ssl_ca_certs=str(credentials.ca_certificate),
            ssl_cert_reqs=ssl.CERT_OPTIONAL,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._host, self._port = host, port
        self._uvicorn = _Uvicorn(config)
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._giving_back: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the port the system chose if none was asked for."""
        if self._socket is None:
            raise RuntimeError("the server has not been started")
        return f"https://{self._host}:{self._socket.getsockname()[1]}"

    async def start(self) -> None:
        """Bind and serve. Raises OSError if the address is taken."""
        self._socket = _listen(self._host, self._port)
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=[self._socket]), name="https")
        listening = asyncio.create_task(self._uvicorn.listening.wait())
        await asyncio.wait((self._task, listening), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            listening.cancel()
            self._task.result()
        self._giving_back = asyncio.create_task(give_back(), name="memory")

    def reload_certificate(self, credentials: Credentials) -> None:
        """Show a certificate that was renewed on disk to new connections. Raises OSError or ssl.SSLError."""
        context = self._uvicorn.config.ssl
        if context is not None:
            context.load_cert_chain(credentials.server_certificate, credentials.server_key)

    async def stop(self) -> None:
        """Stop listening, end streams, let requests finish."""
        self._uvicorn.should_exit = True
        self._application.end_streams()
        if self._giving_back is not None:
            self._giving_back.cancel()
        if self._task is not None:
            await self._task
        for connection in list(self._uvicorn.server_state.connections):
            with suppress(AttributeError):  # TLS that is closed already, in Python before 3.11.7
                connection.transport.abort()
        await asyncio.sleep(0)
        if self._socket is not None:
            self._socket.close()


class _Uvicorn(uvicorn.Server):
    """Says when it listens, and leaves signals to whoever runs the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sends such at once
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _is_list(path: str) -> bool:
    route = parse(path)
    return route is not None and not route.name


def _peer_certificate(scope: Scope) -> dict[str, Any] | None:
    extensions = scope.get("extensions")
    return extensions.get(PEER_CERTIFICATE) if extensions else None


def _request(scope: Scope, method: str, headers: dict[str, str], body: bytes, user: User) -> Request:
    raw_query = scope["query_string"].decode()
    query = dict(parse_qsl(raw_query, keep_blank_values=True)) if raw_query else {}
    if scope["type"] != "websocket":
        return Request(
            method,
            scope["path"],
            query,
            headers,
            body,
            user,
            raw_query,
            remote=_remote(scope),
            impersonate=_impersonation(scope),
        )
    return Request(
        method,
        scope["path"],
        query,
        headers,
        body,
        user,
        raw_query,
        websocket=True,
        subprotocols=tuple(scope["subprotocols"]),
        remote=_remote(scope),
        impersonate=_impersonation(scope),
    )


def _remote(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _impersonation(scope: Scope) -> tuple[tuple[str, str], ...]:
    """These headers may be repeated: each value counts, also an empty one."""
    found = [pair for pair in scope["headers"] if pair[0].startswith(b"impersonate-")]
    return tuple((name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in found)


async def _body(receive: Receive, load: Load) -> bytes:
    """The whole body. One that is too large is taken in too, unkept, so that its sender hears the answer."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await _rest(receive, load, body)
    except TimeoutError:
        raise BadRequest(f"the body did not come within {PATIENCE_SECONDS:g} s") from None


async def _rest(receive: Receive, load: Load, body: bytes) -> bytes:
    whole, size, more = bytearray(body), len(body), True
    load.take(_WEIGHT * size, unread=True)
    while more and size < _DRAINED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the connection broke off in the middle of the body")
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY_BYTES:
            load.take(_WEIGHT * len(part), unread=True)
            whole += part  # one block, which goes back to the system whole
        more = message.get("more_body", False)
    if size > MAX_BODY_BYTES:
        raise _too_large()
    return bytes(whole)


def _too_large() -> TooLarge:
    return TooLarge(
        f"Request entity too large: limit is {MAX_BODY_BYTES}; split the request or shrink the object"
    )


async def _send_chunks(send: Send, answer: Stream) -> None:
    """Raises TimeoutError if nobody reads them."""
    async for chunk in answer.chunks:
        for piece in pieces(chunk):
            await patiently(send({"type": "http.response.body", "body": piece, "more_body": True}))
        if len(chunk) > _LARGE_BYTES:
            await asyncio.sleep(0)  # a quick reader is no reason to let all others wait


async def _respond(send: Send, answer: Response, headers: dict[str, str]) -> None:
    body = answer.body
    if answer.status == NOT_MODIFIED:
        await _say_not_modified(send, answer)
        return
    listed = [(b"content-type", answer.content_type.encode()), NO_CACHE]
    if len(body) >= _GZIP_FROM_BYTES and "gzip" in headers.get("accept-encoding", ""):
        body = await asyncio.to_thread(gzip.compress, body, 1)
        listed += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
    listed.append((b"content-length", str(len(body)).encode()))
    _add_extra(listed, answer)
    await send({"type": "http.response.start", "status": answer.status, "headers": listed})
    if len(body) > PIECE_BYTES:
        for piece in pieces(body):
            await patiently(send({"type": "http.response.body", "body": piece, "more_body": True}))
        body = b""
    await send({"type": "http.response.body", "body": body})


def _refused(error: StatusError) -> Response:
    seconds = error.details.get("retryAfterSeconds")
    return Response(error.code, error.encode(), headers=(("Retry-After", str(seconds)),) if seconds else ())


async def _say_not_modified(send: Send, answer: Response) -> None:
    """No type and no length: a client's cache would take them for those of the answer it keeps."""
    listed = [NO_CACHE]
    _add_extra(listed, answer)
    await send({"type": "http.response.start", "status": answer.status, "headers": listed})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, answer: Response) -> None:
    """The answer to a request for a WebSocket that is not to be."""
    listed = [(b"content-type", answer.content_type.encode())]
    _add_extra(listed, answer)
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": listed})
    await send({"type": "websocket.http.response.body", "body": answer.body})


def _add_extra(listed: list[tuple[bytes, bytes]], answer: Response | Stream | Upgrade) -> None:
    for name, value in answer.headers:
        listed.append((name.lower().encode(), value.encode("latin-1", "replace")))
    listed += [(b"warning", warning_header(text).encode("latin-1", "replace")) for text in answer.warnings]


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
