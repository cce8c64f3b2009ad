"""JSON patches (RFC 6902) as the API applies them."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    CONFIGMAPS,
    JSON_PATCH,
    Case,
    Json,
    Step,
    configmap,
    each,
    get,
    patch,
    table,
)
from tests.conformance.play import Player

_ONE = [configmap("a", data={"x": "1", "y": "2"}, labels={"l": "1"})]


def _json_patch(*operations: Json, **expected: Any) -> Step:
    return patch(f"{CONFIGMAPS}/a", list(operations), JSON_PATCH, **expected)


TABLE = table(
    "json patch",
    [
        Case(
            "add sets a member",
            given=_ONE,
            steps=[
                _json_patch(
                    {"op": "add", "path": "/data/z", "value": "3"},
                    fields={"data": {"x": "1", "y": "2", "z": "3"}},
                ),
                get(f"{CONFIGMAPS}/a", fields={"data.z": "3"}),
            ],
        ),
        Case(
            "a failed test changes nothing and is 422",
            given=_ONE,
            steps=[
                _json_patch(
                    {"op": "replace", "path": "/data/x", "value": "9"},
                    {"op": "test", "path": "/data/y", "value": "no"},
                    status=422,
                    reason="Invalid",
                ),
                get(f"{CONFIGMAPS}/a", fields={"data.x": "1"}),
            ],
        ),
    ],
)


@each(TABLE)
def test_json_patch(case: Case, player: Player) -> None:
    player.play(case)
