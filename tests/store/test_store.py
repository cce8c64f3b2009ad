"""The store over a log in memory, on virtual time: writes, lists, watches, compaction, failing disks."""

from __future__ import annotations

import asyncio

import pytest

from springtide.store import (
    Compacted,
    Event,
    FutureRevision,
    History,
    MemoryLog,
    RevisionConflict,
    Store,
    WatcherTooSlow,
    WriteFailed,
)


def open_store(log: MemoryLog, history: History | None = None) -> Store:
    return Store(log, monotonic=asyncio.get_running_loop().time, history=history)


async def put(store: Store, key: str, value: bytes, resource: str = "pods") -> int:
    latest = store.latest(resource, key)
    record = await store.write(resource, key, value, expected=latest.revision if latest else 0)
    return record.revision


async def drop(store: Store, key: str, resource: str = "pods") -> int:
    latest = store.latest(resource, key)
    assert latest is not None
    record = await store.write(resource, key, latest.value, expected=latest.revision, deleted=True)
    return record.revision


def told(events: list[Event]) -> list[tuple[int, str, bytes]]:
    """What a watcher heard: revision, what happened, value."""
    return [
        (
            event.revision,
            "gone" if event.record.deleted else "new" if event.previous is None else "changed",
            event.record.value,
        )
        for event in events
    ]


async def test_revisions_only_grow_and_the_newest_state_is_read() -> None:
    store = open_store(MemoryLog())
    first = await put(store, "ns/a", b"1")
    second = await put(store, "ns/a", b"2")
    assert second > first > 1
    found = store.get("pods", "ns/a")
    assert found is not None
    assert (found.value, found.revision, store.revision) == (b"2", second, second)


async def test_a_write_based_on_an_old_revision_is_refused() -> None:
    store = open_store(MemoryLog())
    first = await put(store, "ns/a", b"1")
    await put(store, "ns/a", b"2")
    with pytest.raises(RevisionConflict, match=f"expected revision {first}"):
        store.write("pods", "ns/a", b"3", expected=first)
    with pytest.raises(RevisionConflict):
        store.write("pods", "ns/a", b"3", expected=0)


async def test_writers_build_on_what_is_not_committed_yet_while_readers_do_not_see_it() -> None:
    store = open_store(MemoryLog(commit_after_seconds=1.0))
    first = store.write("pods", "ns/a", b"1", expected=0)
    pending = store.latest("pods", "ns/a")
    assert pending is not None
    second = store.write("pods", "ns/a", b"2", expected=pending.revision)
    assert store.get("pods", "ns/a") is None
    await asyncio.gather(first, second)
    found = store.get("pods", "ns/a")
    assert found is not None
    assert found.value == b"2"


async def test_a_full_disk_fails_everything_pending_and_the_store_recovers_when_there_is_space() -> None:
    log = MemoryLog(commit_after_seconds=1.0)
    store = open_store(log)
    await put(store, "ns/a", b"1")
    watcher = store.watch("pods", after=store.revision)
    log.fail_writes(WriteFailed("database or disk is full"))
    latest = store.latest("pods", "ns/a")
    assert latest is not None
    doomed = store.write("pods", "ns/a", b"2", expected=latest.revision)
    doomed_too = store.write("pods", "ns/b", b"x", expected=0)
    for future in (doomed, doomed_too):
        with pytest.raises(WriteFailed, match="disk is full"):
            await future
    assert store.get("pods", "ns/a") == latest
    assert store.latest("pods", "ns/b") is None
    log.fail_writes(None)
    await put(store, "ns/b", b"y")
    assert [value for _, _, value in told(await watcher.batch(0))] == [b"y"]


async def test_a_page_is_sorted_bounded_by_its_prefix_and_says_how_many_follow() -> None:
    store = open_store(MemoryLog())
    for key in ("b/2", "a/1", "ab/1", "b/1", "b/3"):
        await put(store, key, key.encode())
    page = store.page("pods", "b/", limit=2)
    assert [record.key for record in page.records] == ["b/1", "b/2"]
    assert page.remaining == 1
    rest = store.page("pods", "b/", after="b/2", limit=2, revision=page.revision)
    assert [record.key for record in rest.records] == ["b/3"]
    assert [record.key for record in store.page("pods").records] == ["a/1", "ab/1", "b/1", "b/2", "b/3"]


async def test_a_page_of_an_older_revision_shows_that_moment() -> None:
    store = open_store(MemoryLog())
    await put(store, "ns/a", b"1")
    await put(store, "ns/b", b"1")
    then = store.revision
    await put(store, "ns/a", b"2")
    await drop(store, "ns/b")
    await put(store, "ns/c", b"1")
    page = store.page("pods", revision=then)
    assert [(record.key, record.value) for record in page.records] == [("ns/a", b"1"), ("ns/b", b"1")]
    assert page.revision == then


