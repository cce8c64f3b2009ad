"""The block of Services' addresses: read from the Services, kept, and left for another one all together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

from springtide.runtime import LoopClock
from springtide.server import Server
from springtide.server.service_block import DEFAULT_BLOCK, first_address, move, stored_block
from springtide.store import MemoryLog, Store
from tests.server.serving import Answer, Api

HERE, THERE = IPv4Network("127.44.0.0/16"), IPv4Network("127.45.0.0/16")
SERVICES = "/api/v1/namespaces/default/services"


@asynccontextmanager
async def serving_in(block: IPv4Network, log: MemoryLog | None = None) -> AsyncIterator[Api]:
    clock, log = LoopClock(seed=7), log or MemoryLog()
    store = Store(log, monotonic=clock.monotonic)
    server = Server(store, clock=clock, service_block=block)
    await server.start()
    try:
        yield Api(server, store, log)
    finally:
        await store.close()


async def create(served: Api, name: str, **spec: object) -> Answer:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
    return await served.post(SERVICES, {**body, "spec": {"ports": [{"port": 80}], **spec}})


async def test_addresses_are_of_the_servers_block() -> None:
    async with serving_in(HERE) as served:
        assert (await create(served, "kubernetes")).json["spec"]["clusterIP"] == "127.44.0.1"
        assert (await create(served, "web")).json["spec"]["clusterIP"].startswith("127.44.")
        foreign = await create(served, "foreign", clusterIP="127.45.0.9")
        assert foreign.status == 422
        assert "The range of valid IPs is 127.44.0.0/16" in foreign.json["message"]


async def test_node_ports_of_two_blocks_begin_apart() -> None:
    first = []
    for block in (HERE, THERE):
        async with serving_in(block) as served:
            made = await create(served, "web", type="NodePort")
            first.append(made.json["spec"]["ports"][0]["nodePort"])
    assert abs(first[0] - first[1]) == 50


async def test_the_services_say_which_block_they_are_in() -> None:
    async with serving_in(HERE) as served:
        assert stored_block(served.store) is None
        await create(served, "headless", clusterIP="None")
        await create(served, "elsewhere", type="ExternalName", externalName="example.org", ports=[])
        assert stored_block(served.store) is None
        await create(served, "web")
        assert stored_block(served.store) == HERE
        await create(served, "kubernetes")
        assert stored_block(served.store) == HERE


async def test_a_move_keeps_every_services_place() -> None:
    log = MemoryLog()
    async with serving_in(HERE, log) as served:
        await create(served, "kubernetes")
        await create(served, "web", clusterIP="127.44.3.4")
        await create(served, "headless", clusterIP="None")
        before = (await served.get(f"{SERVICES}/headless")).json
    store = Store(log, monotonic=LoopClock().monotonic)
    assert await move(store, HERE, THERE) == 2
    assert stored_block(store) == THERE
    await store.close()
    async with serving_in(THERE, log) as served:
        found = {one["metadata"]["name"]: one for one in (await served.get(SERVICES)).json["items"]}
        assert found["kubernetes"]["spec"]["clusterIPs"] == ["127.45.0.1"]
        assert found["web"]["spec"]["clusterIP"] == "127.45.3.4"
        assert found["headless"]["metadata"] == before["metadata"]
        web = (await served.get(f"{SERVICES}/web")).json
        assert web["metadata"]["resourceVersion"] == found["web"]["metadata"]["resourceVersion"]
        assert (await served.put(f"{SERVICES}/web", web)).status == 200
        assert (await create(served, "taken", clusterIP="127.45.3.4")).status == 422


def test_the_default_block_has_the_usual_first_address() -> None:
    assert str(first_address(DEFAULT_BLOCK)) == "127.10.0.1"
