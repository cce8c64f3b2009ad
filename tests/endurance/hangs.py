"""Hangs, pauses and slow ranks with real PyTorch processes: `python -m tests.endurance.hangs [CASE …]`.

Each case is jobs of two ranks on a platform of its own; one JSON object a row is printed. `stop`: a rank
gets SIGSTOP; `pause`: ten healthy runs with a quiet evaluation of 20 s; `slow`: a rank runs a third of the
time; `stage`: the last rank has three times the work by design. All of them without a case named.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.platforms import Platform
from tests.e2e.trained import Training, slowed, wait

PAUSES = ("sleep", "rank0", "busy", "declared")
LONG_STEPS = ("--work", "2000", "--batches", "10", "--epochs", "60")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="stop, pause, slow, stage")
    parser.add_argument("--runs", type=int, default=0, help="of each case; 0: 3, and 10 pauses")
    parser.add_argument("--together", type=int, default=1, help="pauses at the same time")
    options = parser.parse_args()
    cases: dict[str, tuple[Callable[[Platform, int], dict[str, Any]], int]] = {
        "stop": (stop, 3),
        "pause": (pause, 10),
        "slow": (slow, 3),
        "stage": (stage, 3),
    }
    failed = 0
    for name in options.cases or cases:
        case, usual = cases[name]
        with platform() as made, ThreadPoolExecutor(options.together if name == "pause" else 1) as pool:
            runs = range(options.runs or usual)
            for run, found in zip(runs, pool.map(partial(case, made), runs), strict=True):
                print(json.dumps({"case": name, "run": run, **found}), flush=True)
                failed += not found["passed"]
    return 1 if failed else 0


@contextmanager
def platform() -> Iterator[Platform]:
    """A platform of its own, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="springtide-hangs-") as folder:
        home = Path(folder, "home")
        home.mkdir()
        made = Platform(Path(folder, "data"), home)
        started = made.up()
        assert started.code == 0, started.text
        try:
            yield made
        finally:
            made.down()


def stop(made: Platform, run: int) -> dict[str, Any]:
    """SIGSTOP: how long until the rank is named with its stack, and until all train again."""
    job = Training(made, f"stop-{run}")
    job.start("--epochs", "1000", "--work", "20")
    before = {rank: one["process"] for rank, one in job.wait_for_step(200).items()}
    process = before[run % 2]
    time.sleep(2)
    began = time.monotonic()
    os.kill(process, signal.SIGSTOP)
    found = job.wait_for_diagnosis("Hang", 60)
    named_seconds = time.monotonic() - began
    wait("other processes", lambda: job.trains_without({*before.values()}), 120)
    healed_seconds = time.monotonic() - began
    job.end()
    right = found["globalRank"] == run % 2 and bool(found.get("stack"))
    return {
        "passed": right and named_seconds <= 30,
        "named_seconds": round(named_seconds, 1),
        "healed_seconds": round(healed_seconds, 1),
        "rank": found["globalRank"],
        "stack": found.get("stack", [])[:2],
        "message": found["message"],
    }


def pause(made: Platform, run: int) -> dict[str, Any]:
    """A healthy job whose evaluation is quiet for 20 s ends without a word about it."""
    how = PAUSES[run % len(PAUSES)]
    job = Training(made, f"pause-{run}")
    job.start(
        "--epochs", "20", "--batches", "10", "--pause-epoch", "10", "--pause-seconds", "20", "--pause", how
    )
    wait("the end", lambda: job.condition("Complete") or job.condition("Failed"), 900)
    said = job.diagnoses()
    complete = job.condition("Complete")
    job.end()
    alarms = [f"{one['faultClass']}: {one['message']}" for one in said]
    return {"passed": complete and not alarms, "pause": how, "complete": complete, "alarms": alarms}


def slow(made: Platform, run: int) -> dict[str, Any]:
    """A rank that runs a third of the time from some step on: within how many steps it is named."""
    victim = run % 2
    job = Training(made, f"slow-{run}")
    job.start(*LONG_STEPS)
    before = job.wait_for_step(25, 300)
    process = before[victim]["process"]
    with slowed(process, 1 / 3):
        first = job.step_now(process)
        began = time.monotonic()
        found = wait("the slow rank", lambda: _suspicion(job), 240)
        steps = job.step_now(process) - first
    seconds = time.monotonic() - began
    job.end()
    right = found["globalRank"] == victim and found["action"] == "ignore"
    return {
        "passed": right and steps <= 20,
        "steps": steps,
        "seconds": round(seconds, 1),
        "step_seconds_before": before[victim].get("stepSeconds"),
        "blame": found["blame"],
        "message": found["message"],
    }


def _suspicion(job: Training) -> dict[str, Any] | None:
    """What was said of a rank that turned slow; one that always was is said with blame `program`."""
    return next((one for one in job.diagnoses() if one["blame"] == "unknown"), None)


def stage(made: Platform, run: int) -> dict[str, Any]:
    """A last rank with three times the work: no node is blamed."""
    job = Training(made, f"stage-{run}")
    job.start("--work", "150", "--last-stage", "3", "--batches", "10", "--epochs", "12")
    wait("the end", lambda: job.condition("Complete") or job.condition("Failed"), 300)
    said = job.diagnoses()
    complete = job.condition("Complete")
    nodes = [
        one["metadata"]["name"] for one in made.get("nodes")["items"] if one["spec"].get("unschedulable")
    ]
    job.end()
    blamed = [one["message"] for one in said if one["blame"] in ("node", "unknown")]
    return {
        "passed": complete and not blamed and not nodes,
        "said": [f"{one['blame']}: {one['message']}" for one in said],
        "cordoned": nodes,
    }


if __name__ == "__main__":
    sys.exit(main())
