"""What a keeper reads off pods and nodes: whose snapshots, which peers, which domains."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.meta import ObjectMeta
from springtide.api.nodes import Node, NodeCondition, NodeSpec, NodeStatus, Taint
from springtide.api.struct import decode
from springtide.node.keeper_layout import Job
from springtide.node.keeper_peers import peers_of
from springtide.node.keeper_places import (
    NETWORK_LEVELS,
    gang_size,
    index_of,
    is_live,
    job_of,
    surroundings,
    user_of,
)

RACK = "cloud.provider.com/topology-rack"


def node(name: str, ready: str = "True", *, cordoned: bool = False, taint: str = "", **marks: str) -> Node:
    taints = [Taint(key="some/taint", effect=taint)] if taint else []
    return Node(
        metadata=ObjectMeta(name=name, labels={key.replace("__", "/"): text for key, text in marks.items()}),
        spec=NodeSpec(unschedulable=cordoned, taints=taints),
        status=NodeStatus(conditions=[NodeCondition(type="Ready", status=ready)]),
    )


def racked(**racks: str) -> list[Node]:
    made = [node(name) for name in racks]
    for one, rack in zip(made, racks.values(), strict=True):
        one.metadata.labels[RACK] = rack
    return made


def pod(
    node: str,
    index: int,
    *,
    owner: str = "Workload",
    phase: str = "Running",
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Pod:
    body = {
        "metadata": {
            "name": f"p{index}",
            "namespace": "team-a",
            "uid": f"pod-{index}",
            "labels": {labels.JOB_COMPLETION_INDEX: str(index)},
            "annotations": annotations or {},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": owner, "name": "digits", "uid": "w-1", "controller": True}
            ],
        },
        "spec": {"nodeName": node, "containers": [{"name": "main"}], **spec},
        "status": {"phase": phase},
    }
    return decode(Pod, body)


def test_a_pods_snapshots_belong_to_its_workload() -> None:
    assert job_of(pod("a", 0)) == Job("team-a", "digits", "w-1")
    assert job_of(pod("a", 0, owner="ReplicaSet")) is None
    assert index_of(pod("a", 3)) == 3


def test_who_a_pod_runs_as_and_how_many_there_are() -> None:
    env = [{"name": "SPRINGTIDE_NUM_NODES", "value": "4"}]
    told = pod(
        "a",
        0,
        containers=[{"name": "main", "env": env, "securityContext": {"runAsUser": 1000}}],
        securityContext={"runAsUser": 7, "runAsGroup": 8},
    )
    assert gang_size(told) == 4
    assert user_of(told) == (1000, 8)
    assert (gang_size(pod("a", 0)), user_of(pod("a", 0))) == (0, (-1, -1))


def chosen(own: str, pods: list[Pod], nodes: list[Node]) -> tuple[str, ...] | None:
    around = surroundings(own, pods, nodes, {one.metadata.name for one in nodes}, NETWORK_LEVELS)
    return None if around is None else peers_of(around.own, around.gang, around.others, "w-1")


@pytest.mark.parametrize(
    "other",
    [
        node("b", "Unknown"),
        node("b", "False"),
        node("b", cordoned=True),
        node("b", taint="NoExecute"),
    ],
    ids=["silent", "not ready", "cordoned", "being emptied"],
)
def test_a_node_that_may_go_soon_keeps_nothing(other: Node) -> None:
    assert chosen("a", [pod("a", 0), pod("b", 1)], [node("a"), other, node("c")]) == ("c",)


def test_a_node_that_tells_others_to_stay_away_may_keep_copies() -> None:
    assert chosen("a", [pod("a", 0), pod("b", 1)], [node("a"), node("b", taint="NoSchedule")]) == ("b",)


def test_only_nodes_with_a_keeper_count() -> None:
    nodes = [node("a"), node("b"), node("c")]
    around = surroundings("a", [pod("a", 0), pod("b", 1)], nodes, {"a", "c"}, NETWORK_LEVELS)
    assert around is not None
    assert (around.gang, [one.node for one in around.others]) == ((), ["c"])


def test_a_node_without_live_pods_of_the_job_copies_nothing() -> None:
    nodes = [node("a"), node("b")]
    assert chosen("a", [pod("b", 1)], nodes) is None
    assert chosen("a", [pod("a", 0, phase="Failed"), pod("b", 1)], nodes) is None
    assert not is_live(pod("a", 0, phase="Succeeded"))


def test_copies_leave_the_rack_by_the_labels_of_the_nodes() -> None:
    nodes = racked(a="r1", b="r1", c="r2", d="r2")
    pods = [pod(name, index) for index, name in enumerate("abcd")]
    assert {name: (chosen(name, pods, nodes) or ("",))[0] for name in "abcd"} == {
        "a": "c",
        "b": "d",
        "c": "a",
        "d": "b",
    }


def test_a_label_that_only_the_job_knows_counts_too() -> None:
    nodes = [node("a"), node("b"), node("c"), node("d")]
    for one, cell in zip(nodes, ("x", "x", "y", "y"), strict=True):
        one.metadata.labels["site/cell"] = cell
    asked = {labels.PODSET_PREFERRED_TOPOLOGY: "site/cell"}
    pods = [pod(name, index, annotations=asked) for index, name in enumerate("abcd")]
    assert (chosen("a", pods, nodes) or ("",))[0] == "c"
    plain = [pod(name, index) for index, name in enumerate("abcd")]
    assert (chosen("a", plain, nodes) or ("",))[0] == "b"


def test_ranks_of_one_slice_do_not_keep_each_others_copies() -> None:
    nodes = [node(name) for name in "abcd"]
    cut = {labels.PODSET_SLICE_SIZE: "2"}
    pods = [pod(name, index, annotations=cut) for index, name in enumerate("abcd")]
    assert {(chosen(name, pods, nodes) or ("",))[0] for name in "ab"} == {"c", "d"}
