"""What the collectors of a node cost: `springtide collect` as a program, against a server. JSON rows.

    python benchmarks/collectors.py [SECONDS]

Cases: a node without jobs; 8 pods with 4 processes each whose logs get 1,000 lines a second each; the same
with one line in a thousand worth keeping. `cpu_percent` is of one core, of the collectors' process and what
it starts. The last row is how fast logs are read and judged by themselves, with what the prefilter saves.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from springtide import faults
from springtide.api.core import Pod
from springtide.api.nodehealth import NodeHealth
from springtide.api.struct import decode
from springtide.client import connect, load_kubeconfig
from springtide.collecting.containerlogs import Block

SPRINGTIDE = [sys.executable, "-m", "springtide.cli"]
NODE, PODS, PROCESSES, LINES_PER_SECOND = "bench", 8, 4, 1000
SETTLE_SECONDS = 6.0
TICK_SECONDS = 0.1
LINE = "step %d/100000 | loss 2.3456 | lr 1.2e-04 | grad_norm 0.987 | tokens/s 12345 | mem 71.2 GiB"
BAD = "[rank3]: RuntimeError: CUDA error: uncorrectable ECC error encountered"


@contextmanager
def program(command: list[str], log: Path, ready: str) -> Iterator[psutil.Process]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            while ready not in log.read_text():
                if process.poll() is not None:
                    raise RuntimeError(log.read_text())
                time.sleep(0.05)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


@contextmanager
def processes(uid: str) -> Iterator[None]:
    """Of one pod: they only sleep, as ranks between steps."""
    environment = {**os.environ, "SPRINGTIDE_POD_UID": uid, "RANK": "0"}
    running = [subprocess.Popen(["sleep", "3600"], env=environment) for _ in range(PROCESSES)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


async def pods(kubeconfig: Path) -> list[str]:
    """The folders of the logs of 8 pods of the node."""
    client = connect(load_kubeconfig(kubeconfig))
    made = []
    for index in range(PODS):
        metadata = {
            "name": f"job-{index}",
            "namespace": "default",
            "labels": {"springtide.dev/workload": "job"},
        }
        spec = {"nodeName": NODE, "containers": [{"name": "main", "image": "none"}]}
        pod = await client.create(decode(Pod, {"metadata": metadata, "spec": spec}))
        made.append(pod.metadata.uid)
    await client.close()
    return made


async def kept(kubeconfig: Path) -> dict[str, Any]:
    client = connect(load_kubeconfig(kubeconfig))
    status = (await client.get(NodeHealth, NODE)).status
    await client.close()
    return {
        "observations": len(status.observations),
        "counted": sum(one.count for one in status.observations),
        "said": next((one.message for one in status.collectors if one.name == "logs"), ""),
    }


def write_logs(folders: list[Path], seconds: float, *, bad_every: int = 0) -> int:
    """So many lines a second into each log; how many there were in all."""
    files = [(folder / "0.log").open("ab", buffering=0) for folder in folders]
    began, written = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        wanted = int(passed * LINES_PER_SECOND)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        lines = [
            f"{stamp} stdout F {BAD if bad_every and number % bad_every == 0 else LINE % number}\n"
            for number in range(written, wanted)
        ]
        for file in files:
            file.write("".join(lines).encode())
        written = wanted
        time.sleep(TICK_SECONDS)
    for file in files:
        file.close()
    return written * len(folders)


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def measure(case: str, folder: Path, seconds: float, *, busy: bool, bad_every: int = 0) -> None:
    data, logs = folder / "data", folder / "pods"
    kubeconfig = data / "kubeconfig"
    with ExitStack() as stack:
        server = [*SPRINGTIDE, "server", "--data-dir", str(data), "--port", "0"]
        stack.enter_context(program(server, folder / "server.log", "export KUBECONFIG="))
        folders = []
        for index, uid in enumerate(asyncio.run(pods(kubeconfig)) if busy else ()):
            stack.enter_context(processes(uid))
            folders.append(logs / f"default_job-{index}_{uid}" / "main")
            folders[-1].mkdir(parents=True)
        command = [
            *SPRINGTIDE, "collect", "--node", NODE, "--kubeconfig", str(data / "kubeconfigs" / "collect"),
            "--logs-dir", str(logs), "--state-dir", str(folder / "state"),
        ]  # fmt: skip
        collect = stack.enter_context(program(command, folder / "collect.log", "collecting on"))
        write_logs(folders, SETTLE_SECONDS)
        before, began = cpu(collect), time.monotonic()
        lines = write_logs(folders, seconds, bad_every=bad_every)
        passed = time.monotonic() - began
        share = (cpu(collect) - before) / passed
        row = {
            "benchmark": "collectors",
            "case": case,
            "pods": len(folders),
            "lines_per_second": round(lines / passed),
            "cpu_percent": round(100 * share, 2),
            "resident_mb": round(collect.memory_info().rss / 1e6, 1),
            "seconds": round(passed, 1),
            **asyncio.run(kept(kubeconfig)),
        }
    print(json.dumps(row), flush=True)


def judging() -> None:
    """Lines a second of one core, block by block, and line by line as without the prefilter."""
    stamp = "2026-01-01T00:00:00.000000000Z stdout F "
    data = "".join(f"{stamp}{LINE % number}\n" for number in range(10_000)).encode()
    texts = [LINE % number for number in range(10_000)]
    faults.may_hold(data)
    began = time.process_time()
    found = sum(1 for _ in range(20) for _ in Block(data).candidates(faults.may_hold))
    blocks = 20 * 10_000 / (time.process_time() - began)
    began = time.process_time()
    worth = sum(1 for text in texts if faults.worth_keeping(text))
    lines = 10_000 / (time.process_time() - began)
    row = {
        "benchmark": "collectors",
        "case": "judging alone",
        "lines_per_second_in_blocks": round(blocks),
        "lines_per_second_one_by_one": round(lines),
        "suspects": found + worth,
    }
    print(json.dumps(row), flush=True)


def main() -> None:
    os.environ.pop("KUBECONFIG", None)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    cases: tuple[tuple[str, bool, int], ...] = (
        ("no jobs", False, 0),
        ("8 pods that log", True, 0),
        ("the same, one line in 1,000 kept", True, 1000),
    )
    for case, busy, bad_every in cases:
        with tempfile.TemporaryDirectory(prefix=f"springtide-{uuid.uuid4().hex[:6]}-") as folder:
            measure(case, Path(folder), seconds, busy=busy, bad_every=bad_every)
    judging()


if __name__ == "__main__":
    main()
