"""Pods reach Services: by address, by every form of the name, through a port of the node, in turn."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from springtide.api.core import Event
from springtide.node.proxy import TcpDoor, Turns
from springtide.node.service_book import Route
from springtide.runtime import SystemClock
from tests.node.scene import Scene, node_alone

pytestmark = pytest.mark.realtime

SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


ADDRESSES = itertools.count(1)
"""Addresses that no other test of this machine uses at the time."""


class Echo:
    """Something that answers: says its own name, and what it was told in capitals."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address, self.port = name, address, 0
        self.heard = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += 1
        told = await reader.read()
        writer.write(f"{self.name}:".encode() + told.upper())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def echoes(*names: str) -> AsyncIterator[list[Echo]]:
    """Each at an address of its own and all at one port, as pods of a Service are."""
    found = [Echo(name, f"127.76.1.{number + 1}") for number, name in enumerate(names)]
    servers: list[asyncio.Server] = []
    port = 0
    for echo in found:
        server = await asyncio.start_server(echo.answer, echo.address, port)
        port = echo.port = server.sockets[0].getsockname()[1]
        servers.append(server)
    try:
        yield found
    finally:
        for server in servers:
            server.close()


async def post(world: Scene, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await world.client.request(
        "POST", path, body=msgspec.json.encode(body), content_type="application/json"
    )
    return dict(msgspec.json.decode(answer.body))


async def service(world: Scene, found: list[Echo], **spec: Any) -> dict[str, Any]:
    """A Service `web` and the slice behind it, written as the endpoints controller would."""
    own = {"clusterIP": f"127.10.{100 + os.getpid() % 100}.{next(ADDRESSES)}"}
    wanted = {"selector": {"app": "web"}, "ports": [{"port": 80}], **own, **spec}
    made = await post(
        world, SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": wanted}
    )
    await post(
        world,
        SLICES,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": [echo.address], "conditions": {"ready": True}, "hostname": echo.name}
                for echo in found
            ],
            "ports": [{"name": "", "port": found[0].port, "protocol": "TCP"}],
        },
    )
    return dict(made["spec"])


async def ask(address: str, port: int, text: bytes = b"hi") -> str:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(text)
    writer.write_eof()
    told = await reader.read()
    writer.close()
    return told.decode()


async def reachable(address: str, port: int) -> None:
    """Until somebody listens there."""
    async with asyncio.timeout(20):
        while True:
            try:
                await ask(address, port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_connections_go_to_the_pods_in_turn_and_end_half_by_half(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as world, echoes("a", "b") as found:
        spec = await service(world, found)
        await reachable(spec["clusterIP"], 80)
        answers = [await ask(spec["clusterIP"], 80, b"x" * 100_000) for _ in range(4)]
        assert sorted(answers) == sorted([f"{name}:{'X' * 100_000}" for name in "aabb"])


async def test_a_dead_pod_is_passed_over_before_its_slice_says_so(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as world, echoes("a") as found:
        ghost = Echo("ghost", "127.76.1.9")
        spec = await service(world, [ghost_at(ghost, found[0].port), *found][::-1])
        await reachable(spec["clusterIP"], 80)
        assert {await ask(spec["clusterIP"], 80) for _ in range(4)} == {"a:HI"}


def ghost_at(echo: Echo, port: int) -> Echo:
    echo.port = port
    return echo


async def test_a_client_keeps_to_its_pod_where_asked(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as world, echoes("a", "b") as found:
        spec = await service(world, found, sessionAffinity="ClientIP")
        await reachable(spec["clusterIP"], 80)
        assert len({await ask(spec["clusterIP"], 80) for _ in range(6)}) == 1


async def test_a_node_port_leads_to_the_same_pods(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as world, echoes("a") as found:
        spec = await service(world, found, type="NodePort")
        number = spec["ports"][0]["nodePort"]
        await reachable("127.0.0.1", number)
        assert await ask("127.0.0.1", number) == "a:HI"


async def test_nobody_listens_where_nobody_answers(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as world, echoes("a") as found:
        spec = await service(world, found)
        await reachable(spec["clusterIP"], 80)
        await world.client.request("DELETE", f"{SLICES}/web-1")
        async with asyncio.timeout(20):
            while True:
                try:
                    await ask(spec["clusterIP"], 80)
                except ConnectionRefusedError:
                    break
                except ConnectionResetError:
                    continue  # it waited to be let in as the door closed
                await asyncio.sleep(0.02)
        assert found[0].heard >= 1


async def test_a_door_that_is_taken_is_said_on_the_service(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as world, echoes("a") as found:
        taken = await asyncio.start_server(found[0].answer, "127.10.200.200", 80)
        await service(world, found, clusterIP="127.10.200.200")
        async with asyncio.timeout(20):
            while True:
                events = await world.client.list(Event, "default")
                reasons = [event.reason for event in events.items if event.involved_object.name == "web"]
                if reasons:
                    break
                await asyncio.sleep(0.05)
        taken.close()
        assert reasons == ["ServiceNotReachable"]


@pytest.mark.parametrize("name", ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"])
async def test_a_pod_finds_a_service_by_every_form_of_its_name(tmp_path: Path, name: str) -> None:
    async with node_alone(tmp_path) as world, echoes("a") as found:
        spec = await service(world, found)
        await reachable(spec["clusterIP"], 80)
        await asyncio.sleep(0.1)
        program = f"import socket; print(socket.gethostbyname({name!r}))"
        await world.create("asker", {"name": "main", "command": [sys.executable, "-c", program]})
        await world.finished("asker")
        assert (await world.logs("asker")).strip() == spec["clusterIP"]


async def test_a_running_pod_hears_of_a_service_that_comes_later(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as world, echoes("a") as found:
        program = (
            "import os, socket, time\n"
            "print(sorted(name for name in os.environ if name.startswith('WEB_')), flush=True)\n"
            "for _ in range(400):\n"
            "    try:\n"
            "        print(socket.gethostbyname('a.web')); break\n"
            "    except OSError: time.sleep(0.05)\n"
        )
        await world.create("early", {"name": "main", "command": [sys.executable, "-c", program]})
        await world.running("early")
        await service(world, found, clusterIP="None")
        await world.finished("early")
        assert (await world.logs("early")).split() == ["[]", found[0].address]


async def test_a_later_pod_has_variables_that_say_where_it_is(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as world, echoes("a") as found:
        spec = await service(world, found, ports=[{"port": 80, "name": ""}])
        await reachable(spec["clusterIP"], 80)
        program = "import os; print(os.environ['WEB_SERVICE_HOST'], os.environ['WEB_SERVICE_PORT'])"
        await world.create("asker", {"name": "main", "command": [sys.executable, "-c", program]})
        await world.finished("asker")
        assert (await world.logs("asker")).split() == [spec["clusterIP"], "80"]


class Exhausted(socket.socket):
    """A door at which somebody waits while this process can open no more files."""

    tries = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.tries += 1
        raise OSError(errno.EMFILE, "too many open files")


async def test_a_door_that_cannot_let_in_waits_instead_of_trying_for_ever() -> None:
    route = Route((("127.0.0.1", 1),))
    door = TcpDoor(Turns(SystemClock(), route), shared=False)
    with Exhausted() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        door._listener = listener
        asyncio.get_running_loop().add_reader(listener, door._accept, listener)
        client.connect(listener.getsockname())
        await asyncio.sleep(0.3)
        await door.close()
        assert listener.tries == 1
