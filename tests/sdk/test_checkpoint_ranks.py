"""Several ranks: DDP and FSDP jobs of real processes save together, and go on together, also as others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

from springtide import sdk
from tests.sdk import ranks

pytestmark = pytest.mark.realtime


def test_a_ddp_job_goes_on_from_memory_and_a_new_node_from_storage(tmp_path: Path) -> None:
    trained = ranks.run(2, ranks.train_ddp, tmp_path)
    assert trained[0]["whole"] == trained[1]["whole"]

    resumed = ranks.run(2, ranks.resume_ddp, tmp_path)
    for before, after in zip(trained, resumed, strict=True):
        assert after["step"] == 2
        assert after["where"] == "memory"
        assert {key: after[key] for key in before} == before, "weights, moments, position and random numbers"

    shutil.rmtree(tmp_path / "memory-1")  # its node is gone, and it starts on another
    resumed = ranks.run(2, ranks.resume_ddp, tmp_path)
    assert [one["where"] for one in resumed] == ["memory", "storage"]
    for before, after in zip(trained, resumed, strict=True):
        assert {key: after[key] for key in before} == before

    resumed = ranks.run(3, ranks.resume_ddp, tmp_path)
    assert [one["whole"] for one in resumed] == [trained[0]["whole"]] * 3
    assert [one["position"] for one in resumed] == [0, 1, 2], "positions of other ranks are nobody's"
    assert resumed[0]["skipped"] == ["sampler", "random states"]


def test_a_sharded_job_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    """FSDP2 on two ranks, then one, then three: parameters of seven and three rows, cut unevenly."""
    last = None
    for world in (2, 1, 3):
        said = ranks.run(world, ranks.train_fsdp, tmp_path)
        assert all(one == said[0] for one in said)
        if last is not None:
            assert said[0]["step"] == last["next"]
            assert said[0]["before"] == last["after"]
        last = said[0] | {"next": (said[0]["step"] if said[0]["step"] is not None else -1) + 2}

    plain, step = sdk.Checkpointer(tmp_path / "disk", memory=tmp_path / "other").restore()
    assert step == 5
    assert last is not None
    assert {f"model.{name}": one.tolist() for name, one in plain["model"].items()}.items() <= last[
        "after"
    ].items(), "without `like` tensors come whole"


def test_programs_that_use_dcp_save_and_reshard_through_it(tmp_path: Path) -> None:
    saved = ranks.run(2, ranks.save_dcp, tmp_path)
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["step-1", "step-2"]
    for world in (2, 3):
        loaded = ranks.run(world, ranks.load_dcp, tmp_path)
        assert loaded == [saved[0]] * world
