"""From `springtide up --detach` to ready, and what the idle platform holds, as a user starts it. JSON rows.

    python benchmarks/up.py

Cases: a new data folder, the same folder again, and 1,000 simulated nodes in a new folder. `ready_seconds` is
by the wall clock; `cpu_seconds` is the command and the platform together until ready, for a machine that
others use too. The bound is a bare interpreter with the standard library's part of it, in the same run.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

RUNS = 3
IDLE_SECONDS = 2.0
SPRINGTIDE = [sys.executable, "-m", "springtide.cli"]
NODES = Path(__file__).parent.parent / "examples" / "simulated" / "nodes.yaml"


def measure(data_dir: Path, *options: str) -> dict[str, float]:
    """One start on `data_dir`, one look at the idle platform, one stop."""
    place = ["--data-dir", str(data_dir)]
    began, own_cpu = time.perf_counter(), _children_cpu()
    subprocess.run(
        [*SPRINGTIDE, "up", "--detach", "--port", "0", *place, *options],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    ready = time.perf_counter() - began
    command_cpu = _children_cpu() - own_cpu
    platform = _platform(data_dir)
    cpu = command_cpu + _cpu(platform)
    time.sleep(IDLE_SECONDS)
    memory, before = platform.memory_info().rss, _cpu(platform)
    time.sleep(IDLE_SECONDS)
    idle = (_cpu(platform) - before) / IDLE_SECONDS
    subprocess.run([*SPRINGTIDE, "down", *place], check=True, stdout=subprocess.DEVNULL)
    return {"ready_seconds": ready, "cpu_seconds": cpu, "resident_mb": memory / 1e6, "idle_cpu_share": idle}


def report(case: str, rows: Sequence[dict[str, float]], bound_seconds: float) -> None:
    medians = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    bound = {"bound_bare_interpreter_seconds": round(bound_seconds, 3)}
    print(json.dumps({"benchmark": "up", "case": case, **medians, **bound, "runs": len(rows)}), flush=True)


def main() -> None:
    os.environ.pop("KUBECONFIG", None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    cases: dict[str, list[dict[str, float]]] = {}
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="springtide-bench-") as folder:
            rows = {
                "new data folder": measure(Path(folder) / "data"),
                "existing data folder": measure(Path(folder) / "data"),
                "1,000 simulated nodes": measure(Path(folder) / "simulated", "--simulate", str(NODES)),
            }
        for case, row in rows.items():
            cases.setdefault(case, []).append(row)
    bound = min(_bare_interpreter() for _ in range(3))
    for case, found in cases.items():
        report(case, found, bound)


def _platform(data_dir: Path) -> psutil.Process:
    answer = subprocess.check_output(
        [*SPRINGTIDE, "status", "--data-dir", str(data_dir), "-o", "json"], text=True
    )
    return psutil.Process(json.loads(answer)["platform"]["pid"])


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _children_cpu() -> float:
    """CPU seconds of the commands that have ended; the detached platform is not among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _bare_interpreter() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import asyncio, ssl, sqlite3"], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
