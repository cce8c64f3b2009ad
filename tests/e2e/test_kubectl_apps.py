"""Deployments, StatefulSets and DaemonSets with kubectl, on a node of processes and on simulated nodes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.e2e.platforms import Platform, Result

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("kubectl_apps")]

SLEEP = ("--image=busybox", "--", "sleep", "3600")
STATEFUL = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: "busybox:1", command: ["sleep", "3600"]}
"""
DAEMON = (
    STATEFUL.replace("kind: StatefulSet", "kind: DaemonSet")
    .replace("  replicas: 2\n  serviceName: db\n", "")
    .replace("db", "agent")
)


def ok(result: Result) -> str:
    assert result.code == 0, result.text
    return result.out


def pods(platform: Platform, label: str) -> list[str]:
    """Names of the pods with this label that are not ending."""
    items = platform.get("pods", "-l", label)["items"]
    return sorted(one["metadata"]["name"] for one in items if "deletionTimestamp" not in one["metadata"])


def wait_for_pods(platform: Platform, label: str, count: int, seconds: float = 30) -> list[str]:
    deadline = time.monotonic() + seconds
    while len(found := pods(platform, label)) != count:
        assert time.monotonic() < deadline, f"{found}, not {count} pods"
    return found


def test_a_deployment_is_made_scaled_and_rolled_back(platform: Platform) -> None:
    ok(platform.kubectl("create", "deployment", "web", "--replicas=2", *SLEEP))
    rolled = ok(platform.kubectl("rollout", "status", "deployment/web", "--timeout=40s"))
    assert 'deployment "web" successfully rolled out' in rolled
    ok(platform.kubectl("scale", "deployment/web", "--replicas=3"))
    ok(
        platform.kubectl(
            "wait", "--for=jsonpath={.status.readyReplicas}=3", "deployment/web", "--timeout=40s"
        )
    )
    ok(platform.kubectl("set", "image", "deployment/web", "busybox=busybox:2"))
    ok(platform.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    history = ok(platform.kubectl("rollout", "history", "deployment/web"))
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["1", "2"]
    assert "busybox:2" in ok(platform.kubectl("rollout", "history", "deployment/web", "--revision=2"))
    ok(platform.kubectl("rollout", "undo", "deployment/web"))
    ok(platform.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    found = platform.get("deployment", "web")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "busybox"
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    listed = ok(platform.kubectl("get", "all"))
    assert "deployment.apps/web" in listed
    assert "replicaset.apps/web-" in listed
    described = ok(platform.kubectl("describe", "deployment", "web"))
    assert "ScalingReplicaSet" in described
    assert "deployment-controller" in described
    assert "NewReplicaSetAvailable" in described


def test_a_paused_rollout_waits_and_a_restart_replaces_all_pods(platform: Platform) -> None:
    ok(platform.kubectl("create", "deployment", "calm", "--replicas=1", *SLEEP))
    ok(platform.kubectl("rollout", "status", "deployment/calm", "--timeout=40s"))
    ok(platform.kubectl("rollout", "pause", "deployment/calm"))
    ok(platform.kubectl("set", "image", "deployment/calm", "busybox=busybox:2"))
    waited = platform.kubectl("rollout", "status", "deployment/calm", "--timeout=2s")
    assert waited.code != 0
    [before] = pods(platform, "app=calm")
    ok(platform.kubectl("rollout", "resume", "deployment/calm"))
    ok(platform.kubectl("rollout", "status", "deployment/calm", "--timeout=60s"))
    ok(platform.kubectl("rollout", "restart", "deployment/calm"))
    ok(platform.kubectl("rollout", "status", "deployment/calm", "--timeout=60s"))
    assert before not in wait_for_pods(platform, "app=calm", 1)
    assert len(platform.get("replicasets", "-l", "app=calm")["items"]) == 3


def test_what_is_orphaned_stays_and_is_taken_in_again(platform: Platform) -> None:
    ok(platform.kubectl("create", "deployment", "left", "--replicas=2", *SLEEP))
    ok(platform.kubectl("rollout", "status", "deployment/left", "--timeout=40s"))
    before = pods(platform, "app=left")
    ok(platform.kubectl("delete", "deployment", "left", "--cascade=orphan"))
    assert pods(platform, "app=left") == before
    ok(platform.kubectl("create", "deployment", "left", "--replicas=2", *SLEEP))
    ok(platform.kubectl("rollout", "status", "deployment/left", "--timeout=40s"))
    assert pods(platform, "app=left") == before
    ok(platform.kubectl("delete", "deployment", "left"))
    ok(platform.kubectl("wait", "--for=delete", "pod", "-l", "app=left", "--timeout=60s"))


def test_stateful_and_daemon_sets_are_rolled_out_and_back(platform: Platform) -> None:
    ok(platform.kubectl("apply", "-f", "-", stdin=STATEFUL))
    ok(platform.kubectl("apply", "-f", "-", stdin=DAEMON))
    for place in ("statefulset/db", "daemonset/agent"):
        ok(platform.kubectl("rollout", "status", place, "--timeout=40s"))
    assert pods(platform, "app=db") == ["db-0", "db-1"]
    for place in ("statefulset/db", "daemonset/agent"):
        ok(platform.kubectl("set", "image", place, "main=busybox:2"))
        ok(platform.kubectl("rollout", "status", place, "--timeout=60s"))
        history = ok(platform.kubectl("rollout", "history", place))
        assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["1", "2"]
        ok(platform.kubectl("rollout", "undo", place))
        ok(platform.kubectl("rollout", "status", place, "--timeout=60s"))
        image = platform.get(*place.split("/"))["spec"]["template"]["spec"]["containers"][0]["image"]
        assert image == "busybox:1"
    assert "db-1" in ok(platform.kubectl("describe", "statefulset", "db"))
    ok(platform.kubectl("delete", "statefulset/db", "daemonset/agent"))
    ok(platform.kubectl("wait", "--for=delete", "pod", "-l", "app in (db, agent)", "--timeout=60s"))


NODES = "nodes: [{namePrefix: sim-, count: 10, capacity: {cpu: 8, memory: 32Gi}}]"


@pytest.fixture
def simulated(fresh: Platform, tmp_path: Path) -> Platform:
    """A platform of simulated nodes."""
    file = tmp_path / "nodes.yaml"
    file.write_text(NODES)
    started = fresh.up("--simulate", str(file))
    assert started.code == 0, started.text
    return fresh


def test_fifty_pods_on_simulated_nodes(simulated: Platform) -> None:
    ok(simulated.kubectl("create", "deployment", "wide", "--replicas=50", "--image=app:1"))
    forever = {
        "spec": {"template": {"metadata": {"annotations": {"simulation.springtide.dev/duration": "10h"}}}}
    }
    ok(simulated.kubectl("patch", "deployment", "wide", "-p", json.dumps(forever)))
    ok(simulated.kubectl("rollout", "status", "deployment/wide", "--timeout=60s"))
    assert len(wait_for_pods(simulated, "app=wide", 50)) == 50
    ok(simulated.kubectl("scale", "deployment/wide", "--replicas=5"))
    ok(simulated.kubectl("wait", "--for=jsonpath={.status.replicas}=5", "deployment/wide", "--timeout=60s"))
    assert len(wait_for_pods(simulated, "app=wide", 5)) == 5
