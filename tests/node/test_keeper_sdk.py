"""What the SDK writes, keepers carry, and what they carry, the SDK restores: both sides of one format."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from springtide import sdk
from springtide.node.keeper_layout import Job, Part
from springtide.node.keeper_shelf import Memory, Shelf, read_part

JOB = Job("default", "digits", "uid-1")


def shelf(folder: Path) -> Shelf:
    made = Shelf(folder, 1 << 30, lambda: Memory(1 << 40, 1 << 40))
    made.open()
    return made


def train(storage: Path, steps: int) -> None:
    """Saves two snapshots a step apart, into the folder that the environment names."""
    with sdk.Checkpointer(storage, interval=1) as checkpoints:
        for step in (steps - 1, steps):
            checkpoints.save(step, {"weights": np.full(300_000, float(step)), "epoch": step})


def carry(source: Shelf, target: Shelf, part: Part) -> None:
    with read_part(source.locate(JOB, part)) as reading:
        draft = target.expect(JOB, reading.manifest)
        for chunk in reading.chunks():
            draft.write(chunk)
    target.keep(JOB, draft)


def test_a_snapshot_that_was_carried_to_another_node_is_restored_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = shelf(tmp_path / "here"), shelf(tmp_path / "there")
    monkeypatch.setenv("SPRINGTIDE_MEMORY_DIR", str(here.make(JOB)))
    train(tmp_path / "storage", 7)
    newest = here.own_parts(JOB)[0]
    assert (newest.step, newest.rank, newest.world, newest.local) == (7, 0, 1, (0,))
    carry(here, there, newest)
    there.make(JOB)
    there.publish(JOB, newest)
    there.commit(JOB, 7)
    here.close()
    shutil.rmtree(tmp_path / "storage")
    monkeypatch.setenv("SPRINGTIDE_MEMORY_DIR", str(there.own(JOB)))
    with sdk.Checkpointer(tmp_path / "storage") as checkpoints:
        like: dict[str, Any] = {"weights": np.zeros(300_000), "epoch": 0}
        state, step = checkpoints.restore(like=like)
        assert (step, state["epoch"]) == (7, 7)
        assert np.array_equal(state["weights"], np.full(300_000, 7.0))
        assert checkpoints.restored is not None
        assert checkpoints.restored.where == "memory"
        checkpoints.save(8, {"weights": np.full(300_000, 8.0), "epoch": 8})
        checkpoints.wait()
    assert [part.step for part in there.own_parts(JOB)] == [8, 7]


def test_without_memory_of_the_node_snapshots_go_to_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRINGTIDE_MEMORY_DIR", "")
    (tmp_path / "storage").mkdir()
    with sdk.Checkpointer(tmp_path / "storage") as checkpoints:
        assert checkpoints.memory is None
        checkpoints.save(1, {"weights": np.ones(10)})
        checkpoints.wait()
    assert (tmp_path / "storage" / "step-1" / "COMMIT").exists()


def test_beyond_its_share_a_job_goes_on_in_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    here = shelf(tmp_path / "here")
    monkeypatch.setenv("SPRINGTIDE_MEMORY_DIR", str(here.make(JOB)))
    monkeypatch.setenv("SPRINGTIDE_MEMORY_BYTES", str(1 << 20))
    train(tmp_path / "storage", 7)
    assert here.used_bytes <= 1 << 20
    assert (tmp_path / "storage" / "step-7" / "COMMIT").exists()
    assert "snapshots go to storage from now on" in capfd.readouterr().err
