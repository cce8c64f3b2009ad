"""Images that nodes have already: kube-scheduler's score, and what it may decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from springtide.api.core import ContainerImage, Node, PodSpec
from springtide.api.struct import decode, replace
from springtide.scheduling.images import images_of
from springtide.scheduling.nodes import Nodes, facts_of
from tests.builders import node, pod, pod_set, pod_spec, workload
from tests.scheduling.world import World

MIB = 1024 * 1024
Json = Mapping[str, object]


def having(there: Node, sizes: Mapping[str, int]) -> Node:
    """The node with these images, of so many MiB."""
    images = [ContainerImage(names=[name], size_bytes=size * MIB) for name, size in sizes.items()]
    return replace(there, status=replace(there.status, images=images))


def spec_of(*containers: str, first: Sequence[str] = (), mounted: Sequence[str] = ()) -> PodSpec:
    """A pod that runs from these images."""
    raw = {
        "containers": [{"name": f"c{number}", "image": image} for number, image in enumerate(containers)],
        "initContainers": [{"name": f"i{number}", "image": image} for number, image in enumerate(first)],
        "volumes": [{"name": f"v{n}", "image": {"reference": image}} for n, image in enumerate(mounted)],
    }
    return decode(PodSpec, raw)


@dataclass(frozen=True)
class Case:
    """What a pod runs from, what nodes have of it in MiB, and their scores by kube-scheduler's formula."""

    why: str
    spec: PodSpec
    nodes: tuple[Mapping[str, int], ...]
    scores: tuple[int, ...] | None


CASES = (
    Case("a large one on every node: (250 - 23) / 977", spec_of("a:1"), ({"a:1": 250},) * 2, (23, 23)),
    Case("on half of them it counts half: (125 - 23) / 977", spec_of("a:1"), ({"a:1": 250}, {}), (10, 0)),
    Case("below 23 MiB it counts nothing", spec_of("a:1"), ({"a:1": 40}, {}), None),
    Case("so with 23 MiB", spec_of("a:1"), ({"a:1": 23},), None),
    Case("above 1000 MiB nothing more", spec_of("a:1"), ({"a:1": 10000}, {}, {}, {}), (100, 0, 0, 0)),
    Case("of two containers one: (1000 - 23) / 1977", spec_of("a:1", "b:1"), ({"a:1": 2000}, {}), (49, 0)),
    Case("one image for both: (2000 - 23) / 1977", spec_of("a:1", "a:1"), ({"a:1": 1000},), (100,)),
    Case(
        "different ones on different nodes",
        spec_of("a:1", "b:1"),
        ({"a:1": 600}, {"b:1": 1200}),
        (14, 29),
    ),
    Case("what begins counts too", spec_of("a:1", first=["b:1"]), ({"a:1": 500, "b:1": 523},), (50,)),
    Case(
        "a volume adds to the sum and is no container",
        spec_of("a:1", mounted=["b:1"]),
        ({"a:1": 500, "b:1": 500},),
        (100,),
    ),
    Case("no tag is the latest", spec_of("r:5000/a"), ({"r:5000/a:latest": 1000},), (100,)),
    Case("a digest is a name", spec_of("a@sha256:ab"), ({"a@sha256:ab": 1000},), (100,)),
    Case("another tag is another image", spec_of("a:1"), ({"a:2": 1000},), None),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_scores(case: Case) -> None:
    nodes = Nodes(tuple(facts_of(having(node(f"n{i}"), one)) for i, one in enumerate(case.nodes)))
    asked = images_of(case.spec)
    assert asked is not None
    found = nodes.image_scores(asked)
    assert (None if found is None else tuple(found.tolist())) == case.scores


def test_scores_follow_what_nodes_pull_and_drop() -> None:
    asked = images_of(spec_of("a:1"))
    assert asked is not None
    there = [having(node("n0"), {"a:1": 1000}), having(node("n1"), {"b:1": 1000})]
    nodes = Nodes(tuple(map(facts_of, there)))
    assert nodes.image_scores(asked) is not None
    pulled = nodes.with_changes({"n1": facts_of(having(node("n1"), {"a:1": 1000}))})
    assert np.array_equal(pulled.image_scores(asked), [100.0, 100.0])  # type: ignore[arg-type]
    dropped = pulled.with_changes({"n0": facts_of(node("n0"))})
    assert np.array_equal(dropped.image_scores(asked), [0.0, 48.0])  # type: ignore[arg-type]


IMAGE = {"python:3.12": 10000}
"""What `pod_spec` runs from."""


def liking(label: str, weight: int) -> PodSpec:
    """A pod that would rather run on nodes with this label."""
    term = {"matchExpressions": [{"key": label, "operator": "Exists"}]}
    wish = {"weight": weight, "preference": term}
    raw = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}
    spec = pod_spec(cpu=1)
    return replace(spec, affinity=decode(type(spec), {"containers": [], "affinity": raw}).affinity)


@pytest.mark.parametrize("place", ["a", "b", "c"])
def test_pods_and_gangs_go_where_their_image_is(place: str) -> None:
    world = World(*(having(node(name, cpu=8), IMAGE if name == place else {}) for name in "abc"))
    world.add(pod("p", pod_spec(cpu=1)), workload("w", pod_set(4, pod_spec(cpu=1))))
    world.cycle()
    assert world.pod("default/p").spec.node_name == place
    assert world.placement("default/w") == {"node": {place: 4}}


@pytest.mark.parametrize("place", ["a", "b"])
def test_the_lightest_wish_outweighs_every_image(place: str) -> None:
    liked = {name: {"liked": "yes"} if name == place else None for name in "ab"}
    there = (node(name, cpu=8, labelled=liked[name]) for name in "ab")
    world = World(*(having(one, {} if one.metadata.name == place else IMAGE) for one in there))
    world.add(pod("p", liking("liked", 1)))
    world.cycle()
    assert world.pod("default/p").spec.node_name == place


def test_classes_differ_in_images_only_where_nodes_name_any() -> None:
    other = spec_of("other:1")
    world = World(node("a"))
    world.add(pod("p", pod_spec()), pod("q", replace(other, scheduler_name=pod_spec().scheduler_name)))
    world.add(workload("w", pod_set(1, pod_spec())), workload("v", pod_set(1, other)))
    before = world.snapshot()
    classes = [one.pod_class for one in before.pods], [one.pod_sets[0].pod_class for one in before.waiting]
    assert all(len(set(found)) == 1 for found in classes)
    world.add(having(node("a"), IMAGE))
    after = world.snapshot()
    classes = [one.pod_class for one in after.pods], [one.pod_sets[0].pod_class for one in after.waiting]
    assert all(len(set(found)) == 2 for found in classes)
    world.add(workload("u", pod_set(1, other)))
    named = {one.obj.metadata.name: one.pod_sets[0] for one in world.snapshot().waiting}
    assert named["u"] is named["v"], "what is equal is one and the same"
