"""Every example runs as its own text says, on a real platform."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.platforms import ROOT, Platform
from tests.e2e.test_faults import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("examples")]

EXAMPLES = {"digits", "hello", "policy", "simulated", "volcano"}
"""Volcano's is run by test_volcano."""
GANG = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: %s}
spec:
  runtimeRef: {name: plain}
  trainer:
    numNodes: %s
    command: [python, train.py]
    resourcesPerNode: {requests: {cpu: "8", nvidia.com/gpu: "%s"}, limits: {nvidia.com/gpu: "%s"}}
"""


def test_every_example_is_tested_here() -> None:
    found = {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()}
    assert found - {"__pycache__"} == EXAMPLES


def test_digits_trains_to_its_accuracy(platform: Platform) -> None:
    result = platform.springtide("run", "-f", "examples/digits/trainjob.yaml", timeout=110)
    assert result.code == 0, result.text
    shown = re.search(r"digits: accuracy ([0-9.]+) on 450 held-out digits", result.out)
    assert shown is not None, result.text
    assert float(shown[1]) >= 0.95
    status = platform.get("trainjob", "digits")["status"]
    assert status["conditions"][-1]["type"] == "Complete"
    metrics = {one["name"]: float(one["value"]) for one in status["trainerStatus"]["metrics"]}
    assert metrics["accuracy"] >= 0.95
    assert status["trainerStatus"]["progressPercentage"] == 100


def test_hello_runs_on_two_nodes(platform: Platform) -> None:
    result = platform.springtide("run", "examples/hello/hello.py", "--nodes", "2", "--cpus", "0.1")
    assert result.code == 0, result.text
    for rank in (0, 1):
        assert f"[{rank}] hello from rank {rank} of 2, step 5 of 5" in result.out
    assert re.search(r"hello-\w+: Complete in [0-9.]+ s", result.text)


def test_a_policy_of_ones_own_is_replayed_beside_the_default(platform: Platform, tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\n" + "n,64000,262144,4,T4\n" * 4)
    pods.write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\n" + "p,3000,5600,1,810\n" * 9)
    files = ("--nodes", str(nodes), "--pods", str(pods))
    own = "examples/policy/packed.py:PACKED"
    result = platform.springtide("simulate", "openb", *files, "--policy", "fragments", "--policy", own)
    assert result.code == 0, result.text
    assert [line.split()[0] for line in result.out.splitlines()[1:]] == ["fragments", "packed"]


def test_simulated_nodes_take_gangs(fresh: Platform) -> None:
    started = fresh.up("--simulate", "examples/simulated/nodes.yaml")
    assert started.code == 0, started.text
    nodes = fresh.get("nodes")["items"]
    assert len(nodes) == 1000
    for name, count, gpus in (("small", 4, 1), ("large", 64, 8), ("impossible", 2, 16)):
        made = fresh.springtide("apply", "-f", "-", stdin=GANG % (name, count, gpus, gpus))
        assert made.code == 0, made.text
    wait_for("the large gang has its pods", lambda: placed(fresh, "large") == (64, 64), 60)
    wait_for("the small gang has its pods", lambda: placed(fresh, "small")[0] == 4, 30)
    explained = fresh.springtide("explain", "impossible")
    assert "can ever hold it" in explained.out
    assert "ask for less" in explained.out


def placed(platform: Platform, job: str) -> tuple[int, int]:
    """Pods of the job that run or have run, and on how many nodes."""
    pods = platform.get("pods", "-l", f"jobset.sigs.k8s.io/jobset-name={job}")["items"]
    live = [pod for pod in pods if pod["status"].get("phase") in ("Running", "Succeeded")]
    return len(live), len({pod["spec"]["nodeName"] for pod in live})
