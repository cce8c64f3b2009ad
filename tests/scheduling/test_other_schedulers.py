"""Beside other schedulers: their pods count, pods they bind first are theirs, and a refusal stops nobody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from springtide import scheduling
from springtide.api.core import Event, Pod
from springtide.api.struct import replace
from springtide.client import Client, Request, Response, Transport
from springtide.runtime import LoopClock, Runtime
from springtide.scheduling import Settings
from springtide.server import InProcessTransport
from springtide.store import Store
from springtide.up.bootstrap import bootstrap
from tests.builders import node, pod, pod_spec
from tests.embedded import Platform, in_memory, server_in_memory, working


class Between:
    """The scheduler's connection; somebody else acts, or answers, before each of its bindings."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.bindings: list[str] = []
        self.refuse: Callable[[str], int] = lambda _: 0
        """Status with which the binding of a pod is refused; 0: it is not."""
        self.rival: dict[str, str] = {}
        """Pod to the node on which another scheduler puts it just before us."""

    async def send(self, request: Request) -> Response:
        if not request.path.endswith("/binding"):
            return await self._inner.send(request)
        name = request.path.split("/")[-2]
        self.bindings.append(name)
        status = self.refuse(name)
        if status:
            body = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "code": status,
                "message": "no",
            }
            return Response(status, {"content-type": "application/json"}, json.dumps(body).encode())
        if name in self.rival:
            await Client(self._inner).bind("default", name, self.rival.pop(name))
        return await self._inner.send(request)

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._inner.stream(request)

    async def close(self) -> None:
        await self._inner.close()


@asynccontextmanager
async def scene() -> AsyncIterator[tuple[Platform, Between]]:
    """A server, a scheduler that reaches it through `Between`, and a user who does not."""
    clock = LoopClock()
    store: Store = in_memory(clock)
    async with server_in_memory(clock, store=store) as server:
        inner = InProcessTransport(server)
        await bootstrap(Client(inner))
        between = Between(inner)
        runtime = Runtime(Client(between), clock)
        scheduling.register(runtime, Settings())
        async with working(runtime):
            yield Platform(Client(inner), runtime, store), between


def ours(name: str, cpu: int = 1) -> Pod:
    return pod(name, pod_spec(cpu=cpu))


def theirs(name: str, cpu: int = 1) -> Pod:
    made = ours(name, cpu)
    return replace(made, spec=replace(made.spec, scheduler_name="default-scheduler"))


async def places(platform: Platform) -> dict[str, str]:
    return {one.metadata.name: one.spec.node_name or "" for one in await platform.pods()}


async def events(platform: Platform, reason: str) -> list[str]:
    found = (await platform.client.list(Event)).items
    return sorted(one.involved_object.name for one in found if one.reason == reason)


async def test_pods_of_other_schedulers_are_left_alone_and_count_where_they_are_bound() -> None:
    async with scene() as (platform, between):
        await platform.create(node("a", cpu=2), node("b", cpu=2), theirs("foreign", 2), theirs("waits"))
        await platform.client.bind("default", "foreign", "a")
        await platform.create(ours("one"), ours("two"), ours("three"))
        await platform.settle()
        assert await places(platform) == {
            "foreign": "a",
            "waits": "",
            "one": "b",
            "two": "b",
            "three": "",
        } or (sorted((await places(platform)).values()) == ["", "", "a", "b", "b"])
        assert "waits" not in between.bindings
        await platform.client.delete(Pod, "foreign", "default", grace_period_seconds=0)
        await platform.settle()
        assert sorted((await places(platform)).values()) == ["", "a", "b", "b"]


async def test_a_pod_that_another_scheduler_binds_first_is_its_own_and_counts_there() -> None:
    async with scene() as (platform, between):
        between.rival = {"wanted": "b"}
        await platform.create(node("b", cpu=2), node("a", cpu=2, labelled={"ours": "yes"}))
        await platform.create(pod("wanted", pod_spec(cpu=2, selector={"ours": "yes"})))
        await platform.settle()
        assert await places(platform) == {"wanted": "b"}
        assert await events(platform, "Scheduled") == [], "it was not us who put it there"
        await platform.create(ours("large", 2), ours("late", 2))
        await platform.settle()
        assert sorted((await places(platform)).items())[0] == ("large", "a")
        assert (await places(platform))["late"] == "", "node b is full, whoever filled it"
        assert between.bindings == ["wanted", "large"]


async def test_a_node_filled_after_the_decision_is_seen_before_the_next_one() -> None:
    """A server takes a binding to a full node: what keeps it from happening again is that all pods count."""
    async with scene() as (platform, between):
        await platform.create(node("a", cpu=2), theirs("quick", 2))
        between.rival = {"quick": "a"}
        await platform.client.bind("default", "quick", "a")
        await platform.create(*(ours(f"p{index}") for index in range(3)))
        await platform.settle()
        assert between.bindings == []
        assert await events(platform, "FailedScheduling") == ["p0", "p1", "p2"]


async def test_a_refused_binding_is_tried_again_and_holds_up_nobody() -> None:
    async with scene() as (platform, between):
        between.refuse = lambda name: 403 if name == "poison" else 0
        await platform.create(node("a", cpu=8), ours("poison"), ours("fine"))
        await platform.settle(3)
        assert await places(platform) == {"poison": "", "fine": "a"}
        for index in range(5):
            await platform.create(ours(f"later-{index}"))
            await platform.settle(0.5)
            assert (await places(platform))[f"later-{index}"] == "a", "others start at once"
        await platform.settle(60)
        tries = between.bindings.count("poison")
        assert 5 <= tries <= 12, "after 1, 2, 4, 8 seconds and then every ten"
        assert "poison" not in await events(platform, "Scheduled")
        between.refuse = lambda _: 0
        await platform.settle(11)
        assert (await places(platform))["poison"] == "a"
        assert "poison" in await events(platform, "Scheduled")


async def test_a_server_that_fails_for_a_while_loses_no_pod() -> None:
    async with scene() as (platform, between):
        failing = True
        between.refuse = lambda _: 503 if failing else 0
        await platform.create(node("a", cpu=8), *(ours(f"p{index}") for index in range(4)))
        await platform.settle(30)
        assert set((await places(platform)).values()) == {""}
        failing = False
        await platform.settle(15)
        assert set((await places(platform)).values()) == {"a"}
