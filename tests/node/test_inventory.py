"""The file of simulated nodes: what it makes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from springtide.node import InventoryError, load_nodes

GOOD = """
nodes:
  - namePrefix: gpu-
    count: 3
    gpus: 8
    labels: {zone: a, number: 7, fast: true}
    capacity: {cpu: 96, memory: 1Ti}
    allocatable: {cpu: 95500m}
    taints: [{key: dedicated, value: training, effect: NoSchedule}]
  - name: head
"""


def test_entries_become_nodes(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(GOOD)
    nodes = load_nodes(path)
    assert [node.metadata.name for node in nodes] == ["gpu-0", "gpu-1", "gpu-2", "head"]
    gpu = nodes[1]
    assert gpu.status.capacity == {"cpu": "96", "memory": "1Ti", "pods": "110", "nvidia.com/gpu": "8"}
    assert gpu.status.allocatable["cpu"] == "95500m"
    assert gpu.metadata.labels == {
        "kubernetes.io/hostname": "gpu-1",
        "springtide.dev/node-kind": "simulated",
        "zone": "a",
        "number": "7",
        "fast": "true",
    }
    assert gpu.spec.taints[0].effect == "NoSchedule"
    assert nodes[3].status.capacity == {"cpu": "16", "memory": "64Gi", "pods": "110"}


def test_gpus_to_be_shared_have_names(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(
        "[{namePrefix: n, count: 2, annotations: {a: b},"
        " gpus: {count: 2, sharers: 4, model: T4, memory: 16Gi}}]"
    )
    nodes = load_nodes(path)
    assert nodes[1].status.allocatable["nvidia.com/gpu"] == "8"
    assert nodes[1].metadata.annotations == {
        "a": "b",
        "hami.io/node-nvidia-register": "n1-gpu-0,4,16384,100,T4,0,true:n1-gpu-1,4,16384,100,T4,0,true:",
    }


REFUSED = [
    ("", "must hold a list of nodes, at the top or under `nodes:`"),
    ("nodes: []", "must hold a list of nodes"),
    ("[{name: a", "not YAML"),
    ("[a]", "nodes[0]: must be an object with `name` or `namePrefix`, not 'a'"),
    ("[{name: a}, {name: a}]", "nodes[1]: the name 'a' is used twice"),
    ("[{}]", "nodes[0]: give either `name` (one node) or `namePrefix` (with `count`)"),
    ("[{name: a, namePrefix: b}]", "nodes[0]: give either"),
    ("[{name: a, count: 2}]", "nodes[0].count: 2 must be at least 1, and needs `namePrefix` above 1"),
    ("[{namePrefix: a, count: many}]", "nodes[0].count: 'many' must be a whole number"),
    ("[{name: a, cpus: 4}]", "nodes[0]: unknown field 'cpus'; known are"),
    ("[{name: a, capacity: {cpu: lots}}]", "nodes[0].capacity[cpu]: 'lots' is not a quantity such as"),
    ("[{name: a, taints: [{key: k, effect: Never}]}]", "nodes[0].taints[0].effect: 'Never' must be one of"),
    ("[{name: a, taints: [{effect: NoSchedule}]}]", "nodes[0].taints[0]: "),
    ("[{name: a, gpus: many}]", "nodes[0].gpus: 'many' must be a whole number or map"),
    ("[{name: a, gpus: {count: 0}}]", "nodes[0].gpus: count and sharers must be at least 1"),
    ("[{name: a, gpus: {kind: T4}}]", "nodes[0].gpus: unknown field 'kind'; known are"),
    ("[{name: a, gpus: {memory: much}}]", "nodes[0].gpus.memory: 'much' is not a quantity"),
    ("[{name: a, gpus: {model: 'T,4'}}]", "nodes[0].gpus.model: 'T,4' must not contain , or :"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(text)
    with pytest.raises(InventoryError) as error:
        load_nodes(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"cannot be read: No such file"):
        load_nodes(tmp_path / "absent.yaml")
