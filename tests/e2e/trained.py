"""A training job on a real platform, its ranks as processes one can stop and slow down.

Used by `test_hangs.py` and by `tests/endurance/hangs.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from springtide.api.nodehealth import RankMarks
from springtide.node.marks import read_marks
from tests.e2e.platforms import Platform

T = TypeVar("T")
JOB = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {{name: {name}}}
spec:
  runtimeRef: {{name: torch-distributed}}
  trainer:
    command: [torchrun, tests/e2e/grown_digits.py]
    args: {arguments}
    numNodes: 2
    numProcPerNode: 1
    resourcesPerNode: {{requests: {{cpu: 50m, memory: 300Mi}}}}
"""


@dataclass
class Training:
    """One job of two ranks."""

    platform: Platform
    name: str

    def start(self, *arguments: str) -> None:
        manifest = JOB.format(name=self.name, arguments=list(arguments))
        applied = self.platform.springtide("apply", "-f", "-", stdin=manifest)
        assert applied.code == 0, applied.text

    def end(self) -> None:
        self.platform.kubectl("delete", "trainjob", self.name, "--wait=false")

    def ranks(self) -> dict[int, dict[str, Any]]:
        """What its ranks said last, by rank."""
        healths = self.platform.get("nodehealths")["items"]
        pods = [pod for one in healths for pod in one.get("status", {}).get("pods", [])]
        own = [pod for pod in pods if pod["name"].startswith(f"default/{self.name}-")]
        return {rank["rank"]: rank for pod in own for rank in pod.get("ranks", [])}

    def wait_for_step(self, step: int, seconds: float = 120) -> dict[int, dict[str, Any]]:
        """Both ranks as they are once both have finished that step."""

        def there() -> dict[int, dict[str, Any]] | None:
            ranks = self.ranks()
            done = len(ranks) == 2 and all(rank.get("step", -1) >= step for rank in ranks.values())
            return ranks if done else None

        return wait(f"step {step} of {self.name}", there, seconds)

    def trains_without(self, former: set[int]) -> bool:
        """Whether both ranks train, and none of them is one of these processes."""
        ranks = self.ranks()
        apart = all(rank["process"] not in former for rank in ranks.values())
        return len(ranks) == 2 and apart and all(rank.get("step", -1) >= 1 for rank in ranks.values())

    def running_pods(self, attempt: int) -> int:
        """How many pods of an attempt run."""
        marks = f"springtide.dev/workload=trainjob-{self.name},springtide.dev/attempt={attempt}"
        pods = self.platform.get("pods", "-l", marks)["items"]
        return sum(pod["status"].get("phase") == "Running" for pod in pods)

    def marks(self, process: int) -> RankMarks:
        """What a rank says at this instant, from its own marks and not by way of the API."""
        files = self.platform.data_dir.glob("node/pods/*/report/progress.json.rank*")
        found = [one for path in files for one in read_marks(path.with_name("progress.json"))]
        return next(one for one in found if one.process == process)

    def step_now(self, process: int) -> int:
        """The step of a rank at this instant."""
        return self.marks(process).step or 0

    def diagnoses(self) -> list[dict[str, Any]]:
        """The specs of what was written down about it."""
        items = self.platform.get("diagnoses")["items"]
        return [one["spec"] for one in items if one["spec"].get("workload") == f"trainjob-{self.name}"]

    def wait_for_diagnosis(self, fault: str, seconds: float) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((one for one in self.diagnoses() if one["faultClass"] == fault), None)

        return wait(f"a Diagnosis {fault} of {self.name}", found, seconds)

    def condition(self, kind: str) -> bool:
        """Whether the job has this condition."""
        conditions = self.platform.get("trainjob", self.name).get("status", {}).get("conditions", [])
        return any(one["type"] == kind and one["status"] == "True" for one in conditions)

    def log(self, rank: int) -> str:
        selector = (
            f"jobset.sigs.k8s.io/jobset-name={self.name},batch.kubernetes.io/job-completion-index={rank}"
        )
        return self.platform.kubectl("logs", "-l", selector, "--tail=20").out


def wait(what: str, probe: Callable[[], T | None], seconds: float, pause_seconds: float = 1.0) -> T:
    """The first answer of a probe that is something."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(pause_seconds)  # each look is a kubectl


class Steps:
    """How far a rank is at every moment, by its own marks and not by way of the API."""

    def __init__(self, job: Training, process: int) -> None:
        self._job, self._process = job, process
        self._seen: list[tuple[float, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Steps:
        self._seen.append((time.time(), self._job.step_now(self._process)))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def at(self, moment: float) -> int:
        """The step it had made at a moment."""
        return max((step for seen, step in self._seen if seen <= moment), default=self._seen[0][1])

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(StopIteration):  # being written, or gone
                step = self._job.step_now(self._process)
                if step > self._seen[-1][1]:
                    self._seen.append((time.time(), step))


RUN_SECONDS = 0.01


@contextmanager
def slowed(process: int, share: float, rate: float) -> Iterator[None]:
    """Let a process work at this share of the rate at which it worked before.

    `rate`: seconds of processor it used a second of its work; less than 1 where the machine is busy. It runs
    until it has used ten milliseconds and is stopped for as long as it takes until that is the share it is
    to have: by what it used, for a process that was stopped is let run first when it goes on.
    """
    over = threading.Event()

    def cycle() -> None:
        with contextlib.suppress(PermissionError):  # the machine may be busy, and this must keep its time
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
        while not over.is_set():
            began, used = time.monotonic(), processor_seconds(process)
            while (gained := processor_seconds(process) - used) < RUN_SECONDS and not over.wait(0.001):
                pass
            left_seconds = gained / (share * rate) - (time.monotonic() - began)
            if left_seconds > 0:
                os.kill(process, signal.SIGSTOP)
                over.wait(left_seconds)
                os.kill(process, signal.SIGCONT)

    thread = threading.Thread(target=cycle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def processor_seconds(process: int) -> float:
    """What the main thread of a process has used so far."""
    return int(Path("/proc", str(process), "schedstat").read_text().split()[0]) * 1e-9
