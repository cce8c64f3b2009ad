"""PUT on objects: optimistic concurrency, identity, generations, what the main resource may not change."""

from __future__ import annotations

from tests.conformance.case import (
    CONFIGMAPS,
    PODS,
    Case,
    Not,
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
from tests.conformance.widgets import GEAR_CRD, GEARS, WIDGET_CRD, WIDGETS, gear, widget

_ONE = [configmap("a", data={"x": "1"}, labels={"l": "1"})]
_A = f"{CONFIGMAPS}/a"
_SAVE = {"rv": "metadata.resourceVersion", "uid": "metadata.uid", "made": "metadata.creationTimestamp"}

TABLE = table(
    "update",
    [
        Case(
            "an update replaces everything that it leaves out",
            [
                put(
                    _A,
                    configmap("a", data={"y": "2"}),
                    fields={"data": {"y": "2"}},
                    absent=["metadata.labels"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "uid and creationTimestamp stay, resourceVersion moves",
            [
                get(_A, save=_SAVE),
                put(
                    _A,
                    configmap("a", data={"y": "2"}),
                    fields={
                        "metadata.uid": "{uid}",
                        "metadata.creationTimestamp": "{made}",
                        "metadata.resourceVersion": Not("{rv}"),
                    },
                ),
            ],
            given=_ONE,
        ),
        Case(
            "an update that changes nothing keeps the resourceVersion",
            [
                get(_A, save=_SAVE),
                put(
                    _A,
                    configmap("a", data={"x": "1"}, labels={"l": "1"}),
                    fields={"metadata.resourceVersion": "{rv}"},
                ),
            ],
            given=_ONE,
        ),
        Case(
            "an update based on an old version is a conflict",
            [
                get(_A, save=_SAVE),
                patch(_A, {"data": {"x": "2"}}),
                put(
                    _A,
                    configmap("a", data={"x": "3"}, resourceVersion="{rv}"),
                    status=409,
                    reason="Conflict",
                    message=[
                        'Operation cannot be fulfilled on configmaps "a"',
                        "the object has been modified; please apply your changes to the latest version",
                    ],
                    fields={"details": {"name": "a", "kind": "configmaps"}},
                ),
                get(_A, fields={"data.x": "2"}),
            ],
            given=_ONE,
        ),
        Case(
            "an update based on the newest version goes through",
            [
                get(_A, save=_SAVE),
                put(_A, configmap("a", data={"x": "3"}, resourceVersion="{rv}"), fields={"data.x": "3"}),
            ],
            given=_ONE,
        ),
        Case(
            "an update of another uid is a conflict",
            [
                put(
                    _A,
                    configmap("a", uid="11111111-1111-4111-8111-111111111111"),
                    status=409,
                    reason="Conflict",
                    message=["Precondition failed: UID in precondition"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "the right uid is fine",
            [get(_A, save=_SAVE), put(_A, configmap("a", uid="{uid}", data={"x": "5"}))],
            given=_ONE,
        ),
        Case(
            "a resourceVersion that is no number is refused",
            [put(_A, configmap("a", resourceVersion="abc"), status=(400, 409, 422, 500))],
            given=_ONE,
        ),
        Case(
            "the name in the object must be that of the path",
            [
                put(
                    _A,
                    configmap("b"),
                    status=400,
                    reason="BadRequest",
                    message="the name of the object (b) does not match the name on the URL (a)",
                )
            ],
            given=_ONE,
        ),
        Case(
            "the namespace in the object must be that of the path",
            [
                put(
                    _A,
                    configmap("a", namespace="elsewhere"),
                    status=400,
                    reason="BadRequest",
                    message="the namespace of the provided object does not match the namespace sent on the "
                    "request",
                )
            ],
            given=_ONE,
        ),
        Case(
            "what does not exist is not found",
            [
                put(
                    _A,
                    configmap("a"),
                    status=404,
                    reason="NotFound",
                    message='configmaps "a" not found',
                    fields={"details": {"name": "a", "kind": "configmaps"}},
                )
            ],
        ),
        Case(
            "an object of a version that does not exist is a conflict only if it exists",
            [put(_A, configmap("a", resourceVersion="5"), status=404, reason="NotFound")],
        ),
        Case(
            "creationTimestamp and generation cannot be changed",
            [
                get(_A, save=_SAVE),
                put(
                    _A,
                    configmap("a", data={"x": "7"}, creationTimestamp="2001-01-01T00:00:00Z", generation=9),
                    fields={"metadata.creationTimestamp": "{made}"},
                ),
            ],
            given=_ONE,
        ),
        Case(
            "deletionTimestamp cannot be set by an update",
            [
                put(
                    _A,
                    configmap("a", data={"x": "7"}, deletionTimestamp="2030-01-01T00:00:00Z"),
                    status=422,
                    causes=["metadata.deletionTimestamp"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "labels and annotations are validated",
            [
                put(
                    _A,
                    configmap("a", labels={"-": "x"}),
                    status=422,
                    causes=["metadata.labels"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "dry run answers with the change and stores nothing",
            [
                get(_A, save=_SAVE),
                put(
                    _A,
                    configmap("a", data={"x": "2"}),
                    query={"dryRun": "All"},
                    fields={"data.x": "2", "metadata.resourceVersion": "{rv}"},
                ),
                get(_A, fields={"data.x": "1", "metadata.resourceVersion": "{rv}"}),
            ],
            given=_ONE,
        ),
        Case(
            "a change of spec counts a generation",
            [
                get(f"{WIDGETS}/a", save=_SAVE),
                put(
                    f"{WIDGETS}/a",
                    widget("a", size=2, metadata={"resourceVersion": "{rv}"}),
                    fields={"metadata.generation": 2},
                ),
            ],
            given=[WIDGET_CRD, widget("a", size=1)],
        ),
        Case(
            "a change of labels does not count a generation",
            [
                get(f"{WIDGETS}/a", save=_SAVE),
                put(
                    f"{WIDGETS}/a",
                    widget("a", size=1, metadata={"resourceVersion": "{rv}", "labels": {"x": "y"}}),
                    fields={"metadata.generation": 1, "metadata.labels": {"x": "y"}},
                ),
            ],
            given=[WIDGET_CRD, widget("a", size=1)],
        ),
        Case(
            "a custom object can only be replaced with its resourceVersion",
            [
                put(
                    f"{WIDGETS}/a",
                    widget("a", size=2),
                    status=422,
                    reason="Invalid",
                    message="metadata.resourceVersion: Invalid value: 0: must be specified for an update",
                    causes=["metadata.resourceVersion"],
                )
            ],
            given=[WIDGET_CRD, widget("a", size=1)],
        ),
        Case(
            "the main resource does not change status",
            [
                get(f"{WIDGETS}/a", save=_SAVE),
                put(
                    f"{WIDGETS}/a",
                    widget("a", size=1, metadata={"resourceVersion": "{rv}"}, status={"phase": "Done"}),
                    absent=["status"],
                    fields={"metadata.resourceVersion": "{rv}"},
                ),
            ],
            given=[WIDGET_CRD, widget("a", size=1)],
        ),
        Case(
            "a pod's spec is immutable but for its images and a little more",
            [
                get(f"{PODS}/a", save=_SAVE),
                patch(
                    f"{PODS}/a",
                    {"spec": {"restartPolicy": "Never"}},
                    status=422,
                    reason="Invalid",
                    message="pod updates may not change fields other than",
                    causes=["spec"],
                ),
                patch(
                    f"{PODS}/a",
                    [{"op": "replace", "path": "/spec/containers/0/image", "value": "busybox:2"}],
                    "application/json-patch+json",
                    fields={"spec.containers[0].image": "busybox:2", "metadata.generation": 2},
                ),
            ],
            given=[pod("a")],
        ),
        Case(
            "an immutable ConfigMap keeps its data",
            [
                put(
                    _A,
                    configmap("a", data={"x": "2"}) | {"immutable": True},
                    status=422,
                    message="field is immutable when `immutable` is set",
                    causes=["data"],
                ),
                put(
                    _A,
                    configmap("a", data={"x": "1"}),
                    status=422,
                    causes=["immutable"],
                ),
                put(_A, configmap("a", data={"x": "1"}, labels={"n": "1"}) | {"immutable": True}),
            ],
            given=[configmap("a", data={"x": "1"}) | {"immutable": True}],
        ),
        Case(
            "an update records the manager of the fields it changed",
            [
                put(
                    _A,
                    configmap("a", data={"x": "2", "y": "1"}, labels={"l": "1"}),
                    query={"fieldManager": "second"},
                    fields={
                        "metadata.managedFields[manager=second].fieldsV1": {"f:data": {"f:x": {}, "f:y": {}}},
                        "metadata.managedFields[manager=conformance].fieldsV1": {
                            "f:data": {},
                            "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
                        },
                    },
                )
            ],
            given=_ONE,
        ),
        Case(
            "managedFields sent as a list with one empty entry are reset",
            [
                get(_A, fields={"metadata.managedFields[0].manager": "conformance"}),
                put(
                    _A,
                    configmap("a", data={"x": "1"}, labels={"l": "1"}, managedFields=[{}]),
                    absent=["metadata.managedFields"],
                ),
            ],
            given=_ONE,
        ),
        Case(
            "a PUT to the status changes nothing else",
            [
                get(f"{WIDGETS}/a", save=_SAVE),
                put(
                    f"{WIDGETS}/a/status",
                    widget(
                        "a",
                        size=9,
                        metadata={"resourceVersion": "{rv}", "labels": {"x": "y"}},
                        status={"phase": "Done"},
                    ),
                    fields={"spec.size": 1, "status": {"phase": "Done"}, "metadata.generation": 1},
                    absent=["metadata.labels"],
                ),
            ],
            given=[WIDGET_CRD, widget("a", size=1)],
        ),
        Case(
            "status as a subresource is validated",
            [
                get(f"{WIDGETS}/a", save=_SAVE),
                put(
                    f"{WIDGETS}/a/status",
                    widget("a", size=1, metadata={"resourceVersion": "{rv}"}, status={"phase": 5}),
                    status=422,
                    causes=["status.phase"],
                ),
            ],
            given=[WIDGET_CRD, widget("a", size=1)],
        ),
        Case(
            "a pod's status can be replaced, its labels cannot on that way",
            [
                get(f"{PODS}/a", save=_SAVE),
                patch(
                    f"{PODS}/a/status",
                    {"status": {"phase": "Running"}, "metadata": {"labels": {"x": "y"}}},
                    fields={"status.phase": "Running", "metadata.labels": {"x": "y"}},
                ),
                get(f"{PODS}/a", fields={"status.phase": "Running", "metadata.generation": 1}),
            ],
            given=[pod("a")],
        ),
        Case(
            "a kind without status has no such subresource",
            [
                get(f"{CONFIGMAPS}/a/status", status=404, reason="NotFound"),
                put(f"{GEARS}/a-{{id}}/status", gear("a-{id}"), status=404, reason="NotFound"),
            ],
            given=[GEAR_CRD, gear("a-{id}"), *_ONE],
        ),
        Case(
            "finalizers cannot be added while the object is being deleted",
            [
                get(_A),
                patch(_A, {"metadata": {"finalizers": ["example.com/one"]}}),
                post(f"{CONFIGMAPS}", configmap("b")),
            ],
            given=_ONE,
        ),
    ],
)


@each(TABLE)
def test_update(case: Case, player: Player) -> None:
    player.play(case)
