"""Faults of real PyTorch jobs: `python -m tests.endurance.training_faults [--rounds 3] [--case NAME]`.

A platform of its own, 2 pods x 1 process of `examples/digits`, long enough to be hit in the middle.

- `kill`: a rank is killed with SIGKILL. Row: seconds until the first report of the new attempt, how much of
  that is the program's own start, epochs computed twice, and the cause as recorded.
- `user`: an assertion, an import of a module that is not there, a wrong path and a kill for memory. Row:
  blame, fault class, attempts made, and the message a person reads. None of them may be tried again.

Prints one JSON object a row; exits 1 if a row is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.platforms import Platform

AGAIN_SECONDS = 10.0
"""From the kill to training again, the program's own start apart."""
_PATIENCE_SECONDS = 180.0

_JOB = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: %(name)s}
spec:
  runtimeRef: {name: torch-distributed}
  trainer:
    command: %(command)s
    numNodes: 2
    numProcPerNode: 1
    resourcesPerNode:
      requests: {cpu: "500m", memory: 400Mi}
      limits: {memory: %(memory)s}
"""

_PROGRAMS = {
    "assertion": "import torch\nx = torch.ones(2, 3)\nassert x.shape == (3, 2), f'got {tuple(x.shape)}'\n",
    "import": "import torch\nimport no_such_module_of_mine\n",
    "memory": "import torch\nkept = []\nwhile True:\n    kept.append(torch.ones(8, 1024, 1024))\n",
}
_EXPECTED = {
    "assertion": ("ProgramError", "AssertionError"),
    "import": ("ProgramError", "no_such_module_of_mine"),
    "path": ("CannotStart", "no_such_script.py"),
    "memory": ("OutOfMemory", "memory"),
}


class Late(Exception):
    """Something expected has not happened in time."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often a rank is killed")
    parser.add_argument("--epochs", type=int, default=120, help="of the job that is hit")
    parser.add_argument("--case", choices=("kill", "user"), help="only this one")
    options = parser.parse_args()
    wrong = 0
    with _platform() as platform:
        rows = [
            *(
                _kill(platform, number, options.epochs)
                for number in range(options.rounds)
                if options.case != "user"
            ),
            *(_user_error(platform, name) for name in _EXPECTED if options.case != "kill"),
        ]
        for row in rows:
            wrong += not row["as it must be"]
    print(json.dumps({"rows": len(rows), "wrong": wrong}))
    return 1 if wrong else 0


# -- a rank is killed ----------------------------------------------------------------------------------


def _kill(platform: Platform, number: int, epochs: int) -> dict[str, Any]:
    name = f"killed-{number}"
    command = ["torchrun", "examples/digits/train.py", "--epochs", str(epochs)]
    _submit(platform, name, command)
    _wait(f"{name} trains", lambda: _percent(platform, name) >= 15 + 10 * number)
    victim = _rank_process(platform, name, rank=number % 2)
    before = _percent(platform, name)
    killed_at = time.time()
    os.kill(victim, signal.SIGKILL)
    _wait(f"{name} trains again", lambda: _reports(platform, name, attempt=1))
    again_at = time.time()
    started_at = _wait(f"{name}'s container", lambda: _container_start(platform, name, attempt=1))
    log = platform.kubectl("logs", _pod_name(platform, name, attempt=1, index=0)).out
    resumed = re.search(r"resum\w+ (?:after|at) (?:epoch|step) (\d+)", log)
    diagnosis = _diagnosis(platform, name)
    row = {
        "case": "kill",
        "round": number,
        "epochs": epochs,
        "seconds_to_training_again": round(again_at - killed_at, 2),
        "seconds_to_new_processes": round(started_at - killed_at, 2),
        "seconds_of_the_programs_own_start": round(again_at - started_at, 2),
        "progress_percent_before": before,
        "resumed_after_epoch": int(resumed[1]) if resumed else None,
        "fault": diagnosis.get("faultClass"),
        "blame": diagnosis.get("blame"),
        "action": diagnosis.get("action"),
        "message": diagnosis.get("message"),
    }
    lost = before * epochs / 100 - (row["resumed_after_epoch"] or 0)
    row["epochs_lost_at_most"] = max(0, int(lost) + 1)
    row["as it must be"] = (
        row["seconds_to_new_processes"] <= AGAIN_SECONDS
        and row["resumed_after_epoch"] is not None
        and lost <= epochs * 0.05 + 1
        and diagnosis.get("faultClass") == "Killed"
    )
    print(json.dumps(row), flush=True)
    platform.kubectl("delete", "trainjob", name)
    return row


