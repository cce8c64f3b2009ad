"""`springtide backup` and `springtide restore`: what they print, and what they refuse with which hint."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from springtide.cli.root import root
from springtide.store import SqliteLog, Store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, list(arguments), prog_name="springtide", env={"NO_COLOR": "1"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with one object."""

    async def fill() -> None:
        store = Store(SqliteLog(tmp_path / "data"), monotonic=time.monotonic)
        await store.write("pods", "ns/a", b"{}", expected=0)
        await store.close()

    asyncio.run(fill())
    return tmp_path / "data"


def test_there_and_back(folder: Path, tmp_path: Path) -> None:
    made = run("backup", str(tmp_path / "b"), "--data-dir", str(folder))
    assert made.exit_code == 0
    assert made.stdout == ""
    assert "b: 1 objects at revision 2" in made.stderr
    assert "keep it safe" in made.stderr
    back = run("restore", str(tmp_path / "b"), "--data-dir", str(tmp_path / "new"))
    assert back.exit_code == 0
    assert f"next: springtide up --data-dir {tmp_path / 'new'}" in back.stderr


def test_as_json(folder: Path, tmp_path: Path) -> None:
    made = run(
        "backup", str(tmp_path / "b"), "--data-dir", str(folder), "--without-credentials", "-o", "json"
    )
    told: dict[str, Any] = json.loads(made.stdout)
    assert (told["objects"], told["revision"], told["credentials"]) == (1, 2, False)
    assert told["bytes"] == (tmp_path / "b").stat().st_size
    back = run("restore", str(tmp_path / "b"), "--data-dir", str(tmp_path / "new"), "-o", "json")
    restored: dict[str, Any] = json.loads(back.stdout)
    assert restored["revision"] > 1_000_000_000
    assert restored["manifest"]["files"] == told["files"]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["backup", "{tmp}/b", "--data-dir", "{tmp}/none"], "is no data folder", "--data-dir"),
        (["backup", "{tmp}/taken", "--data-dir", "{tmp}/data"], "exists already", "does not exist yet"),
        (["restore", "{tmp}/none", "--data-dir", "{tmp}/new"], "does not exist", "path of a backup"),
        (
            ["restore", "{tmp}/taken", "--data-dir", "{tmp}/new"],
            "cannot be read as a backup",
            "another backup",
        ),
        (["restore", "{tmp}/taken", "--data-dir", "{tmp}/data"], "is not empty", "--data-dir"),
    ],
    ids=["no data folder", "the file exists", "no such backup", "no backup at all", "the folder is in use"],
)
def test_what_is_refused(folder: Path, tmp_path: Path, arguments: list[str], message: str, hint: str) -> None:
    (tmp_path / "taken").write_text("something")
    result = run(*(one.format(tmp=tmp_path) for one in arguments))
    assert result.exit_code == 1
    assert message in result.stderr
    assert hint in result.stderr.partition("hint: ")[2]
    assert folder.exists()
    assert not (tmp_path / "new").exists()
