"""A rank that is stopped: named with its stack and healed, on a real platform with real PyTorch processes.

The long forms, until all train again, with pauses and slow ranks, are `python -m tests.endurance.hangs`.
"""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.platforms import Platform
from tests.e2e.trained import Training, wait

pytest.importorskip("torch", reason="needs the extra 'torch'")

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("hangs")]


@pytest.mark.timeout(1200)  # PyTorch starts four times, beside whatever else the machine does
def test_a_stopped_rank_is_named_with_its_stack_and_the_job_started_again(platform: Platform) -> None:
    job = Training(platform, "stopped")
    job.start("--epochs", "1000", "--batches", "20", "--rest", "0.1")
    before = {rank: one["process"] for rank, one in job.wait_for_step(20, 420).items()}
    assert [one for one in job.diagnoses() if one["faultClass"] == "Hang"] == []
    os.kill(before[1], signal.SIGSTOP)
    found = job.wait_for_diagnosis("Hang", 300)
    assert (found["globalRank"], found["action"]) == (1, "restart_in_place")
    assert "state T" in found["message"]
    assert any("train.py" in frame for frame in found["stack"])
    wait("the pods of the next attempt", lambda: job.running_pods(attempt=1) == 2, 300)
    job.end()
