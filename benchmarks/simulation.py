"""How many seeds of the simulator play in a minute, and how much virtual time that is. One JSON row."""

from __future__ import annotations

import json
import os
import sys
import time

from springtide.simulation.faults import FaultSettings
from springtide.simulation.world import simulate

SECONDS = 20.0


def main() -> None:
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    began, cpu = time.perf_counter(), time.process_time()
    seeds = revisions = crashes = 0
    virtual_seconds = 0.0
    broken: list[int] = []
    while time.perf_counter() - began < SECONDS:
        seeds += 1
        report = simulate(seeds, FaultSettings.of_seed(seeds))
        revisions += report.revisions
        virtual_seconds += report.virtual_seconds
        crashes += report.counts.crashes
        if not report.ok:
            broken.append(seeds)
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "benchmark": "simulation",
                "seeds_per_minute": round(seeds / seconds * 60, 1),
                "seeds_per_cpu_minute": round(seeds / (time.process_time() - cpu) * 60, 1),
                "seeds": seeds,
                "broken_seeds": broken,
                "virtual_seconds_per_second": round(virtual_seconds / seconds),
                "revisions_checked": revisions,
                "controller_crashes": crashes,
            }
        )
    )


if __name__ == "__main__":
    main()
