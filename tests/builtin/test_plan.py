"""The decisions of the builtin controllers, as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from springtide.api.core import Namespace, NamespaceSpec
from springtide.api.labels import FINALIZER_FOREGROUND, FINALIZER_ORPHAN
from springtide.api.meta import ObjectMeta
from springtide.api.nodes import Node, NodeCondition, NodeSpec, NodeStatus, Taint
from springtide.api.resources import Resource
from springtide.api.struct import replace
from springtide.builtin.graph import Graph, Item, Owner
from springtide.builtin.plan import (
    Disown,
    Finish,
    OwnerState,
    Remaining,
    Remove,
    Step,
    collect,
    finish_namespace,
    grace_of,
    needs_emptying,
    watch_node,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MAPS = Resource(group="", version="v1", kind="ConfigMap", plural="configmaps")
PRESENT, WAITING, GONE, UNKNOWN = OwnerState.PRESENT, OwnerState.WAITING, OwnerState.GONE, OwnerState.UNKNOWN


def item(
    uid: str = "x",
    *owners: str,
    deleting: bool = False,
    finalizers: tuple[str, ...] = (),
    blocking: bool = False,
) -> Item:
    references = tuple(Owner("v1", "ConfigMap", uid, uid, block_owner_deletion=blocking) for uid in owners)
    return Item(uid, MAPS, "default", uid, "1", references, deleting, finalizers)


OWNED = item("x", "a", "b")
FREE = item("x", "a", deleting=True, finalizers=(FINALIZER_ORPHAN, "other"))
FIRST = item("x", deleting=True, finalizers=(FINALIZER_FOREGROUND,))
CHILD, BLOCKING_CHILD = item("c", "x"), item("c", "x", blocking=True)

COLLECTED: dict[str, tuple[Item, dict[str, OwnerState], list[Item], tuple[Step, ...]]] = {
    "both owners live": (OWNED, {"a": PRESENT, "b": PRESENT}, [], ()),
    "one owner is gone": (OWNED, {"a": GONE, "b": PRESENT}, [], (Disown(OWNED, frozenset("a")),)),
    "one owner waits": (OWNED, {"a": WAITING, "b": PRESENT}, [], (Disown(OWNED, frozenset("a")),)),
    "all owners are gone": (OWNED, {"a": GONE, "b": GONE}, [CHILD], (Remove(OWNED, "Background"),)),
    "an owner waits for it": (OWNED, {"a": WAITING, "b": GONE}, [], (Remove(OWNED, "Background"),)),
    "an owner waits for it and its own": (
        OWNED,
        {"a": WAITING, "b": GONE},
        [CHILD],
        (Remove(OWNED, "Foreground"),),
    ),
    "an owner nobody can judge": (OWNED, {"a": UNKNOWN, "b": GONE}, [], (Disown(OWNED, frozenset("b")),)),
    "on its way out already": (item("x", "a", deleting=True), {"a": GONE}, [], ()),
    "dependents are set free first": (
        FREE,
        {},
        [CHILD],
        (Disown(CHILD, frozenset("x")), Finish(FREE, FINALIZER_ORPHAN)),
    ),
    "a blocking dependent is waited for": (FIRST, {}, [BLOCKING_CHILD], ()),
    "a dependent that does not block is not": (FIRST, {}, [CHILD], (Finish(FIRST, FINALIZER_FOREGROUND),)),
    "nothing to wait for": (FIRST, {}, [], (Finish(FIRST, FINALIZER_FOREGROUND),)),
}


@pytest.mark.parametrize(("it", "owners", "dependents", "steps"), COLLECTED.values(), ids=COLLECTED)
def test_the_collector_decides(
    it: Item, owners: dict[str, OwnerState], dependents: list[Item], steps: tuple[Step, ...]
) -> None:
    assert collect(it, owners, dependents) == steps


def test_the_graph_says_whom_a_change_concerns() -> None:
    graph = Graph()
    assert graph.put(item("a")) == []
    assert graph.put(item("x", "a")) == ["x"]
    assert graph.put(item("x", "a")) == [], "nothing of interest changed"
    waiting = item("a", deleting=True, finalizers=(FINALIZER_FOREGROUND,))
    assert graph.put(waiting) == ["a", "x"]
    assert graph.remove("x") == ["a"]
    assert graph.put(item("y", "a")) == ["y", "a"]
    assert graph.put(item("y", "b")) == ["y", "a"], "the former owner hears of it too"
    assert [one.uid for one in graph.dependents("b")] == ["y"]
    assert graph.remove("a") == []
    assert graph.is_gone("a")
    assert graph.remove("b") == ["y"]


def test_a_list_makes_up_for_deletions_nobody_saw() -> None:
    graph = Graph()
    graph.replace(MAPS, [item("a"), item("x", "a")])
    assert graph.replace(MAPS, [item("x", "a")]) == ["x"]
    assert graph.is_gone("a")


def test_a_kind_that_is_no_longer_served_takes_nobody_with_it() -> None:
    graph = Graph()
    graph.replace(MAPS, [item("a"), item("x", "a")])
    graph.drop(MAPS)
    assert len(graph) == 0
    assert not graph.is_gone("a")


def node(status: str, *taints: Taint) -> Node:
    condition = NodeCondition(type="Ready", status=status, reason="KubeletReady")
    return Node(
        metadata=ObjectMeta(name="n"),
        spec=NodeSpec(taints=list(taints)),
        status=NodeStatus(conditions=[condition] if status else []),
    )


def test_a_living_node_is_looked_at_again_when_its_grace_ends() -> None:
    step = watch_node(node("True"), NOON - timedelta(seconds=15), NOON)
    assert (step.condition, step.taints, step.again_seconds) == (None, None, 25.0)


def test_a_silent_node_is_marked_once() -> None:
    silent = watch_node(node("True"), NOON - timedelta(seconds=40), NOON)
    assert silent.condition is not None
    assert (silent.condition.status, silent.condition.reason) == ("Unknown", "NodeStatusUnknown")
    assert silent.taints is not None
    marked = replace(node("True", *silent.taints), status=NodeStatus(conditions=[silent.condition]))
    assert watch_node(marked, NOON - timedelta(seconds=60), NOON).condition is None
    assert watch_node(marked, NOON - timedelta(seconds=60), NOON).taints is None


@pytest.mark.parametrize(("promised", "seconds"), [(None, 40), (40, 40), (12, 12), (1, 4), (600, 40)])
def test_who_promises_signs_more_often_is_missed_sooner(promised: int | None, seconds: int) -> None:
    grace = grace_of(promised)
    almost = watch_node(node("True"), NOON - timedelta(seconds=seconds - 1), NOON, grace)
    assert (almost.condition, almost.again_seconds) == (None, 1)
    assert watch_node(node("True"), NOON - timedelta(seconds=seconds), NOON, grace).condition is not None


def test_a_node_that_never_reported_is_told_apart() -> None:
    step = watch_node(node(""), NOON - timedelta(seconds=40), NOON)
    assert step.condition is not None
    assert step.condition.reason == "NodeStatusNeverUpdated"


def test_taints_of_others_stay() -> None:
    mine = Taint(key="node.kubernetes.io/unreachable", effect="NoSchedule")
    other = Taint(key="springtide.dev/faulty", effect="NoSchedule")
    assert watch_node(node("True", mine, other), NOON, NOON).taints == [other]


def namespace(*finalizers: str, deleted: bool = True) -> Namespace:
    metadata = ObjectMeta(name="team", deletion_timestamp=NOON if deleted else None)
    return Namespace(metadata=metadata, spec=NamespaceSpec(finalizers=list(finalizers)))


def test_only_a_deleted_namespace_is_emptied() -> None:
    assert needs_emptying(namespace("kubernetes"))
    assert not needs_emptying(namespace("kubernetes", deleted=False))
    assert not needs_emptying(namespace("other"))


def test_an_empty_namespace_keeps_only_the_finalizers_of_others() -> None:
    assert finish_namespace(namespace("kubernetes", "other"), [], NOON).finalizers == ["other"]


def test_a_namespace_that_waits_says_so_once() -> None:
    remaining = [Remaining("pods.", 2, {}), Remaining("jobs.batch", 1, {"a/b": 1})]
    step = finish_namespace(namespace("kubernetes"), remaining, NOON)
    assert step.finalizers is None
    assert step.conditions is not None
    assert step.conditions[0].message == (
        "Some resources are remaining: pods. has 2 resource instances, jobs.batch has 1 resource instances"
    )
    waiting = namespace("kubernetes")
    waiting = replace(waiting, status=replace(waiting.status, conditions=step.conditions))
    assert finish_namespace(waiting, remaining, NOON + timedelta(minutes=1)).conditions is None
