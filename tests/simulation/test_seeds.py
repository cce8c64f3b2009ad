"""The production controllers under seeds and faults: invariants at every write, and an end for every job.

A failing seed is replayed with `python -m springtide.simulation SEED --log-level info`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SEEDS = range(1, 21)
"""Each seed also is a crash cadence: 1 to 20 writes between the controllers' deaths."""
SLICE = 2


def play(*arguments: str) -> list[dict[str, object]]:
    """Runs in a process of its own, with the hash seed that makes a run the same everywhere."""
    done = subprocess.run(
        [sys.executable, "-m", "springtide.simulation", *arguments],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"seed"')]
    assert rows, done.stderr
    return rows


@pytest.mark.parametrize("first", SEEDS[::SLICE])
def test_seeds_under_faults_break_no_invariant(first: int) -> None:
    rows = play(str(first), str(SLICE))
    assert len(rows) == SLICE
    broken = {row["seed"]: row["violations"] for row in rows if not row["ok"]}
    assert not broken


def test_a_calm_run_breaks_none_either() -> None:
    (row,) = play("7", "--calm")
    assert row["ok"], row["violations"]
    assert row["jobs"]


def test_a_seed_replays_itself() -> None:
    first, second = play("5"), play("5")
    assert first == second
