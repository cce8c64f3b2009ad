"""The embedded API server over HTTPS: durable pod creates, list and watch. One JSON object a row.

    python benchmarks/apiserver.py [--pods 16000]

The server runs in a process of its own, the load comes from this one over 64 TLS connections that are kept
alive. Rows have a bound measured in the same run: the same requests against a bare ASGI application that only
echoes, and the same bytes committed to SQLite without any server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import uvicorn
import uvloop

from load.pods import pod
from springtide import client
from springtide.api.core import Pod
from springtide.runtime.clock import SystemClock
from springtide.server import ADMIN, Authenticator, HttpsServer, Server, ensure_credentials
from springtide.store import SqliteLog, Store

CONNECTIONS = 64
PODS = "/api/v1/namespaces/default/pods"


@dataclass(frozen=True)
class Target:
    """A running server."""

    port: int
    folder: Path
    process: psutil.Process

    @property
    def token(self) -> str:
        return (self.folder / "pki" / "admin.token").read_text().strip()

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "pki" / "ca.crt")

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system


class Poster(asyncio.Protocol):
    """One connection that posts bodies one after another, as cheaply as Python can."""

    def __init__(self, head: bytes, bodies: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self._head, self._bodies, self._done = head, bodies, done
        self._received, self._expected = bytearray(), 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._post()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = re.search(rb"content-length: (\d+)", self._received[:end])
            if length is None or not self._received.startswith(b"HTTP/1.1 201"):
                self._done.set_exception(RuntimeError(self._received[:300].decode()))
                return
            self._expected = end + 4 + int(length.group(1))
        if len(self._received) >= self._expected:
            self._received.clear()
            self._expected = 0
            self._post()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or RuntimeError("the server closed the connection"))

    def _post(self) -> None:
        body = next(self._bodies, None)
        if body is None:
            self._done.set_result(None)
            self._transport.close()
            return
        self._transport.write(self._head % len(body) + body)


async def post_all(target: Target, bodies: list[bytes]) -> tuple[float, float]:
    """Seconds until every body was answered with 201, and the server's processor seconds meanwhile."""
    head = (
        f"POST {PODS} HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench/1\r\n"
        f"content-type: application/json\r\nauthorization: Bearer {target.token}\r\n"
    ).encode() + b"content-length: %d\r\n\r\n"
    loop, waiting = asyncio.get_running_loop(), iter(bodies)
    cpu, began = target.cpu_seconds(), time.perf_counter()
    finished = [loop.create_future() for _ in range(CONNECTIONS)]
    trust = target.trust
    for done in finished:
        poster = Poster(head, waiting, done)
        await loop.create_connection(
            lambda poster=poster: poster,  # type: ignore[misc]
            "127.0.0.1",
            target.port,
            ssl=trust,
            server_hostname="localhost",
        )
    await asyncio.gather(*finished)
    return time.perf_counter() - began, target.cpu_seconds() - cpu


async def creates(api: Target, echo: Target, count: int) -> None:
    same = [pod(f"same-{number}") for number in range(count)]
    own = [pod(f"own-{number}", str(number)) for number in range(count)]
    bound, bound_cpu = await post_all(echo, same)
    for label, bodies in (("one template", same), ("a spec each", own)):
        seconds, cpu = await post_all(api, bodies)
        row(
            bench="durable pod creates over HTTPS",
            pods=label,
            connections=CONNECTIONS,
            per_second=round(count / seconds),
            server_cpu_us=round(cpu / count * 1e6),
            bound="bare ASGI echo, same TLS",
            bound_per_second=round(count / bound),
            bound_cpu_us=round(bound_cpu / count * 1e6),
            of_bound=round(bound / seconds, 2),
            resident_mb=round(api.process.memory_info().rss / 1e6),
        )


async def commits(count: int) -> None:
    """The same group commit without server or TLS: what the disk and SQLite allow."""
    with tempfile.TemporaryDirectory(prefix="springtide-bench-") as folder:
        store = Store(SqliteLog(Path(folder)), monotonic=time.monotonic)
        value, number = pod("x") * 3, iter(range(count))

        async def write() -> None:
            for one in number:
                await store.write("pods", f"default/{one}", value, expected=0)

        began = time.perf_counter()
        await asyncio.gather(*(write() for _ in range(CONNECTIONS)))
        seconds = time.perf_counter() - began
        await store.close()
    row(bench="group commit alone", writers=CONNECTIONS, bytes=len(value), per_second=round(count / seconds))


async def reads(api: Target) -> None:
    transport = client.connect(
        client.Connection(
            server=f"https://127.0.0.1:{api.port}",
            ca_data=(api.folder / "pki" / "ca.crt").read_bytes(),
            token=api.token,
        )
    )
    await transport.request("GET", PODS, query={"limit": "1"})
    began = time.perf_counter()
    answer = await transport.request("GET", PODS)
    plain_seconds, size = time.perf_counter() - began, len(answer.body)
    items = answer.body.count(b'"kind":"Pod",')
    row(bench="list", pods=items, seconds=round(plain_seconds, 3), mb=round(size / 1e6, 1))
    del answer

    began, memory = time.perf_counter(), psutil.Process().memory_info().rss
    listing = await transport.list(Pod, "default")
    row(
        bench="typed list, a cache warm",
        pods=len(listing.items),
        seconds=round(time.perf_counter() - began, 3),
        resident_growth_mb=round((psutil.Process().memory_info().rss - memory) / 1e6),
        bound="raw list",
        bound_seconds=round(plain_seconds, 3),
    )
    count = len(listing.items)
    began, seen = time.perf_counter(), 0
    async for _ in transport.watch(Pod, "default", resource_version="0"):
        seen += 1
        if seen == count:
            break
    row(bench="typed watch from the start", pods=seen, seconds=round(time.perf_counter() - began, 3))
    await transport.close()


def row(**values: object) -> None:
    print(json.dumps(values), flush=True)


@contextmanager
def running(mode: str, folder: Path) -> Iterator[Target]:
    """This script as a server in another process."""
    command = [sys.executable, __file__, "--serve", mode, "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Target(int(process.stdout.readline()), folder, psutil.Process(process.pid))
        finally:
            process.terminate()


async def serve_api(folder: Path) -> None:
    clock = SystemClock()
    store = Store(SqliteLog(folder), monotonic=clock.monotonic)
    server = Server(store, clock=clock)
    await server.start()
    credentials = ensure_credentials(folder / "pki", clock.now())
    https = HttpsServer(server, Authenticator({credentials.admin_token: ADMIN}), credentials)
    await https.start()
    print(https.url.rpartition(":")[2], flush=True)
    await asyncio.Event().wait()


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def echo_application(_scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive()).get("body", b"")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def serve_echo(folder: Path) -> None:
    credentials = ensure_credentials(folder / "pki", SystemClock().now())
    config = uvicorn.Config(
        echo_application,
        port=0,
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ssl_certfile=str(credentials.server_certificate),
        ssl_keyfile=str(credentials.server_key),
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    for _ in range(1000):
        if server.started:
            break
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


async def measure(count: int) -> None:
    await commits(count)
    with tempfile.TemporaryDirectory(prefix="springtide-bench-") as folder:
        root = Path(folder)
        with running("api", root / "api") as api, running("echo", root / "echo") as echo:
            await creates(api, echo, count // 2)
            await reads(api)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pods", type=int, default=16_000)
    parser.add_argument("--serve", choices=("api", "echo"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve = serve_api if options.serve == "api" else serve_echo
        uvloop.run(serve(options.folder))
    else:
        uvloop.run(measure(options.pods))


if __name__ == "__main__":
    main()
