"""Where pods with claims for storage may run, and what they wait for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from springtide.api.commands import Apply
from springtide.api.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from springtide.api.meta import Object
from springtide.api.storage import CSINode, StorageClass
from springtide.api.struct import decode
from springtide.scheduling import ClusterState
from tests.builders import pod_set, workload
from tests.scheduling.scenes import ABCD, VOLUMES, Json, Scene
from tests.scheduling.scenes import claim as claim_of
from tests.scheduling.scenes import node as node_of
from tests.scheduling.scenes import pod as pod_of
from tests.scheduling.scenes import storage_class as class_of
from tests.scheduling.scenes import uses as uses_of
from tests.scheduling.world import World

KINDS: Mapping[str, type[Object]] = {
    "Node": Node,
    "Pod": Pod,
    "PersistentVolume": PersistentVolume,
    "PersistentVolumeClaim": PersistentVolumeClaim,
    "StorageClass": StorageClass,
    "CSINode": CSINode,
}


def world_of(*raws: Json, provisioned: bool = True, queues: bool = False) -> World:
    """A world on a cluster that binds claims to volumes, or on nodes that serve any claim."""
    world = World(queues=queues)
    world.state = ClusterState(provisioned=provisioned)
    for obj in list(world.objects.values()):
        world.add(obj)
    world.add(*(decode(KINDS[raw["kind"]], raw) for raw in raws))
    return world


def told(world: World, key: str = "default/p") -> str:
    """What the pod waits for."""
    return next(one.message for one in world.pod(key).status.conditions if one.type == "PodScheduled")


@dataclass(frozen=True)
class Waits:
    """Why a pod with a claim waits."""

    why: str
    others: Sequence[Json]
    says: str


WAITS = [
    Waits("a claim that is not there", [], "persistentvolumeclaim data not found; create it"),
    Waits(
        "a claim that is not bound yet",
        [class_of("fast"), claim_of("data", storage="fast")],
        "persistentvolumeclaim data is not bound to a volume yet",
    ),
    Waits(
        "a claim whose volume is gone",
        [claim_of("data", volume="lost")],
        "persistentvolume lost of claim data not found",
    ),
    Waits(
        "a claim of which nobody makes volumes",
        [
            class_of("local", waits=True, provisioner="kubernetes.io/no-provisioner"),
            claim_of("data", storage="local"),
        ],
        "provisions nothing",
    ),
]


@pytest.mark.parametrize("case", WAITS, ids=[case.why for case in WAITS])
def test_what_a_pod_with_a_claim_waits_for(case: Waits) -> None:
    world = world_of(*ABCD, *case.others, pod_of("p", **uses_of("data")))
    world.cycle()
    assert case.says in told(world)
    assert not world.cycle().commands


@pytest.mark.parametrize("case", WAITS, ids=[case.why for case in WAITS])
def test_nodes_that_serve_any_claim_need_not_wait(case: Waits) -> None:
    world = world_of(*ABCD, *case.others, pod_of("p", **uses_of("data")), provisioned=False)
    world.cycle()
    assert world.pod("default/p").spec.node_name


def test_a_pod_starts_as_soon_as_its_claim_is_bound() -> None:
    scene = next(one for one in VOLUMES if one.name == "a volume that is reached from one zone")
    claim = next(raw for raw in scene.others if raw["kind"] == "PersistentVolumeClaim")
    unbound = {**claim, "spec": {**claim["spec"], "volumeName": ""}}
    world = world_of(*scene.nodes, *scene.others, unbound, scene.pending)
    world.cycle()
    assert "not bound" in told(world)
    world.add(decode(PersistentVolumeClaim, claim))
    world.cycle()
    assert world.pod("default/p").spec.node_name in scene.expected


def test_the_provisioner_is_told_on_which_node_the_pod_runs() -> None:
    claim = claim_of("data", storage="late")
    world = world_of(*ABCD, class_of("late", waits=True), claim, pod_of("p", **uses_of("data")))
    world.cycle()
    node = world.pod("default/p").spec.node_name
    commands = [one for one in world.cycle().commands if isinstance(one, Apply)]
    assert [(one.kind, one.name, one.fields) for one in commands] == [
        (
            PersistentVolumeClaim,
            "data",
            {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": node}}},
        )
    ]
    assert not world.cycle().commands


def test_a_gang_runs_where_its_volume_is() -> None:
    scene = next(one for one in VOLUMES if one.name == "a volume that is reached from one zone")
    world = world_of(*scene.nodes, *scene.others, queues=True)
    template = decode(Pod, pod_of("x", **uses_of("data")))
    world.add(workload("w", pod_set(3, template.spec)))
    world.cycle()
    assert set(world.placement("default/w")["node"]) <= set(scene.expected)


def test_volumes_of_pods_that_are_placed_in_one_cycle_count_against_the_limit() -> None:
    nodes = [node_of("a"), node_of("b")]
    drivers = [csi_node(name, 1) for name in "ab"]
    claims = [claim_of(f"c{number}", volume=f"v{number}") for number in range(3)]
    volumes = [csi_volume(f"v{number}") for number in range(3)]
    pods = [pod_of(f"p{number}", **uses_of(f"c{number}")) for number in range(3)]
    world = world_of(*nodes, *drivers, *claims, *volumes, *pods)
    world.cycle()
    assert sorted(world.pod(f"default/p{number}").spec.node_name for number in range(3)) == ["", "a", "b"]


def test_one_pod_alone_may_use_a_claim() -> None:
    claim = claim_of("data", volume="v", modes=("ReadWriteOncePod",))
    world = world_of(*ABCD, claim, csi_volume("v"), *(pod_of(name, **uses_of("data")) for name in ("p", "q")))
    world.cycle()
    assert world.pod("default/p").spec.node_name
    assert "ReadWriteOncePod" in told(world, "default/q")
    world.remove(world.pod("default/p"))
    world.cycle()
    assert world.pod("default/q").spec.node_name


def csi_node(name: str, count: int) -> Json:
    """A node that can hold so many volumes of one driver."""
    driver: dict[str, Any] = {"name": "disk.example.com", "nodeID": name, "topologyKeys": []}
    driver["allocatable"] = {"count": count}
    metadata = {"name": name, "uid": f"uid-csi-{name}"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": metadata,
        "spec": {"drivers": [driver]},
    }


def csi_volume(name: str) -> Json:
    """A volume of that driver."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "disk.example.com", "volumeHandle": name},
        },
    }


@pytest.mark.parametrize("scene", VOLUMES, ids=[scene.name for scene in VOLUMES])
def test_where_a_pod_with_volumes_is_bound(scene: Scene) -> None:
    world = world_of(*scene.others, *scene.nodes, *scene.running, scene.pending)
    world.cycle()
    node = world.pod("default/p").spec.node_name
    assert bool(node) == bool(scene.expected)
    assert node in scene.expected


def test_claims_that_come_last_change_nothing() -> None:
    for scene in VOLUMES:
        world = world_of(scene.pending, *scene.running, *scene.nodes, *reversed(scene.others))
        world.cycle()
        assert world.pod("default/p").spec.node_name in scene.expected
