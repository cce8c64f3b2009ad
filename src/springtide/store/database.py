"""The SQLite file of a data folder: its tables, how it is opened, and how much of it is in use.

Rows of `revisions` are only ever inserted, and deleted by compaction; an object's current state is its newest
row. `facts` holds numbers about the whole: `compacted`, the oldest state that can still be read. Called by
`sqlite_log`, `migration` and `backup`.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from springtide.store.errors import DatabaseCorrupt, FolderUnusable

FORMAT = 2
"""The version of the data folder that this program writes; `migration` says what each one changed."""
APPLICATION_ID = 0x53505254
"""`SPRT` in the file's header, so that `file state.db` says whose it is."""
COMPACTED = "compacted"

SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions (
    revision INTEGER PRIMARY KEY,
    resource TEXT NOT NULL,
    key TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_CHECKPOINT_PAGES = 4096
"""Pages in the write-ahead log before they are moved into the file: 16 MB, so that a burst is not held up."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of the database: those that hold rows, and all of the file."""

    in_use: int = 0
    on_disk: int = 0


def connect(file: Path) -> sqlite3.Connection:
    """A connection without Python's own transactions. Raises sqlite3 errors."""
    return sqlite3.connect(
        file, isolation_level=None, check_same_thread=False, cached_statements=16, timeout=30
    )


def open_database(file: Path) -> sqlite3.Connection:
    """The database of the present format, checked, and made if it is missing.

    Raises FolderUnusable, or DatabaseCorrupt if the file fails its check.
    """
    try:
        return _prepared(file)
    except sqlite3.OperationalError as error:
        raise FolderUnusable(
            f"database {file} cannot be opened: {error}",
            "free space on that disk, make the file writable, or choose another folder with --data-dir",
        ) from error
    except sqlite3.DatabaseError as error:
        raise corrupt(file, str(error)) from error


def usage(database: sqlite3.Connection) -> Usage:
    page_bytes = number(database, "PRAGMA page_size")
    pages, free = number(database, "PRAGMA page_count"), number(database, "PRAGMA freelist_count")
    return Usage((pages - free) * page_bytes, pages * page_bytes)


def number(database: sqlite3.Connection, query: str) -> int:
    """The one number a query answers."""
    return int(database.execute(query).fetchone()[0])


def fact(database: sqlite3.Connection, name: str, default: int) -> int:
    row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return default if row is None else int(row[0])


def set_fact(database: sqlite3.Connection, name: str, value: int) -> None:
    database.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def corrupt(file: Path, verdict: str) -> DatabaseCorrupt:
    return DatabaseCorrupt(
        f"database {file} cannot be read: {verdict}",
        "restore a backup into another folder with `springtide restore FILE --data-dir DIR`, "
        "or choose an empty one with --data-dir",
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; a file's own fsync does not promise that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prepared(file: Path) -> sqlite3.Connection:
    database = connect(file)
    try:
        database.execute("PRAGMA auto_vacuum=INCREMENTAL")  # takes effect on a new file only
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise corrupt(file, verdict)
        if not number(database, "PRAGMA user_version"):
            marks = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT};"
            database.executescript(f"BEGIN; {SCHEMA} {marks} COMMIT;")
            sync_folder(file.parent)
    except BaseException:
        database.close()
        raise
    return database
