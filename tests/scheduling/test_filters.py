"""Where pods may run beside other pods: the filters as a table, gangs, and counts that keep current."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.commands import Emit
from springtide.api.core import Node, Pod, PodTemplateSpec
from springtide.api.kueue import Workload
from springtide.api.struct import decode, replace
from springtide.scheduling.neighbours import Neighbourhood
from springtide.scheduling.placement import Placement
from tests.builders import pod_set, workload
from tests.scheduling.scenes import ABCD, HOST, SCENES, TAINT, ZONE, Json, Scene
from tests.scheduling.scenes import app as app_of
from tests.scheduling.scenes import away as away_of
from tests.scheduling.scenes import near as near_of
from tests.scheduling.scenes import node as node_of
from tests.scheduling.scenes import pod as pod_of
from tests.scheduling.scenes import spread as spread_of
from tests.scheduling.scenes import term as term_of
from tests.scheduling.slow_filters import slowly
from tests.scheduling.world import World

SOFT = {**spread_of(app_of("gang")), "whenUnsatisfiable": "ScheduleAnyway"}


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


# -- gangs -----------------------------------------------------------------------------------------


def gang(count: int, within: str = "", **asked: Any) -> Workload:
    """A workload of pods labelled app=gang that ask this of each other."""
    raw = pod_of("x", app="gang", **asked)
    template = decode(
        PodTemplateSpec, {"metadata": {"labels": raw["metadata"]["labels"]}, "spec": raw["spec"]}
    )
    plain = pod_set(count, template.spec, within=within)
    return workload("w", replace(plain, template=template))


def zoned(zones: str) -> list[Node]:
    """One node for each letter, in the zone of that name."""
    return [decode(Node, node_of(f"{zone}{number}", zone)) for number, zone in enumerate(zones)]


@dataclass(frozen=True)
class Gang:
    """A gang, and how many of its pods each zone gets; None: it waits, and says this."""

    why: str
    zones: str
    gang: Workload
    expected: dict[str, int] | None
    says: str = ""


SELF = app_of("gang")
GANGS = [
    Gang("one a node", "xxyy", gang(4, **away_of(term_of(SELF, HOST))), {"x": 2, "y": 2}),
    Gang(
        "one a node, and one node too few",
        "xxy",
        gang(4, **away_of(term_of(SELF, HOST))),
        None,
        "but not beside each other",
    ),
    Gang("one a zone", "xxyyz", gang(3, **away_of(term_of(SELF))), {"x": 1, "y": 1, "z": 1}),
    Gang(
        "one a zone, and one zone too few", "xxyy", gang(3, **away_of(term_of(SELF))), None, "but not beside"
    ),
    Gang("together in the zone that holds all", "xyyzzz", gang(100, **near_of(term_of(SELF))), {"y": 100}),
    Gang(
        "even over zones",
        "xxxyz",
        gang(6, topologySpreadConstraints=[spread_of(SELF)]),
        {"x": 2, "y": 2, "z": 2},
    ),
    Gang(
        "even over the nodes of one zone",
        "xyyy",
        gang(
            6,
            within=ZONE,
            topologySpreadConstraints=[spread_of(SELF, HOST, nodeAffinityPolicy="Ignore", skew=2)],
        ),
        {"y": 6},
    ),
    Gang(
        "even over the nodes of the zone it must stay in, whatever is empty elsewhere",
        "xxyyy",
        gang(6, within=ZONE, topologySpreadConstraints=[spread_of(SELF, HOST)]),
        {"x": 6},
    ),
    Gang("each with a port of the node", "xxyy", gang(4, ports=[{"hostPort": 29500}]), {"x": 2, "y": 2}),
    Gang(
        "as a wish, over zones", "xxxyz", gang(6, topologySpreadConstraints=[SOFT]), {"x": 2, "y": 2, "z": 2}
    ),
]


@pytest.mark.parametrize("case", GANGS, ids=[case.why for case in GANGS])
def test_the_pods_of_a_gang_count_among_themselves(case: Gang) -> None:
    world = World(*zoned(case.zones), case.gang)
    world.cycle()
    if case.expected is None:
        assert not world.is_admitted("default/w")
        assert case.says in world.condition("default/w").message
        assert not any(world.snapshot().allocated.flatten())
        return
    zones: Counter[str] = Counter()
    for node, count in world.placement("default/w")["node"].items():
        zones[node[0]] += count
    assert dict(zones) == case.expected
    before = world.snapshot().neighbourhood
    world.start_pods("default/w")
    assert counted(world.snapshot().neighbourhood) == counted(before), "pods stand where they were expected"
    assert not [one for one in world.cycle().commands if not isinstance(one, Emit)]


def counted(neighbourhood: Neighbourhood | None) -> dict[str, int]:
    """Pods by node."""
    found: Counter[str] = Counter()
    for standing in neighbourhood.standing.values() if neighbourhood is not None else ():
        found.update(standing.nodes)
    return dict(found)


def test_a_gang_keeps_away_from_who_runs_and_others_from_it_before_its_pods_exist() -> None:
    world = World(*zoned("xy"), gang(2, **away_of(term_of(app_of("web")))))
    world.add(decode(Pod, pod_of("w", "x0", "web")))
    world.cycle()
    assert world.placement("default/w") == {"node": {"y1": 2}}
    world.add(decode(Pod, pod_of("late", app="web")))
    world.cycle()
    assert world.pod("default/late").spec.node_name == "x0"


def test_who_follows_another_starts_in_the_same_cycle() -> None:
    world = World(*zoned("xy"), queues=False)
    world.add(decode(Pod, {**pod_of("follower", app="f", **near_of(term_of(app_of("leader"))))}))
    world.add(decode(Pod, pod_of("leader", app="leader")))
    world.cycle()
    assert world.pod("default/follower").spec.node_name == world.pod("default/leader").spec.node_name


def test_a_wish_to_be_apart_is_granted_if_it_can_be() -> None:
    weighted = {"weight": 10, "podAffinityTerm": term_of(app_of("web"))}
    wish = {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}
    asked: Json = {"affinity": {"podAntiAffinity": wish}}
    world = World(*zoned("xxy"), queues=False)
    world.add(*(decode(Pod, pod_of(name, app="web", **asked)) for name in ("one", "two")))
    world.cycle()
    assert {world.pod(f"default/{name}").spec.node_name[0] for name in ("one", "two")} == {"x", "y"}


def test_a_label_of_a_running_pod_that_changes_counts_at_once() -> None:
    world = World(*zoned("xy"), decode(Pod, pod_of("w", "x0", "web")), queues=False)
    waiting = decode(Pod, pod_of("p", **away_of(term_of(app_of("web")))))
    assert feasible(world, waiting) == "y1"
    before = world.state.version
    world.add(decode(Pod, pod_of("w", "x0", "other")))
    assert world.state.version > before
    assert feasible(world, waiting) == "x0y1"


def test_a_cluster_in_which_nobody_asks_counts_nothing() -> None:
    world = World(*zoned("xy"), decode(Pod, pod_of("w", "x0", "web")), queues=False)
    snapshot = world.snapshot()
    assert snapshot.neighbourhood is None
    world.add(decode(Pod, pod_of("p")))
    assert all(
        facts.pod_class is not None and facts.pod_class.between is None for facts in world.snapshot().pods
    )


def test_what_keeps_how_many_nodes_away_is_said() -> None:
    objects = [decode(Node, raw) for raw in (*ABCD, node_of("e", "z", taints=[TAINT]))]
    running = [decode(Pod, pod_of(f"w{at}", at, "web", ports=[{"hostPort": 8080}])) for at in "ab"]
    running.append(decode(Pod, pod_of("v", "c", "web")))
    asked: Json = {"ports": [{"hostPort": 8080}], "topologySpreadConstraints": [spread_of(app_of("web"))]}
    world = World(*objects, *running, decode(Pod, pod_of("p", app="web", **asked)), queues=False)
    world.cycle()
    told = next(one for one in world.pod("default/p").status.conditions if one.type == "PodScheduled")
    assert told.message == (
        "needs 1 × {cpu: 0.1}; 2 nodes: host port 8080 taken; 2 nodes: would break the spread of app=web "
        "over topology.kubernetes.io/zone (skew 2 > 1); 1 node: taint special is not tolerated"
    )


# -- against a slow obvious model ------------------------------------------------------------------

SELECTORS = st.sampled_from(
    [
        app_of("a"),
        app_of("b"),
        {},
        {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]},
    ]
)
KEYS = st.sampled_from([ZONE, HOST])
TERMS = st.builds(term_of, SELECTORS, KEYS)
ASKED = st.one_of(
    st.just({}),
    st.builds(near_of, TERMS),
    st.builds(near_of, TERMS, TERMS),
    st.builds(away_of, TERMS),
    st.builds(away_of, TERMS, TERMS),
    st.builds(
        lambda selector, key, skew, least: {
            "topologySpreadConstraints": [spread_of(selector, key, skew, minDomains=least)]
        },
        SELECTORS,
        KEYS,
        st.integers(1, 2),
        st.integers(1, 3),
    ),
    st.builds(lambda port: {"ports": [{"hostPort": port}]}, st.integers(8080, 8081)),
)


@given(
    zones=st.lists(st.sampled_from(["x", "y", "z", ""]), min_size=1, max_size=5),
    pods=st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ab"), ASKED), max_size=8),
    asked=ASKED,
    app=st.sampled_from("ab"),
    gone=st.sets(st.integers(0, 7)),
)
@settings(max_examples=300, deadline=None)
def test_any_cluster_is_seen_as_a_slow_model_sees_it(
    zones: list[str], pods: list[tuple[int, str, Json]], asked: Json, app: str, gone: set[int]
) -> None:
    nodes = [node_of(f"{number}", zone) for number, zone in enumerate(zones)]
    running = [
        pod_of(f"r{number}", str(at % len(nodes)), label, **dict(own))
        for number, (at, label, own) in enumerate(pods)
    ]
    world = World(*(decode(Node, raw) for raw in nodes), *(decode(Pod, raw) for raw in running), queues=False)
    waiting = pod_of("p", app=app, **dict(asked))
    feasible(world, decode(Pod, waiting))
    left = [raw for number, raw in enumerate(running) if number not in gone]
    world.remove(*(decode(Pod, raw) for raw in running if raw not in left))
    assert feasible(world, decode(Pod, waiting)) == slowly(nodes, left, waiting)


# -- where data is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "node"),
    [
        ('{"kubernetes.io/hostname": {"y1": 80, "x0": 20}}', "y1"),
        ('{"topology.kubernetes.io/zone": {"y": 1}}', "y1"),
        ('{"kubernetes.io/hostname": {"x0": 30}, "topology.kubernetes.io/zone": {"y": 20}}', "x0"),
        ('{"kubernetes.io/hostname": {"gone": 80}}', "x0"),
    ],
)
def test_pods_go_where_their_data_is(told: str, node: str) -> None:
    raw = pod_of("p")
    raw["metadata"]["annotations"] = {"springtide.dev/data-locality": told}
    world = World(*zoned("xy"), decode(Pod, raw), queues=False)
    world.cycle()
    assert world.pod("default/p").spec.node_name == node


@pytest.mark.parametrize(
    ("told", "says"),
    [("{", "write {node label: {value: weight}}"), ('{"zone": {"a": 200}}', "must be from 1 to 100")],
)
def test_an_annotation_about_data_that_nobody_understands_is_an_error(told: str, says: str) -> None:
    raw = pod_of("p")
    raw["metadata"]["annotations"] = {"springtide.dev/data-locality": told}
    world = World(*zoned("xy"), decode(Pod, raw), queues=False)
    world.cycle()
    one = next(one for one in world.pod("default/p").status.conditions if one.type == "PodScheduled")
    assert one.reason == "SchedulerError"
    assert says in one.message


def test_nodes_that_are_left_out_are_named_beside_what_is_short() -> None:
    taint = {"key": "special", "effect": "NoSchedule"}
    nodes = [node_of("a"), node_of("b"), node_of("c", taints=[taint]), node_of("d", taints=[taint])]
    down = node_of("e")
    down["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    wide = pod_of("p")
    wide["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "8"
    busy = [decode(Pod, pod_of(f"w{at}", at)) for at in "ab"]
    world = World(*(decode(Node, raw) for raw in (*nodes, down)), *busy, decode(Pod, wide), queues=False)
    world.cycle()
    told = next(one for one in world.pod("default/p").status.conditions if one.type == "PodScheduled")
    assert told.message.endswith(
        "0 of 1 pods fit now; 2 nodes: taint special is not tolerated; 1 node: not ready"
    )
