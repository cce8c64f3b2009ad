"""SPDY/3.1 as far as `kubectl port-forward` needs it: streams with headers, over a tunnel in a WebSocket.

kubectl opens a WebSocket with the subprotocol `SPDY/3.1+portforward.k8s.io` and speaks SPDY inside: for each
connection it opens an error and a data stream. `Connection` is the answering side: it parses frames, hands
every new stream to `accept`, and never holds more than `STREAM_BYTES` of a stream that is not read: then it
stops taking from the tunnel. Priorities, push, settings and windows are not used by Kubernetes' clients and
are passed over. Source: the SPDY protocol, draft 3.1, sections 2.2 (frames) and 2.6.10 (headers).
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from springtide.runtime.exchange import Disconnected, WebSocket

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 0x01
PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 1, 3, 5
STREAM_BYTES = 1024 * 1024
FRAME_BYTES = 64 * 1024
MAX_CONTROL_BYTES = 64 * 1024
MAX_STREAMS = 1024
_VERSION = 0x8003
_LONGEST_DATA = 0xFFFFFF

_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age
allow authorization cache-control connection content-base content-encoding content-language content-length
content-location content-md5 content-range content-type date etag expect expires from host if-match
if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie
keep-alive origin
"""
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """The text both sides prime their header compression with (section 2.6.10.1)."""
    words = [word.replace("_", " ").encode() for word in _WORDS.split()]
    return b"".join(struct.pack("!I", len(word)) + word for word in words) + _TAIL.encode()


class ProtocolError(Exception):
    """The other side does not speak SPDY as it should; the connection cannot go on."""


class Stream:
    """One stream, opened by the client."""

    def __init__(self, connection: Connection, number: int, headers: Mapping[str, str], ended: bool) -> None:
        self.number = number
        self.headers = headers
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = ended
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finished = False
        self._opened = asyncio.Event()

    def opened(self) -> None:
        """From the connection: the client knows that the stream was accepted; before, it drops our data."""
        self._opened.set()

    async def read(self) -> bytes:
        """What the client sent; empty once it has sent its last, or is gone."""
        while not self._chunks:
            if self._ended:
                return b""
            self._more.clear()
            await self._more.wait()
        data = self._chunks.popleft()
        self._waiting_bytes -= len(data)
        if self._waiting_bytes < STREAM_BYTES:
            self._room.set()
        return data

    async def write(self, data: bytes) -> None:
        """Raises Disconnected."""
        await self._opened.wait()
        for start in range(0, len(data), FRAME_BYTES):
            await self._connection.send_data(self.number, data[start : start + FRAME_BYTES])

    async def finish(self) -> None:
        """Nothing more will be written. Raises Disconnected."""
        if not self._finished:
            self._finished = True
            await self._opened.wait()
            await self._connection.send_data(self.number, b"", FIN)

    async def reset(self, reason: int = CANCEL) -> None:
        """End both directions at once. Raises Disconnected."""
        self._finished = True
        await self._connection.reset(self.number, reason)

    async def put(self, data: bytes, *, last: bool) -> None:
        """From the connection: data that came. Waits while too much of it is not read."""
        if data and not self._ended:
            self._chunks.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes >= STREAM_BYTES:
                self._room.clear()
        if last:
            self._ended = True
        self._more.set()
        await self._room.wait()

    def end(self) -> None:
        """From the connection: nothing more comes."""
        self._ended = True
        self._more.set()
        self._room.set()


