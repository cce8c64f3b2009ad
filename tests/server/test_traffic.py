"""Clients that neither read nor send: they hold little memory, and not for ever."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest

from springtide.server import ADMIN, Request, Response, Stream, User, traffic
from springtide.server.status import TooManyRequests
from springtide.server.traffic import PIECE_BYTES, Traffic, pieces
from tests.server.https import Served, eventually, serving_https
from tests.server.serving import CONFIGMAPS, Json, configmap, serving

BOB, ANN = User("bob"), User("ann")


def test_what_one_user_has_under_way_is_bounded_and_others_do_not_suffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "MOST_BYTES", 1_000_000)
    everything = Traffic()
    first, second, small, other = (everything.load(user) for user in (BOB, BOB, BOB, ANN))
    first.take(2_000_000)  # alone: whatever one request needs
    with pytest.raises(TooManyRequests, match="on their way"):
        second.take(PIECE_BYTES + 1)
    second.take(PIECE_BYTES + 1, may_refuse=False)
    small.take(PIECE_BYTES)
    other.take(900_000)
    assert everything.bytes == 2_000_000 + PIECE_BYTES + 1 + 900_000
    assert small.heavy
    assert not everything.load(User("eve")).heavy
    assert not other.heavy
    first.end()
    first.end()
    second.end()
    small.take(1)  # many small parts are as many bytes as few large ones
    assert everything.bytes == 900_000 + PIECE_BYTES + 1
    for load in (small, other):
        load.end()
    assert everything.bytes == 0


def test_bodies_are_refused_before_answers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "MOST_UNREAD_BYTES", 500_000)
    everything = Traffic()
    first, second = everything.load(BOB), everything.load(BOB)
    first.take(400_000, unread=True)
    with pytest.raises(TooManyRequests, match="up to 500000 bytes"):
        second.take(200_000, unread=True)
    second.take(200_000)
    assert everything.bytes == 600_000


@pytest.mark.parametrize("length", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_a_body_goes_in_pieces(length: int) -> None:
    body = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
    found = list(pieces(body))
    assert b"".join(found) == body
    assert all(len(piece) <= PIECE_BYTES for piece in found)


async def test_a_long_line_of_a_watch_comes_in_pieces_that_make_it_whole() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a", x="x" * 300_000))
        await api.post(CONFIGMAPS, configmap("b", x="short"))
        stream = await api.server.handle(Request("GET", CONFIGMAPS, {"watch": "true"}, {}, b"", ADMIN))
        assert isinstance(stream, Stream)
        chunks: list[bytes] = []
        async for chunk in stream.chunks:
            chunks.append(chunk)
            if b"".join(chunks).count(b"\n") == 2:
                break
        await stream.chunks.aclose()
    assert max(map(len, chunks)) <= 2 * PIECE_BYTES
    events = [json.loads(line) for line in b"".join(chunks).splitlines()]
    assert [event["object"]["metadata"]["name"] for event in events] == ["a", "b"]


async def _opened(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = served.url.removeprefix("https://").split(":")
    trust = ssl.create_default_context(cadata=served.credentials.ca_data.decode())
    return await asyncio.open_connection(host, int(port), ssl=trust)


def _head(served: Served, first: str, *lines: str) -> bytes:
    token = f"authorization: Bearer {served.credentials.admin_token}"
    return "\r\n".join([f"{first} HTTP/1.1", "host: x", token, *lines, "", ""]).encode()


@pytest.mark.realtime
@pytest.mark.parametrize("query", ["", "?watch=true"])
async def test_who_reads_nothing_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(traffic, "PATIENCE_SECONDS", 0.2)
    async with serving_https(tmp_path) as served:
        for number in range(20):
            big = json.dumps(configmap(f"big{number}", x="x" * 900_000)).encode()
            reader, writer = await _opened(served)
            writer.write(_head(served, f"POST {CONFIGMAPS}", f"content-length: {len(big)}") + big)
            assert b" 201 " in await reader.readline()
            writer.transport.abort()
        reader, writer = await _opened(served)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(_head(served, f"GET {CONFIGMAPS}{query}"))
        await asyncio.sleep(1)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((asyncio.IncompleteReadError, OSError)):
            await reader.readexactly(20 * 900_000)
        writer.transport.abort()


@pytest.mark.realtime
async def test_who_reads_nothing_of_a_websocket_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "PATIENCE_SECONDS", 0.2)
    upgrade = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13")
    async with serving_https(tmp_path) as served:
        reader, writer = await _opened(served)
        key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        writer.write(_head(served, f"GET {CONFIGMAPS}?watch=true", *upgrade, key))
        assert b" 101 " in await reader.readline()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert served.store.watchers == 1
        for number in range(20):
            big = configmap(f"big{number}", x="x" * 900_000)
            request = Request("POST", CONFIGMAPS, {}, {"content-type": "application/json"}, _json(big), ADMIN)
            answer = await served.server.handle(request)
            assert isinstance(answer, Response)
            assert answer.status == 201
        await eventually(lambda: not served.store.watchers)
        writer.transport.abort()


def _json(obj: Json) -> bytes:
    return json.dumps(obj).encode()


@pytest.mark.realtime
async def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("springtide.server.asgi.PATIENCE_SECONDS", 0.2)
    async with serving_https(tmp_path) as served:
        reader, writer = await _opened(served)
        writer.write(_head(served, f"POST {CONFIGMAPS}", "content-length: 1000000") + b"{" * 1000)
        async with asyncio.timeout(5):
            assert b" 400 " in await reader.readline()
        writer.transport.abort()
