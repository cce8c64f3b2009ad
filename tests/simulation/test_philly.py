"""Policies on the first jobs of Microsoft's Philly trace, when little is learned yet of how long jobs run.

Skipped where the trace is not at hand: `SPRINGTIDE_DATA` names the folder that has `jobs/philly.csv`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from springtide.simulation.jobs import replay_jobs
from springtide.simulation.jobtrace import load_jobs, nodes_for

DATA = Path(os.environ.get("SPRINGTIDE_DATA") or Path(__file__).parents[3] / "shared" / "data")
TRACE = DATA / "jobs" / "philly.csv"
JOBS = 1000
POLICIES = ("fifo", "easy", "default")


@pytest.mark.skipif(not TRACE.exists(), reason=f"{TRACE} is not there; set SPRINGTIDE_DATA")
def test_each_policy_waits_less_than_the_one_before() -> None:
    trace = load_jobs(TRACE)[:JOBS]
    nodes = nodes_for(trace, 0.9, 8)
    fifo, easy, default = (replay_jobs(trace, nodes, 8, policy).overall for policy in POLICIES)
    assert fifo.jobs == easy.jobs == default.jobs == JOBS
    assert default.wait_mean < easy.wait_mean < fifo.wait_mean
