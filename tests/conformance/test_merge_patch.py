"""JSON merge patches (RFC 7386) as the API applies them, and what all patches have in common."""

from __future__ import annotations

from tests.conformance.case import (
    CONFIGMAPS,
    MERGE,
    STRATEGIC,
    Case,
    configmap,
    each,
    get,
    patch,
    table,
)
from tests.conformance.play import Player
from tests.conformance.widgets import WIDGET_CRD, WIDGETS, widget

_ONE = [configmap("a", data={"x": "1", "y": "2"}, labels={"l": "1"})]
_A = f"{CONFIGMAPS}/a"
_W = [WIDGET_CRD, widget("a", steps=["a", "b"], size=1, ports=[{"port": 1}], map={"k": "v"}, note="n")]

TABLE = table(
    "merge patch",
    [
        Case(
            "members are merged",
            [patch(_A, {"data": {"z": "3"}}, fields={"data": {"x": "1", "y": "2", "z": "3"}})],
            given=_ONE,
        ),
        Case(
            "null removes a member",
            [patch(_A, {"data": {"x": None}}, fields={"data": {"y": "2"}})],
            given=_ONE,
        ),
        Case(
            "null removes a whole map",
            [patch(_A, {"data": None}, absent=["data"])],
            given=_ONE,
        ),
        Case(
            "null for what is not there does nothing",
            [
                get(_A, save={"rv": "metadata.resourceVersion"}),
                patch(_A, {"data": {"nothing": None}}, fields={"metadata.resourceVersion": "{rv}"}),
            ],
            given=_ONE,
        ),
        Case(
            "a list is replaced as a whole",
            [
                patch(
                    f"{WIDGETS}/a",
                    {"spec": {"steps": ["z"], "ports": [{"port": 2}]}},
                    fields={"spec.steps": ["z"], "spec.ports": [{"port": 2, "protocol": "TCP"}]},
                ),
            ],
            given=_W,
        ),
        Case(
            "a map replaced by a scalar of the wrong type is invalid",
            [patch(f"{WIDGETS}/a", {"spec": {"map": "x"}}, status=422, causes=["spec.map"])],
            given=_W,
        ),
        Case(
            "a default comes back when its field is removed",
            [patch(f"{WIDGETS}/a", {"spec": {"color": None}}, fields={"spec.color": "red"})],
            given=[WIDGET_CRD, widget("a", color="blue")],
        ),
        Case(
            "a patch that is no object is a bad request",
            [
                patch(_A, [], status=400, reason="BadRequest"),
                patch(_A, b"{", status=400, reason="BadRequest"),
                patch(_A, b"", status=400, reason="BadRequest"),
            ],
            given=_ONE,
        ),
        Case(
            "an empty patch changes nothing",
            [
                get(_A, save={"rv": "metadata.resourceVersion"}),
                patch(_A, {}, fields={"metadata.resourceVersion": "{rv}"}),
            ],
            given=_ONE,
        ),
        Case(
            "a resourceVersion in the patch guards it",
            [
                get(_A, save={"rv": "metadata.resourceVersion"}),
                patch(_A, {"metadata": {"resourceVersion": "{rv}"}, "data": {"x": "2"}}),
                patch(
                    _A,
                    {"metadata": {"resourceVersion": "{rv}"}, "data": {"x": "3"}},
                    status=409,
                    reason="Conflict",
                ),
            ],
            given=_ONE,
        ),
        Case(
            "a uid in the patch guards it",
            [
                patch(
                    _A,
                    {"metadata": {"uid": "11111111-1111-4111-8111-111111111111"}},
                    status=422,
                    message="field is immutable",
                    causes=["metadata.uid"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "the name cannot be patched",
            [patch(_A, {"metadata": {"name": "b"}}, status=400, reason="BadRequest")],
            given=_ONE,
        ),
        Case(
            "the namespace cannot be patched",
            [patch(_A, {"metadata": {"namespace": "b"}}, status=400, reason="BadRequest")],
            given=_ONE,
        ),
        Case(
            "the kind cannot be patched",
            [patch(_A, {"kind": "Secret"}, status=422, reason="Invalid", causes=["patch"])],
            given=_ONE,
        ),
        Case(
            "a wrong type is refused",
            [patch(_A, {"data": {"x": 1}}, status=422, reason="Invalid", causes=["patch"])],
            given=_ONE,
        ),
        Case(
            "a patch media type nobody knows is 415",
            [
                patch(_A, {}, "application/x-patch", status=415, reason="UnsupportedMediaType"),
                patch(_A, {}, "application/json", status=415),
            ],
            given=_ONE,
        ),
        Case(
            "custom objects take no strategic merge patch",
            [
                patch(
                    f"{WIDGETS}/a",
                    {},
                    STRATEGIC,
                    status=415,
                    reason="UnsupportedMediaType",
                    message="accepted media types include: application/json-patch+json, "
                    "application/merge-patch+json, application/apply-patch+yaml",
                )
            ],
            given=_W,
        ),
        Case(
            "a charset beside the media type does no harm",
            [patch(_A, {"data": {"x": "2"}}, f"{MERGE}; charset=utf-8", fields={"data.x": "2"})],
            given=_ONE,
        ),
        Case(
            "what does not exist cannot be patched",
            [patch(_A, {}, status=404, reason="NotFound", message='configmaps "a" not found')],
        ),
        Case(
            "a collection cannot be patched",
            [patch(CONFIGMAPS, {}, status=405, reason="MethodNotAllowed")],
        ),
        Case(
            "force is only for apply",
            [
                patch(
                    _A,
                    {"data": {"x": "2"}},
                    query={"force": "true"},
                    status=422,
                    reason="Invalid",
                    message='PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: '
                    "may not be specified for non-apply patch",
                    causes=["force"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "the status is patched on its own path",
            [
                patch(
                    f"{WIDGETS}/a/status",
                    {"status": {"phase": "Done"}, "spec": {"size": 5}},
                    fields={"status.phase": "Done", "spec.size": 1, "metadata.generation": 1},
                ),
                patch(
                    f"{WIDGETS}/a",
                    {"status": {"phase": "No"}, "spec": {"size": 5}},
                    fields={"status.phase": "Done", "spec.size": 5, "metadata.generation": 2},
                ),
            ],
            given=_W,
        ),
        Case(
            "a patch records its manager",
            [
                patch(
                    _A,
                    {"data": {"x": "2"}},
                    query={"fieldManager": "patcher"},
                    fields={
                        "metadata.managedFields[manager=patcher].operation": "Update",
                        "metadata.managedFields[manager=patcher].fieldsV1": {"f:data": {"f:x": {}}},
                    },
                )
            ],
            given=_ONE,
        ),
        Case(
            "a status patch is recorded with its subresource",
            [
                patch(
                    f"{WIDGETS}/a/status",
                    {"status": {"phase": "Done"}},
                    query={"fieldManager": "patcher"},
                    fields={
                        "metadata.managedFields[manager=patcher].subresource": "status",
                        "metadata.managedFields[manager=patcher].fieldsV1": {
                            "f:status": {".": {}, "f:phase": {}}
                        },
                    },
                )
            ],
            given=_W,
        ),
        Case(
            "dry run stores nothing",
            [
                patch(_A, {"data": {"x": "2"}}, query={"dryRun": "All"}, fields={"data.x": "2"}),
                get(_A, fields={"data.x": "1"}),
            ],
            given=_ONE,
        ),
    ],
)


@each(TABLE)
def test_merge_patch(case: Case, player: Player) -> None:
    player.play(case)
