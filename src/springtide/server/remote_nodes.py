"""Nodes in processes of their own: their API is asked over HTTPS, with certificates on both sides.

A node says where it listens in its status (`daemonEndpoints`, `addresses`) and whom to trust there in an
annotation; we show the certificate that the platform's authority issued to its API server, and no node takes
another. WebSockets are passed on message by message. Made by `up`, beside the node of the same process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from springtide import client
from springtide.api.labels import SERVING_AUTHORITY
from springtide.runtime.exchange import REFUSED_BY_NODE
from springtide.server.context import LogOptions
from springtide.server.nodes import NodeUnreachable
from springtide.server.request import Answer, Disconnected, Request, Response, Upgrade, WebSocket
from springtide.store import Store

if TYPE_CHECKING:
    from springtide.client.http import HttpTransport
    from springtide.client.websocket import ClientWebSocket

Json = dict[str, Any]

KUBELET_CLIENT = "kube-apiserver-kubelet-client"
"""User of the certificate an API server shows to nodes; Kubernetes' installers call it so too."""


_KEPT = frozenset(
    (REFUSED_BY_NODE, "location", "etag", "last-modified", "cache-control", "content-disposition")
)


class LocalNodes(Protocol):
    """Nodes of this process."""

    def has(self, node: str) -> bool:
        """Whether the node is one of them."""
        ...

    async def ask(self, node: str, request: Request) -> Answer:
        """The answer of the node's own API."""
        ...

    def logs(self, namespace: str, pod: str, uid: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Text of a container's log. Raises LookupError."""
        ...


@dataclass(frozen=True)
class _Place:
    """Where a node listens, and who signs for it."""

    url: str
    authority: bytes


Identity = Callable[[], tuple[bytes, bytes]]
"""Certificate and key (PEM) to show to nodes."""


class Nodes:
    """`NodeAccess` to all nodes: those of this process, and every other."""

    def __init__(self, store: Store, identity: Identity, local: LocalNodes | None = None) -> None:
        """`identity` is asked when the first node of another process is."""
        self._store = store
        self._identity = identity
        self._local = local
        self._shown: tuple[bytes, bytes] | None = None
        self._transports: dict[_Place, HttpTransport] = {}

    async def close(self) -> None:
        """Give all connections back."""
        for transport in self._transports.values():
            await transport.close()
        self._transports.clear()

    async def ask(self, node: str, request: Request) -> Answer:
        """The answer of the node's own API. Raises NodeUnreachable."""
        if self._local is not None and self._local.has(node):
            return await self._local.ask(node, request)
        transport = self._transport(node)
        try:
            if request.websocket:
                return await _opened(transport, request)
            return await _asked(transport, request)
        except client.Unreachable as error:
            raise NodeUnreachable(f"node {node}: {error.message}") from None

    async def logs(
        self, namespace: str, pod: str, uid: str, options: LogOptions
    ) -> AsyncGenerator[bytes, None]:
        """Text of a container's log. Raises LookupError."""
        node = self._node_of(namespace, pod)
        if self._local is not None and self._local.has(node):
            chunks = self._local.logs(namespace, pod, uid, options)
        else:
            chunks = self._remote_logs(node, f"/containerLogs/{namespace}/{pod}/{options.container}", options)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def _remote_logs(self, node: str, path: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        try:
            query = _log_query(options)
            async with self._transport(node).stream(client.Request("GET", path, query)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except (client.ApiError, NodeUnreachable) as error:
            raise LookupError(str(error)) from None

    def _node_of(self, namespace: str, pod: str) -> str:
        record = self._store.get("pods", f"{namespace}/{pod}")
        return str(msgspec.json.decode(record.value)["spec"].get("nodeName", "")) if record else ""

    def _transport(self, node: str) -> HttpTransport:
        """Connections to the node as it says now where it is. Raises NodeUnreachable."""
        place = self._place(node)
        known = self._transports.get(place)
        if known is None:
            from springtide.client.http import HttpTransport  # not before: it loads aiohttp

            certificate, key = self._shown = self._shown or self._identity()
            known = self._transports[place] = HttpTransport(
                client.Connection(
                    server=place.url,
                    context=f"node {node}",
                    ca_data=place.authority,
                    certificate_data=certificate,
                    key_data=key,
                )
            )
        return known

    def _place(self, node: str) -> _Place:
        record = self._store.get("nodes", node)
        if record is None:
            raise NodeUnreachable(f'node "{node}" not found')
        obj: Json = msgspec.json.decode(record.value)
        status = obj.get("status") or {}
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port", 0)
        addresses = {one["type"]: one["address"] for one in status.get("addresses") or ()}
        host = addresses.get("InternalIP") or addresses.get("Hostname", "")
        authority = (obj["metadata"].get("annotations") or {}).get(SERVING_AUTHORITY, "")
        if not port or not host or not authority:
            raise NodeUnreachable(f"node {node} does not say where its own API is")
        return _Place(f"https://{f'[{host}]' if ':' in host else host}:{port}", authority.encode())


async def _asked(transport: HttpTransport, request: Request) -> Answer:
    sent = client.Request(
        request.method, request.path, request.query, request.headers, request.body, request.raw_query
    )
    answer = await transport.send(sent)
    kept = tuple((name, text) for name, text in answer.headers.items() if name in _KEPT)
    return Response(
        answer.status, answer.body, answer.headers.get("content-type", "text/plain"), headers=kept
    )


async def _opened(transport: HttpTransport, request: Request) -> Answer:
    try:
        inner = await transport.websocket(request.path, request.raw_query, request.subprotocols)
    except client.Unreachable:
        raise
    except client.ApiError:  # it said no; asked plainly it says why
        return await _asked(
            transport, Request("GET", request.path, request.query, raw_query=request.raw_query)
        )

    async def serve(outer: WebSocket) -> None:
        try:
            await _relay(outer, inner)
        finally:
            await inner.close()

    return Upgrade(serve, inner.subprotocol)


async def _relay(outer: WebSocket, inner: ClientWebSocket) -> None:
    """Both directions until either end is closed. Raises Disconnected."""

    async def inward() -> None:
        while True:
            await inner.send(await outer.receive())

    async def outward() -> None:
        while True:
            await outer.send(await inner.receive())

    tasks = [asyncio.create_task(inward()), asyncio.create_task(outward())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with suppress(client.Closed, Disconnected):
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _log_query(options: LogOptions) -> dict[str, str]:
    texts = {
        "follow": "true" if options.follow else "",
        "previous": "true" if options.previous else "",
        "timestamps": "true" if options.timestamps else "",
        "tailLines": "" if options.tail_lines is None else str(options.tail_lines),
        "sinceSeconds": "" if options.since_seconds is None else str(options.since_seconds),
        "sinceTime": options.since_time.isoformat() if options.since_time is not None else "",
        "limitBytes": "" if options.limit_bytes is None else str(options.limit_bytes),
        "stream": options.stream,
    }
    return {name: text for name, text in texts.items() if text}
