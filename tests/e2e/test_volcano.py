"""Volcano's manifests with kubectl, on a node of processes."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.platforms import Platform, Result

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("volcano")]

SLEEPERS = """
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata: {name: sleepers}
spec:
  schedulerName: volcano
  plugins: {env: []}
  policies:
  - {event: PodFailed, action: RestartJob}
  tasks:
  - name: sleeper
    replicas: 2
    template:
      spec:
        restartPolicy: Never
        containers:
        - name: main
          image: busybox
          command: [sleep, "%(seconds)s.$(VC_TASK_INDEX)"]
          resources: {requests: {cpu: 100m}}
"""


def ok(result: Result) -> str:
    assert result.code == 0, result.text
    return result.out


def wait_for_phase(platform: Platform, name: str, phase: str) -> None:
    how = f"--for=jsonpath={{.status.state.phase}}={phase}"
    ok(platform.kubectl("wait", how, f"vcjob/{name}", "--timeout=60s"))


def test_a_parameter_server_and_its_workers_run_to_their_end(platform: Platform) -> None:
    ok(platform.kubectl("apply", "-f", "examples/volcano/ps-worker.yaml"))
    wait_for_phase(platform, "averaging", "Completed")
    told = ok(platform.kubectl("logs", "averaging-worker-1"))
    assert told.strip() == "worker 1: averaging-ps-0.averaging says the average is 0.5"
    header, line = ok(platform.kubectl("get", "vcjob", "averaging", "-o", "wide")).splitlines()
    assert header.split() == ["NAME", "STATUS", "MINAVAILABLE", "RUNNINGS", "AGE", "QUEUE"]
    shown = line.split()
    assert (shown[0], shown[1], shown[2], shown[-1]) == ("averaging", "Completed", "3", "research")
    header, line = ok(platform.kubectl("get", "pg")).splitlines()
    assert header.split()[:3] == ["NAME", "STATUS", "MINMEMBER"]
    assert line.split()[1:3] == ["Completed", "3"]
    ok(platform.kubectl("wait", "--for=jsonpath={.status.completed}=1", "q/research", "--timeout=30s"))
    assert platform.get("q", "research")["status"]["state"] == "Open"


def test_a_killed_process_restarts_the_whole_job(platform: Platform) -> None:
    seconds = 100_000 + os.getpid()  # by which the process is found, and no other test's
    ok(platform.kubectl("apply", "-f", "-", stdin=SLEEPERS % {"seconds": seconds}))
    wait_for_phase(platform, "sleepers", "Running")
    before = uids(platform)
    os.kill(process_of(f"sleep {seconds}.1"), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while platform.get("vcjob", "sleepers")["status"].get("retryCount") != 1:
        assert time.monotonic() < deadline, platform.get("vcjob", "sleepers")["status"]
    wait_for_phase(platform, "sleepers", "Running")
    after = uids(platform)
    assert after.keys() == before.keys() == {"sleepers-sleeper-0", "sleepers-sleeper-1"}
    assert not set(after.values()) & set(before.values())
    ok(platform.kubectl("delete", "vcjob", "sleepers"))


def test_volcanos_jobs_do_not_take_the_names_of_kubernetes_own(platform: Platform) -> None:
    ok(platform.kubectl("create", "job", "plain", "--image=busybox", "--", "true"))
    assert ok(platform.kubectl("get", "job", "-o", "name")).strip() == "job.batch/plain"


def process_of(command: str) -> int:
    """The process that runs a command."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ") == command.encode():
                return int(folder.name)
    raise AssertionError(f"nothing runs {command}")


def uids(platform: Platform) -> dict[str, str]:
    pods = platform.get("pods", "-l", "volcano.sh/job-name=sleepers")["items"]
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}
