"""A GPU falls off the bus under a gang of real PyTorch ranks: found, blamed, healed, and gone on from memory.

Three nodes on one machine, each a process of its own with a kernel log of its own (a FIFO). The line the
NVIDIA driver writes is put into one of them. `pytest -s` prints the timeline and what the guide
(`docs/guides/gpu-dies.md`) shows.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.parts import Parts
from tests.e2e.test_faults import wait_for
from tests.e2e.test_lost_node import EVERY, JOB, PROGRAM, STEPS, last_step, log_of, pods_of

pytest.importorskip("torch")

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("parts")]

XID = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


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


@pytest.mark.timeout(300)
def test_a_gang_goes_on_without_the_node_whose_gpu_died(parts: Parts, tmp_path: Path) -> None:
    kernels = _start(parts, tmp_path)
    wait_for("two pods", lambda: len(pods_of(parts, 0)) == 2, 60)
    first = pods_of(parts, 0)
    nodes = [pod["spec"]["nodeName"] for pod in first]
    spare = ({"a", "b", "c"} - set(nodes)).pop()
    wait_for("some steps", lambda: last_step(log_of(parts, _name(first[0]))) >= 3 * EVERY, 120)

    victim = nodes[1]
    reached = last_step(log_of(parts, _name(first[0])))
    began = time.time()
    kernels[victim].write(XID)
    seen: dict[str, float] = {}
    wait_for("the second attempt", lambda: _watch(parts, victim, began, seen), 120)
    second = pods_of(parts, 1)
    assert sorted(pod["spec"]["nodeName"] for pod in second) == sorted([nodes[0], spare])
    wait_for("a step", lambda: last_step(log_of(parts, _name(second[0]))) > 0, 120)
    lines = log_of(parts, _name(second[0]))
    at, restored = next((at, text) for at, text in lines if text.startswith("restored "))
    seen[restored] = at - began
    at, step = next((at, text) for at, text in lines if text.startswith("step "))
    seen[f"first {step}"] = at - began
    _print(seen)

    diagnosis = parts.platform.get("diagnosis", "trainjob-lost-0")["spec"]
    assert diagnosis["faultClass"] == "GpuOffBus"
    assert (diagnosis["blame"], diagnosis["action"]) == ("node", "cordon_evict")
    assert diagnosis["node"] == victim
    assert any(XID in one["line"] for one in diagnosis["evidence"])
    node = parts.platform.get("node", victim)
    assert node["spec"]["unschedulable"] is True
    told = parts.platform.springtide("diagnose", "lost")
    assert told.code == 0, told.text
    assert "GpuOffBus" in told.text
    assert victim in told.text
    out = parts.platform.springtide("remediation")
    assert victim in out.text
    assert "from memory" in restored or "from a peer" in restored
    assert reached - int(restored.split()[2]) <= 2 * EVERY
    for shown in (["diagnose", "lost"], ["remediation"], ["remediation", victim], ["explain", "lost"]):
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
    pods = pods_of(parts, 1)
    if len(pods) == 2:
        mark(f"placed anew on {', '.join(pod['spec']['nodeName'] for pod in pods)}")
        if all(pod["status"].get("phase") == "Running" for pod in pods):
            mark("pods run")
            return True
    return False


def _name(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["name"])


def _print(seen: dict[str, float]) -> None:
    for what, seconds in sorted(seen.items(), key=lambda item: item[1]):
        print(json.dumps({"seconds": round(seconds, 2), "what": what}))
