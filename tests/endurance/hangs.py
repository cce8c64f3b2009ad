"""Hangs, pauses and slow ranks with real PyTorch processes: `python -m tests.endurance.hangs [CASE …]`.

Each case is jobs of two ranks on a platform of its own; one JSON object a row is printed. `stop`: a rank
gets SIGSTOP; `pause`: ten healthy runs with a quiet evaluation of 20 s; `slow`: a rank works at a third of
its rate, at three lengths of steps; `stage`: the last rank has three times the work by design. All of them
without a case named.
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
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from springtide.api.nodehealth import RankMarks
from tests.e2e.platforms import Platform
from tests.e2e.trained import Steps, Training, processor_seconds, slowed, wait

PAUSES = ("sleep", "rank0", "busy", "declared")
PRODUCTS = (2000, 900, 300)
"""Work of a step: on an idle core about 0.3, 0.15 and 0.05 s."""
HEALTHY_PRODUCTS = (0, 100, 400)
"""Steps of some milliseconds, of a fiftieth and of a fifteenth of a second."""
STEPS = 14
STEPS_MAX, SECONDS_MAX = 20, 8.0
"""Within so many steps a slow rank is to be named, or seconds where steps are very short."""
SHARES = (0.25, 0.42)
"""A third, as exactly as a busy machine lets it be."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="stop, pause, slow, stage")
    parser.add_argument("--runs", type=int, default=0, help="of each case; 0: 3, 6 slow, 10 pauses")
    parser.add_argument("--first", type=int, default=0, help="number of the first run: what it varies by")
    parser.add_argument("--together", type=int, default=1, help="pauses or stages at the same time")
    options = parser.parse_args()
    cases: dict[str, tuple[Callable[[Platform, int], dict[str, Any]], int]] = {
        "stop": (stop, 3),
        "pause": (pause, 10),
        "slow": (slow, 6),
        "stage": (stage, 3),
    }
    failed = 0
    for name in options.cases or cases:
        case, usual = cases[name]
        together = options.together if name in ("pause", "stage") else 1
        with platform() as made, ThreadPoolExecutor(together) as pool:
            runs = range(options.first, options.first + (options.runs or usual))
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
    how, products = PAUSES[run % len(PAUSES)], HEALTHY_PRODUCTS[run % len(HEALTHY_PRODUCTS)]
    job = Training(made, f"pause-{run}")
    length = ("--epochs", "20", "--batches", "10", "--work", str(products))
    job.start(*length, "--pause-epoch", "10", "--pause-seconds", "20", "--pause", how)
    wait("the end", lambda: job.condition("Complete") or job.condition("Failed"), 900)
    said = job.diagnoses()
    complete = job.condition("Complete")
    job.end()
    alarms = [f"{one['faultClass']}: {one['message']}" for one in said]
    return {
        "passed": complete and not alarms,
        "pause": how,
        "work": products,
        "complete": complete,
        "load": round(os.getloadavg()[0], 1),
        "alarms": alarms,
    }


def slow(made: Platform, run: int) -> dict[str, Any]:
    """A rank that works at a third from some step on: within how many steps it is named."""
    victim, products = run % 2, PRODUCTS[run // 2 % len(PRODUCTS)]
    job = Training(made, f"slow-{run}")
    job.start("--work", str(products), "--batches", "10", "--epochs", "10000")
    before = job.wait_for_step(40, 300)
    process = before[victim]["process"]
    usual = job.marks(process)
    rate = _rate(job, process)
    with Steps(job, process) as steps, slowed(process, 1 / 3, rate):
        first, began = job.step_now(process), time.time()
        found = wait("the slow rank", lambda: _suspicion(job), 240, pause_seconds=0.2)
        while job.step_now(process) < first + STEPS:  # its median is of slow steps alone
            time.sleep(0.2)
        now = job.marks(process)
    job.end()
    named = datetime.fromisoformat(found["detectedAt"]).timestamp()
    count, seconds = steps.at(named) - first, named - began
    share = _work_seconds(usual) / _work_seconds(now)
    right = found["globalRank"] == victim and found["action"] == "ignore"
    return {
        "passed": right
        and (count <= STEPS_MAX or seconds <= SECONDS_MAX)
        and SHARES[0] <= share <= SHARES[1],
        "steps": count,
        "seconds": round(seconds, 1),
        "step_seconds": [round(one.step_seconds or 0, 3) for one in (usual, now)],
        "work_seconds": [round(_work_seconds(one), 3) for one in (usual, now)],
        "share": round(share, 2),
        "load": round(os.getloadavg()[0], 1),
        "blame": found["blame"],
        "message": found["message"],
    }


def _work_seconds(marks: RankMarks) -> float:
    """What a rank needs for its own part of a step."""
    return (marks.busy_seconds or 0.0) + (marks.queued_seconds or 0.0)


def _rate(job: Training, process: int, seconds: float = 5.0) -> float:
    """Seconds of processor a rank uses a second of its work, for some seconds."""
    step, used = job.step_now(process), processor_seconds(process)
    time.sleep(seconds)
    marks = job.marks(process)
    worked = ((marks.step or 0) - step) * _work_seconds(marks)
    return min((processor_seconds(process) - used) / worked, 1.0)


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