def _reports(platform: Platform, name: str, attempt: int) -> bool:
    """Whether any pod of this attempt has reported progress."""
    pods = _pods(platform, name, attempt)
    return any("springtide.dev/progress" in pod["metadata"].get("annotations", {}) for pod in pods)


def _container_start(platform: Platform, name: str, attempt: int) -> float | None:
    """When the last of the attempt's containers was started."""
    moments = []
    pods = _pods(platform, name, attempt)
    for pod in pods:
        for status in pod["status"].get("containerStatuses", []):
            running = status["state"].get("running") or status["state"].get("terminated") or {}
            if running.get("startedAt"):
                moments.append(_seconds_of(running["startedAt"]))
    return max(moments) if len(moments) == len(pods) == 2 else None


def _rank_process(platform: Platform, name: str, rank: int) -> int:
    """The process torchrun started for this rank."""
    for process in psutil.process_iter(["pid"]):
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if (
            environment.get("RANK") == str(rank)
            and environment.get("LOCAL_RANK") == "0"
            and name in environment.get("HOSTNAME", "") + environment.get("POD_NAME", "")
            and str(platform.data_dir) in " ".join(environment.values())
        ):
            return process.pid
    raise Late(f"no process of rank {rank} of {name} was found")


# -- errors of users -----------------------------------------------------------------------------------


def _user_error(platform: Platform, name: str) -> dict[str, Any]:
    script = platform.data_dir.parent / f"{name}.py"
    if name in _PROGRAMS:
        script.write_text(_PROGRAMS[name])
    target = str(script) if name in _PROGRAMS else "examples/no_such_script.py"
    job = f"user-{name}"
    _submit(platform, job, ["torchrun", target], memory="700Mi")
    _wait(f"{job} ends", lambda: _condition(platform, job, "Failed"))
    diagnosis = _diagnosis(platform, job)
    workload = platform.get("workload", f"trainjob-{job}")
    attempts = 1 + (workload["status"].get("requeueState") or {}).get("count", 0)
    fault, word = _EXPECTED[name]
    row = {
        "case": "user",
        "program": name,
        "fault": diagnosis.get("faultClass"),
        "blame": diagnosis.get("blame"),
        "action": diagnosis.get("action"),
        "attempts": attempts,
        "message": diagnosis.get("message"),
    }
    row["as it must be"] = (row["fault"], row["blame"], row["action"], attempts) == (
        fault,
        "program",
        "fail_fast",
        1,
    ) and word in str(row["message"])
    print(json.dumps(row), flush=True)
    platform.kubectl("delete", "trainjob", job)
    return row


# -- looking at the platform ---------------------------------------------------------------------------


@contextmanager
def _platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="springtide-faults-") as folder:
        root = Path(folder)
        (root / "home").mkdir()
        platform = Platform(root / "data", root / "home")
        up = platform.up()
        if up.code != 0:
            raise Late(up.text)
        try:
            yield platform
        finally:
            platform.down()


def _submit(platform: Platform, name: str, command: list[str], memory: str = "2Gi") -> None:
    text = _JOB % {"name": name, "command": json.dumps(command), "memory": memory}
    applied = platform.kubectl("apply", "-f", "-", stdin=text)
    if applied.code != 0:
        raise Late(applied.text)


def _wait(what: str, probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Late(f"not within {_PATIENCE_SECONDS:.0f} s: {what}")
        time.sleep(0.1)


def _pods(platform: Platform, name: str, attempt: int) -> list[dict[str, Any]]:
    chosen = f"springtide.dev/workload=trainjob-{name},springtide.dev/attempt={attempt}"
    return list(platform.get("pods", "-l", chosen)["items"])


def _pod_name(platform: Platform, name: str, attempt: int, index: int) -> str:
    for pod in _pods(platform, name, attempt):
        if pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == str(index):
            return str(pod["metadata"]["name"])
    raise Late(f"{name} has no pod {index} in attempt {attempt}")


def _percent(platform: Platform, name: str) -> int:
    status = platform.get("trainjob", name).get("status", {}).get("trainerStatus") or {}
    return int(status.get("progressPercentage") or 0)


def _condition(platform: Platform, name: str, type_: str) -> bool:
    conditions = platform.get("trainjob", name).get("status", {}).get("conditions", [])
    return any(one["type"] == type_ and one["status"] == "True" for one in conditions)


def _diagnosis(platform: Platform, name: str) -> dict[str, Any]:
    found = platform.kubectl("get", "diagnosis", f"trainjob-{name}-0", "-o", "json")
    return dict(json.loads(found.out)["spec"]) if found.code == 0 else {}


def _seconds_of(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Late, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
