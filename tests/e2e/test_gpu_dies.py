"""A GPU falls off the bus under a gang of real PyTorch ranks: found, blamed, healed, and gone on from memory.

Three nodes on one machine, each a process of its own with a kernel log of its own (a FIFO). The line the
NVIDIA driver writes is put into one of them. `pytest -s` prints the timeline and what the guide
(`docs/guides/gpu-dies.md`) shows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platforms import Platform
from tests.e2e.test_faults import wait_for
from tests.e2e.test_parts import Parts

pytest.importorskip("torch")

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("parts")]

XID = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
PROGRAM = Path(__file__).parent / "programs" / "lost_node.py"
STEPS, EVERY = 150, 5
JOB = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: llama}
spec:
  runtimeRef: {name: torch-distributed}
  trainer:
    numNodes: 2
    numProcPerNode: 1
    command: [python, %s, %s, "%d", "%d"]
    env:
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: OMP_NUM_THREADS, value: "1"}
    resourcesPerNode: {requests: {cpu: %d}}
"""


class Kernel:
    """A node's own kernel log: records in the form of /dev/kmsg."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._file = os.open(path, os.O_RDWR)  # held open, so that a reader never meets the end
        self._sequence = 100

    def write(self, text: str) -> None:
        self._sequence += 1
        since_boot = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6)
        os.write(self._file, f"3,{self._sequence},{since_boot},-;{text}\n".encode())

    def close(self) -> None:
        os.close(self._file)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    home = tmp_path / "home"
    home.mkdir()
    made = Parts(Platform(tmp_path / "data", home), tmp_path)
    yield made
    made.end_all()


@pytest.mark.timeout(300)
def test_a_gang_goes_on_without_the_node_whose_gpu_died(parts: Parts, tmp_path: Path) -> None:
    kernels = _start(parts, tmp_path)
    wait_for("two pods", lambda: len(_pods(parts, 0)) == 2, 60)
    first = _pods(parts, 0)
    nodes = [pod["spec"]["nodeName"] for pod in first]
    spare = ({"a", "b", "c"} - set(nodes)).pop()
    wait_for("some steps", lambda: _last_step(parts, first[0]) >= 3 * EVERY, 120)

    victim = nodes[1]
    reached = _last_step(parts, first[0])
    began = time.time()
    kernels[victim].write(XID)
    seen: dict[str, float] = {}
    wait_for("the second attempt", lambda: _watch(parts, victim, began, seen), 120)
    second = _pods(parts, 1)
    assert sorted(pod["spec"]["nodeName"] for pod in second) == sorted([nodes[0], spare])
    wait_for("a step", lambda: _last_step(parts, second[0]) > 0, 120)
    lines = _log(parts, second[0])
    at, restored = next((at, text) for at, text in lines if text.startswith("restored "))
    seen[restored] = at - began
    at, step = next((at, text) for at, text in lines if text.startswith("step "))
    seen[f"first {step}"] = at - began
    _print(seen)

    diagnosis = parts.platform.get("diagnosis", "trainjob-llama-0")["spec"]
    assert diagnosis["faultClass"] == "GpuOffBus"
    assert (diagnosis["blame"], diagnosis["action"]) == ("node", "cordon_evict")
    assert diagnosis["node"] == victim
    assert any(XID in one["line"] for one in diagnosis["evidence"])
    node = parts.platform.get("node", victim)
    assert node["spec"]["unschedulable"] is True
    told = parts.platform.springtide("diagnose", "llama")
    assert told.code == 0, told.text
    assert "GpuOffBus" in told.text
    assert victim in told.text
    out = parts.platform.springtide("remediation")
    assert victim in out.text
    assert "from memory" in restored or "from a peer" in restored
    assert reached - int(restored.split()[2]) <= 2 * EVERY
    for shown in (["diagnose", "llama"], ["remediation"], ["remediation", victim], ["explain", "llama"]):
        print(f"$ springtide {' '.join(shown)}")
        print(parts.platform.springtide(*shown).text)
    print(parts.platform.kubectl("get", "nodes,pods", "-o", "wide").text)
    for kernel in kernels.values():
        kernel.close()


def _start(parts: Parts, tmp_path: Path) -> dict[str, Kernel]:
    parts.server()
    parts.start("scheduler", "scheduler")
    parts.start("controllers", "controllers")
    kernels = {name: Kernel(tmp_path / f"kmsg-{name}") for name in ("a", "b", "c")}
    for name, kernel in kernels.items():
        place = ["--data-dir", str(parts.platform.data_dir), "--kernel-log", str(kernel.path)]
        parts.start(name, "node", "--name", name, *place)
        parts.wait_output(name, f"node {name} of ")
    text = JOB % (PROGRAM, tmp_path / "storage", STEPS, EVERY, len(os.sched_getaffinity(0)))
    applied = parts.platform.kubectl("apply", "-f", "-", stdin=text)
    assert applied.code == 0, applied.text
    return kernels


def _watch(parts: Parts, victim: str, began: float, seen: dict[str, float]) -> bool:
    """Note what is new; whether the second attempt runs."""

    def mark(what: str) -> None:
        seen.setdefault(what, time.time() - began)

    for one in parts.platform.get("diagnoses", "-A")["items"]:
        mark(
            f"diagnosis {one['metadata']['namespace']}/{one['metadata']['name']}: {one['spec']['faultClass']}"
        )
    spec = parts.platform.get("node", victim)["spec"]
    if spec.get("unschedulable"):
        mark(f"node {victim} is cordoned")
    for taint in spec.get("taints", []):
        mark(f"tainted {taint['key']}:{taint['effect']}")
    pods = _pods(parts, 1)
    if len(pods) == 2:
        mark(f"placed anew on {', '.join(pod['spec']['nodeName'] for pod in pods)}")
        if all(pod["status"].get("phase") == "Running" for pod in pods):
            mark("pods run")
            return True
    return False


def _pods(parts: Parts, attempt: int) -> list[dict[str, Any]]:
    listed = parts.platform.get("pods", "-l", f"springtide.dev/attempt={attempt}")["items"]
    return sorted(
        listed, key=lambda pod: int(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])
    )


def _log(parts: Parts, pod: dict[str, Any]) -> list[tuple[float, str]]:
    text = parts.platform.kubectl("logs", pod["metadata"]["name"]).out
    lines = (line.partition(" ") for line in text.splitlines())
    return [(float(at), said) for at, _, said in lines if at.replace(".", "", 1).isdigit()]


def _last_step(parts: Parts, pod: dict[str, Any]) -> int:
    lines = _log(parts, pod)
    return max((int(text.split()[1]) for _, text in lines if text.startswith("step ")), default=-1)


def _print(seen: dict[str, float]) -> None:
    for what, seconds in sorted(seen.items(), key=lambda item: item[1]):
        print(json.dumps({"seconds": round(seconds, 2), "what": what}))
