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
from typing import Any, TypeVar

import psutil

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

    def step_now(self, process: int) -> int:
        """The step of a rank at this instant, from its own marks and not by way of the API."""
        marks = self.platform.data_dir.glob("node/pods/*/report/progress.json.rank*")
        found = [one for path in marks for one in read_marks(path.with_name("progress.json"))]
        return next(one.step or 0 for one in found if one.process == process)

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


def wait(what: str, probe: Callable[[], T | None], seconds: float) -> T:
    """The first answer of a probe that is something."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(1)  # each look is a kubectl


def _processor_share(process: int, seconds: float = 4.0) -> float:
    """What part of a core a process has had lately."""

    def used() -> float:
        times = psutil.Process(process).cpu_times()
        return times.user + times.system

    before = used()
    time.sleep(seconds)
    return min((used() - before) / seconds, 1.0)


@contextmanager
def slowed(process: int, share: float, period_seconds: float = 0.06) -> Iterator[None]:
    """Let a process have only this share of the processor time it had before.

    The machine may be busy: what it had is measured first, and it gets that much less by being stopped most
    of the time.
    """
    over = threading.Event()
    share *= _processor_share(process)

    def cycle() -> None:
        with contextlib.suppress(PermissionError):  # the machine may be busy, and this must keep its time
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
        while not over.is_set():
            os.kill(process, signal.SIGSTOP)
            over.wait(period_seconds * (1 - share))
            os.kill(process, signal.SIGCONT)
            over.wait(period_seconds * share)

    thread = threading.Thread(target=cycle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
