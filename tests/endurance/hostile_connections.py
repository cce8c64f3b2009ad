"""Attacks below requests: connections that are slow, many, garbled or broken off. Called by `hostile`.

Each returns what is wrong and what it counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from tests.endurance.fuzz_victim import Victim
from tests.endurance.fuzz_wire import Sent, read_answer

Json = dict[str, Any]
Found = tuple[list[str], Json]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_HOLD_SECONDS = 3.0
_PODS = b"/api/v1/namespaces/hostile/pods"


async def _open(victim: Victim, count: int) -> list[Streams]:
    """So many connections; those that fail are left out."""
    gate = asyncio.Semaphore(64)

    async def one() -> Streams:
        async with gate:
            return await victim.wire().open()

    opened = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
    return [streams for streams in opened if not isinstance(streams, BaseException)]


def _abort(opened: list[Streams]) -> None:
    for _, writer in opened:
        writer.transport.abort()


async def idle(victim: Victim) -> Found:
    opened = await _open(victim, 1000)
    await asyncio.sleep(_HOLD_SECONDS)
    _abort(opened)
    return [], {"connections": len(opened)}


async def slow_heads(victim: Victim) -> Found:
    """A header a moment, never the last."""
    opened = await _open(victim, 300)
    for beat in range(30):
        for _, writer in opened:
            with contextlib.suppress(OSError):
                writer.write(b"GET / HTTP/1.1\r\n" if beat == 0 else b"x-a: b\r\n")
        await asyncio.sleep(_HOLD_SECONDS / 30)
    _abort(opened)
    return [], {"connections": len(opened)}


async def slow_bodies(victim: Victim) -> Found:
    """A byte a moment of a body that is said to be long."""
    opened = await _open(victim, 300)
    wire = victim.wire()
    head = Sent(b"POST", _PODS, b"", ((b"content-length", b"3000000"),)).encode(wire.token)
    for _, writer in opened:
        writer.write(head)
    for _ in range(30):
        for _, writer in opened:
            with contextlib.suppress(OSError):
                writer.write(b" " * 1000)
        await asyncio.sleep(_HOLD_SECONDS / 30)
    _abort(opened)
    return [], {"connections": len(opened)}


async def slow_readers(victim: Victim) -> Found:
    """Ask for much and read nothing."""
    opened = await _open(victim, 100)
    wire = victim.wire()
    ask = Sent(b"GET", b"/openapi/v3/api/v1").encode(wire.token) * 20
    for reader, writer in opened:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(ask)
        assert reader is not None
    await asyncio.sleep(_HOLD_SECONDS)
    _abort(opened)
    return [], {"connections": len(opened)}


async def unread_lists(victim: Victim) -> Found:
    """Each of many connections asks for tens of megabytes, and reads none."""
    wire, statuses = victim.wire(), Counter[str]()
    path = b"/api/v1/namespaces/hostile/secrets"
    for number in range(40):
        body = json.dumps(
            {"metadata": {"name": f"large{number}"}, "stringData": {"a": "x" * 700_000}}
        ).encode()
        answer = await wire.ask(Sent(b"POST", path, body, ((b"content-type", b"application/json"),)))
        statuses[str(answer.status)] += 1
    opened = await _open(victim, 100)
    for _, writer in opened:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(Sent(b"GET", path).encode(wire.token))
        await asyncio.sleep(0.02)
    await asyncio.sleep(_HOLD_SECONDS)
    _abort(opened)
    statuses[str((await wire.ask(Sent(b"DELETE", path))).status)] += 1
    return [], {"connections": len(opened), "answers": dict(statuses)}


async def unsent_bodies(victim: Victim) -> Found:
    """Each of many connections sends nearly all of a large body, and no more."""
    opened = await _open(victim, 300)
    token = victim.wire().token
    head = Sent(b"POST", _PODS, b"", ((b"content-length", b"3000000"),)).encode(token)
    statuses: Counter[str] = Counter()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(head)
            for _ in range(29):
                writer.write(b" " * 100_000)
                await writer.drain()
            try:
                async with asyncio.timeout(3 * _HOLD_SECONDS):
                    statuses[str((await read_answer(reader, b"POST")).status)] += 1
            except TimeoutError:
                statuses["waits for more"] += 1

    await asyncio.gather(*(one(*streams) for streams in opened))
    _abort(opened)
    return [], {"connections": len(opened), "answers": dict(statuses)}


async def pipelines(victim: Victim) -> Found:
    """Many requests at once in one connection: all are answered, in order."""
    wrong: list[str] = []
    token = victim.wire().token
    for _ in range(5):
        reader, writer = await victim.wire().open()
        paths = [b"/api/v1/namespaces/hostile/pods/p%d" % number for number in range(500)]
        writer.write(b"".join(Sent(b"GET", path).encode(token) for path in paths))
        for path in paths:
            answer = await read_answer(reader, b"GET")
            name = path.rpartition(b"/")[2]
            if answer.status != 404 or b'"%s"' % name not in answer.body:
                wrong.append(f"{path!r} was answered {answer.status} {answer.body[:100]!r}")
        writer.transport.abort()
    return wrong[:5], {"requests": 2500}


_GARBAGE = [
    b"\x00" * 1000,
    b"\xff" * 100_000,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\n : b\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZZ\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"e" * 100_000 + b"\r\nx\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nx: " + b"y" * 3_000_000 + b"\r\n\r\n",
    b"GET " + b"/x" * 1_500_000 + b" HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 100,
    b"CONNECT 10.0.0.1:80 HTTP/1.1\r\nhost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET http://10.0.0.1/ HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\nhost: a\n\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
]


async def garbage(victim: Victim) -> Found:
    statuses: Counter[str] = Counter()
    chances = random.Random(7)
    texts = _GARBAGE * 2 + [chances.randbytes(chances.randrange(1, 5000)) for _ in range(100)]

    async def one(text: bytes) -> None:
        reader, writer = await victim.wire().open()
        with contextlib.suppress(OSError, ValueError, IndexError, asyncio.IncompleteReadError):
            writer.write(text)
            try:
                async with asyncio.timeout(2):
                    answer = await read_answer(reader, b"GET")
                    statuses[str(answer.status)] += 1
            except TimeoutError:
                statuses["waits for more"] += 1
        writer.transport.abort()

    for at in range(0, len(texts), 20):
        await asyncio.gather(*(one(text) for text in texts[at : at + 20]))
    faults = [f"garbage was answered {status}" for status in statuses if status.startswith("5")]
    return faults, {"answers": dict(statuses)}


async def endless_body(victim: Victim) -> Found:
    """Chunks without end: taken in for a while, unkept, and then refused."""
    wire, sent = victim.wire(), 0
    reader, writer = await wire.open()
    writer.write(Sent(b"POST", _PODS, b"", ((b"transfer-encoding", b"chunked"),)).encode(wire.token))
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    status = 0
    with contextlib.suppress(OSError):
        for _ in range(200):
            writer.write(chunk)
            await writer.drain()
            sent += 1
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(5):
            status = (await read_answer(reader, b"POST")).status
    _abort([(reader, writer)])
    wrong = [f"answered {status}"] if status not in (0, 413) else []
    return wrong, {"mebibytes_taken": sent, "answers": {str(status): 1}}


async def resets(victim: Victim) -> Found:
    """Connections broken off, with a reset, in the middle of everything."""
    token = victim.wire().token
    asks = [
        Sent(b"POST", _PODS, b"{" * 1000, ((b"content-length", b"5000"),)).encode(token),
        Sent(b"GET", b"/openapi/v2").encode(token),
        Sent(b"GET", _PODS + b"?watch=true").encode(token),
        Sent(b"GET", _PODS).encode(token)[:-5],
        b"",
    ]
    count = 0
    for ask in asks * 40:
        _, writer = await victim.wire().open()
        writer.write(ask)
        await asyncio.sleep(0.002)
        raw = writer.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        count += 1
    return [], {"connections": count}


async def no_tls(victim: Victim) -> Found:
    """Plain text, half a handshake, and garbage on the port."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    opened = []
    for text in (
        b"GET / HTTP/1.1\r\n\r\n",
        hello,
        hello + os.urandom(600),
        b"",
        b"\x16\x03\x01\xff\xff" + b"x" * 70_000,
    ):
        for _ in range(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", victim.port)
            writer.write(text)
            opened.append((reader, writer))
    await asyncio.sleep(_HOLD_SECONDS)
    _abort(opened)
    return [], {"connections": len(opened)}


async def watch_flood(victim: Victim) -> Found:
    """Watches of everything, most of which nobody reads."""
    token = victim.wire().token
    targets = [
        b"/api/v1/configmaps?watch=true",
        b"/api/v1/configmaps?watch=true&resourceVersion=0&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        b"/api/v1/configmaps?watch=true&labelSelector=a+notin+(b,c),d",
        b"/api/v1/configmaps?watch=true&resourceVersion=1",
    ]
    opened = await _open(victim, 400)
    for number, (_, writer) in enumerate(opened):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(Sent(b"GET", targets[number % len(targets)]).encode(token))
    await asyncio.sleep(_HOLD_SECONDS)
    _abort(opened)
    return [], {"watches": len(opened)}


async def websockets(victim: Victim) -> Found:
    """Nonsense on paths that upgrade: refused, or frames that are no frames."""
    token, statuses = victim.wire().token, Counter[str]()
    upgrade = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))
    key = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
    variants: list[tuple[tuple[bytes, bytes], ...]] = [
        (*upgrade, key),
        upgrade,
        (*upgrade, (b"sec-websocket-key", b"\xff" * 10)),
        (*upgrade[:2], (b"sec-websocket-version", b"99"), key),
        (*upgrade, key, (b"sec-websocket-protocol", b"a," * 3_000)),
        (*upgrade, key, (b"sec-websocket-protocol", b"base64url.bearer.authorization.k8s.io.\xff")),
        ((b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1")),
    ]
    paths = [
        _PODS + b"/x/" + end
        for end in (b"exec?command=a", b"attach", b"portforward?ports=1", b"log?follow=true")
    ]
    paths += [b"/api/v1/configmaps?watch=true", b"/healthz", b"/nothing"]
    wrong: list[str] = []
    for path in paths:
        for headers in variants:
            reader, writer = await victim.wire().open()
            writer.write(Sent(b"GET", path, b"", headers).encode(token))
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
                try:
                    async with asyncio.timeout(2):
                        answer = await read_answer(reader, b"GET")
                except TimeoutError:
                    statuses["silent"] += 1
                else:
                    statuses[str(answer.status)] += 1
                    if answer.status >= 500 and answer.status != 503:
                        wrong.append(f"{path!r} {headers[-1]!r}: {answer.status} {answer.body[:200]!r}")
                    if answer.status == 101:
                        for frame in (
                            b"\xff" * 50,
                            b"\x82\xff" + b"\xff" * 8,
                            b"\x81\x05hello",
                            b"\x89\xfe\x01\x00",
                        ):
                            writer.write(frame)
                        await asyncio.sleep(0.02)
            writer.transport.abort()
    return wrong[:5], {"answers": dict(statuses)}


CONNECTIONS: dict[str, Callable[[Victim], Awaitable[Found]]] = {
    "idle connections": idle,
    "slow heads": slow_heads,
    "slow bodies": slow_bodies,
    "slow readers": slow_readers,
    "unread lists": unread_lists,
    "unsent bodies": unsent_bodies,
    "pipelines": pipelines,
    "garbage": garbage,
    "an endless body": endless_body,
    "resets": resets,
    "no TLS": no_tls,
    "a flood of watches": watch_flood,
    "WebSocket nonsense": websockets,
}
