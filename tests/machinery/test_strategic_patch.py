"""Strategic merge patch after the examples of Kubernetes' documentation, on a Deployment-like object."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.server.strategic_patch import PatchError, apply_strategic_patch
from tests.machinery.schemas import DEPLOYMENT

Names = list[dict[str, Any]]


def _spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def _pods(containers: Any, **directives: Any) -> dict[str, Any]:
    return _spec(template={"spec": {"containers": containers, **directives}})


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a container is matched by its name": (
        _pods([{"name": "web", "image": "a:1", "args": ["x"]}]),
        _pods([{"name": "web", "image": "a:2"}]),
        _pods([{"name": "web", "image": "a:2", "args": ["x"]}]),
    ),
    "a new container is put first": (
        _pods([{"name": "web"}]),
        _pods([{"name": "side", "image": "b"}]),
        _pods([{"name": "side", "image": "b"}, {"name": "web"}]),
    ),
    "a container is deleted": (
        _pods([{"name": "web"}, {"name": "side"}]),
        _pods([{"name": "side", "$patch": "delete"}]),
        _pods([{"name": "web"}]),
    ),
    "all containers are replaced": (
        _pods([{"name": "web"}, {"name": "side"}]),
        _pods([{"name": "new"}, {"$patch": "replace"}]),
        _pods([{"name": "new"}]),
    ),
    "kubectl's order of elements": (
        _pods([{"name": "a"}, {"name": "b"}, {"name": "c"}]),
        _pods(
            [{"name": "d"}, {"name": "a", "image": "x"}],
            **{"$setElementOrder/containers": [{"name": "c"}, {"name": "d"}, {"name": "a"}]},
        ),
        _pods([{"name": "b"}, {"name": "c"}, {"name": "d"}, {"name": "a", "image": "x"}]),
    ),
    "nested environment": (
        _pods([{"name": "web", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]),
        _pods([{"name": "web", "env": [{"name": "A", "value": "3"}, {"name": "B", "$patch": "delete"}]}]),
        _pods([{"name": "web", "env": [{"name": "A", "value": "3"}]}]),
    ),
    "an atomic list is replaced": (
        _pods([{"name": "web", "args": ["a", "b"]}]),
        _pods([{"name": "web", "args": ["c"]}]),
        _pods([{"name": "web", "args": ["c"]}]),
    ),
    "null deletes": (_spec(replicas=3, paused=True), _spec(paused=None), _spec(replicas=3)),
    "nulls in what is new are dropped": ({}, _spec(strategy={"type": None}), _spec(strategy={})),
    "a map is replaced": (
        {"metadata": {"labels": {"a": "1", "b": "2"}}},
        {"metadata": {"labels": {"$patch": "replace", "c": "3"}}},
        {"metadata": {"labels": {"c": "3"}}},
    ),
    "a map is emptied": (
        {"metadata": {"labels": {"a": "1"}}},
        {"metadata": {"labels": {"$patch": "delete"}}},
        {"metadata": {"labels": {}}},
    ),
    "a union keeps only the keys it names": (
        _spec(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
        _spec(strategy={"$retainKeys": ["type"], "type": "Recreate"}),
        _spec(strategy={"type": "Recreate"}),
    ),
    "finalizers are merged": (
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"finalizers": ["b", "c", "c"]}},
        {"metadata": {"finalizers": ["a", "b", "c"]}},
    ),
    "a finalizer is deleted": (
        {"metadata": {"finalizers": ["a", "b", "c"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}},
        {"metadata": {"finalizers": ["a", "c"]}},
    ),
    "kubectl apply after an edit of the manifest": (
        {
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "old"}},
            **_pods([{"name": "web", "image": "a:1", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]),
        },
        {
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "new"}},
            **_pods(
                [
                    {
                        "name": "web",
                        "image": "a:2",
                        "$setElementOrder/ports": [{"containerPort": 8080}],
                        "ports": [
                            {"containerPort": 8080},
                            {"containerPort": 80, "$patch": "delete"},
                        ],
                    }
                ],
                **{"$setElementOrder/containers": [{"name": "web"}]},
            ),
        },
        {
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "new"}},
            **_pods([{"name": "web", "image": "a:2", "ports": [{"containerPort": 8080}]}]),
        },
    ),
}


@pytest.mark.parametrize(("doc", "patch", "expected"), CASES.values(), ids=CASES)
def test_a_strategic_patch_merges_by_the_schema(doc: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((doc, patch))
    assert apply_strategic_patch(doc, patch, DEPLOYMENT) == expected
    assert (doc, patch) == before


REFUSED: dict[str, tuple[Any, str]] = {
    "no merge key": (_pods([{"image": "x"}]), "containers[0]: does not contain declared merge key: name"),
    "an item that is no object": (_pods(["web"]), "containers[0]: must be an object"),
    "unknown action": ({"spec": {"$patch": "erase"}}, "spec.$patch: unknown directive 'erase'"),
    "unknown directive": ({"spec": {"$sort": []}}, "spec.$sort: unknown directive"),
    "order that is no list": ({"spec": {"$setElementOrder/zones": "a"}}, "must be a list"),
    "set but not retained": (
        _spec(strategy={"$retainKeys": ["type"], "rollingUpdate": {}}),
        "spec.strategy.rollingUpdate: is set by the patch but is not among its $retainKeys",
    ),
    "not an object": ([1], "must be an object"),
}


@pytest.mark.parametrize(("patch", "text"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_patch_says_where_and_why(patch: Any, text: str) -> None:
    doc = _spec(template={"spec": {"containers": [{"name": "web"}]}}, strategy={"type": "Recreate"})
    with pytest.raises(PatchError) as caught:
        apply_strategic_patch(doc, patch, DEPLOYMENT)
    assert text in str(caught.value)


def test_without_a_schema_lists_are_replaced() -> None:
    doc = {"spec": {"containers": [{"name": "a"}]}}
    patch = {"spec": {"containers": [{"name": "b"}]}}
    assert apply_strategic_patch(doc, patch, None) == patch


names = st.lists(st.sampled_from("abcdef"), unique=True)


@given(names, names)
def test_the_order_a_patch_asks_for_holds_and_others_stay_in_order(
    live: list[str], wanted: list[str]
) -> None:
    doc = _pods([{"name": name} for name in live])
    order = [{"name": name} for name in wanted]
    patched = apply_strategic_patch(doc, _pods(order, **{"$setElementOrder/containers": order}), DEPLOYMENT)
    result = [item["name"] for item in patched["spec"]["template"]["spec"]["containers"]]
    assert [name for name in result if name in wanted] == wanted
    assert [name for name in result if name not in wanted] == [name for name in live if name not in wanted]
