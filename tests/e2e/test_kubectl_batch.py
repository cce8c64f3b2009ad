"""Jobs and CronJobs with kubectl, on a node of processes."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.platforms import Platform, Result

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("kubectl_batch")]

INDEXED = """
apiVersion: batch/v1
kind: Job
metadata: {name: sums}
spec:
  completionMode: Indexed
  completions: 3
  parallelism: 3
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: main, image: busybox, command: ["sh", "-c", "echo index $JOB_COMPLETION_INDEX"]}
"""


def ok(result: Result) -> str:
    assert result.code == 0, result.text
    return result.out


def wait_until_gone(platform: Platform, *what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while platform.kubectl("get", *what, "-o", "name").out.strip():
        assert time.monotonic() < deadline, f"{what} are still there"


def test_a_job_is_made_waited_for_and_described(platform: Platform) -> None:
    ok(platform.kubectl("create", "job", "hello", "--image=busybox", "--", "echo", "hello"))
    ok(platform.kubectl("wait", "--for=condition=complete", "job/hello", "--timeout=40s"))
    listed = ok(platform.kubectl("get", "job", "hello"))
    assert "Complete" in listed
    assert "1/1" in listed
    described = ok(platform.kubectl("describe", "job", "hello"))
    assert "1 Succeeded / 0 Failed" in described
    assert "SuccessfulCreate" in described
    assert ok(platform.kubectl("logs", "job/hello")).strip() == "hello"
    ok(platform.kubectl("delete", "job", "hello"))
    wait_until_gone(platform, "pods", "-l", "job-name=hello")


def test_a_job_that_fails_says_so(platform: Platform) -> None:
    made = ok(
        platform.kubectl(
            "create", "job", "bad", "--image=busybox", "--dry-run=client", "-o", "json", "--", "false"
        )
    )
    job = json.loads(made)
    job["spec"]["backoffLimit"] = 0
    ok(platform.kubectl("apply", "-f", "-", stdin=json.dumps(job)))
    ok(platform.kubectl("wait", "--for=condition=failed", "job/bad", "--timeout=40s"))
    deadline = time.monotonic() + 20  # the event is written after the condition
    while "BackoffLimitExceeded" not in (described := ok(platform.kubectl("describe", "job", "bad"))):
        assert time.monotonic() < deadline, described
    ok(platform.kubectl("delete", "job", "bad"))


def test_an_indexed_job_numbers_its_pods(platform: Platform) -> None:
    ok(platform.kubectl("apply", "-f", "-", stdin=INDEXED))
    ok(platform.kubectl("wait", "--for=condition=complete", "job/sums", "--timeout=60s"))
    said = ok(platform.kubectl("logs", "-l", "job-name=sums", "--tail=-1"))
    assert sorted(said.split("\n")[:3]) == ["index 0", "index 1", "index 2"]
    assert platform.get("job", "sums")["status"]["completedIndexes"] == "0-2"
    ok(platform.kubectl("delete", "job", "sums", "--cascade=foreground"))
    assert platform.kubectl("get", "pods", "-l", "job-name=sums", "-o", "name").out.strip() == ""


def test_pods_may_outlive_their_job(platform: Platform) -> None:
    ok(platform.kubectl("create", "job", "kept", "--image=busybox", "--", "sleep", "3600"))
    ok(platform.kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/kept", "--timeout=40s"))
    ok(platform.kubectl("delete", "job", "kept", "--cascade=orphan"))
    (pod,) = platform.get("pods", "-l", "job-name=kept")["items"]
    assert "ownerReferences" not in pod["metadata"]
    ok(platform.kubectl("delete", "pods", "-l", "job-name=kept", "--grace-period=1"))
    wait_until_gone(platform, "pods", "-l", "job-name=kept")


def test_a_cron_job_is_made_run_by_hand_and_taken_away(platform: Platform) -> None:
    ok(
        platform.kubectl(
            "create", "cronjob", "daily", "--image=busybox", "--schedule=0 3 * * *", "--", "echo", "x"
        )
    )
    listed = ok(platform.kubectl("get", "cronjobs"))
    assert "0 3 * * *" in listed
    ok(platform.kubectl("create", "job", "now", "--from=cronjob/daily"))
    ok(platform.kubectl("wait", "--for=condition=complete", "job/now", "--timeout=40s"))
    annotations = platform.get("job", "now")["metadata"]["annotations"]
    assert annotations["cronjob.kubernetes.io/instantiate"] == "manual"
    assert "Suspend:" in ok(platform.kubectl("describe", "cronjob", "daily"))
    ok(platform.kubectl("delete", "cronjob", "daily"))
    wait_until_gone(platform, "jobs", "now", "--ignore-not-found")
