"""JSON patches (RFC 6902) as the API applies them."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    CONFIGMAPS,
    JSON_PATCH,
    PODS,
    Case,
    Json,
    Step,
    configmap,
    each,
    get,
    patch,
    pod,
    table,
)
from tests.conformance.play import Player
from tests.conformance.widgets import WIDGET_CRD, WIDGETS, widget

_ONE = [configmap("a", data={"x": "1", "y": "2"}, labels={"l": "1"}, annotations={"a/b": "c", "t": "d"})]
_W = [WIDGET_CRD, widget("a", steps=["a", "b", "c"], tags=["t"], size=1)]


def _on_map(*operations: Json, **expected: Any) -> Step:
    return patch(f"{CONFIGMAPS}/a", list(operations), JSON_PATCH, **expected)


def _on_widget(*operations: Json, **expected: Any) -> Step:
    return patch(f"{WIDGETS}/a", list(operations), JSON_PATCH, **expected)


def _op(op: str, path: str, **more: Any) -> Json:
    return {"op": op, "path": path, **more}


TABLE = table(
    "json patch",
    [
        Case(
            "add sets a member",
            [
                _on_map(
                    _op("add", "/data/z", value="3"),
                    fields={"data": {"x": "1", "y": "2", "z": "3"}},
                ),
                get(f"{CONFIGMAPS}/a", fields={"data.z": "3"}),
            ],
            given=_ONE,
        ),
        Case(
            "add replaces a member that is there",
            [_on_map(_op("add", "/data/x", value="9"), fields={"data.x": "9"})],
            given=_ONE,
        ),
        Case(
            "add inserts into a list before an index",
            [_on_widget(_op("add", "/spec/steps/1", value="n"), fields={"spec.steps": ["a", "n", "b", "c"]})],
            given=_W,
        ),
        Case(
            "add with - appends",
            [_on_widget(_op("add", "/spec/steps/-", value="n"), fields={"spec.steps": ["a", "b", "c", "n"]})],
            given=_W,
        ),
        Case(
            "add beyond the end is 422",
            [_on_widget(_op("add", "/spec/steps/9", value="n"), status=422, reason="Invalid")],
            given=_W,
        ),
        Case(
            "add below what does not exist is 422",
            [_on_map(_op("add", "/nowhere/x", value="n"), status=422, reason="Invalid")],
            given=_ONE,
        ),
        Case(
            "remove takes a member away",
            [_on_map(_op("remove", "/data/x"), fields={"data": {"y": "2"}})],
            given=_ONE,
        ),
        Case(
            "remove of what does not exist is 422",
            [_on_map(_op("remove", "/data/nothing"), status=422, reason="Invalid")],
            given=_ONE,
        ),
        Case(
            "remove takes a list item away",
            [_on_widget(_op("remove", "/spec/steps/0"), fields={"spec.steps": ["b", "c"]})],
            given=_W,
        ),
        Case(
            "replace of a member that is not there sets it",
            [
                _on_map(_op("replace", "/data/n", value="1"), fields={"data.n": "1"}),
                _on_map(_op("replace", "/data/x", value="5"), fields={"data.x": "5"}),
            ],
            given=_ONE,
        ),
        Case(
            "move takes from one place to another",
            [_on_map(_op("move", "/data/z", **{"from": "/data/x"}), fields={"data": {"y": "2", "z": "1"}})],
            given=_ONE,
        ),
        Case(
            "move from nowhere is 422",
            [_on_map(_op("move", "/data/z", **{"from": "/data/no"}), status=422, reason="Invalid")],
            given=_ONE,
        ),
        Case(
            "copy leaves the source",
            [
                _on_map(
                    _op("copy", "/data/z", **{"from": "/data/x"}),
                    fields={"data": {"x": "1", "y": "2", "z": "1"}},
                )
            ],
            given=_ONE,
        ),
        Case(
            "copy of a member that is not there copies null",
            [
                _on_map(
                    _op("copy", "/data/z", **{"from": "/data/no"}),
                    fields={"data": {"x": "1", "y": "2", "z": ""}},
                ),
            ],
            given=_ONE,
        ),
        Case(
            "test passes on an equal value",
            [
                _on_map(
                    _op("test", "/data/x", value="1"), _op("remove", "/data/x"), fields={"data": {"y": "2"}}
                )
            ],
            given=_ONE,
        ),
        Case(
            "a failed test changes nothing and is 422",
            [
                _on_map(
                    _op("replace", "/data/x", value="9"),
                    _op("test", "/data/y", value="no"),
                    status=422,
                    reason="Invalid",
                ),
                get(f"{CONFIGMAPS}/a", fields={"data.x": "1"}),
            ],
            given=_ONE,
        ),
        Case(
            "test compares whole objects",
            [_on_map(_op("test", "/data", value={"y": "2", "x": "1"}))],
            given=_ONE,
        ),
        Case(
            "test of a missing member against null passes",
            [_on_map(_op("test", "/data/none", value=None), status=(200, 422))],
            given=_ONE,
        ),
        Case(
            "test on the resourceVersion guards a change",
            [
                get(f"{CONFIGMAPS}/a", save={"rv": "metadata.resourceVersion"}),
                _on_map(_op("test", "/metadata/resourceVersion", value="{rv}"), _op("remove", "/data/y")),
                _on_map(_op("test", "/metadata/resourceVersion", value="{rv}"), status=422),
            ],
            given=_ONE,
        ),
        Case(
            "~1 and ~0 stand for / and ~",
            [
                _on_map(
                    _op("replace", "/metadata/annotations/a~1b", value="1"),
                    _op("add", "/data/t~0", value="2"),
                    status=422,
                    message="t~",
                ),
                _on_map(
                    _op("replace", "/metadata/annotations/a~1b", value="1"),
                    fields={"metadata.annotations": {"a/b": "1", "t": "d"}},
                ),
            ],
            given=_ONE,
        ),
        Case(
            "an unknown operation is refused",
            [_on_map(_op("invent", "/data/x"), status=(400, 422))],
            given=_ONE,
        ),
        Case(
            "a patch that is no list is a bad request",
            [patch(f"{CONFIGMAPS}/a", {"op": "remove"}, JSON_PATCH, status=400, reason="BadRequest")],
            given=_ONE,
        ),
        Case(
            "a patch that is no JSON is a bad request",
            [patch(f"{CONFIGMAPS}/a", b"[{", JSON_PATCH, status=400, reason="BadRequest")],
            given=_ONE,
        ),
        Case(
            "an empty list changes nothing",
            [
                get(f"{CONFIGMAPS}/a", save={"rv": "metadata.resourceVersion"}),
                _on_map(fields={"metadata.resourceVersion": "{rv}"}),
            ],
            given=_ONE,
        ),
        Case(
            "more than ten thousand operations are too many",
            [
                patch(
                    f"{CONFIGMAPS}/a",
                    [_op("test", "/data/x", value="1")] * 10_001,
                    JSON_PATCH,
                    status=413,
                    reason="RequestEntityTooLarge",
                )
            ],
            given=_ONE,
        ),
        Case(
            "a patch that makes the object invalid is 422",
            [_on_widget(_op("replace", "/spec/color", value="pink"), status=422, causes=["spec.color"])],
            given=_W,
        ),
        Case(
            "a patch that gives a field the wrong type is refused",
            [_on_map(_op("replace", "/data/x", value=5), status=422, reason="Invalid")],
            given=_ONE,
        ),
        Case(
            "the name cannot be patched",
            [_on_map(_op("replace", "/metadata/name", value="b"), status=400, reason="BadRequest")],
            given=_ONE,
        ),
        Case(
            "the uid cannot be patched",
            [
                _on_map(
                    _op("replace", "/metadata/uid", value="11111111-1111-4111-8111-111111111111"),
                    status=422,
                    reason="Invalid",
                    causes=["metadata.uid"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "a container of a pod is reached by its index",
            [
                patch(
                    f"{PODS}/a",
                    [_op("replace", "/spec/containers/0/image", value="busybox:2")],
                    JSON_PATCH,
                    fields={"spec.containers[0].image": "busybox:2"},
                )
            ],
            given=[pod("a")],
        ),
        Case(
            "a removed label is gone",
            [_on_map(_op("remove", "/metadata/labels/l"), absent=["metadata.labels"])],
            given=_ONE,
        ),
        Case(
            "what does not exist cannot be patched",
            [_on_map(_op("remove", "/data/x"), status=404, reason="NotFound")],
        ),
        Case(
            "dry run stores nothing",
            [
                _on_map(_op("remove", "/data/x"), query={"dryRun": "All"}, fields={"data": {"y": "2"}}),
                get(f"{CONFIGMAPS}/a", fields={"data": {"x": "1", "y": "2"}}),
            ],
            given=_ONE,
        ),
    ],
)


@each(TABLE)
def test_json_patch(case: Case, player: Player) -> None:
    player.play(case)