class Connection:
    """The answering side of a tunnel."""

    def __init__(self, socket: WebSocket, accept: Callable[[Stream], bool]) -> None:
        """`accept` is told of every new stream and says whether it is wanted; it must not wait."""
        self._socket = socket
        self._accept = accept
        self._streams: dict[int, Stream] = {}
        self._newest = 0
        dictionary = _dictionary()
        self._inflate = zlib.decompressobj(zdict=dictionary)
        self._deflate = zlib.compressobj(zdict=dictionary)

    async def run(self) -> None:
        """Take frames until the client says goodbye or is gone. Raises ProtocolError."""
        buffer = bytearray()
        try:
            while True:
                message = await self._socket.receive()
                if isinstance(message, str):
                    raise ProtocolError("a text message in a SPDY tunnel")
                buffer += message
                for head, flags, payload in _frames(buffer):
                    if not await self._take(head, flags, payload):
                        return
        except Disconnected:
            return
        finally:
            for stream in self._streams.values():
                stream.end()

    def forget(self, stream: Stream) -> None:
        """Both directions are over; late frames of it are passed over."""
        stream.end()
        self._streams.pop(stream.number, None)

    async def send_data(self, number: int, data: bytes, flags: int = 0) -> None:
        """Raises Disconnected."""
        await self._socket.send(struct.pack("!II", number, flags << 24 | len(data)) + data)

    async def reset(self, number: int, reason: int) -> None:
        """Raises Disconnected."""
        stream = self._streams.get(number)
        if stream is not None:
            self.forget(stream)
        await self._send_control(RST_STREAM, struct.pack("!II", number, reason))

    # -- frames ---------------------------------------------------------------------------------------

    async def _take(self, head: int, flags: int, payload: bytes) -> bool:
        """Handle one frame; False after the client's goodbye."""
        if not head >> 31:
            await self._take_data(head, flags, payload)
            return True
        if head >> 16 != _VERSION:
            raise ProtocolError(f"SPDY version {head >> 16 & 0x7FFF} is not spoken here; 3 is")
        kind = head & 0xFFFF
        if kind == SYN_STREAM:
            await self._open(flags, payload)
        elif kind == RST_STREAM and len(payload) >= 4:
            stream = self._streams.pop(_number(payload), None)
            if stream is not None:
                stream.end()
        elif kind == PING and len(payload) == 4 and _number(payload) % 2:
            await self._send_control(PING, payload)
        elif kind == GOAWAY:
            return False
        return True

    async def _take_data(self, number: int, flags: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            await stream.put(payload, last=bool(flags & FIN))

    async def _open(self, flags: int, payload: bytes) -> None:
        if len(payload) < 10:
            raise ProtocolError("a SYN_STREAM frame is too short")
        number = _number(payload)
        headers = self._headers(payload[10:])  # also for refused streams: the compression goes on
        if number % 2 == 0 or number <= self._newest:
            await self._send_control(RST_STREAM, struct.pack("!II", number, PROTOCOL_ERROR))
            return
        self._newest = number
        stream = Stream(self, number, headers, ended=bool(flags & FIN))
        if len(self._streams) >= MAX_STREAMS or not self._accept(stream):
            await self._send_control(RST_STREAM, struct.pack("!II", number, REFUSED_STREAM))
            return
        self._streams[number] = stream
        block = self._deflate.compress(struct.pack("!I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._send_control(SYN_REPLY, struct.pack("!I", number) + block)
        stream.opened()

    async def _send_control(self, kind: int, payload: bytes) -> None:
        await self._socket.send(struct.pack("!HHI", _VERSION, kind, len(payload)) + payload)

    def _headers(self, block: bytes) -> dict[str, str]:
        """Header names in lower case, first values. Raises ProtocolError."""
        try:
            text = self._inflate.decompress(block, MAX_CONTROL_BYTES)
            count = struct.unpack_from("!I", text)[0]
            if self._inflate.unconsumed_tail:
                raise ProtocolError(f"headers of a stream are longer than {MAX_CONTROL_BYTES} bytes")
            place, words = 4, []
            for _ in range(min(count, 256) * 2):
                length = struct.unpack_from("!I", text, place)[0]
                words.append(text[place + 4 : place + 4 + length].decode("latin-1"))
                place += 4 + length
        except (zlib.error, struct.error) as error:
            raise ProtocolError(f"headers of a stream cannot be read: {error}") from None
        return {
            name.lower(): value.partition("\0")[0]
            for name, value in zip(words[::2], words[1::2], strict=True)
        }


def _number(payload: bytes) -> int:
    return int(struct.unpack_from("!I", payload)[0]) & 0x7FFFFFFF


def _frames(buffer: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Whole frames at the head of the buffer, which are removed from it. Raises ProtocolError."""
    place = 0
    try:
        while len(buffer) - place >= 8:
            head, rest = struct.unpack_from("!II", buffer, place)
            flags, length = rest >> 24, rest & _LONGEST_DATA
            if head >> 31 and length > MAX_CONTROL_BYTES:
                raise ProtocolError(f"a control frame of {length} bytes; {MAX_CONTROL_BYTES} is the limit")
            if len(buffer) - place - 8 < length:
                break
            payload = bytes(buffer[place + 8 : place + 8 + length])
            place += 8 + length
            yield head, flags, payload
    finally:
        del buffer[:place]
