"""Up-to-ready time and idle memory of the whole platform, as a user starts it. One JSON object a row."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

RUNS = 5
IDLE_SECONDS = 5.0
SPRINGTIDE = [sys.executable, "-m", "springtide.cli"]


def measure(first: bool, data_dir: Path) -> dict[str, float]:
    """One start on `data_dir`: seconds until `up --detach` returns ready, resident MB after idling."""
    place = ["--data-dir", str(data_dir)]
    begin = time.perf_counter()
    subprocess.run(
        [*SPRINGTIDE, "up", "--detach", "--port", "0", *place], check=True, stdout=subprocess.DEVNULL
    )
    ready_seconds = time.perf_counter() - begin
    time.sleep(IDLE_SECONDS)
    status = json.loads(subprocess.check_output([*SPRINGTIDE, "status", *place, "-o", "json"], text=True))
    process = psutil.Process(status["platform"]["pid"])
    memory = process.memory_info().rss
    cpu_before = process.cpu_times()
    time.sleep(IDLE_SECONDS)
    cpu_after = process.cpu_times()
    idle_cpu = (cpu_after.user + cpu_after.system - cpu_before.user - cpu_before.system) / IDLE_SECONDS
    subprocess.run([*SPRINGTIDE, "down", *place], check=True, stdout=subprocess.DEVNULL)
    return {
        "ready_seconds": ready_seconds,
        "resident_mb": memory / 1e6,
        "idle_cpu": idle_cpu,
        "first": float(first),
    }


def main() -> None:
    os.environ.pop("KUBECONFIG", None)
    bound = min(_bare_interpreter() for _ in range(3))
    for label in ("new data folder", "existing data folder"):
        rows = []
        for _ in range(RUNS):
            data_dir = Path(tempfile.mkdtemp(prefix="springtide-bench-"))
            rows.append(measure(True, data_dir))
            if label == "existing data folder":
                rows[-1] = measure(False, data_dir)
            shutil.rmtree(data_dir)
        print(
            json.dumps(
                {
                    "benchmark": "up",
                    "case": label,
                    "ready_seconds_median": round(statistics.median(row["ready_seconds"] for row in rows), 3),
                    "resident_mb_median": round(statistics.median(row["resident_mb"] for row in rows), 1),
                    "idle_cpu_share_median": round(statistics.median(row["idle_cpu"] for row in rows), 4),
                    "bound_bare_interpreter_seconds": round(bound, 3),
                    "runs": RUNS,
                }
            )
        )


def _bare_interpreter() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import asyncio, ssl, sqlite3"], check=True)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
