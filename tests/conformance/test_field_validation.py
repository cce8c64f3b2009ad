"""fieldValidation: what becomes of fields that nobody knows or that are named twice."""

from __future__ import annotations

from tests.conformance.case import (
    APPLY,
    CONFIGMAPS,
    JSON_PATCH,
    MERGE,
    PODS,
    STRATEGIC,
    Case,
    configmap,
    each,
    get,
    patch,
    pod,
    post,
    put,
    table,
)
from tests.conformance.play import Player
from tests.conformance.widgets import WIDGET_CRD, WIDGETS, widget

_L, _A = CONFIGMAPS, f"{CONFIGMAPS}/a"
_STRICT, _WARN, _IGNORE = ({"fieldValidation": mode} for mode in ("Strict", "Warn", "Ignore"))
_UNKNOWN = {**configmap("a", data={"x": "1"}), "unknown": 1}
_TWICE = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","x":"2"}}'
_YAML_TWICE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: '1'\n  x: '2'\n"
_ONE = [configmap("a", data={"x": "1"})]

TABLE = table(
    "field validation",
    [
        Case(
            "by default an unknown field is dropped with a warning",
            [post(_L, _UNKNOWN, absent=["unknown"], warnings=['unknown field "unknown"'])],
        ),
        Case(
            "Warn is the default",
            [post(_L, _UNKNOWN, query=_WARN, absent=["unknown"], warnings=['unknown field "unknown"'])],
        ),
        Case(
            "Ignore drops it in silence", [post(_L, _UNKNOWN, query=_IGNORE, absent=["unknown"], warnings=())]
        ),
        Case(
            "Strict refuses it",
            [
                post(
                    _L,
                    _UNKNOWN,
                    query=_STRICT,
                    status=400,
                    reason="BadRequest",
                    message='ConfigMap in version "v1" cannot be handled as a ConfigMap: '
                    'strict decoding error: unknown field "unknown"',
                ),
                get(_A, status=404),
            ],
        ),
        Case(
            "several unknown fields are all named with their paths",
            [
                post(
                    PODS,
                    {**pod("a", bogus=1), "other": 2},
                    query=_STRICT,
                    status=400,
                    message=['unknown field "other"', 'unknown field "spec.bogus"'],
                ),
                post(
                    PODS,
                    pod("a", containers=[{"name": "m", "image": "i", "bogus": 1}]),
                    query=_STRICT,
                    status=400,
                    message='unknown field "spec.containers[0].bogus"',
                ),
            ],
        ),
        Case(
            "an unknown mode is not supported",
            [
                post(
                    _L,
                    configmap("a"),
                    query={"fieldValidation": "Maybe"},
                    status=422,
                    message='fieldValidation: Unsupported value: "Maybe"',
                    causes=["fieldValidation"],
                )
            ],
        ),
        Case(
            "a field named twice is warned about, and the last wins",
            [post(_L, _TWICE, fields={"data": {"x": "2"}}, warnings=['duplicate field "data.x"'])],
        ),
        Case(
            "a field named twice is refused by Strict",
            [
                post(
                    _L,
                    _TWICE,
                    query=_STRICT,
                    status=400,
                    message='strict decoding error: duplicate field "data.x"',
                )
            ],
        ),
        Case(
            "a field named twice is ignored by Ignore",
            [post(_L, _TWICE, query=_IGNORE, fields={"data": {"x": "2"}}, warnings=())],
        ),
        Case(
            "a field named twice in YAML is refused by Strict",
            [
                post(
                    _L,
                    _YAML_TWICE,
                    query=_STRICT,
                    headers={"Content-Type": "application/yaml"},
                    status=400,
                    message="x",
                )
            ],
        ),
        Case(
            "an update is checked alike",
            [
                put(_A, _UNKNOWN, query=_STRICT, status=400, message='unknown field "unknown"'),
                put(_A, _UNKNOWN, warnings=['unknown field "unknown"'], absent=["unknown"]),
            ],
            given=_ONE,
        ),
        Case(
            "patches are checked alike",
            [
                patch(
                    _A, {"unknown": 1}, MERGE, query=_STRICT, status=422, message='unknown field "unknown"'
                ),
                patch(_A, {"unknown": 1}, MERGE, warnings=['unknown field "unknown"']),
                patch(
                    _A,
                    {"unknown": 1},
                    STRATEGIC,
                    query=_STRICT,
                    status=422,
                    message='unknown field "unknown"',
                ),
                patch(
                    _A,
                    [{"op": "add", "path": "/unknown", "value": 1}],
                    JSON_PATCH,
                    query=_STRICT,
                    status=422,
                    message='unknown field "unknown"',
                ),
            ],
            given=_ONE,
        ),
        Case(
            "a custom object's unknown field is dropped with a warning",
            [
                post(
                    WIDGETS,
                    widget("a", bogus=1),
                    absent=["spec.bogus"],
                    warnings=['unknown field "spec.bogus"'],
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a custom object's unknown field is refused by Strict",
            [
                post(
                    WIDGETS,
                    widget("a", bogus=1),
                    query=_STRICT,
                    status=400,
                    message='strict decoding error: unknown field "spec.bogus"',
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "an unknown field of metadata is found in custom objects too",
            [
                post(
                    WIDGETS,
                    widget("a", metadata={"bogus": "1"}),
                    query=_STRICT,
                    status=400,
                    message='unknown field "metadata.bogus"',
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "what is preserved is not unknown",
            [
                post(
                    WIDGETS,
                    widget("a", free={"any": 1}),
                    query=_STRICT,
                    fields={"spec.free": {"any": 1}},
                    warnings=(),
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "an apply of a custom object is checked",
            [
                patch(
                    f"{WIDGETS}/a",
                    widget("a", bogus=1),
                    APPLY,
                    query={"fieldManager": "m", **_STRICT},
                    status=(400, 422, 500),
                    message="bogus",
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a merge patch of a custom object is checked",
            [
                patch(
                    f"{WIDGETS}/a",
                    {"spec": {"bogus": 1}},
                    query=_STRICT,
                    status=422,
                    message='unknown field "spec.bogus"',
                ),
                patch(f"{WIDGETS}/a", {"spec": {"bogus": 1}}, warnings=['unknown field "spec.bogus"']),
            ],
            given=[WIDGET_CRD, widget("a")],
        ),
        Case(
            "names of fields are case-sensitive",
            [post(_L, {**configmap("a"), "Data": {"x": "1"}}, query=_STRICT, status=400, message='"Data"')],
        ),
    ],
)


@each(TABLE)
def test_field_validation(case: Case, player: Player) -> None:
    player.play(case)
