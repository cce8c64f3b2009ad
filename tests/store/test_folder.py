"""The data folder: its format, older ones brought up to date at any crash, and newer ones refused."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path

import pytest

from springtide.store import FolderUnusable, FormatUnknown, SqliteLog, Store
from springtide.store.database import FORMAT

FORMAT_1 = """
PRAGMA journal_mode=WAL;
CREATE TABLE revisions (
    revision INTEGER PRIMARY KEY,
    resource TEXT NOT NULL,
    key TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('compacted', 3);
INSERT INTO revisions VALUES
    (2, 'pods', 'ns/kept', 0, CAST('{"n":2}' AS BLOB)),
    (3, 'pods', 'ns/changed', 0, CAST('{"n":3}' AS BLOB)),
    (4, 'pods', 'ns/changed', 0, CAST('{"n":4}' AS BLOB)),
    (5, 'pods', 'ns/gone', 0, CAST('{"n":5}' AS BLOB)),
    (6, 'pods', 'ns/gone', 1, CAST('{"n":5}' AS BLOB));
"""
"""A data folder as the first version of Springtide wrote it."""


class Crash(BaseException):
    """The machine went down."""


def folder_of_format_1(path: Path) -> None:
    path.mkdir()
    (path / "format").write_text("1\n")
    database = sqlite3.connect(path / "state.db")
    database.executescript(FORMAT_1)
    database.commit()
    database.close()


def set_format(folder: Path, text: str) -> None:
    (folder / "format").write_text(text)


async def check_content(folder: Path) -> None:
    store = Store(SqliteLog(folder), monotonic=time.monotonic)
    assert [(record.key, record.value) for record in store.page("pods").records] == [
        ("ns/changed", b'{"n":4}'),
        ("ns/kept", b'{"n":2}'),
    ]
    assert (store.revision, store.compacted) == (6, 3)
    events = await store.watch("pods", after=3).batch(0)
    assert [(event.revision, event.record.deleted) for event in events] == [(4, False), (5, False), (6, True)]
    assert events[0].previous is not None
    await store.close()


@pytest.mark.realtime
async def test_a_folder_of_the_first_format_is_brought_up_to_date_and_the_old_file_kept(
    tmp_path: Path,
) -> None:
    folder_of_format_1(tmp_path / "data")
    log = SqliteLog(tmp_path / "data")
    assert log.migrated_from == 1
    log.close()
    await check_content(tmp_path / "data")
    assert (tmp_path / "data" / "format").read_text() == f"{FORMAT}\n"
    database = sqlite3.connect(tmp_path / "data" / "state.db")
    assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    database.close()
    old = sqlite3.connect(tmp_path / "data" / "state.db.format-1")
    assert old.execute("SELECT count(*) FROM revisions").fetchone() == (5,)
    old.close()
    again = SqliteLog(tmp_path / "data")
    assert again.migrated_from is None
    again.close()


@pytest.mark.realtime
@pytest.mark.parametrize("step", ["fsync", "link", "replace", "write format"])
async def test_a_crash_in_the_middle_of_that_leaves_one_or_the_other_whole(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of_format_1(tmp_path / "data")

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        if step == "replace":
            patched.setattr(Path, "replace", crash)
        elif step == "write format":
            patched.setattr("springtide.store.folder.DataFolder.write_format", crash)
        else:
            patched.setattr(os, step, crash)
        with pytest.raises(Crash):
            SqliteLog(tmp_path / "data")
    await check_content(tmp_path / "data")
    assert (tmp_path / "data" / "format").read_text() == f"{FORMAT}\n"


def test_without_space_for_the_copy_the_old_database_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of_format_1(tmp_path / "data")
    before = (tmp_path / "data" / "state.db").read_bytes()

    def full(_: object, draft: Path) -> None:
        draft.write_bytes(b"half")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("springtide.store.migration._STEPS", {1: full})
    with pytest.raises(FolderUnusable, match=r"format 1 to 2.*full") as caught:
        SqliteLog(tmp_path / "data")
    assert "untouched" in caught.value.hint
    assert (tmp_path / "data" / "state.db").read_bytes() == before
    assert (tmp_path / "data" / "format").read_text() == "1\n"
    assert not (tmp_path / "data" / "state.db.format-2").exists()


@pytest.mark.parametrize(
    ("format_text", "hint"),
    [
        (f"{FORMAT + 1}\n", "newer springtide"),
        ("99\n", "newer springtide"),
        ("0\n", "restore a backup"),
        ("two\n", "restore a backup"),
        ("", "restore a backup"),
    ],
    ids=["the next format", "a far one", "zero", "a word", "nothing"],
)
def test_a_folder_of_an_unknown_format_is_refused_and_left_alone(
    tmp_path: Path, format_text: str, hint: str
) -> None:
    SqliteLog(tmp_path).close()
    set_format(tmp_path, format_text)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != "lock"}
    with pytest.raises(FormatUnknown, match=f"reads formats up to {FORMAT}") as caught:
        SqliteLog(tmp_path)
    assert hint in caught.value.hint
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != "lock"} == before


def test_a_database_without_the_word_of_its_format_is_refused(tmp_path: Path) -> None:
    SqliteLog(tmp_path).close()
    (tmp_path / "format").unlink()
    with pytest.raises(FormatUnknown, match="no file `format`"):
        SqliteLog(tmp_path)


@pytest.mark.realtime
async def test_rows_that_a_crash_left_undeleted_after_a_compaction_are_deleted_at_the_next_start(
    tmp_path: Path,
) -> None:
    folder_of_format_1(tmp_path / "data")
    database = sqlite3.connect(tmp_path / "data" / "state.db")
    with database:
        database.execute("UPDATE facts SET value = 6")
    database.close()
    store = Store(SqliteLog(tmp_path / "data"), monotonic=time.monotonic)
    assert [record.revision for record in store.page("pods").records] == [4, 2]
    assert store.revision == 6
    await asyncio.sleep(0)
    await store.close()
    database = sqlite3.connect(tmp_path / "data" / "state.db")
    assert database.execute("SELECT revision FROM revisions").fetchall() == [(2,), (4,)]
    database.close()
