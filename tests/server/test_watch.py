"""GET with watch=true."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from springtide.server import Request, Stream
from springtide.store import History
from tests.server.serving import CONFIGMAPS, PODS, TABLE, Json, configmap, pod, serving


def told(events: list[Json]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_a_watch_resumes_where_a_list_ended() -> None:
    async with serving() as api:
        listed = await api.get(CONFIGMAPS)
        await api.post(CONFIGMAPS, configmap("a"))
        await api.patch(f"{CONFIGMAPS}/a", {"data": {"x": "1"}})
        await api.delete(f"{CONFIGMAPS}/a")
        events = await api.watch(CONFIGMAPS, resourceVersion=listed.version)
    assert told(events) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


async def test_a_watch_without_version_starts_with_what_there_is_and_goes_on_live() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))
        watching = asyncio.create_task(api.watch(CONFIGMAPS, seconds=5))
        await asyncio.sleep(1)
        await api.post(CONFIGMAPS, configmap("b"))
        assert told(await watching) == [("ADDED", "a"), ("ADDED", "b")]


async def test_objects_that_enter_and_leave_a_selection_are_added_and_deleted() -> None:
    async with serving() as api:
        start = str(api.store.revision)
        await api.post(PODS, pod("a", labels={"app": "x"}))
        await api.patch(f"{PODS}/a", {"metadata": {"labels": {"app": "y"}}})
        await api.patch(f"{PODS}/a", {"metadata": {"labels": {"other": "1"}}})
        await api.patch(f"{PODS}/a", {"metadata": {"labels": {"app": "x"}}})
        await api.delete(f"{PODS}/a")
        chosen = await api.watch(PODS, resourceVersion=start, labelSelector="app=x")
        others = await api.watch(PODS, resourceVersion=start, labelSelector="app=z")
    assert [event["type"] for event in chosen] == ["ADDED", "DELETED", "ADDED", "DELETED"]
    assert chosen[1]["object"]["metadata"]["labels"] == {"app": "x"}, "the last state that was selected"
    assert int(chosen[1]["object"]["metadata"]["resourceVersion"]) > int(
        chosen[0]["object"]["metadata"]["resourceVersion"]
    )
    assert others == []


async def test_a_field_selector_follows_pods_to_their_node() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a"))
        start = str(api.store.revision)
        await api.post(f"{PODS}/a/binding", {"target": {"name": "n1"}})
        events = await api.watch("/api/v1/pods", resourceVersion=start, fieldSelector="spec.nodeName=n1")
    assert told(events) == [("ADDED", "a")]


async def test_bookmarks_tell_a_quiet_watcher_how_far_the_store_is() -> None:
    async with serving() as api:
        start = str(api.store.revision)
        await api.post(PODS, pod("a"))
        events = await api.watch(CONFIGMAPS, seconds=40, resourceVersion=start, allowWatchBookmarks="true")
    assert {event["type"] for event in events} == {"BOOKMARK"}
    assert events[-1]["object"]["metadata"] == {"resourceVersion": str(api.store.revision)}
    assert events[-1]["object"]["kind"] == "ConfigMap"


async def test_streamed_lists_end_their_initial_state_with_a_bookmark() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))
        events = await api.watch(
            CONFIGMAPS,
            sendInitialEvents="true",
            resourceVersionMatch="NotOlderThan",
            allowWatchBookmarks="true",
        )
    assert [event["type"] for event in events[:2]] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_version_that_is_gone_is_an_error_event_with_410() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))
        await api.post(CONFIGMAPS, configmap("b"))
        await api.post(CONFIGMAPS, configmap("c"))
        api.store.compact(api.store.revision - 1)
        (old,) = await api.watch(CONFIGMAPS, resourceVersion="2")
        (future,) = await api.watch(CONFIGMAPS, resourceVersion="999")
    for event in (old, future):
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == (
            "ERROR",
            410,
            "Expired",
        )


@pytest.mark.parametrize("history", [History(watcher_events=3), History(watcher_bytes=500)], ids=repr)
async def test_a_watcher_that_is_too_slow_is_cut_off_and_can_resume(history: History) -> None:
    async with serving(history=history) as api:
        start = str(api.store.revision)
        query = {"watch": "true", "resourceVersion": start}
        stream = await api.server.handle(Request("GET", CONFIGMAPS, query))
        assert isinstance(stream, Stream)
        first = asyncio.ensure_future(anext(stream.chunks))
        await asyncio.sleep(0)
        await api.post(CONFIGMAPS, configmap("a0"))
        seen = msgspec.json.decode(await first)["object"]["metadata"]["resourceVersion"]
        for number in range(1, 6):
            await api.post(CONFIGMAPS, configmap(f"a{number}"))
        assert [chunk async for chunk in stream.chunks] == []
        events = await api.watch(CONFIGMAPS, resourceVersion=seen)
    assert len(events) == 5


async def test_closing_the_stream_forgets_the_watcher() -> None:
    async with serving() as api:
        stream = await api.server.handle(Request("GET", CONFIGMAPS, {"watch": "true"}))
        assert isinstance(stream, Stream)
        waiting = asyncio.ensure_future(anext(stream.chunks))
        await asyncio.sleep(1)
        assert api.store.watchers == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await stream.chunks.aclose()
        assert api.store.watchers == 0


async def test_kubectl_watches_tables() -> None:
    async with serving() as api:
        await api.post(PODS, pod("a"))
        (event,) = await api.watch(PODS, accept=TABLE)
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][0] == "a"


async def test_one_object_is_watched_by_name() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))
        await api.post(CONFIGMAPS, configmap("b"))
        assert told(await api.watch(CONFIGMAPS, fieldSelector="metadata.name=b")) == [("ADDED", "b")]


async def test_a_restart_resumes_watches_from_the_versions_seen_before() -> None:
    async with serving() as api:
        start = (await api.get(CONFIGMAPS)).version
        await api.post(CONFIGMAPS, configmap("a"))
    async with serving(api.log) as again:
        await again.delete(f"{CONFIGMAPS}/a")
        events = await again.watch(CONFIGMAPS, resourceVersion=start)
    assert told(events) == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_watch_that_selects_little_of_a_busy_collection_has_bookmarks_all_the_same() -> None:
    async with serving() as api:
        await api.post(CONFIGMAPS, configmap("a"))

        async def keep_busy() -> None:
            for number in range(100):
                await api.patch(f"{CONFIGMAPS}/a", {"data": {"x": str(number)}})
                await asyncio.sleep(1)

        busy = asyncio.create_task(keep_busy())
        start = (await api.get(CONFIGMAPS)).version
        events = await api.watch(
            CONFIGMAPS,
            seconds=95,
            resourceVersion=start,
            labelSelector="app=other",
            allowWatchBookmarks="true",
        )
        await busy
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        assert [event["type"] for event in events] == ["BOOKMARK"] * 4
        assert int(start) + 25 < versions[0] < versions[1] < versions[2] < versions[3]
