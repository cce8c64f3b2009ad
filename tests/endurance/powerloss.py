"""Power loss: `python -m tests.endurance.powerloss [--cuts 1200] [--seed 1]`.

Writers create, change and delete objects while the log compacts, gives space back and checkpoints. Around
randomly chosen commits the files are copied, and from each pair many disks are made as a power failure may
leave them (`disk`). Each must open, hold exactly the writes up to one commit, with a history without gaps,
and nothing less than had been acknowledged before; and it must go on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from springtide.store import Compacted, History, Record, SqliteLog, Store, StoreError
from tests.endurance.disk import Disk, Image, images

_CHECKPOINT_PAGES = 120
"""So small that checkpoints are frequent."""


class Snapshots:
    """Stands in for the log's connection, and copies the files around some of its transactions."""

    def __init__(
        self, database: sqlite3.Connection, folder: Path, order: random.Random, share: float
    ) -> None:
        self._database = database
        self._folder = folder
        self._order = order
        self._share = share
        self.acknowledged = 0
        self.taken: list[tuple[int, Disk, Disk]] = []
        """The newest revision acknowledged before, and the files before and after."""

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        writes = statement == "COMMIT" or statement.startswith("PRAGMA incremental_vacuum")
        if not writes or self._order.random() >= self._share:
            return self._database.execute(statement, *arguments)
        acknowledged, before = self.acknowledged, Disk.of(self._folder)
        cursor = self._database.execute(statement, *arguments)
        if statement != "COMMIT":
            cursor.fetchall()
        self.taken.append((acknowledged, before, Disk.of(self._folder)))
        return cursor

    def executemany(self, statement: str, rows: Sequence[Any]) -> sqlite3.Cursor:
        return self._database.executemany(statement, rows)

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    def close(self) -> None:
        self._database.close()


class Written:
    """Everything given to the log, in order, and where commits ended."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.commits: set[int] = {1}

    def state_at(self, revision: int) -> dict[str, bytes]:
        state: dict[str, bytes] = {}
        for record in self.records:
            if record.revision > revision:
                break
            if record.deleted:
                state.pop(record.key, None)
            else:
                state[record.key] = record.value
        return state


async def load(folder: Path, order: random.Random, writes: int, share: float) -> tuple[Written, Snapshots]:
    """Write, and return what was written and the copies that were made meanwhile."""
    log = SqliteLog(folder)
    log._database.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    snapshots = Snapshots(log._database, folder, order, share)
    log._database = snapshots  # type: ignore[assignment]
    store = Store(log, monotonic=time.monotonic, history=History(revisions=120, superseded_bytes=300_000))
    written = Written()
    append = log.append

    def appended(record: Record) -> None:
        written.records.append(record)
        append(record)

    log.append = appended  # type: ignore[method-assign]
    left = iter(range(writes))

    async def write(worker: int) -> None:
        for number in left:
            key = f"ns/{order.randrange(60)}"
            latest = store.latest("pods", key)
            value = b"%d " % number + b"x" * order.choice((20, 300, 3000, 20_000))
            expected = latest.revision if latest is not None else 0
            deleted = latest is not None and order.random() < 0.3
            record = await store.write("pods", key, value, expected=expected, deleted=deleted)
            snapshots.acknowledged = max(snapshots.acknowledged, record.revision)
            if order.random() < 0.02:
                await asyncio.sleep(0.06)  # the log tidies up

    _watch_commits(log, written)
    await asyncio.gather(*(write(worker) for worker in range(6)))
    await asyncio.sleep(0.1)
    await store.close()
    return written, snapshots


def _watch_commits(log: SqliteLog, written: Written) -> None:
    """Note at which revisions transactions end: only there may a disk stand."""
    commit = log._commit

    def committed(records: list[Record]) -> Any:
        error = commit(records)
        written.commits.add(records[-1].revision)
        return error

    log._commit = committed  # type: ignore[method-assign]


async def fault(folder: Path, written: Written, image: Image, acknowledged: int) -> str:
    """What is wrong with an image, opened as a platform would; "" if nothing is."""
    image.disk.write(folder)
    try:
        store = Store(SqliteLog(folder), monotonic=time.monotonic)
    except StoreError as error:
        return f"does not open: {error}"
    try:
        held = {record.key: record.value for record in store.page("pods").records}
        if store.revision not in written.commits:
            return f"ends at {store.revision}, in the middle of a commit"
        if image.durable and store.revision < acknowledged:
            return f"ends at {store.revision}, but {acknowledged} was acknowledged"
        if held != written.state_at(store.revision):
            return f"is not what there was at {store.revision}"
        events = await store.watch("pods", after=store.compacted).batch(0)
        due = [r.revision for r in written.records if store.compacted < r.revision <= store.revision]
        if [event.revision for event in events] != due:
            return f"has a history with gaps after {store.compacted}"
        again = await store.write("pods", "ns/later", b"later", expected=0)
        if again.revision != store.revision:
            return "does not go on"
    except Compacted as error:
        return f"cannot be read: {error}"
    finally:
        await store.close()
    return ""


async def check(seed: int, cuts: int, root: Path, *, writes: int = 1500) -> tuple[list[str], Counter[str]]:
    """Make so many images and look at each; returns what is wrong, and how many of which kind there were."""
    order = random.Random(seed)
    written, snapshots = await load(root / "data", order, writes, share=0.25)
    wrong: list[str] = []
    counted: Counter[str] = Counter(writes=len(written.records), snapshots=len(snapshots.taken))
    each = -(-cuts // len(snapshots.taken))
    for number, (acknowledged, before, after) in enumerate(snapshots.taken):
        for image in images(before, after, order, each):
            folder = root / "image"
            found = await fault(folder, written, image, acknowledged)
            shutil.rmtree(folder)
            counted[image.how] += 1
            if found:
                wrong.append(f"snapshot {number}, power lost {image.how}: {found}")
    return wrong, counted


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="springtide-powerloss-") as root:
        wrong, counted = asyncio.run(check(options.seed, options.cuts, Path(root)))
    for one in wrong:
        print(json.dumps({"proof": "powerloss", "wrong": one}))
    seconds = round(time.perf_counter() - began, 1)
    row = {"proof": "powerloss", "seed": options.seed, **counted, "wrong images": len(wrong)}
    print(json.dumps({**row, "seconds": seconds}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
