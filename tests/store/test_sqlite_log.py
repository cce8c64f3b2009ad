"""The durable log: restarts, `kill -9` in mid-write, a full disk, a corrupt file, a folder in use."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from springtide.store import (
    DatabaseCorrupt,
    FolderInUse,
    FolderUnusable,
    History,
    SqliteLog,
    Store,
    WriteFailed,
)

WRITER = """
import asyncio, itertools, sys, time
from pathlib import Path
from springtide.store import SqliteLog, Store

async def main():
    store = Store(SqliteLog(Path(sys.argv[1])), monotonic=time.monotonic)
    async def write(worker):
        for number in itertools.count():
            await store.write("pods", f"ns/{worker}-{number}", b"x" * 500, expected=0)
            print(f"ns/{worker}-{number}", flush=True)
    await asyncio.gather(*(write(worker) for worker in range(8)))

asyncio.run(main())
"""


def open_store(folder: Path, history: History | None = None) -> Store:
    return Store(SqliteLog(folder), monotonic=time.monotonic, history=history)


def write_and_kill(folder: Path, *, after: int) -> list[str]:
    """Keys that another process said were stored before it was killed in the middle of writing more."""
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().strip() for _ in range(after)]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
    return acknowledged


async def write_until_it_fails(store: Store) -> None:
    for number in range(100):
        await store.write("pods", f"ns/{number}", b"x" * 4000, expected=0)


@pytest.mark.realtime
async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    futures = [store.write("pods", f"ns/{number:03}", b"%d" % number, expected=0) for number in range(200)]
    records = await asyncio.gather(*futures)
    gone = await store.write("pods", "ns/000", b"bye", expected=records[0].revision, deleted=True)
    await store.close()
    again = open_store(tmp_path)
    page = again.page("pods")
    assert [record.key for record in page.records] == [f"ns/{number:03}" for number in range(1, 200)]
    assert page.records[0].value == b"1"
    assert again.revision == gone.revision
    assert [event.revision for event in await again.watch("pods", after=records[-1].revision).batch(0)] == [
        gone.revision
    ]
    await again.close()


@pytest.mark.realtime
async def test_kill_9_in_mid_write_loses_nothing_acknowledged(tmp_path: Path) -> None:
    for _ in range(3):
        acknowledged = write_and_kill(tmp_path / "data", after=300)
        store = open_store(tmp_path / "data")
        stored = {record.key: record for record in store.page("pods").records}
        assert stored.keys() >= set(acknowledged)
        for record in stored.values():
            store.write("pods", record.key, b"", expected=record.revision, deleted=True)
        await store.close()


@pytest.mark.realtime
async def test_a_full_disk_is_reported_reads_go_on_and_writes_resume_when_there_is_space(
    tmp_path: Path,
) -> None:
    log = SqliteLog(tmp_path)
    store = Store(log, monotonic=time.monotonic)
    kept = await store.write("pods", "ns/kept", b"x" * 100, expected=0)
    log.set_max_page_count(12)
    with pytest.raises(WriteFailed, match="full") as caught:
        await write_until_it_fails(store)
    assert "free space" in caught.value.hint
    survivors = {record.key for record in store.page("pods").records}
    assert store.get("pods", "ns/kept") == kept
    log.set_max_page_count(1_000_000)
    await store.write("pods", "ns/later", b"y", expected=0)
    await store.close()
    again = open_store(tmp_path)
    assert {record.key for record in again.page("pods").records} == survivors | {"ns/later"}
    await again.close()


@pytest.mark.realtime
async def test_compaction_keeps_the_file_small(tmp_path: Path) -> None:
    store = open_store(tmp_path, History(revisions=50))
    revision = 0
    for _ in range(40):
        futures = []
        for _ in range(50):
            future = store.write("pods", "ns/a", b"x" * 2000, expected=revision)
            latest = store.latest("pods", "ns/a")
            assert latest is not None
            revision = latest.revision
            futures.append(future)
        await asyncio.gather(*futures)
    await store.close()
    assert (tmp_path / "state.db").stat().st_size < 1_500_000
    again = open_store(tmp_path)
    assert [record.revision for record in again.page("pods").records] == [revision]
    assert again.compacted > revision - 200
    await again.close()


def test_a_second_server_on_the_same_folder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    with pytest.raises(FolderInUse, match=f"in use by process {os.getpid()}") as caught:
        SqliteLog(tmp_path)
    assert "springtide down" in caught.value.hint
    log.close()
    SqliteLog(tmp_path).close()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(FolderUnusable, match="cannot be used"):
        SqliteLog(tmp_path / "data")


def test_a_database_that_cannot_be_opened_is_not_called_corrupt(tmp_path: Path) -> None:
    SqliteLog(tmp_path).close()
    (tmp_path / "state.db").unlink()
    (tmp_path / "state.db").mkdir()
    with pytest.raises(FolderUnusable, match="unable to open database file"):
        SqliteLog(tmp_path)


@pytest.mark.realtime
async def test_a_corrupt_database_is_said_to_be_one(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    await asyncio.gather(*(store.write("pods", f"ns/{n}", b"x" * 900, expected=0) for n in range(200)))
    await store.close()
    with (tmp_path / "state.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 10)
    with pytest.raises(DatabaseCorrupt, match="cannot be read") as caught:
        SqliteLog(tmp_path)
    assert "backup" in caught.value.hint
    (tmp_path / "state.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(DatabaseCorrupt):
        SqliteLog(tmp_path)


def test_the_database_is_plain_sqlite_that_a_person_can_read(tmp_path: Path) -> None:
    SqliteLog(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        assert database.execute("SELECT count(*) FROM revisions").fetchone() == (0,)
    database.close()
