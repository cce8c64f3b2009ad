"""A node's own API, in the paths of the kubelet: logs, exec, attach, port forwarding, health and figures.

    GET  /containerLogs/{namespace}/{pod}/{container}     GET /healthz
    WS   /exec/{namespace}/{pod}/{container}              GET /stats/summary
    WS   /attach/{namespace}/{pod}/{container}            GET /metrics/resource
    WS   /portForward/{namespace}/{pod}                   GET /pods

The API server asks it when a request is about a running pod: in the same process under `up`, over HTTPS with
mutual TLS when the node is a process of its own. It trusts who asks: whether somebody may was decided there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qs

import msgspec

from springtide import client
from springtide.api.core import Pod
from springtide.api.struct import encode
from springtide.node import channels, portforward
from springtide.node.channels import Channels
from springtide.node.logsource import LogOptions
from springtide.node.pod import PodRun
from springtide.node.process import StartError
from springtide.node.remotecommand import Program, Wanted, converse, error_status, send_status
from springtide.node.summary import NodeFigures, exposition, summary
from springtide.runtime.exchange import (
    REFUSED_BY_NODE,
    Answer,
    Disconnected,
    Request,
    Response,
    Stream,
    Upgrade,
    WebSocket,
)

TEXT = "text/plain"


class Node(Protocol):
    """What this API needs of the node."""

    def run_of(self, namespace: str, name: str) -> PodRun | None:
        """The pod, if it is here."""
        ...

    def uid_of(self, namespace: str, name: str) -> str:
        """Of a pod that is here or was. Raises LookupError."""
        ...

    def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Text of a container's log. Raises LookupError."""
        ...

    async def figures(self) -> NodeFigures:
        """What it uses."""
        ...

    def pods_here(self) -> list[Pod]:
        """The pods it runs."""
        ...


_HOP_BY_HOP = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "accept-encoding")
)
_PASSED_ON = frozenset(("location", "etag", "last-modified", "cache-control", "content-disposition"))


