"""Checkpoints are whole or absent, and the newest is found by its number."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest

from springtide import sdk


def test_inside_a_pod_the_folder_is_the_platforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRINGTIDE_CHECKPOINT_DIR", str(tmp_path / "deep" / "folder"))
    assert sdk.checkpoint_dir() == tmp_path / "deep" / "folder"
    assert sdk.checkpoint_dir().is_dir()


def test_elsewhere_it_is_beside_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPRINGTIDE_CHECKPOINT_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert sdk.checkpoint_dir() == Path("checkpoints")


def test_a_saved_file_holds_what_was_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    sdk.save_atomic(tmp_path / "a.pt", lambda file: file.write(b"one"))
    sdk.save_atomic(tmp_path / "a.pt", lambda file: file.write(b"two"))
    assert (tmp_path / "a.pt").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    sdk.save_atomic(tmp_path / "a.pt", lambda file: file.write(b"good"))

    def half(file: BinaryIO) -> None:
        file.write(b"ba")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        sdk.save_atomic(tmp_path / "a.pt", half)
    assert (tmp_path / "a.pt").read_bytes() == b"good"
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize(
    ("what", "names", "newest"),
    [
        ("nothing there", [], None),
        ("numbers are counted, not spelled", ["epoch-9.pt", "epoch-10.pt"], "epoch-10.pt"),
        ("other files do not count", ["epoch-1.pt", "notes.txt"], "epoch-1.pt"),
        ("half-written ones do not count", ["epoch-1.pt", "epoch-2.pt.77.partial"], "epoch-1.pt"),
        (
            "several numbers",
            ["epoch-2-step-9.pt", "epoch-2-step-30.pt", "epoch-1-step-99.pt"],
            "epoch-2-step-30.pt",
        ),
    ],
)
def test_latest(tmp_path: Path, what: str, names: list[str], newest: str | None) -> None:
    for name in names:
        (tmp_path / name).touch()
    found = sdk.latest(tmp_path, "epoch-*")
    assert (found.name if found else None) == newest, what


@pytest.mark.parametrize(
    ("environment", "rank", "world"),
    [
        ({}, 0, 1),
        ({"RANK": "3", "WORLD_SIZE": "8"}, 3, 8),
        ({"JOB_COMPLETION_INDEX": "1", "SPRINGTIDE_NUM_NODES": "2"}, 1, 2),
        ({"RANK": "5", "WORLD_SIZE": "8", "JOB_COMPLETION_INDEX": "1", "SPRINGTIDE_NUM_NODES": "2"}, 5, 8),
        ({"RANK": "many"}, 0, 1),
    ],
)
def test_place_in_the_job(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], rank: int, world: int
) -> None:
    for name in ("RANK", "WORLD_SIZE", "JOB_COMPLETION_INDEX", "SPRINGTIDE_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (sdk.rank(), sdk.world_size()) == (rank, world)
