"""Fair turns: one user's flood leaves the others where they were. In virtual time, by counting turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from springtide.server import ADMIN, Request, Stream, User
from springtide.server.flow import Flow, Limits, is_exempt
from springtide.server.flow_metrics import flow_registry
from springtide.server.status import TooManyRequests
from tests.server.serving import CONFIGMAPS, configmap, serving

FLOOD, BOB, CAROL = (User(name, ("system:authenticated",)) for name in ("flood", "bob", "carol"))
_SERVICE_SECONDS = 1.0


async def _work(flow: Flow, user: User, order: list[str]) -> None:
    async with flow.seat(user):
        await asyncio.sleep(_SERVICE_SECONDS)
        order.append(user.name)


async def test_nothing_waits_while_seats_are_free() -> None:
    flow = Flow(Limits(seats=3))
    order: list[str] = []
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(_work(flow, user, order) for user in (FLOOD, BOB, CAROL)))
    assert asyncio.get_running_loop().time() - began == _SERVICE_SECONDS
    assert (flow.taken, flow.waiting) == (0, 0)


async def test_a_flood_of_one_user_costs_another_at_most_one_turn() -> None:
    flow = Flow(Limits(seats=1, queued_per_user=1000, wait_seconds=10_000))
    order: list[str] = []
    flood = [asyncio.create_task(_work(flow, FLOOD, order)) for _ in range(500)]
    await asyncio.sleep(10.5)
    before = len(order)
    await _work(flow, BOB, order)
    assert order[before:].count("flood") <= 2, "the one that was served, and the one whose turn it was"
    assert order[-1] == "bob"
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert (flow.taken, flow.waiting) == (0, 0)


async def test_users_take_turns_however_much_each_asks() -> None:
    flow = Flow(Limits(seats=1, queued_per_user=100, wait_seconds=1000))
    order: list[str] = []
    tasks = [
        _work(flow, user, order) for user, count in ((FLOOD, 50), (BOB, 5), (CAROL, 5)) for _ in range(count)
    ]
    await asyncio.gather(*tasks)
    assert order[:16].count("bob") == order[:16].count("carol") == 5
    assert order.count("flood") == 50


async def test_seats_bound_what_runs_at_once() -> None:
    flow = Flow(Limits(seats=4, wait_seconds=1000))
    running = most = 0

    async def one() -> None:
        nonlocal running, most
        async with flow.seat(BOB):
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1

    await asyncio.gather(*(one() for _ in range(40)))
    assert most == 4


async def test_a_full_queue_is_refused_with_a_time_to_try_again() -> None:
    flow = Flow(Limits(seats=1, queued_per_user=2, wait_seconds=1000))
    order: list[str] = []
    tasks = [asyncio.create_task(_work(flow, FLOOD, order)) for _ in range(4)]
    await asyncio.sleep(0.1)
    with pytest.raises(TooManyRequests) as refused:
        tasks[3].result()
    assert refused.value.details["retryAfterSeconds"] == 1
    assert flow.refused == {"queue-full": 1}
    await _work(flow, BOB, order)
    await asyncio.gather(*tasks[:3])
    assert order.count("flood") == 3


async def test_a_wait_that_is_too_long_is_refused() -> None:
    flow = Flow(Limits(seats=1, wait_seconds=5))
    order: list[str] = []
    first = asyncio.create_task(_held(flow, FLOOD, 60))
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests, match="waited too long"):
        await _work(flow, BOB, order)
    assert flow.waiting == 0
    await first
    assert flow.taken == 0
    assert flow.refused == {"time-out": 1}
    assert flow.vain_waits.count == 1
    assert flow.vain_waits.total_seconds == pytest.approx(5)


async def test_what_flows_is_shown_under_the_names_of_kubernetes() -> None:
    flow = Flow(Limits(seats=1, queued_per_user=1, wait_seconds=1000))
    holder = asyncio.create_task(_held(flow, FLOOD, 3))
    await asyncio.sleep(1)
    waiter = asyncio.create_task(_held(flow, BOB, 1))
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await _held(flow, BOB, 1)
    registry = flow_registry(flow)

    def value(name: str, **labels: str) -> float | None:
        both = {"priority_level": "global-default", "flow_schema": "global-default"}
        return registry.get_sample_value(f"apiserver_flowcontrol_{name}", {**both, **labels})

    assert value("current_executing_requests") == 1
    assert value("current_inqueue_requests") == 1
    assert value("rejected_requests_total", reason="queue-full") == 1
    await asyncio.gather(holder, waiter)
    assert value("dispatched_requests_total") == 2
    assert value("request_wait_duration_seconds_count", execute="true") == 2
    assert value("request_wait_duration_seconds_sum", execute="true") == pytest.approx(2)
    assert value("request_wait_duration_seconds_bucket", execute="true", le="0.0") == 1
    assert value("current_inqueue_requests") == 0
    assert registry.get_sample_value(
        "apiserver_flowcontrol_nominal_limit_seats", {"priority_level": "global-default"}
    )


async def _held(flow: Flow, user: User, seconds: float) -> None:
    async with flow.seat(user):
        await asyncio.sleep(seconds)


async def test_who_goes_away_while_waiting_leaves_the_seat_to_the_next() -> None:
    flow = Flow(Limits(seats=1, wait_seconds=1000))
    order: list[str] = []
    holder = asyncio.create_task(_held(flow, FLOOD, 2))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(_work(flow, BOB, order)) for _ in range(3)]
    await asyncio.sleep(2)  # the first has its turn in this very moment
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.gather(holder, *waiting, return_exceptions=True)
    assert order == ["bob"]
    assert (flow.taken, flow.waiting) == (0, 0)


async def test_a_fault_gives_the_seat_back() -> None:
    flow = Flow(Limits(seats=1))
    with pytest.raises(LookupError):
        async with flow.seat(BOB):
            raise LookupError
    assert flow.taken == 0


async def _chunks() -> AsyncGenerator[bytes, None]:
    yield b"one"
    yield b"two"


@pytest.mark.parametrize("begun", [False, True])
async def test_open_streams_are_counted_until_they_are_closed(begun: bool) -> None:
    flow = Flow(Limits(streams_per_user=1))
    request = Request("GET", CONFIGMAPS, {"watch": "true"}, user=BOB)
    flow.check_streams(request)
    stream = flow.counted(BOB, Stream(_chunks()))
    with pytest.raises(TooManyRequests, match="watches are open"):
        flow.check_streams(request)
    flow.check_streams(Request("GET", CONFIGMAPS, {"watch": "true"}, user=CAROL))
    if begun:
        assert [chunk async for chunk in stream.chunks] == [b"one", b"two"]
    await stream.chunks.aclose()
    flow.check_streams(request)


@pytest.mark.parametrize(("user", "exempt"), [(ADMIN, True), (BOB, False)])
def test_administrators_and_the_platform_never_wait(user: User, exempt: bool) -> None:
    assert is_exempt(user) is exempt


async def test_a_flood_of_writes_leaves_another_users_read_its_turn() -> None:
    """The whole server: each write waits a second for its disk, and one user sends hundreds of them."""
    async with serving(limits=Limits(seats=2, queued_per_user=1000, wait_seconds=10_000)) as api:
        await _allow_everything(api)
        api.log.commit_after_seconds = 1.0
        flood = [
            asyncio.create_task(api.ask("POST", CONFIGMAPS, configmap(f"f{number}"), user=FLOOD))
            for number in range(300)
        ]
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        assert (await api.ask("GET", CONFIGMAPS, user=BOB)).status == 200
        assert asyncio.get_running_loop().time() - began <= 2.0
        began = asyncio.get_running_loop().time()
        assert (await api.ask("GET", CONFIGMAPS)).status == 200
        assert asyncio.get_running_loop().time() == began, "an administrator does not wait"
        assert {answer.status for answer in await asyncio.gather(*flood)} == {201}


async def _allow_everything(api: Any) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "everybody"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
        ],
    }
    made = await api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    assert made.status == 201, made.json
