"""Size limits of the store: what is refused, and that deleting makes room again."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from springtide.store import (
    Compacted,
    History,
    Limits,
    MemoryLog,
    ObjectTooLarge,
    SpaceExceeded,
    SqliteLog,
    Store,
)

SMALL = Limits(database_bytes=1000, object_bytes=400)


def open_store(limits: Limits) -> Store:
    return Store(MemoryLog(), monotonic=asyncio.get_running_loop().time, limits=limits)


async def fill(store: Store) -> int:
    number = 0
    while not store.full:
        await store.write("pods", f"ns/{number}", b"x" * 300, expected=0)
        number += 1
    return number


async def test_an_object_above_the_limit_is_refused_and_one_at_it_is_not() -> None:
    store = open_store(SMALL)
    with pytest.raises(ObjectTooLarge, match="ns/a has 401 bytes as JSON; the limit is 400"):
        store.write("pods", "ns/a", b"x" * 401, expected=0)
    kept = await store.write("pods", "ns/a", b"x" * 400, expected=0)
    assert store.get("pods", "ns/a") == kept


async def test_an_object_that_grew_too_large_before_the_limit_can_still_be_deleted() -> None:
    store = open_store(Limits(object_bytes=1000))
    big = await store.write("pods", "ns/a", b"x" * 900, expected=0)
    store.limits = Limits(object_bytes=100)
    marked = await store.write("pods", "ns/a", b"x" * 910, expected=big.revision, frees=True)
    await store.write("pods", "ns/a", b"x" * 910, expected=marked.revision, deleted=True)
    assert store.count("pods") == 0


async def test_a_full_database_refuses_everything_but_deleting_and_recovers_by_it() -> None:
    store = open_store(SMALL)
    count = await fill(store)
    first = store.latest("pods", "ns/0")
    assert first is not None
    for refused in ("ns/new", "ns/0"):
        expected = first.revision if refused == "ns/0" else 0
        with pytest.raises(SpaceExceeded, match=r"database space exceeded: 1200 bytes .* limit is 1000"):
            store.write("pods", refused, b"x", expected=expected)
    marked = await store.write("pods", "ns/0", b"x" * 300, expected=first.revision, frees=True)
    await store.write("pods", "ns/0", b"", expected=marked.revision, deleted=True)
    with pytest.raises(SpaceExceeded):
        store.write("pods", "ns/new", b"x", expected=0)
    await store.write("pods", "ns/new", b"x", expected=0)  # that refusal gave up the history, which made room
    assert store.count("pods") == count
    with pytest.raises(Compacted):
        store.watch("pods", after=first.revision)


async def test_what_a_watcher_follows_live_goes_on_when_history_is_given_up_for_space() -> None:
    store = open_store(SMALL)
    watcher = store.watch("pods", after=store.revision)
    count = await fill(store)
    with pytest.raises(SpaceExceeded):
        store.write("pods", "ns/new", b"x", expected=0)
    assert len(await watcher.batch(0)) == count


async def test_no_limit_is_no_limit() -> None:
    store = open_store(Limits(database_bytes=0))
    await store.write("pods", "ns/a", b"x" * 100_000, expected=0)
    assert not store.full


@pytest.mark.realtime
async def test_a_file_gives_space_back_when_objects_are_deleted(tmp_path: Path) -> None:
    store = Store(
        SqliteLog(tmp_path),
        monotonic=time.monotonic,
        history=History(revisions=10),
        limits=Limits(database_bytes=8_000_000),
    )
    records = []
    for number in itertools.count():
        if store.full:
            break
        futures = [
            store.write("pods", f"ns/{number}-{part}", b"x" * 10_000, expected=0) for part in range(50)
        ]
        records += await asyncio.gather(*futures)
    with pytest.raises(SpaceExceeded):
        store.write("pods", "ns/new", b"x", expected=0)
    futures = [
        store.write("pods", record.key, b"", expected=record.revision, deleted=True) for record in records
    ]
    await asyncio.gather(*futures)
    for _ in range(200):
        if store.usage.on_disk < 6_000_000:
            break
        await asyncio.sleep(0.05)
    assert store.usage.in_use < 1_000_000
    assert store.usage.on_disk < 6_000_000
    await store.write("pods", "ns/new", b"x", expected=0)
    await store.close()
    assert (tmp_path / "state.db").stat().st_size < 6_000_000