async def test_a_watch_resumes_from_a_revision_and_goes_on_live() -> None:
    store = open_store(MemoryLog())
    first = await put(store, "ns/a", b"1")
    second = await put(store, "ns/a", b"2")
    watcher = store.watch("pods", after=first)
    third = await drop(store, "ns/a")
    assert told(await watcher.batch(0)) == [(second, "changed", b"2"), (third, "gone", b"2")]
    fourth = await put(store, "ns/a", b"3")
    assert told(await watcher.batch(60)) == [(fourth, "new", b"3")]


async def test_a_watch_hears_of_its_own_prefix_and_resource_only() -> None:
    store = open_store(MemoryLog())
    watcher = store.watch("pods", "ns/", after=store.revision)
    await put(store, "ns2/a", b"1")
    await put(store, "ns/a", b"1", resource="configmaps")
    await put(store, "ns/a", b"2")
    assert [value for _, _, value in told(await watcher.batch(0))] == [b"2"]


async def test_waiting_for_a_batch_ends_with_the_first_event_the_timeout_or_the_close() -> None:
    store, loop = open_store(MemoryLog()), asyncio.get_running_loop()
    watcher = store.watch("pods", after=store.revision)
    started = loop.time()
    assert await watcher.batch(30) == []
    assert loop.time() - started == pytest.approx(30)
    waiting = asyncio.create_task(watcher.batch(1000))
    await asyncio.sleep(1)
    await put(store, "ns/a", b"1")
    assert len(await waiting) == 1
    waiting = asyncio.create_task(watcher.batch(1000))
    await asyncio.sleep(1)
    watcher.close()
    assert await waiting == []
    assert loop.time() - started < 40


async def test_a_watcher_that_does_not_keep_up_is_cut_off() -> None:
    store = open_store(MemoryLog(), History(watcher_events=2))
    slow, quick = (store.watch("pods", after=store.revision) for _ in range(2))
    heard = 0
    for number in range(3):
        await put(store, f"ns/{number}", b"1")
        heard += len(await quick.batch(0))
    assert heard == 3
    with pytest.raises(WatcherTooSlow):
        await slow.batch(0)
    assert slow.closed


async def test_what_compaction_forgot_cannot_be_read_or_resumed_and_the_rest_can() -> None:
    log = MemoryLog()
    store = open_store(log)
    first = await put(store, "ns/a", b"1")
    second = await put(store, "ns/a", b"2")
    third = await put(store, "ns/a", b"3")
    store.compact(second)
    with pytest.raises(Compacted):
        store.watch("pods", after=first)
    with pytest.raises(Compacted):
        store.page("pods", revision=first)
    assert [record.value for record in store.page("pods", revision=second).records] == [b"2"]
    assert told(await store.watch("pods", after=second).batch(0)) == [(third, "changed", b"3")]
    assert [record.revision for record in log.load().records] == [second, third]


async def test_a_revision_from_the_future_is_refused() -> None:
    store = open_store(MemoryLog())
    with pytest.raises(FutureRevision):
        store.watch("pods", after=store.revision + 1)


@pytest.mark.parametrize(
    ("history", "wait_seconds"),
    [
        (History(revisions=10), 0),
        (History(superseded_bytes=1000), 0),
        (History(seconds=60), 10),
    ],
    ids=["by count", "by bytes", "by age"],
)
async def test_history_is_bounded(history: History, wait_seconds: float) -> None:
    log = MemoryLog()
    store = open_store(log, history)
    for number in range(50):
        await put(store, "ns/a", f"{number:0100}".encode())
        await asyncio.sleep(wait_seconds)
    assert len(list(log.load().records)) < 16
    assert store.compacted > 30


async def test_a_store_opened_again_has_everything_and_goes_on_counting() -> None:
    log = MemoryLog()
    store = open_store(log)
    await put(store, "ns/a", b"1")
    seen = await put(store, "ns/b", b"1")
    gone = await drop(store, "ns/a")
    store.compact(seen)
    again = open_store(log)
    assert [record.key for record in again.page("pods").records] == ["ns/b"]
    assert (again.revision, again.compacted) == (gone, seen)
    assert told(await again.watch("pods", after=seen).batch(0)) == [(gone, "gone", b"1")]
    assert await put(again, "ns/c", b"1") == gone + 1


async def test_closing_makes_pending_writes_durable_and_ends_watches() -> None:
    log = MemoryLog(commit_after_seconds=5)
    store = open_store(log)
    watcher = store.watch("pods", after=store.revision)
    future = store.write("pods", "ns/a", b"1", expected=0)
    await store.close()
    assert (await future).value == b"1"
    assert watcher.closed
    with pytest.raises(WriteFailed, match="closed"):
        await store.write("pods", "ns/b", b"1", expected=0)
