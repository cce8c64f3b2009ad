"""Older data folders become folders of the present format when they are opened.

    format 1   the first one: tables `revisions` and `facts`, a file that never shrinks
    format 2   the file gives space back in small steps (auto_vacuum), and bears its format in `user_version`

Each step makes the new database beside the old one and then puts it in its place with one rename, so a crash
at any moment leaves the one or the other, whole. The old file stays as `state.db.format-<n>`. Called by
`SqliteLog`, which holds the folder's lock.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from springtide.store.database import (
    APPLICATION_ID,
    FORMAT,
    connect,
    corrupt,
    number,
    sync_folder,
)
from springtide.store.errors import FolderUnusable
from springtide.store.folder import DataFolder

_Step = Callable[[sqlite3.Connection, Path], None]
"""Writes what the connection holds into a new file, in the next format."""


def migrate(folder: DataFolder) -> int | None:
    """Bring the folder to the present format; returns the one it had, or None if it had it already.

    Raises FolderUnusable if there is no space for the copy, DatabaseCorrupt if the database cannot be read.
    """
    found = folder.format
    if found == FORMAT:
        return None
    if folder.database.exists():
        for version in range(found, FORMAT):
            _take_step(folder.database, version)
    folder.write_format(FORMAT)
    return found


def _take_step(file: Path, version: int) -> None:
    """From `version` to the next; nothing to do if a crash came just after the rename."""
    draft = file.with_name(f"{file.name}.format-{version + 1}")
    kept = file.with_name(f"{file.name}.format-{version}")
    draft.unlink(missing_ok=True)
    try:
        database = connect(file)
        try:
            if number(database, "PRAGMA user_version") > version:
                return
            _STEPS[version](database, draft)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            database.close()
        _refuse_leftover_log(file)
        _check(draft)
        kept.unlink(missing_ok=True)
        os.link(file, kept)
        sync_folder(file.parent)
        draft.replace(file)
        sync_folder(file.parent)
    except sqlite3.OperationalError as error:
        draft.unlink(missing_ok=True)
        raise FolderUnusable(
            f"database {file} could not be brought from format {version} to {version + 1}: {error}",
            "the old one is untouched; free space on that disk (a copy is needed for a moment) and try again",
        ) from error
    except sqlite3.DatabaseError as error:
        draft.unlink(missing_ok=True)
        raise corrupt(file, str(error)) from error


def _refuse_leftover_log(file: Path) -> None:
    """The log of the old file must be empty: beside the new one it would be taken for that one's."""
    log = file.with_name(f"{file.name}-wal")
    if log.exists() and log.stat().st_size:
        raise sqlite3.OperationalError("another program reads the database, such as a backup")


def _to_2(database: sqlite3.Connection, draft: Path) -> None:
    database.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of the copy: VACUUM applies it
    database.execute("VACUUM INTO ?", (str(draft),))


_STEPS: dict[int, _Step] = {1: _to_2}


def _check(draft: Path) -> None:
    """Mark the copy as one of the present format, check it, and make it durable."""
    copy = connect(draft)
    try:
        copy.execute(f"PRAGMA application_id={APPLICATION_ID}")
        copy.execute(f"PRAGMA user_version={FORMAT}")
        verdict = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    finally:
        copy.close()
    if verdict != "ok":
        raise corrupt(draft, verdict)
    with draft.open("r+b") as file:
        os.fsync(file.fileno())
