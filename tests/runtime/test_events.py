"""Events: one object per thing said, counted, limited, never in the way."""

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry

from springtide.api.commands import Emit
from springtide.api.core import ConfigMap, Event, Node
from springtide.api.meta import Object, ObjectMeta
from springtide.client import Client
from springtide.runtime import EventRecorder, EventSettings, LoopClock
from tests.client.fake_api import FakeApi, failing

ABOUT = ConfigMap(metadata=ObjectMeta(name="a", namespace="ns", uid="u1"))


def emit(note: str = "it happened", about: Object = ABOUT) -> Emit:
    return Emit(about, "Happened", note, type="Warning", action="Look")


def recorder(api: FakeApi, settings: EventSettings | None = None) -> tuple[EventRecorder, CollectorRegistry]:
    registry = CollectorRegistry()
    return EventRecorder(Client(api), LoopClock(), registry, settings), registry


async def events(api: FakeApi) -> list[Event]:
    return (await Client(api).list(Event)).items


async def test_an_event_says_who_about_what() -> None:
    api = FakeApi()
    events_of, _ = recorder(api)
    events_of.record("health", emit())
    await events_of.flush()
    (event,) = await events(api)
    assert event.metadata.namespace == "ns"
    assert event.metadata.name.startswith("a.")
    assert (event.involved_object.kind, event.involved_object.uid) == ("ConfigMap", "u1")
    assert (event.reason, event.message, event.type) == ("Happened", "it happened", "Warning")
    assert (event.source.component, event.reporting_component) == ("health", "springtide.dev/health")
    assert event.count == 1
    assert event.first_timestamp == event.last_timestamp != None  # noqa: E711


async def test_the_same_again_counts() -> None:
    api = FakeApi()
    events_of, _ = recorder(api)
    for pause in (0, 0, 60, 60):
        await asyncio.sleep(pause)
        events_of.record("health", emit())
        events_of.record("health", emit("something else"))
        await events_of.flush()
    found = {event.message: event for event in await events(api)}
    assert {message: event.count for message, event in found.items()} == {
        "it happened": 4,
        "something else": 4,
    }
    event = found["it happened"]
    assert event.first_timestamp is not None
    assert event.last_timestamp is not None
    assert (event.last_timestamp - event.first_timestamp).total_seconds() == 120


async def test_a_restart_goes_on_counting() -> None:
    api = FakeApi()
    for _ in range(3):
        events_of, _ = recorder(api)
        events_of.record("health", emit())
        await events_of.flush()
    assert [event.count for event in await events(api)] == [3]


async def test_an_event_that_expired_is_made_again() -> None:
    api = FakeApi()
    events_of, _ = recorder(api)
    events_of.record("health", emit())
    await events_of.flush()
    api.objects.clear()
    events_of.record("health", emit())
    await events_of.flush()
    assert [event.count for event in await events(api)] == [1]


async def test_cluster_scoped_objects_have_their_events_in_default() -> None:
    api = FakeApi()
    events_of, _ = recorder(api)
    events_of.record("health", emit(about=Node(metadata=ObjectMeta(name="n1"))))
    await events_of.flush()
    assert [event.key.partition(".")[0] for event in await events(api)] == ["default/n1"]


async def test_a_chatterer_is_limited_and_others_are_not() -> None:
    api = FakeApi()
    events_of, registry = recorder(api)
    for number in range(40):
        events_of.record("health", emit(f"number {number}"))
    events_of.record("health", emit(about=Node(metadata=ObjectMeta(name="n1"))))
    await events_of.flush()
    assert len(await events(api)) == 26
    assert registry.get_sample_value("springtide_runtime_events_dropped_total", {"why": "rate"}) == 15
    await asyncio.sleep(601)
    for number in range(100, 110):
        events_of.record("health", emit(f"number {number}"))
    await events_of.flush()
    assert len(await events(api)) == 28


async def test_too_many_waiting_are_dropped_and_counted() -> None:
    events_of, registry = recorder(FakeApi(), EventSettings(waiting=2))
    for note in "abc":
        events_of.record("health", emit(note))
    assert registry.get_sample_value("springtide_runtime_events_dropped_total", {"why": "full"}) == 1


async def test_events_hold_back_while_plans_are_written_and_are_not_starved() -> None:
    api, writing = FakeApi(), True
    events_of = EventRecorder(
        Client(api), LoopClock(), CollectorRegistry(), EventSettings(held_back_seconds=1.0), lambda: writing
    )
    running = asyncio.create_task(events_of.run())
    for number in range(20):
        events_of.record("health", emit(f"number {number}"))
    await asyncio.sleep(3.5)
    assert len(await events(api)) == 3
    writing = False
    await asyncio.sleep(1.5)
    assert len(await events(api)) == 20
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_an_outage_delays_events_and_a_refusal_drops_one() -> None:
    api = FakeApi(down=True)
    events_of, registry = recorder(api)
    task = asyncio.create_task(events_of.run())
    events_of.record("health", emit("first"))
    events_of.record("health", emit("second"))
    await asyncio.sleep(12)
    api.down = False
    api.script.append(failing(403, "Forbidden"))
    await asyncio.sleep(10)
    assert events_of.idle
    assert [event.message for event in await events(api)] == ["second"]
    assert registry.get_sample_value("springtide_runtime_events_dropped_total", {"why": "refused"}) == 1
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_comes_in_while_writing_is_not_lost() -> None:
    api = FakeApi(latency_seconds=1)
    events_of, _ = recorder(api)
    events_of.record("health", emit())
    flushing = asyncio.create_task(events_of.flush())
    await asyncio.sleep(0.5)
    events_of.record("health", emit())
    await flushing
    assert [event.count for event in await events(api)] == [2]
