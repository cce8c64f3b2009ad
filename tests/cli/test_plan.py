"""`plan` and `simulate`: what the scheduler would decide, with nothing written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from springtide.api.kueue import Workload
from springtide.api.struct import decode, encode, replace
from springtide.cli.plan import as_data, render
from springtide.client import Client
from springtide.scheduling.whatif import Forecast
from tests.builders import cluster_queue, local_queue, node, pod_set, pod_spec, resource_flavor, workload
from tests.cli.scene import Scene

RUNTIME = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: ClusterTrainingRuntime
metadata: {name: plain}
spec:
  mlPolicy: {numNodes: 1}
  template:
    spec:
      replicatedJobs:
      - name: node
        template:
          metadata: {labels: {trainer.kubeflow.org/trainjob-ancestor-step: trainer}}
          spec:
            template:
              spec:
                containers: [{name: node, image: python}]
"""
JOB = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: digits}
spec:
  runtimeRef: {name: plain}
  trainer: {numNodes: %d, command: [python], resourcesPerNode: {requests: {cpu: 4}}}
"""


def cluster(**quota: str | int) -> Scene:
    scene = Scene().given(
        node("a", cpu=8),
        node("b", cpu=8),
        resource_flavor(),
        cluster_queue(quota=quota or None),
        local_queue(),
    )
    assert scene.run("apply", "-f", "-", stdin=RUNTIME).exit_code == 0
    return scene


def test_a_job_that_fits_is_shown_on_its_nodes_and_not_created() -> None:
    scene = cluster()
    result = scene.run("plan", "-f", "-", stdin=JOB % 3)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "default/trainjob-digits: starts now in ClusterQueue default"
    assert "node: a (2), b (1)" in result.stdout or "node: b (2), a (1)" in result.stdout
    assert scene.run("get", "trainjobs", "digits").exit_code == 1


@pytest.mark.parametrize(
    ("nodes", "quota", "why"),
    [
        (5, {}, "the cluster can never hold it: needs 5 × {cpu: 4}"),
        (3, {"cpu": 8}, "asks 12 cpu, the whole quota of flavor default is 8"),
    ],
    ids=["nodes", "quota"],
)
def test_a_job_that_waits_says_why(nodes: int, quota: dict[str, str | int], why: str) -> None:
    result = cluster(**quota).run("plan", "-f", "-", stdin=JOB % nodes)
    assert result.exit_code == 0, result.output
    assert "default/trainjob-digits: waits" in result.stdout
    assert why in result.stdout


def test_who_would_have_to_go_is_named() -> None:
    queue = decode(
        type(cluster_queue()),
        {
            "metadata": {"name": "default"},
            "spec": {"namespaceSelector": {}, "preemption": {"withinClusterQueue": "LowerPriority"}},
        },
    )
    scene = Scene().given(node("a", cpu=4), queue, local_queue())
    low = workload("low", pod_set(1, pod_spec(cpu=4)), priority=1)
    scene.given(replace(low, metadata=replace(low.metadata, uid="")))

    async def admit(client: Client) -> None:
        admission = {
            "clusterQueue": "default",
            "podSetAssignments": [
                {
                    "name": "node",
                    "flavors": {"cpu": "default"},
                    "resourceUsage": {"cpu": "4"},
                    "count": 1,
                    "topologyAssignment": {
                        "levels": ["kubernetes.io/hostname"],
                        "slices": [
                            {
                                "domainCount": 1,
                                "valuesPerLevel": [{"universal": "a"}],
                                "podCounts": {"universal": 1},
                            }
                        ],
                    },
                }
            ],
        }
        told = [
            {
                "type": name,
                "status": "True",
                "reason": name,
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for name in ("QuotaReserved", "Admitted")
        ]
        status = {"status": {"admission": admission, "conditions": told}}
        await client.patch(Workload, "low", "default", status, subresource="status")

    scene.do(admit)
    high = workload("high", pod_set(1, pod_spec(cpu=4)), priority=9)
    body = {
        "apiVersion": high.api_version,
        "kind": high.kind,
        "metadata": {"name": "high"},
        "spec": _spec(high),
    }
    result = scene.run("plan", "-f", "-", "-o", "json", stdin=json.dumps(body))
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert found["starts"] is False
    assert [(one["workload"], one["reason"]) for one in found["victims"]] == [
        ("default/low", "InClusterQueue")
    ]
    assert not conditions_of(scene, "low", "Evicted")


def _spec(of: Workload) -> object:
    return encode(of)["spec"]


def conditions_of(scene: Scene, name: str, type_: str) -> list[object]:
    raw = json.loads(scene.run("get", "workload", name, "-o", "json").stdout)
    return [one for one in raw["status"].get("conditions", []) if one["type"] == type_]


def test_what_cannot_be_planned_is_said() -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    result = cluster().run("plan", "-f", "-", stdin=config)
    assert result.exit_code == 1
    assert "kind ConfigMap cannot be planned" in result.stderr
    assert "TrainJob, Workload" in result.stderr


def test_a_trace_is_replayed_and_policies_are_compared(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text(
        "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(f"n{i},64000,262144,4,T4\n" for i in range(4))
    )
    pods.write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n" + "p,3000,5600,1,810\nq,8000,3000,1,470\n" * 3
    )
    files = ("--nodes", str(nodes), "--pods", str(pods))
    told = ("--policy", "fragments", "--policy", "random", "--seed", "1", "--seed", "2")
    result = Scene().run("simulate", "openb", *files, *told, "-o", "json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [(row["policy"], row["seed"]) for row in rows] == [
        ("fragments", 1), ("fragments", 2), ("random", 1), ("random", 2)
    ]  # fmt: skip
    assert all(0 < row["gpu_allocation_percent"] <= 100 for row in rows)
    table = Scene().run("simulate", "openb", *files, *told).stdout
    assert [line.split()[1] for line in table.splitlines()[1:]] == ["1", "2", "1", "2", "mean", "mean"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("best", "policy 'best' is not registered; known: best-fit, fgd, fragments"),
        ("no_such_module:POLICY", "cannot import no_such_module"),
        ("springtide.scheduling.policies:SCARCITY", "has no Policy named 'SCARCITY'"),
    ],
)
def test_a_policy_that_is_not_there_is_said(tmp_path: Path, policy: str, said: str) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\nn,64000,262144,4,T4\n")
    pods.write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,3000,5600,1,810\n")
    result = Scene().run("simulate", "openb", "--nodes", str(nodes), "--pods", str(pods), "--policy", policy)
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_policy_of_ones_own_is_replayed_beside_the_default(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text(
        "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(f"n{i},64000,262144,4,T4\n" for i in range(4))
    )
    pods.write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n" + "p,3000,5600,1,810\nq,8000,3000,1,470\n" * 3
    )
    own = Path(__file__).parents[2] / "examples" / "policy" / "packed.py"
    files = ("--nodes", str(nodes), "--pods", str(pods))
    result = Scene().run("simulate", "openb", *files, "--policy", "fragments", "--policy", f"{own}:PACKED")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["fragments", "packed"]


def jobs_trace(folder: Path) -> Path:
    path = folder / "jobs.csv"
    lines = [
        f"2017-10-09 {7 + i // 60:02}:{i % 60:02}:00,{60 + 1000 * (i % 7)},{1 + 7 * (i % 5 == 0)}"
        for i in range(90)
    ]
    path.write_text("timestamp,duration,num_gpus\n" + "\n".join(lines) + "\n")
    return path


def test_a_trace_of_jobs_is_replayed_under_each_order_and_drawn(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    files = ("simulate", "jobs", "--trace", str(jobs_trace(tmp_path)), "--report", str(page))
    result = Scene().run(*files, "-o", "json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["policy"] for row in rows] == ["fifo", "easy", "default"]
    assert all(row["overall"]["jobs"] == 90 for row in rows)
    assert rows[2]["overall"]["wait_mean"] <= rows[0]["overall"]["wait_mean"]
    assert page.read_text().startswith("<!DOCTYPE html>")
    table = Scene().run(*files, "--policy", "fifo").stdout
    assert table.splitlines()[1].split()[:3] == ["fifo", "all", "90"]


def test_a_configuration_is_replayed_beside_the_others(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    head = "apiVersion: springtide.dev/v1alpha1\nkind: SchedulerConfiguration\nmetadata: {name: default}\n"
    config.write_text(head + "spec: {ordering: shortest, policy: packing}\n")
    trace = ("--trace", str(jobs_trace(tmp_path)), "--nodes", "1")
    files = ("simulate", "jobs", *trace, "--policy", "fifo", "-o", "json")
    result = Scene().run(*files, "--config", str(config))
    assert result.exit_code == 0, result.output
    fifo, own = json.loads(result.stdout)
    assert own["policy"] == "configured"
    assert own["overall"]["wait_mean"] < fifo["overall"]["wait_mean"]
    config.write_text(head + "spec: {ordering: longest}\n")
    refused = Scene().run(*files, "--config", str(config))
    assert refused.exit_code == 1
    assert "spec.ordering: ordering 'longest' is not registered; known: deadline, fifo" in refused.stderr


def test_when_a_job_is_expected_to_start_is_shown_and_data() -> None:
    when = datetime(2026, 1, 1, 14, 5, tzinfo=UTC)
    found = Forecast(
        "default/a", False, reason="no room", expected_start=when, expected_reason="when default/b ends"
    )
    last = render(found).splitlines()[-1]
    assert last == "  expected to start about 2026-01-01 14:05 UTC, when default/b ends"
    assert json.loads(json.dumps(as_data(found)))["expected_start"] == "2026-01-01T14:05:00+00:00"


def test_a_trace_of_jobs_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("timestamp,duration\n2017-10-09 07:00:00,5\n")
    result = Scene().run("simulate", "jobs", "--trace", str(path))
    assert result.exit_code == 1
    assert "num_gpus" in result.stderr
