"""The real kube-scheduler is asked about every scene, node by node: it must find the same nodes as the table.

For each node the pod asks for an extended resource that this node alone offers: it is bound exactly if it may
run there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.scheduling.oracle import MERGE, Cluster, kube_scheduler, needs_binaries, slot_of
from tests.scheduling.scenes import SCENES, VOLUMES, Json, Scene

pytestmark = needs_binaries


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kube_scheduler() as found:
        yield found


ALL = [*SCENES, *VOLUMES]


@pytest.mark.parametrize("scene", ALL, ids=[scene.name for scene in ALL])
def test_kube_scheduler_finds_the_same_nodes(cluster: Cluster, scene: Scene) -> None:
    objects = [*scene.others, *scene.nodes, *scene.running]
    for raw in scene.others:
        if raw["kind"] == "Namespace":
            told = {"metadata": {"labels": raw["metadata"]["labels"]}}
            cluster.call("PATCH", f"/api/v1/namespaces/{raw['metadata']['name']}", told, MERGE)
    made = [raw for raw in objects if raw["kind"] != "Namespace"]
    try:
        for raw in made:
            cluster.create(raw)
        found = "".join(raw["metadata"]["name"] for raw in scene.nodes if _runs_on(cluster, scene, raw))
    finally:
        for raw in reversed(made):
            cluster.delete(raw)
    assert found == scene.expected


def _runs_on(cluster: Cluster, scene: Scene, node: Json) -> bool:
    """Whether the pod is bound when nothing but this node offers all that it asks for."""
    name = node["metadata"]["name"]
    pending = json.loads(json.dumps(scene.pending))
    resources = pending["spec"]["containers"][0]["resources"]
    resources["requests"][slot_of(name)] = resources.setdefault("limits", {})[slot_of(name)] = "1"
    pending["metadata"]["name"] += f"-{name}"
    cluster.create(pending)
    try:
        return bool(cluster.decision(pending) == name)
    finally:
        cluster.delete(pending)
