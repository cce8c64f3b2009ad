"""Bad input and faults as a user meets them: a clear sentence, a non-zero exit, nothing lost, no trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.platforms import Platform, Result

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("faults")]

JOB = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: %s}
spec:
  runtimeRef: {name: %s}
  trainer:
    numNodes: %s
    command: ["sh", "-c", "%s"]
    resourcesPerNode: {requests: {cpu: %s}}
"""


def check_clear(result: Result, *expected: str, code: int | None = None) -> None:
    assert result.code != 0, result.text
    if code is not None:
        assert result.code == code, result.text
    assert "Traceback" not in result.text
    for text in expected:
        assert text in result.text, result.text


def wait_for(what: str, probe: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        assert callable(probe)
        if probe():
            return
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"


def test_a_mistyped_field_is_named(platform: Platform) -> None:
    text = (JOB % ("typo", "plain", 1, "true", "100m")).replace("numNodes", "numNode")
    check_clear(platform.springtide("apply", "-f", "-", stdin=text), "spec.trainer.numNode", "hint:")
    check_clear(platform.kubectl("apply", "-f", "-", stdin=text), "spec.trainer.numNode")
    assert platform.kubectl("get", "trainjob", "typo").code == 1


def test_a_value_of_the_wrong_type_is_named(platform: Platform) -> None:
    text = JOB % ("wrong", "plain", "two", "true", "100m")
    check_clear(platform.springtide("apply", "-f", "-", stdin=text), "spec.trainer.numNodes", "integer")


def test_a_missing_runtime_is_said_and_waited_for(platform: Platform) -> None:
    applied = platform.kubectl(
        "apply", "-f", "-", stdin=JOB % ("orphan", "no-such-runtime", 1, "true", "100m")
    )
    if applied.code != 0:
        check_clear(applied, "no-such-runtime")
        return
    wait_for("the condition", lambda: "no-such-runtime" in platform.springtide("explain", "orphan").text, 15)
    platform.kubectl("delete", "trainjob", "orphan")


def test_an_impossible_request_says_so(platform: Platform) -> None:
    assert platform.kubectl("apply", "-f", "-", stdin=JOB % ("giant", "plain", 1, "true", 4000)).code == 0
    wait_for("the reason", lambda: "no node can ever" in platform.springtide("explain", "giant").text, 15)
    explained = platform.springtide("explain", "giant")
    assert "cpu" in explained.text
    assert "largest node" in explained.text
    platform.kubectl("delete", "trainjob", "giant")


def test_a_duplicate_name_is_refused(platform: Platform) -> None:
    text = JOB % ("twice", "plain", 1, "true", "100m")
    assert platform.kubectl("create", "-f", "-", stdin=text).code == 0
    check_clear(platform.kubectl("create", "-f", "-", stdin=text), "already exists")


def test_a_stale_version_is_a_conflict(platform: Platform) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stale%s}\ndata: {a: '%s'}\n"
    assert platform.kubectl("create", "-f", "-", stdin=text % ("", 1)).code == 0
    old = platform.get("configmap", "stale")["metadata"]["resourceVersion"]
    assert platform.kubectl("patch", "configmap", "stale", "-p", '{"data":{"a":"2"}}').code == 0
    stale = text % (f", resourceVersion: '{old}'", 3)
    check_clear(platform.kubectl("replace", "-f", "-", stdin=stale), "the object has been modified")


def test_malformed_yaml_names_its_line(platform: Platform) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\ndata: [}\n"
    check_clear(platform.springtide("apply", "-f", "-", stdin=text), "line", "hint:")


def test_a_wrong_token_is_refused(platform: Platform) -> None:
    result = platform.kubectl("--token=wrong", "--client-certificate=", "get", "pods")
    check_clear(result, "must be logged in")


def test_an_unreachable_platform_exits_3(fresh: Platform) -> None:
    check_clear(fresh.springtide("get", "pods"), "hint:", "springtide up", code=3)


