"""A node's process is killed under a gang of real PyTorch ranks: it goes on elsewhere, from a peer's memory.

Three nodes on one machine, each a process of its own with its own memory. What the dead node kept is removed
at once, as it would be on a machine without power, so nothing but the peer's copy can be what is restored.
`pytest -s` prints the timeline.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.parts import Parts
from tests.e2e.test_faults import wait_for

pytest.importorskip("torch")

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("parts")]

PROGRAM = Path(__file__).parent / "programs" / "lost_node.py"
STEPS, EVERY = 150, 5
JOB = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: lost}
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


POD = """
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  nodeName: a
  restartPolicy: Never
  terminationGracePeriodSeconds: 600
  containers: [{name: main, image: none, command: [sleep, "600"]}]
"""


class Timeline:
    """What happened when, counted from the kill."""

    def __init__(self) -> None:
        self.began = time.time()
        self.seen: dict[str, float] = {}

    def mark(self, what: str, at: float | None = None) -> None:
        self.seen.setdefault(what, (at or time.time()) - self.began)

    def print(self) -> None:
        for what, seconds in sorted(self.seen.items(), key=lambda item: item[1]):
            print(f"  {seconds:7.2f} s  {what}")


def pods_of(parts: Parts, attempt: int) -> list[dict[str, Any]]:
    listed = parts.platform.get("pods", "-l", f"springtide.dev/attempt={attempt}")["items"]
    return sorted(
        listed, key=lambda pod: int(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])
    )


def log_of(parts: Parts, pod: str) -> list[tuple[float, str]]:
    lines = (line.partition(" ") for line in parts.platform.kubectl("logs", pod).out.splitlines())
    return [(float(at), text) for at, _, text in lines if at.replace(".", "", 1).isdigit()]


def last_step(lines: list[tuple[float, str]]) -> int:
    return max((int(text.split()[1]) for _, text in lines if text.startswith("step ")), default=-1)


def memory_of(parts: Parts, node: str) -> Path:
    node_id = (parts.platform.data_dir / "nodes" / node / "node-id").read_text()
    return Path("/dev/shm") / f"springtide-{node_id}"


def condition(parts: Parts, node: str) -> tuple[str, str]:
    found = parts.platform.get("node", node)["status"]["conditions"]
    ready = next(one for one in found if one["type"] == "Ready")
    return ready["status"], ready["reason"]


def start_job(parts: Parts, storage: Path) -> None:
    parts.server()
    parts.start("scheduler", "scheduler")
    parts.start("controllers", "controllers")
    for name in ("a", "b", "c"):
        parts.node(name)
    cores = len(os.sched_getaffinity(0))
    text = JOB % (PROGRAM, storage, STEPS, EVERY, cores)
    applied = parts.platform.kubectl("apply", "-f", "-", stdin=text)
    assert applied.code == 0, applied.text


def ranks_alive(node_id: str) -> list[int]:
    mark = f"SPRINGTIDE_NODE_ID={node_id}".encode()
    found = []
    for process in psutil.process_iter():
        try:
            if mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                found.append(process.pid)
        except OSError:
            continue
    return found


@pytest.mark.timeout(300)
def test_a_gang_goes_on_from_a_peers_memory_when_a_nodes_process_is_killed(
    parts: Parts, tmp_path: Path
) -> None:
    start_job(parts, tmp_path / "storage")
    wait_for("two pods", lambda: len(pods_of(parts, 0)) == 2, 60)
    first = pods_of(parts, 0)
    nodes = [pod["spec"]["nodeName"] for pod in first]
    names = [pod["metadata"]["name"] for pod in first]
    spare = ({"a", "b", "c"} - set(nodes)).pop()
    wait_for("some steps", lambda: last_step(log_of(parts, names[0])) >= 4 * EVERY, 120)

    victim, survivor = nodes[0], nodes[1]  # rank 0, whose address the others meet at
    node_id = memory_of(parts, victim).name.removeprefix("springtide-")
    assert ranks_alive(node_id)
    timeline = Timeline()
    parts.end(victim, signal.SIGKILL)
    shutil.rmtree(memory_of(parts, victim))
    shutil.rmtree(tmp_path / "storage")  # nor is storage of any use
    (tmp_path / "storage").mkdir()
    reached = last_step(log_of(parts, names[1]))

    def watch() -> bool:
        status, reason = condition(parts, victim)
        if status == "Unknown":
            timeline.mark(f"node {victim} is not ready any more: {reason}")
        taints = {taint["key"] for taint in parts.platform.get("node", victim)["spec"].get("taints", [])}
        for taint in taints:
            timeline.mark(f"tainted {taint}")
        if not ranks_alive(node_id):
            timeline.mark("no process of the dead node is left")
        workload = parts.platform.get("workloads.kueue.x-k8s.io")["items"][0]
        for one in workload["status"]["conditions"]:
            if one["type"] == "Evicted":
                timeline.mark(f"evicted: {one['reason']}")
        pods = pods_of(parts, 1)
        if len(pods) == 2:
            timeline.mark(f"placed anew on {', '.join(pod['spec']['nodeName'] for pod in pods)}")
            if not ranks_alive(node_id):
                timeline.mark("ranks of the second attempt after the last of the first")
            if all(pod["status"].get("phase") == "Running" for pod in pods):
                timeline.mark("pods run")
                return True
        return False

    wait_for("the second attempt", watch, 120)
    second = pods_of(parts, 1)
    assert sorted(pod["spec"]["nodeName"] for pod in second) == sorted([survivor, spare])
    pod = second[0]["metadata"]["name"]
    wait_for("a step", lambda: last_step(log_of(parts, pod)) > 0, 120)
    lines = log_of(parts, pod)
    at, restored = next((at, text) for at, text in lines if text.startswith("restored "))
    timeline.mark("program started", lines[0][0])
    timeline.mark(restored, at)
    at, step = next((at, text) for at, text in lines if text.startswith("step "))
    timeline.mark(f"first {step}", at)
    timeline.mark(f"killed; the last step was {reached}", timeline.began)
    timeline.print()
    step_restored = int(restored.split()[2])
    events = parts.platform.get("events", "--field-selector", "reason=SnapshotFetched")["items"]
    for event in events:
        print("  ", event["message"])
    assert "from memory" in restored
    assert reached - step_restored <= 2 * EVERY, "at most one interval, and what was being copied, is lost"
    fetched = [one["message"] for one in events]
    assert any(f"from memory of node {survivor}" in text for text in fetched), fetched
    diagnoses = parts.platform.get("diagnoses")["items"]
    print("  ", json.dumps(diagnoses[0]["spec"]["message"]))
    assert diagnoses[0]["spec"]["node"] == victim
    assert not ranks_alive(node_id)


def test_a_node_that_starts_again_takes_its_watchdogs_word_back(parts: Parts) -> None:
    parts.server()
    parts.start("scheduler", "scheduler")
    parts.start("controllers", "controllers")
    parts.node("a")
    parts.node("b")  # where all nodes have failed nobody is evicted: then it is rather the control plane
    created = parts.platform.kubectl("create", "-f", "-", stdin=POD)
    assert created.code == 0, created.text
    waited = parts.platform.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/sleeper")
    assert waited.code == 0, waited.text

    def out_of_service() -> bool:
        taints = parts.platform.get("node", "a")["spec"].get("taints", [])
        return "node.kubernetes.io/out-of-service" in {taint["key"] for taint in taints}

    parts.end("a", signal.SIGKILL)
    wait_for("the watchdog's word", out_of_service, 60)
    assert condition(parts, "a") == ("Unknown", "NodeProcessDied")
    wait_for("the pod is removed", lambda: parts.platform.kubectl("get", "pod", "sleeper").code != 0, 60)
    parts.node("a")
    wait_for("ready", lambda: condition(parts, "a")[0] == "True", 60)
    assert not out_of_service()
