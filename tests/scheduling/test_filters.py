"""Where pods may run beside other pods: the filters as a table, gangs, and counts that keep current."""

from __future__ import annotations

import numpy as np
import pytest

from springtide.api.core import Pod
from springtide.api.struct import replace
from springtide.scheduling.placement import Placement
from tests.scheduling.scenes import SCENES, Scene
from tests.scheduling.world import World


def feasible(world: World, pod: Pod) -> str:
    """The nodes on which the engine would put the pod."""
    world.add(pod)
    snapshot = world.snapshot()
    facts = next(one for one in snapshot.pods if one.key == pod.key)
    if facts.pod_class is None or pod.spec.scheduling_gates:
        return ""
    placement = Placement(snapshot)
    fits = placement.filters.through(placement.view(facts.pod_class)).fits
    return "".join(snapshot.nodes.facts[row].name for row in np.flatnonzero(fits > 0).tolist())


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_where_a_pod_may_run(scene: Scene) -> None:
    world = World(*scene.objects(), queues=False)
    assert feasible(world, scene.waiting()) == scene.expected


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_the_order_in_which_objects_come_changes_nothing(scene: Scene) -> None:
    world = World(scene.waiting(), *reversed(scene.objects()), queues=False)
    assert feasible(world, scene.waiting()) == scene.expected


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_a_pod_is_bound_where_it_may_run_or_told_why_not(scene: Scene) -> None:
    world = World(*scene.objects(), scene.waiting(), queues=False)
    world.cycle()
    pod = world.pod(scene.waiting().key)
    assert pod.spec.node_name in scene.expected
    assert bool(pod.spec.node_name) == bool(scene.expected)
    if not scene.expected:
        told = next(one for one in pod.status.conditions if one.type == "PodScheduled")
        assert told.status == "False"
        assert told.message
    assert not world.cycle().commands


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_pods_that_left_count_no_more(scene: Scene) -> None:
    """Running pods come twice and go once: what is left is the scene, counted change by change."""
    world = World(*scene.objects(), queues=False)
    feasible(world, scene.waiting())
    running = [one for one in scene.objects() if isinstance(one, Pod)]
    twins = [
        replace(one, metadata=replace(one.metadata, name=f"{one.metadata.name}-twin")) for one in running
    ]
    world.add(*twins)
    world.snapshot()
    world.remove(*twins)
    assert feasible(world, scene.waiting()) == scene.expected