def test_a_port_in_use_is_named(fresh: Platform) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = fresh.springtide("up", "--detach", "--port", str(port), "--data-dir", str(fresh.data_dir))
        check_clear(result, str(port), "hint:")


def test_a_second_platform_on_the_same_folder_is_refused(platform: Platform) -> None:
    check_clear(platform.up(), str(platform.data_dir), "hint:", "down")


def test_an_unusable_folder_is_named(fresh: Platform) -> None:
    fresh.data_dir.parent.mkdir(exist_ok=True)
    fresh.data_dir.write_text("a file where a folder should be")
    check_clear(fresh.up(), str(fresh.data_dir), "hint:")


def test_a_script_that_raises_fails_with_rank_exception_and_line(platform: Platform, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import os, time\nrank = int(os.environ['JOB_COMPLETION_INDEX'])\n"
        "print('started', rank, flush=True)\n"
        "time.sleep(0.5)\nif rank == 1:\n    raise ValueError('bad shape')\ntime.sleep(60)\n"
    )
    result = platform.springtide("run", str(script), "--nodes", "2", "--cpus", "0.1", "--name", "broken")
    assert result.code == 1, result.text
    verdict = result.out.splitlines()[-1]
    for text in ("broken: Failed in", "rank 1", "ValueError: bad shape", "broken.py:6"):
        assert text in verdict, result.text
    job = platform.get("trainjob", "broken")
    failed = next(c for c in job["status"]["conditions"] if c["type"] == "Failed")
    assert failed["status"] == "True"
    for text in ("rank 1", "ValueError: bad shape", "broken.py:6"):
        assert text in failed["message"]


def test_a_ten_line_script_runs_on_two_nodes_without_yaml(platform: Platform, tmp_path: Path) -> None:
    script = tmp_path / "greet.py"
    script.write_text("import os\nprint('hello from rank', os.environ['JOB_COMPLETION_INDEX'])\n")
    result = platform.springtide("run", str(script), "--nodes", "2", "--cpus", "0.1", "--name", "greet")
    assert result.code == 0, result.text
    assert "hello from rank 0" in result.text
    assert "hello from rank 1" in result.text
    assert "greet: Complete in" in result.out.splitlines()[-1]


def test_killing_the_platform_mid_job_loses_nothing(fresh: Platform, tmp_path: Path) -> None:
    assert fresh.up().code == 0
    marker = tmp_path / "attempts"
    # $$$$: Kubernetes reads $$ in a command as one $
    command = f"echo $$$$ >> {marker}; if [ $(wc -l < {marker}) -gt 2 ]; then sleep 1; else sleep 300; fi"
    assert fresh.kubectl("apply", "-f", "-", stdin=JOB % ("phoenix", "plain", 2, command, "100m")).code == 0
    assert fresh.kubectl("create", "configmap", "kept", "--from-literal=a=1").code == 0
    wait_for("two ranks", lambda: marker.exists() and len(marker.read_text().split()) == 2)
    running = "--for=jsonpath={.status.phase}=Running"
    reported = fresh.kubectl("wait", running, "pod", "-l", "jobset.sigs.k8s.io/jobset-name=phoenix")
    assert reported.code == 0, reported.text
    first_life = [int(pid) for pid in marker.read_text().split()]
    pid = int(json.loads((fresh.data_dir / "platform.json").read_text())["pid"])
    os.kill(pid, signal.SIGKILL)
    wait_for("the platform's end", lambda: not Path(f"/proc/{pid}/cmdline").exists())
    again = fresh.up()
    assert again.code == 0, again.text
    assert fresh.get("configmap", "kept")["data"] == {"a": "1"}
    waited = fresh.kubectl("wait", "--for=condition=Complete", "trainjob/phoenix", "--timeout=60s")
    assert waited.code == 0, waited.text + fresh.kubectl("describe", "trainjob,workload").out
    assert not [old for old in first_life if Path(f"/proc/{old}").exists()], "orphans of the first life"
    workload = fresh.get("workload", "trainjob-phoenix")
    assert workload["status"]["requeueState"]["count"] == 1
