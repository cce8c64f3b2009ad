"""Backups: consistent while somebody writes, checked to the last byte, restored far beyond old revisions."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import stat
import tarfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from springtide.store import Compacted, FutureRevision, SqliteLog, Store
from springtide.store.archive import Manifest
from springtide.store.backup import back_up, restore
from springtide.store.errors import BackupUnusable, FormatUnknown

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def open_store(folder: Path) -> Store:
    return Store(SqliteLog(folder), monotonic=time.monotonic)


def list_folder(path: Path) -> list[Path]:
    return list(path.iterdir())


def backed_up(folder: Path, file: Path, *, credentials: bool = True) -> Manifest:
    return back_up(folder, file, now=NOON, version="1.2.3", credentials=credentials)


async def folder_with(path: Path, *keys: str) -> int:
    """A data folder with these objects, one deleted one, and credentials; returns the newest revision."""
    store = open_store(path)
    for key in keys:
        await store.write("pods", key, key.encode(), expected=0)
    gone = await store.write("pods", "ns/gone", b"gone", expected=0)
    await store.write("pods", "ns/gone", b"gone", expected=gone.revision, deleted=True)
    revision = store.revision
    await store.close()
    (path / "pki").mkdir()
    (path / "pki" / "ca.key").write_text("secret")
    return revision


@pytest.mark.realtime
async def test_a_restored_folder_has_every_object_and_its_revisions_go_on_far_above(tmp_path: Path) -> None:
    revision = await folder_with(tmp_path / "data", "ns/a", "ns/b")
    manifest = backed_up(tmp_path / "data", tmp_path / "backup")
    assert (manifest.revision, manifest.objects, manifest.created) == (revision, 2, NOON)
    restored = restore(tmp_path / "backup", tmp_path / "new", now=NOON + timedelta(days=1))
    assert restored.revision == revision + 1_000_000_000 + 10_000 * 86_400
    store = open_store(tmp_path / "new")
    assert [(record.key, record.revision) for record in store.page("pods").records] == [
        ("ns/a", 2),
        ("ns/b", 3),
    ]
    assert store.revision == restored.revision
    for known in (2, revision, revision + 5000):
        with pytest.raises(Compacted):
            store.watch("pods", after=known)
    with pytest.raises(FutureRevision):
        store.watch("pods", after=restored.revision + 1)
    written = await store.write("pods", "ns/c", b"c", expected=0)
    assert written.revision == restored.revision + 1
    await store.close()
    assert (tmp_path / "new" / "pki" / "ca.key").read_text() == "secret"


@pytest.mark.realtime
async def test_a_folder_restored_twice_goes_up_twice(tmp_path: Path) -> None:
    await folder_with(tmp_path / "data", "ns/a")
    backed_up(tmp_path / "data", tmp_path / "backup")
    once = restore(tmp_path / "backup", tmp_path / "new", now=NOON)
    manifest = backed_up(tmp_path / "new", tmp_path / "second")
    twice = restore(tmp_path / "second", tmp_path / "newer", now=NOON)
    assert manifest.revision == once.revision
    assert twice.revision == once.revision + 1_000_000_000


@pytest.mark.realtime
async def test_a_backup_while_writing_holds_a_prefix_of_what_was_written(tmp_path: Path) -> None:
    """Writers number what they write; a backup must hold every number up to some point and none after."""
    store = open_store(tmp_path / "data")
    stop = asyncio.Event()

    async def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            await store.write("pods", f"ns/{number:06}", b"x" * 500, expected=0)

    writer = asyncio.create_task(write())
    manifests = []
    for number in range(4):
        await asyncio.sleep(0.05)
        before = store.revision
        made = await asyncio.to_thread(backed_up, tmp_path / "data", tmp_path / f"backup-{number}")
        assert before <= made.revision <= store.revision
        manifests.append(made)
    stop.set()
    await writer
    await store.close()
    for number, made in enumerate(manifests):
        restore(tmp_path / f"backup-{number}", tmp_path / f"new-{number}", now=NOON)
        again = open_store(tmp_path / f"new-{number}")
        keys = [record.key for record in again.page("pods").records]
        assert keys == [f"ns/{one:06}" for one in range(made.objects)]
        assert made.revision == 1 + made.objects
        await again.close()
    assert manifests[-1].objects > manifests[0].objects


@pytest.mark.realtime
async def test_credentials_can_be_left_out_and_only_the_owner_can_read_a_backup(tmp_path: Path) -> None:
    await folder_with(tmp_path / "data", "ns/a")
    manifest = backed_up(tmp_path / "data", tmp_path / "backup", credentials=False)
    assert not manifest.credentials
    assert list(manifest.files) == ["state.db"]
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    restore(tmp_path / "backup", tmp_path / "new", now=NOON)
    assert not (tmp_path / "new" / "pki").exists()
    assert sorted(file.name for file in list_folder(tmp_path)) == ["backup", "data", "new"]


@pytest.mark.realtime
async def test_no_damage_of_a_backup_goes_unnoticed(tmp_path: Path) -> None:
    await folder_with(tmp_path / "data", *(f"ns/{number}" for number in range(50)))
    backed_up(tmp_path / "data", tmp_path / "backup")
    whole = (tmp_path / "backup").read_bytes()
    plain = gzip.decompress(whole)
    payload = plain.index(b"ns/17")
    damaged = {
        "cut short": whole[: len(whole) // 2],
        "a byte of the archive": whole[:1000] + bytes([whole[1000] ^ 255]) + whole[1001:],
        "a byte of the database": gzip.compress(plain[:payload] + b"X" + plain[payload + 1 :]),
        "no archive": b"hello",
        "empty": b"",
    }
    for what, content in damaged.items():
        (tmp_path / "damaged").write_bytes(content)
        with pytest.raises(BackupUnusable):
            restore(tmp_path / "damaged", tmp_path / "new", now=NOON)
        assert not (tmp_path / "new").exists(), what


@pytest.mark.realtime
async def test_a_restore_overwrites_nothing_and_a_backup_neither(tmp_path: Path) -> None:
    await folder_with(tmp_path / "data", "ns/a")
    backed_up(tmp_path / "data", tmp_path / "backup")
    with pytest.raises(BackupUnusable, match="exists already"):
        backed_up(tmp_path / "data", tmp_path / "backup")
    with pytest.raises(BackupUnusable, match="is not empty"):
        restore(tmp_path / "backup", tmp_path / "data", now=NOON)
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "backup", tmp_path / "empty", now=NOON)
    assert (tmp_path / "empty" / "state.db").exists()


def test_what_is_no_data_folder_or_of_a_newer_format_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="is no data folder"):
        backed_up(tmp_path, tmp_path / "backup")
    with pytest.raises(BackupUnusable, match="does not exist"):
        restore(tmp_path / "missing", tmp_path / "new", now=NOON)
    SqliteLog(tmp_path / "data").close()
    (tmp_path / "data" / "format").write_text("3\n")
    with pytest.raises(FormatUnknown):
        backed_up(tmp_path / "data", tmp_path / "backup")


def test_an_archive_that_reaches_outside_or_hides_something_is_refused(tmp_path: Path) -> None:
    SqliteLog(tmp_path / "data").close()
    backed_up(tmp_path / "data", tmp_path / "backup")
    for name in ("../outside", "/tmp/outside", "unlisted"):
        with tarfile.open(tmp_path / "backup") as old, tarfile.open(tmp_path / "bad", "w:gz") as bad:
            for member in old:
                bad.addfile(member, old.extractfile(member))
            extra = tarfile.TarInfo(name)
            bad.addfile(extra)
        with pytest.raises(BackupUnusable, match="manifest does not tell"):
            restore(tmp_path / "bad", tmp_path / "new", now=NOON)
