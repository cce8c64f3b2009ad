"""The long proof of `tests.endurance.checkpoint_cuts` in short, and that it would find what it looks for."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from springtide.sdk.checkpoint import layout, persist
from tests.endurance import checkpoint_cuts
from tests.endurance.checkpoint_disk import Disk

pytestmark = pytest.mark.realtime


def test_after_a_power_cut_at_any_moment_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    wrong, seen = checkpoint_cuts.power_cuts(random.Random(1), 40, tmp_path)
    assert wrong == []
    assert seen["whole, from storage"] > 20


def test_after_any_damage_the_next_best_is_restored(tmp_path: Path) -> None:
    wrong, seen = checkpoint_cuts.damages(random.Random(2), 25, tmp_path)
    assert wrong == []
    assert len(seen) > 2


def test_a_killed_process_goes_on_from_what_it_saved(tmp_path: Path) -> None:
    wrong, seen = checkpoint_cuts.kills(random.Random(3), 3, tmp_path)
    assert wrong == []
    assert seen.total() == 6


def data_not_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = Disk._flushed

    def lying(self: Disk, path: Path, descriptor: int) -> None:
        if path.name != layout.DATA:
            flushed(self, path, descriptor)

    monkeypatch.setattr(Disk, "_flushed", lying)


def folders_not_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "sync_folder", lambda folder: None)


def commit_before_the_others_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = persist.commit

    def early(root: Path, manifest: Any, ranks: Any, *, durable: bool) -> bool:
        return commit(root, manifest, [manifest.rank], durable=durable)

    monkeypatch.setattr(persist, "commit", early)


def data_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springtide.sdk.checkpoint.reading.Part.check", lambda self, number: None)


@pytest.mark.parametrize(
    ("plant", "proof"),
    [
        (data_not_flushed, checkpoint_cuts.power_cuts),
        (folders_not_flushed, checkpoint_cuts.power_cuts),
        (commit_before_the_others_are_there, checkpoint_cuts.power_cuts),
        (data_is_believed, checkpoint_cuts.damages),
    ],
    ids=lambda one: one.__name__,
)
def test_a_planted_defect_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    proof: Callable[..., Any],
) -> None:
    plant(monkeypatch)
    found: list[str] = []
    for seed in range(6):
        if not found:
            (tmp_path / str(seed)).mkdir()
            found, _ = proof(random.Random(seed), 40, tmp_path / str(seed))
    assert found, "the proof is blind to it"