class Refused(Exception):
    """A request that cannot be served; answered with this code and text."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


class Kubelet:
    """`runtime.exchange.Service` of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._streams: dict[str, Callable[[Request, list[str]], Awaitable[Upgrade]]] = {
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
        }

    async def handle(self, request: Request) -> Answer:
        """Answer by path; refusals are plain text, as the kubelet's are."""
        first, *rest = request.path.strip("/").split("/")
        try:
            if first in self._streams:
                upgrade = await self._streams[first](request, rest)
                if not request.websocket:  # what else there is to say no to comes first
                    raise Refused(400, "a WebSocket is needed: send GET with `Upgrade: websocket`")
                return upgrade
            if first == "podProxy" and len(rest) >= 4:
                return await self._proxy(request, rest)
            if first == "containerLogs" and len(rest) == 3:
                return await self._logs(request, rest)
            return await self._document(request.path)
        except Refused as refusal:
            text = str(refusal).encode()
            return Response(refusal.code, text, TEXT, headers=((REFUSED_BY_NODE, "true"),))

    # -- documents ------------------------------------------------------------------------------------

    async def _document(self, path: str) -> Response:
        if path in ("/healthz", "/healthz/ping", "/healthz/log", "/healthz/syncloop"):
            return Response(200, b"ok", content_type=TEXT)
        if path == "/stats/summary":
            return Response(200, msgspec.json.encode(summary(await self._node.figures())))
        if path in ("/metrics/resource", "/metrics"):
            text = exposition(await self._node.figures())
            return Response(200, text.encode(), content_type="text/plain; version=0.0.4; charset=utf-8")
        if path == "/pods":
            items = [encode(pod) for pod in self._node.pods_here()]
            body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
            return Response(200, msgspec.json.encode(body))
        raise Refused(404, f"404 page not found: {path}")

    async def _logs(self, request: Request, rest: list[str]) -> Answer:
        namespace, name, container = rest
        try:
            options = msgspec.convert({**request.query, "container": container}, _LogQuery, strict=False)
            chunks = self._node.logs(namespace, name, self._node.uid_of(namespace, name), options)
            first = await anext(chunks, None) if not options.follow else b""
        except LookupError as error:
            raise Refused(404, str(error.args[0])) from None
        except msgspec.ValidationError as error:
            raise Refused(400, str(error)) from None
        if first is None:
            return Response(200, b"", content_type=TEXT)
        return Stream(_from(first, chunks), content_type=TEXT)

    async def _proxy(self, request: Request, rest: list[str]) -> Response:
        """A plain HTTP request to a program in a pod."""
        from springtide.client.http import HttpTransport  # not before: it loads aiohttp

        namespace, name, scheme, port, *tail = rest
        run = self._run(namespace, name)
        target = client.Connection(f"{scheme}://{run.address}:{port}", insecure_skip_tls_verify=True)
        transport = HttpTransport(target)
        headers = {key: text for key, text in request.headers.items() if key not in _HOP_BY_HOP}
        path = "/" + "/".join(tail) + ("/" if request.path.endswith("/") and tail else "")
        try:
            answer = await transport.send(
                client.Request(request.method, path, {}, headers, request.body, request.raw_query)
            )
        except client.Unreachable as error:
            raise Refused(503, f"error trying to reach service: {error.message}") from None
        finally:
            await transport.close()
        kept = [(key, text) for key, text in answer.headers.items() if key in _PASSED_ON]
        kind = answer.headers.get("content-type", "application/octet-stream")
        return Response(answer.status, answer.body, kind, headers=tuple(kept))

    # -- streams --------------------------------------------------------------------------------------

    async def _exec(self, request: Request, rest: list[str]) -> Upgrade:
        run, container = self._container(rest)
        command = parse_qs(request.raw_query, keep_blank_values=True).get("command", [])
        if not command:
            raise Refused(400, "you must specify at least 1 command for the container")
        wanted, spoken = _wanted(request), _spoken(request, channels.COMMAND_SUBPROTOCOLS)

        async def program() -> Program:
            return await run.open_session(container, command, stdin=wanted.stdin, tty=wanted.tty)

        self._refuse_early(run, container, spoken)
        return Upgrade(_conversation(program, wanted, spoken, "error executing command in container"), spoken)

    async def _attach(self, request: Request, rest: list[str]) -> Upgrade:
        run, container = self._container(rest)
        wanted, spoken = _wanted(request), _spoken(request, channels.COMMAND_SUBPROTOCOLS)

        async def program() -> Program:
            return run.attach(container)

        self._refuse_early(run, container, spoken)
        return Upgrade(_conversation(program, wanted, spoken, "error attaching to container"), spoken)

    async def _port_forward(self, request: Request, rest: list[str]) -> Upgrade:
        if len(rest) != 2:
            raise Refused(404, "the path is /portForward/{namespace}/{pod}")
        run, pod = self._run(*rest), rest[1]
        if portforward.TUNNEL in request.subprotocols:

            async def tunnel(socket: WebSocket) -> None:
                await portforward.Tunnel(socket, run.dial, pod).run()

            return Upgrade(tunnel, portforward.TUNNEL)
        spoken = _spoken(request, channels.FORWARD_SUBPROTOCOLS)
        try:
            ports = portforward.ports_of(request.raw_query)
        except portforward.BadPorts as error:
            raise Refused(400, str(error)) from None

        async def pairs(socket: WebSocket) -> None:
            await portforward.forward_channels(Channels(socket, spoken), ports, run.dial, pod)

        return Upgrade(pairs, spoken)

    def _run(self, namespace: str, name: str) -> PodRun:
        run = self._node.run_of(namespace, name)
        if run is None:
            raise Refused(404, "pod does not exist")
        return run

    def _container(self, rest: list[str]) -> tuple[PodRun, str]:
        if len(rest) != 3:
            raise Refused(404, "the path is /exec|attach/{namespace}/{pod}/{container}")
        return self._run(rest[0], rest[1]), rest[2]

    def _refuse_early(self, run: PodRun, container: str, spoken: str) -> None:
        """A container that does not run is said before the upgrade to all who cannot hear it after.

        Clients of version 5 have it on the status channel: so the API server does it for them elsewhere.
        """
        if spoken != channels.V5 and not run.runs(container):
            raise Refused(404, f'container not found ("{container}")')


def _conversation(
    open_program: Callable[[], Awaitable[Program]], wanted: Wanted, spoken: str, failed: str
) -> Callable[[WebSocket], Awaitable[None]]:
    """Open the program once the client is there, and connect them."""

    async def serve(socket: WebSocket) -> None:
        lines = Channels(socket, spoken)
        with suppress(Disconnected):
            await lines.send(_first_channel(wanted), b"")  # tells the client that it is connected
            try:
                program = await open_program()
            except LookupError as error:
                await send_status(lines, error_status(f"unable to upgrade connection: {error.args[0]}"))
            except StartError as error:
                await send_status(lines, error_status(f"{failed}: {error}"))
            else:
                await converse(lines, program, wanted)

    return serve


def _first_channel(wanted: Wanted) -> int:
    return min(wanted.outputs, default=channels.STATUS)


def _wanted(request: Request) -> Wanted:
    """The kubelet's own names for the streams."""
    wanted = Wanted(
        stdin=request.flag("input"),
        stdout=request.flag("output"),
        stderr=request.flag("error"),
        tty=request.flag("tty"),
    )
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return wanted


def _spoken(request: Request, subprotocols: tuple[str, ...]) -> str:
    spoken = channels.choose(request.subprotocols, subprotocols)
    if spoken is None:
        raise Refused(
            400,
            f"none of the subprotocols {', '.join(request.subprotocols)} is spoken here;"
            f" use one of {', '.join(subprotocols)}",
        )
    return spoken


class _LogQuery(msgspec.Struct, rename="camel", frozen=True):
    """The query of /containerLogs."""

    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: datetime | None = None
    limit_bytes: int | None = None
    stream: str = ""


async def _from(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
