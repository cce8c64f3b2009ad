"""Data folders that run on one machine at a time: each has Service addresses of its own, and keeps them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from springtide.api.core import Service
from springtide.api.meta import ObjectMeta
from springtide.api.services import ServicePort, ServiceSpec
from springtide.client import Client
from springtide.runtime import SystemClock
from springtide.server import InProcessTransport, Server
from springtide.up.bootstrap import publish_server
from springtide.up.control_plane import open_https, open_server

pytestmark = pytest.mark.realtime


async def web(server: Server) -> str:
    """The address of the API server's own Service, once it and another are there."""
    client = Client(InProcessTransport(server)).with_manager("test")
    await publish_server(client, "https://127.0.0.1:7443")
    spec = ServiceSpec(ports=[ServicePort(port=80)])
    await client.create(Service(metadata=ObjectMeta(name="web", namespace="default"), spec=spec))
    return await address(server, "web")


async def address(server: Server, name: str) -> str:
    found = await Client(InProcessTransport(server)).get(Service, name, "default")
    assert IPv4Address(found.spec.cluster_ip) in server.service_block
    assert found.spec.cluster_ips == [found.spec.cluster_ip]
    return found.spec.cluster_ip


async def test_two_platforms_have_different_addresses_and_keep_them(tmp_path: Path) -> None:
    clock, first = SystemClock(), {}
    async with open_server(tmp_path / "a", clock, 0) as a, open_server(tmp_path / "b", clock, 0) as b:
        assert not a.service_block.overlaps(b.service_block)
        first = {"a": await web(a), "b": await web(b)}
    async with open_server(tmp_path / "b", clock, 0) as b, open_server(tmp_path / "a", clock, 0) as a:
        assert {"a": await address(a, "web"), "b": await address(b, "web")} == first


class Heard(logging.Handler):
    """What the control plane logs, however logging is set up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler, log = Heard(), logging.getLogger("springtide.up.control_plane")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


async def test_a_copy_that_runs_beside_the_original_moves_and_says_so(tmp_path: Path, heard: Heard) -> None:
    clock = SystemClock()
    async with open_server(tmp_path / "original", clock, 0) as original:
        await web(original)
        block = original.service_block
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    async with AsyncExitStack() as stack:
        original = await stack.enter_async_context(open_server(tmp_path / "original", clock, 0))
        copy = await stack.enter_async_context(open_server(tmp_path / "copy", clock, 0))
        assert original.service_block == block
        assert not copy.service_block.overlaps(block)
        assert (await address(copy, "web")).split(".")[2:] == (await address(original, "web")).split(".")[2:]
        assert len(heard.messages) == 1
        assert "another platform of this machine holds" in heard.messages[0]
        moved = copy.service_block
    async with open_server(tmp_path / "copy", clock, 0) as copy:
        assert copy.service_block == moved, "a block once chosen is kept"


async def test_the_certificate_names_the_first_address_of_the_block(tmp_path: Path) -> None:
    clock = SystemClock()
    async with open_server(tmp_path, clock, 0) as server, open_https(server, tmp_path, clock, port=0) as door:
        await web(server)
        certificate = x509.load_pem_x509_certificate(door[1].server_certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        own = await address(server, "kubernetes")
        assert IPv4Address(own) in names.get_values_for_type(x509.IPAddress)
        assert own.endswith(".0.1")
