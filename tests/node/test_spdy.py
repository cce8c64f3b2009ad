"""SPDY frames against a client that speaks as `kubectl port-forward` does, without any network."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest

from springtide.node import portforward, spdy
from springtide.node.spdy import Connection, ProtocolError, Stream
from springtide.runtime.exchange import Disconnected


class Pipe:
    """A WebSocket in memory."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[bytes] = []

    async def receive(self) -> bytes:
        message = await self.incoming.get()
        if message is None:
            raise Disconnected
        return message

    async def send(self, message: bytes | str) -> None:
        assert isinstance(message, bytes)
        self.sent.append(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Nothing to close."""


class Client:
    """Makes frames, and reads what came back."""

    def __init__(self) -> None:
        self.pipe = Pipe()
        self._deflate = zlib.compressobj(zdict=spdy._dictionary())

    def control(self, kind: int, payload: bytes, flags: int = 0) -> bytes:
        return struct.pack("!HHI", 0x8003, kind, flags << 24 | len(payload)) + payload

    def syn(self, number: int, flags: int = 0, **headers: str) -> bytes:
        block = struct.pack("!I", len(headers))
        for name, value in headers.items():
            for word in (name.encode(), value.encode()):
                block += struct.pack("!I", len(word)) + word
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return self.control(spdy.SYN_STREAM, struct.pack("!IIH", number, 0, 0) + packed, flags)

    def data(self, number: int, text: bytes, flags: int = 0) -> bytes:
        return struct.pack("!II", number, flags << 24 | len(text)) + text

    def answers(self) -> list[tuple[int, int, bytes]]:
        """(kind or 0 for data, stream, rest) of what was sent."""
        found = []
        for message in self.pipe.sent:
            head, rest = struct.unpack_from("!II", message)
            if head >> 31:
                found.append((head & 0xFFFF, struct.unpack_from("!I", message, 8)[0], message[12:]))
            else:
                found.append((0, head, bytes([rest >> 24]) + message[8:]))
        return found


class Served:
    """A connection that runs, and the streams it was opened with."""

    def __init__(self, accepts: bool = True) -> None:
        self.client = Client()
        self.streams: list[Stream] = []
        self._accepts = accepts
        self.connection = Connection(self.client.pipe, self._accept)
        self.running = asyncio.ensure_future(self.connection.run())

    def _accept(self, stream: Stream) -> bool:
        self.streams.append(stream)
        return self._accepts

    async def take(self, *frames: bytes) -> None:
        self.client.pipe.incoming.put_nowait(b"".join(frames))
        await asyncio.sleep(0.01)

    async def end(self) -> None:
        self.client.pipe.incoming.put_nowait(None)
        await self.running


async def test_streams_carry_headers_and_data_both_ways_and_end_one_way_at_a_time() -> None:
    served = Served()
    client = served.client
    await served.take(
        client.syn(1, streamtype="error", port="80"), client.syn(3, streamtype="data", port="80")
    )
    assert [stream.headers["streamtype"] for stream in served.streams] == ["error", "data"]
    data = served.streams[1]
    await served.take(client.data(3, b"hel"), client.data(3, b"lo", spdy.FIN))
    assert await data.read() + await data.read() + await data.read() == b"hello"
    await data.write(b"x" * (spdy.FRAME_BYTES + 1))
    await data.finish()
    answers = client.answers()
    assert [(kind, number) for kind, number, _ in answers] == [
        (spdy.SYN_REPLY, 1), (spdy.SYN_REPLY, 3), (0, 3), (0, 3), (0, 3)
    ]  # fmt: skip
    assert [(rest[0], len(rest) - 1) for kind, _, rest in answers if not kind] == [
        (0, spdy.FRAME_BYTES), (0, 1), (spdy.FIN, 0)
    ]  # fmt: skip
    await served.end()


async def test_frames_may_come_in_any_pieces() -> None:
    served = Served()
    frames = served.client.syn(1, port="1") + served.client.data(1, b"abc", spdy.FIN)
    for byte in frames:
        served.client.pipe.incoming.put_nowait(bytes([byte]))
    await asyncio.sleep(0.01)
    assert await served.streams[0].read() == b"abc"
    await served.end()


async def test_who_does_not_read_holds_the_client_back() -> None:
    served = Served()
    client = served.client
    await served.take(client.syn(1, port="1"))
    stream = served.streams[0]
    chunk = b"y" * 65_536
    for _ in range(40):
        client.pipe.incoming.put_nowait(client.data(1, chunk))
    await asyncio.sleep(0.01)
    held = client.pipe.incoming.qsize()
    assert held >= 40 - spdy.STREAM_BYTES // 65_536 - 1
    for _ in range(40):
        assert await stream.read() == chunk
    assert client.pipe.incoming.qsize() == 0
    await served.end()


@pytest.mark.parametrize("number", [2, 1])
async def test_numbers_that_are_no_clients_or_used_already_are_reset(number: int) -> None:
    served = Served()
    client = served.client
    await served.take(client.syn(1, port="1"), client.syn(number, port="1"), client.syn(5, port="1"))
    kinds = [(kind, stream) for kind, stream, _ in client.answers()]
    assert kinds == [(spdy.SYN_REPLY, 1), (spdy.RST_STREAM, number), (spdy.SYN_REPLY, 5)]
    await served.end()


async def test_unwanted_streams_are_refused_and_pings_answered() -> None:
    served = Served(accepts=False)
    client = served.client
    await served.take(client.syn(1, port="1"), client.control(spdy.PING, struct.pack("!I", 7)))
    assert client.answers() == [
        (spdy.RST_STREAM, 1, struct.pack("!I", spdy.REFUSED_STREAM)), (spdy.PING, 7, b"")
    ]  # fmt: skip
    await served.end()


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "\xb2", "9" * 5000])
async def test_a_port_that_is_none_is_refused(port: str) -> None:
    async def dial(_port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise AssertionError("nothing to connect to")

    served = Served()
    tunnel = portforward.Tunnel(Pipe(), dial, "p")
    stream = Stream(served.connection, 1, {"port": port, "streamtype": "data"}, ended=False)
    assert not tunnel._accept(stream)
    await served.end()


async def test_a_reset_or_a_goodbye_ends_reading() -> None:
    served = Served()
    client = served.client
    await served.take(client.syn(1, port="1"), client.syn(3, port="1"))
    await served.take(client.control(spdy.RST_STREAM, struct.pack("!II", 1, spdy.CANCEL)))
    assert await served.streams[0].read() == b""
    await served.take(client.control(spdy.GOAWAY, struct.pack("!II", 3, 0)))
    await served.running
    assert await served.streams[1].read() == b""


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (struct.pack("!HHI", 0x8002, 1, 0), "version 2"),
        (struct.pack("!HHI", 0x8003, 1, 1 << 20), "1048576 bytes"),
        (struct.pack("!HHI", 0x8003, 1, 12) + bytes(12), "headers of a stream cannot be read"),
        (struct.pack("!HHI", 0x8003, 1, 4) + bytes(4), "too short"),
    ],
)
async def test_what_is_no_spdy_ends_the_connection(frame: bytes, says: str) -> None:
    served = Served()
    served.client.pipe.incoming.put_nowait(frame)
    with pytest.raises(ProtocolError, match=says):
        await served.running


async def test_headers_that_grow_when_unpacked_are_refused() -> None:
    served = Served()
    served.client.pipe.incoming.put_nowait(served.client.syn(1, port="0" * 1_000_000))
    with pytest.raises(ProtocolError, match="longer than"):
        await served.running
