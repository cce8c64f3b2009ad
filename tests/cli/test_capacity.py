"""`simulate capacity`: what if there were other nodes, quotas or another policy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from springtide.api.core import PersistentVolumeClaim, Pod, PodSpec
from springtide.api.kueue import Workload
from springtide.api.meta import Object
from springtide.api.struct import decode, encode, replace
from springtide.cli.saved_cluster import load
from springtide.client import Client
from springtide.server import documents
from tests.builders import cluster_queue, local_queue, node, pod_set, pod_spec, resource_flavor, workload
from tests.cli.scene import Scene
from tests.cli.test_waiting import settle

GPU = "nvidia.com/gpu"


def job(name: str, pods: int) -> Workload:
    made = workload(name, pod_set(pods, pod_spec(cpu=1, gpu=8)))
    return replace(made, metadata=replace(made.metadata, uid="", owner_references=[]))


def cluster(quota: int = 32) -> Scene:
    """Two nodes of eight GPUs, one gang of two runs and one waits."""
    queue = cluster_queue(quota={GPU: quota, "cpu": 100})
    scene = Scene().given(
        node("a", cpu=8, gpu=8),
        node("b", cpu=8, gpu=8),
        resource_flavor(),
        queue,
        local_queue(),
        job("first", 2),
    )

    async def cycles(client: Client) -> None:
        await settle(3, client)

    return scene.do(cycles).given(job("second", 2))


def test_more_nodes_let_the_gang_start_and_nothing_is_written() -> None:
    scene = cluster()
    result = scene.run("simulate", "capacity", "--add-nodes", "2=a")
    assert result.exit_code == 0, result.output
    assert "starts then, not now\n  default/second" in result.stdout
    assert "16 of 16 (100 %)" in result.stdout
    assert "32 of 32 (100 %)" in result.stdout
    found = json.loads(scene.run("simulate", "capacity", "--add-nodes", "1=a", "-o", "json").stdout)
    assert found["then"]["starts"] == []
    assert found["then"]["nodes"] == 3
    (waits,) = found["then"]["waits"]
    assert waits["key"] == "default/second"
    assert "1 of 2 pods fit now" in waits["why"]
    assert scene.run("get", "node", "a+1").exit_code == 1


def job_with_claim() -> tuple[PersistentVolumeClaim, Workload]:
    """A claim that nobody has bound, and a workload whose pod mounts it."""
    wanted = {
        "metadata": {"namespace": "default", "name": "data"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    claim = decode(PersistentVolumeClaim, wanted)
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    spec = decode(PodSpec, {**encode(pod_spec(cpu=1)), "volumes": [volume]})
    made = workload("digits", pod_set(1, spec))
    return claim, replace(made, metadata=replace(made.metadata, uid="", owner_references=[]))


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("", None),
        ("v1.36.2", "persistentvolumeclaim data is not bound to a volume yet"),
        ("v1.36.2-eks-1234", "persistentvolumeclaim data is not bound to a volume yet"),
    ],
    ids=["embedded", "real", "of a provider"],
)
def test_a_claim_without_a_volume_waits_on_a_real_cluster_alone(
    version: str, why: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene = Scene().given(node("a", cpu=8), resource_flavor(), cluster_queue(), local_queue())
    scene.given(*job_with_claim())
    if version:
        monkeypatch.setattr(documents, "GIT_VERSION", version)
    saved = tmp_path / "cluster.json"
    assert scene.run("simulate", "capacity", "--save", str(saved)).exit_code == 0
    for server, source in ((scene, ()), (Scene(), ("--snapshot", str(saved)))):
        result = server.run("simulate", "capacity", *source, "-o", "json")
        assert result.exit_code == 0, result.output
        now = json.loads(result.stdout)["now"]
        assert now["starts"] == ([] if why else ["default/digits"])
        assert [why in one["why"] for one in now["waits"]] == ([True] if why else [])
    explained = scene.run("explain", "workload/digits")
    assert explained.exit_code == 0, explained.output
    assert ("persistentvolumeclaim data" in explained.stdout) == bool(why), explained.stdout


@pytest.mark.parametrize(("version", "placed"), [("", True), ("v1.36.2", False)], ids=["embedded", "real"])
def test_a_plain_pod_that_names_no_scheduler_is_placed_where_there_is_no_other(
    version: str, placed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = {"metadata": {"name": "web", "namespace": "default"}}
    spec = {"containers": [{"name": "web", "image": "web", "resources": {"requests": {"cpu": "6"}}}]}
    scene = Scene().given(node("a", cpu=8), resource_flavor(), cluster_queue(), local_queue())
    scene.given(decode(Pod, {**raw, "spec": spec}))
    if version:
        monkeypatch.setattr(documents, "GIT_VERSION", version)
    result = scene.run("simulate", "capacity", "-o", "json")
    assert result.exit_code == 0, result.output
    now = json.loads(result.stdout)["now"]
    assert now["starts"] == (["default/web"] if placed else [])
    assert now["waits"] == []


def test_quota_is_what_stands_in_the_way() -> None:
    scene = cluster(quota=16)
    more_nodes = json.loads(scene.run("simulate", "capacity", "--add-nodes", "2=a", "-o", "json").stdout)
    assert more_nodes["then"]["starts"] == []
    both = ("--add-nodes", "2=a", "--quota", f"default/{GPU}=32")
    assert json.loads(scene.run("simulate", "capacity", *both, "-o", "json").stdout)["then"]["starts"] == [
        "default/second"
    ]


def test_what_runs_on_a_node_that_goes_waits_again() -> None:
    found = json.loads(cluster().run("simulate", "capacity", "--remove-node", "b", "-o", "json").stdout)
    assert found["now"]["runs"] == 1
    assert found["then"]["runs"] == 0
    assert [one["key"] for one in found["then"]["waits"]] == ["default/first", "default/second"]


def test_a_cluster_is_saved_and_asked_without_a_server(tmp_path: Path) -> None:
    scene, saved = cluster(), tmp_path / "cluster.json"
    assert scene.run("simulate", "capacity", "--save", str(saved)).exit_code == 0
    asked = ("simulate", "capacity", "--snapshot", str(saved), "--add-nodes", "2=a", "-o", "json")
    assert json.loads(Scene().run(*asked).stdout) == json.loads(
        scene.run("simulate", "capacity", "--add-nodes", "2=a", "-o", "json").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--add-nodes", "two=a"], "not COUNT=NODE"),
        (["--add-nodes", "2=z"], "no node is named 'z'; there are: a, b"),
        (["--remove-node", "z"], "no node is named 'z'"),
        (["--quota", "default"], "not QUEUE/[FLAVOR/]RESOURCE=AMOUNT"),
        (["--quota", f"nowhere/{GPU}=1"], "no ClusterQueue is named 'nowhere'; there are: default"),
        (["--quota", "default/memory=1Gi"], "has no quota of memory; it has: default/cpu"),
        (["--quota", f"default/spot/{GPU}=1"], f"has no quota of spot/{GPU}"),
        (["--quota", f"default/{GPU}=many"], "many"),
        (["--policy", "nope"], "policy 'nope' is not registered"),
        (["--snapshot", "/nowhere.json"], "no such file"),
    ],
)
def test_a_wrong_change_says_what_there_is(arguments: list[str], message: str) -> None:
    result = cluster().run("simulate", "capacity", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr


def dumped(tmp_path: Path, *items: dict[str, Any]) -> Path:
    """A file as `kubectl get -A -o json` leaves it: a list that says nothing of itself."""
    path = tmp_path / "dump.json"
    metadata = {"resourceVersion": ""}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items}))
    return path


def raw(made: Object, **more: Any) -> dict[str, Any]:
    return {"apiVersion": made.api_version, "kind": made.kind, **encode(made), **more}


def test_a_dump_of_a_real_cluster_is_read_as_one(tmp_path: Path) -> None:
    claim, waiting = job_with_claim()
    spec = replace(pod_spec(cpu=2), scheduler_name="default-scheduler")
    web = decode(Pod, {"metadata": {"name": "web", "namespace": "default"}, "spec": encode(spec)})
    ours = replace(web, metadata=replace(web.metadata, name="ours"))
    ours = replace(ours, spec=replace(ours.spec, scheduler_name="springtide"))
    bound = replace(web, metadata=replace(web.metadata, name="bound"))
    bound = replace(bound, spec=replace(bound.spec, node_name="a"))
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}}
    other = {
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Workload",
        "metadata": {"name": "of another group"},
    }
    cluster_ = (node("a", cpu=8), resource_flavor(), cluster_queue(), local_queue())
    path = dumped(tmp_path, *map(raw, (*cluster_, claim, waiting, web, ours, bound)), lease, other)
    result = Scene().run("simulate", "capacity", "--snapshot", str(path), "-o", "json")
    assert result.exit_code == 0, result.output
    assert "passed over, since the scheduler does not look at them: 1 Lease, 1 Workload" in result.stderr
    now = json.loads(result.stdout)["now"]
    assert now["starts"] == ["default/ours"], "pods that name no scheduler are another one's"
    assert [one["key"] for one in now["waits"]] == ["default/digits"]
    assert "persistentvolumeclaim data is not bound" in now["waits"][0]["why"]
    assert now["used"]["cpu"] == "4 of 8 (50 %)", "what runs there takes its room"


def test_a_dump_is_of_the_newest_moment_it_tells_of(tmp_path: Path) -> None:
    machine = raw(node("a", cpu=8))
    machine["metadata"]["creationTimestamp"] = "2025-03-01T00:00:00Z"
    machine["metadata"]["managedFields"] = [{"manager": "kubelet", "time": "2025-03-02T10:00:00Z"}]
    machine["metadata"]["deletionTimestamp"] = "2099-01-01T00:00:00Z"
    assert load(dumped(tmp_path, machine)).now == datetime(2025, 3, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"kind": "Node"}, "items[0] is no object"),
        (
            {"apiVersion": "kueue.x-k8s.io/v1alpha9", "kind": "ClusterQueue", "metadata": {"name": "q"}},
            "ClusterQueue is of kueue.x-k8s.io/v1alpha9",
        ),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, "it holds Secret"),
    ],
)
def test_a_dump_that_holds_no_cluster_says_why(tmp_path: Path, item: dict[str, Any], message: str) -> None:
    result = Scene().run("simulate", "capacity", "--snapshot", str(dumped(tmp_path, item)))
    assert result.exit_code == 1
    assert message in result.stderr
