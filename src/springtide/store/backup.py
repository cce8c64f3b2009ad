"""Backups: one file that holds a data folder at one revision, made while the platform writes on.

The database is copied in one read transaction, so at one moment; certificates, keys and tokens come with it
unless they are left out. Pods' volumes and logs (`node/`, `logs/`) are not part of it.

A restored folder begins far beyond every revision the old one can have given since: no resourceVersion is
ever given twice, and whoever watches from an older one is told 410 and lists anew. Called by `springtide
backup` and `springtide restore`; nobody else needs it, so it is no part of what the room imports.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from springtide.store.archive import KIND, Manifest, digest_of, pack, unpack
from springtide.store.database import COMPACTED, connect, fact, number, set_fact, sync_folder
from springtide.store.errors import BackupUnusable
from springtide.store.folder import DATABASE_FILE, FORMAT_FILE, read_format, write_durably
from springtide.store.revisions import FIRST_REVISION

_CREDENTIALS = "pki"
_LEAST_JUMP = 1_000_000_000
"""Revisions left out at a restore, as etcd's documentation advises for `--bump-revision`."""
_JUMP_A_SECOND = 10_000
"""And so many for each second since the backup: more writes than one process can do."""


class Restored(msgspec.Struct, frozen=True, rename="camel"):
    """What a restore did."""

    manifest: Manifest
    folder: str
    revision: int
    """Where revisions go on."""


def back_up(folder: Path, file: Path, *, now: datetime, version: str, credentials: bool = True) -> Manifest:
    """Write a backup of the data folder into a new file, then read it back and check it.

    Raises BackupUnusable, FormatUnknown, or OSError.
    """
    if file.exists():
        raise BackupUnusable(f"{file} exists already", "give a name that does not exist yet")
    if not (folder / DATABASE_FILE).exists():
        raise BackupUnusable(
            f"{folder} is no data folder: it has no {DATABASE_FILE}", "name the platform's with --data-dir"
        )
    found = read_format(folder)
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as scratch:
        copy = Path(scratch) / DATABASE_FILE
        _copy_database(folder / DATABASE_FILE, copy)
        members = {DATABASE_FILE: copy, **(_credentials(folder) if credentials else {})}
        with _checked(copy) as database:
            manifest = Manifest(
                KIND,
                found,
                version,
                now,
                _revision(database),
                number(database, _COUNT_OBJECTS),
                credentials,
                {name: digest_of(path) for name, path in members.items()},
            )
        draft = Path(scratch) / file.name
        pack(draft, manifest, members)
        unpack(draft, None)
        os.link(draft, file)
    sync_folder(file.parent)
    return manifest


def restore(file: Path, folder: Path, *, now: datetime) -> Restored:
    """Make a data folder of a backup. Raises BackupUnusable, also if the folder has something in it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupUnusable(
            f"{folder} is not empty, and a restore overwrites nothing",
            "name a folder that does not exist yet with --data-dir",
        )
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=folder) as scratch:
            draft = Path(scratch)
            manifest = unpack(file, draft)
            elapsed_seconds = max(0, int((now - manifest.created).total_seconds()))
            revision = manifest.revision + _LEAST_JUMP + _JUMP_A_SECOND * elapsed_seconds
            with _checked(draft / DATABASE_FILE) as database:
                _begin_history_at(database, revision)
            for part in draft.iterdir():
                part.rename(folder / part.name)
        write_durably(folder / FORMAT_FILE, f"{manifest.format}\n")  # last: without it, it is no data folder
    except BaseException:
        if not existed and not any(folder.iterdir()):
            folder.rmdir()
        raise
    sync_folder(folder.parent)
    return Restored(manifest, str(folder), revision)


_COUNT_OBJECTS = """
SELECT count(*) FROM (
    SELECT deleted, max(revision) FROM revisions GROUP BY resource, key
) WHERE NOT deleted
"""
_DELETE_HISTORY = """
DELETE FROM revisions WHERE deleted OR revision NOT IN (
    SELECT max(revision) FROM revisions GROUP BY resource, key
)
"""


def _copy_database(source: Path, target: Path) -> None:
    try:
        database = connect(source)
        try:
            database.execute("VACUUM INTO ?", (str(target),))
        finally:
            database.close()
    except sqlite3.Error as error:
        raise BackupUnusable(
            f"database {source} cannot be copied: {error}",
            "free space beside the backup, or write it elsewhere",
        ) from error


@contextmanager
def _checked(file: Path) -> Iterator[sqlite3.Connection]:
    """A copy of a database, nobody else's, that passed its integrity check."""
    try:
        database = connect(file)
        try:
            verdict = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if verdict != "ok":
                raise BackupUnusable(f"the copy of the database is damaged: {verdict}")
            yield database
        finally:
            database.close()
    except sqlite3.Error as error:
        raise BackupUnusable(f"the copy of the database cannot be read: {error}") from error


def _revision(database: sqlite3.Connection) -> int:
    newest = number(database, "SELECT coalesce(max(revision), 0) FROM revisions")
    return max(newest, fact(database, COMPACTED, FIRST_REVISION))


def _begin_history_at(database: sqlite3.Connection, revision: int) -> None:
    """Keep the newest state only, all of it older than `revision`."""
    database.execute("PRAGMA synchronous=FULL")
    database.execute("BEGIN IMMEDIATE")
    database.execute(_DELETE_HISTORY)
    set_fact(database, COMPACTED, revision)
    database.execute("COMMIT")


def _credentials(folder: Path) -> dict[str, Path]:
    root = folder / _CREDENTIALS
    return {path.relative_to(folder).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
