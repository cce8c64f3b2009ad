"""How keepers talk: frames over TLS, where each side shows the certificate that its Node object publishes.

A keeper makes itself a key and a certificate and publishes the certificate, with where it listens, in an
annotation of its own Node (only nodes may write that). A peer is whoever shows a certificate that a Node of
the cluster publishes: nobody else is heard, and nobody else is asked. There is no authority to steal.
Used by `keeper_service` (who answers) and `keeper_copies` (who asks).
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec

from springtide.api.labels import KEEPER
from springtide.api.nodes import Node
from springtide.node.keeper_layout import MANIFEST_BYTES_MAX, Job, Part
from springtide.runtime import logger

log = logger("node.keeper_channel")

_LIFE = timedelta(days=3650)
_FRAME_BYTES_MAX = MANIFEST_BYTES_MAX + 1024 * 1024
_LENGTH_BYTES = 4
_BUFFER_BYTES = 4 * 1024 * 1024

T = TypeVar("T")


class Broken(Exception):
    """The other side said something that is not this protocol, or is not who it should be."""


class Address(msgspec.Struct, frozen=True):
    """What a Node says of its keeper."""

    host: str
    port: int
    certificate: str

    @property
    def fingerprint(self) -> str:
        """Of the certificate; raises ValueError for what is none."""
        return fingerprint(ssl.PEM_cert_to_DER_cert(self.certificate))


class Ask(msgspec.Struct, tag_field="ask"):
    """What one keeper wants of another."""

    job: Job


class Holdings(Ask, tag="holdings"):
    """Which parts of the job are there? Answered by `Held`."""


class Fetch(Ask, tag="fetch"):
    """Send this part: answered by `Given`, its manifest as a frame, its bytes."""

    part: Part


class Put(Ask, tag="put"):
    """Take this part, whose manifest follows: answered by `Given`; then its bytes, and `Given` once kept."""

    part: Part


class Held(msgspec.Struct, tag=True):
    """The parts that are there."""

    parts: list[Part]


class Given(msgspec.Struct, tag=True):
    """Whether it is done, as asked."""

    refused: str = ""
    """Why not; empty: it is."""


Question = Holdings | Fetch | Put


def address_of(node: Node) -> Address | None:
    """Where the node's keeper is, if it says so in a way one can use."""
    return _address(node.metadata.annotations.get(KEEPER, ""))


@lru_cache(maxsize=8192)
def _address(text: str) -> Address | None:
    try:
        address = msgspec.json.decode(text, type=Address)
        return address if address.fingerprint else None
    except (msgspec.DecodeError, ValueError):
        return None


def fingerprint(certificate: bytes) -> str:
    """Of a certificate in DER."""
    return hashlib.sha256(certificate).hexdigest()


@dataclass(frozen=True)
class Identity:
    """A keeper's key and certificate; the key never leaves this process but for the moment it is loaded."""

    certificate: str
    key: bytes = field(repr=False)


def make_identity(node: str, now: datetime) -> Identity:
    """A fresh key, certified by itself."""
    from cryptography import x509  # not before: it is needed only where there are peers
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    # the serial makes the name unique, so that TLS never mistakes one node's certificate for another's
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, node[:64]),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"[:64]),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


class Trust:
    """Who the keepers of the cluster are now, and the TLS of both directions."""

    def __init__(self, identity: Identity, folder: Path) -> None:
        """`folder`: where the key may lie for the moment in which TLS reads it."""
        self._identity = identity
        self._folder = folder
        self._trusted: set[str] = set()
        self._nodes: dict[str, str] = {}
        self.server = self._context(ssl.PROTOCOL_TLS_SERVER)
        self.server.verify_mode = ssl.CERT_REQUIRED

    def learn(self, addresses: Mapping[str, Address]) -> None:
        """These nodes have keepers, and no others. Who publishes what is no certificate is not heard."""
        self._nodes = {}
        for node, address in addresses.items():
            if address.fingerprint not in self._trusted:
                try:
                    self.server.load_verify_locations(cadata=address.certificate)
                except ssl.SSLError as error:
                    log.warning("keeper publishes no certificate", node=node, error=str(error))
                    continue
                self._trusted.add(address.fingerprint)
            self._nodes[address.fingerprint] = node

    def who(self, writer: asyncio.StreamWriter) -> str:
        """The node at the other end of a connection to us. Raises Broken for one that is none (any more)."""
        node = self._nodes.get(_peer_of(writer))
        if node is None:
            raise Broken("no Node of this cluster publishes the certificate that was shown")
        return node

    def towards(self, address: Address) -> ssl.SSLContext:
        """TLS that speaks to this keeper and no other."""
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=address.certificate)
        return context

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the certificate itself is expected, wherever it is shown
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:  # made readable by this user only
            file.write(self._identity.certificate.encode() + self._identity.key)
            file.flush()
            context.load_cert_chain(file.name)
        return context


async def connect(trust: Trust, address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a peer's keeper. Raises OSError (ssl.SSLError among them), Broken."""
    reader, writer = await asyncio.open_connection(
        address.host, address.port, ssl=trust.towards(address), limit=_BUFFER_BYTES
    )
    if _peer_of(writer) != address.fingerprint:
        writer.close()
        raise Broken("the keeper showed another certificate than its Node publishes")
    return reader, writer


def _peer_of(writer: asyncio.StreamWriter) -> str:
    tls = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return fingerprint(certificate) if certificate else ""


async def send(writer: asyncio.StreamWriter, message: Question | Held | Given) -> None:
    """One message."""
    await send_bytes(writer, msgspec.json.encode(message))


async def send_bytes(writer: asyncio.StreamWriter, text: bytes) -> None:
    """One frame: its length, then itself."""
    writer.write(len(text).to_bytes(_LENGTH_BYTES, "big"))
    writer.write(text)
    await writer.drain()


async def receive(reader: asyncio.StreamReader, kind: type[T]) -> T:
    """One message of this kind. Raises Broken, and EOFError (IncompleteReadError) when the line is cut."""
    try:
        return msgspec.json.decode(await receive_bytes(reader), type=kind)
    except msgspec.DecodeError as error:
        raise Broken(f"not a message: {error}") from None


async def receive_question(reader: asyncio.StreamReader) -> Question:
    """What the other side asks. Raises as `receive`."""
    text = await receive_bytes(reader)
    try:
        return _QUESTIONS.decode(text)
    except msgspec.DecodeError as error:
        raise Broken(f"not a question: {error}") from None


async def receive_held(reader: asyncio.StreamReader) -> Held | Given:
    """The answer to `Holdings`. Raises as `receive`."""
    try:
        return _HELD.decode(await receive_bytes(reader))
    except msgspec.DecodeError as error:
        raise Broken(f"not an answer: {error}") from None


async def receive_bytes(reader: asyncio.StreamReader) -> bytes:
    """One frame. Raises as `receive`."""
    size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    if size > _FRAME_BYTES_MAX:
        raise Broken(f"a frame of {size} bytes is longer than {_FRAME_BYTES_MAX}")
    return await reader.readexactly(size)


_HELD: msgspec.json.Decoder[Held | Given] = msgspec.json.Decoder(Held | Given)
_QUESTIONS: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)


def known_addresses(nodes: Iterable[Node]) -> dict[str, Address]:
    """All keepers of the cluster, by node."""
    found = ((node.metadata.name, address_of(node)) for node in nodes)
    return {name: address for name, address in found if address is not None}
