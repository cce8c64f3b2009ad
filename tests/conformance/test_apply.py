"""Server-side apply: ownership, conflicts, force, removal, lists by key, upgrade from client-side apply."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.case import (
    APPLY,
    CONFIGMAPS,
    PODS,
    PRESENT,
    SERVICES,
    Case,
    Has,
    Json,
    Length,
    Like,
    Not,
    apply,
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
from tests.conformance.widgets import GEAR_CRD, GEARS, GROUP, WIDGET_CRD, WIDGETS, gear, widget

_A = f"{CONFIGMAPS}/a"
_W = f"{WIDGETS}/a"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _owned(manager: str) -> str:
    return f"metadata.managedFields[manager={manager}].fieldsV1"


def _service(*ports: Json, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"clusterIP": "None", "selector": {"app": "x"}, "ports": list(ports), **spec},
    }


def _last_applied(obj: Json) -> Json:
    """The object as client-side apply creates it."""
    text = json.dumps(obj, separators=(",", ":")) + "\n"
    metadata = {**obj["metadata"], "annotations": {_LAST_APPLIED: text}}
    return {**obj, "metadata": metadata}


TABLE = table(
    "apply",
    [
        Case(
            "an apply of what does not exist creates it with 201",
            [
                apply(
                    _A,
                    configmap("a", data={"x": "1"}),
                    status=201,
                    fields={
                        "data": {"x": "1"},
                        "metadata.managedFields": [
                            {
                                "manager": "applier",
                                "operation": "Apply",
                                "apiVersion": "v1",
                                "time": Like(r"Z$"),
                                "fieldsType": "FieldsV1",
                                "fieldsV1": {"f:data": {"f:x": {}}},
                            }
                        ],
                    },
                )
            ],
        ),
        Case(
            "the same apply again changes nothing",
            [
                apply(
                    _A, configmap("a", data={"x": "1"}), status=201, save={"rv": "metadata.resourceVersion"}
                ),
                apply(
                    _A,
                    configmap("a", data={"x": "1"}),
                    fields={"metadata.resourceVersion": "{rv}", "metadata.managedFields": Length(1)},
                ),
            ],
        ),
        Case(
            "a field that is no longer applied is removed",
            [
                apply(_A, configmap("a", data={"x": "1", "y": "2"}), status=201),
                apply(
                    _A,
                    configmap("a", data={"x": "1"}),
                    fields={"data": {"x": "1"}, _owned("applier"): {"f:data": {"f:x": {}}}},
                ),
            ],
        ),
        Case(
            "a field that another manager owns too stays when one stops applying it",
            [
                apply(_A, configmap("a", data={"x": "1", "y": "2"}), status=201),
                apply(_A, configmap("a", data={"y": "2"}), manager="second"),
                apply(_A, configmap("a", data={"x": "1"}), fields={"data": {"x": "1", "y": "2"}}),
                apply(_A, configmap("a"), manager="second", fields={"data": {"x": "1"}}),
            ],
        ),
        Case(
            "another value for a field of another applier is a conflict that names both",
            [
                apply(_A, configmap("a", data={"x": "1"}), status=201),
                apply(
                    _A,
                    configmap("a", data={"x": "2"}),
                    manager="second",
                    status=409,
                    reason="Conflict",
                    message='Apply failed with 1 conflict: conflict with "applier": .data.x',
                    causes=[".data.x"],
                    fields={
                        "details.causes": [
                            {
                                "reason": "FieldManagerConflict",
                                "message": 'conflict with "applier"',
                                "field": ".data.x",
                            }
                        ]
                    },
                ),
                get(_A, fields={"data.x": "1"}),
            ],
        ),
        Case(
            "a conflict with an updater says when it wrote",
            [
                apply(
                    _A,
                    configmap("a", data={"x": "2"}),
                    status=409,
                    message='Apply failed with 1 conflict: conflict with "conformance" using v1',
                    causes=[".data.x"],
                    fields={
                        "details.causes[0].message": Like('^conflict with "conformance" using v1( at .*Z)?$')
                    },
                ),
            ],
            given=[configmap("a", data={"x": "1"})],
        ),
        Case(
            "several conflicts are listed by manager",
            [
                apply(_A, configmap("a", data={"x": "1", "y": "1"}), status=201),
                apply(
                    _A,
                    configmap("a", data={"x": "2", "y": "2"}),
                    manager="second",
                    status=409,
                    message=[
                        'Apply failed with 2 conflicts: conflicts with "applier":\n- .data.x\n- .data.y',
                    ],
                    causes=[".data.x", ".data.y"],
                ),
            ],
        ),
        Case(
            "conflicts with several managers are grouped",
            [
                apply(_A, configmap("a", data={"x": "1"}), status=201),
                apply(_A, configmap("a", data={"y": "1"}), manager="second"),
                apply(
                    _A,
                    configmap("a", data={"x": "2", "y": "2"}),
                    manager="third",
                    status=409,
                    message=[
                        "Apply failed with 2 conflicts: ",
                        'conflicts with "applier":\n- .data.x',
                        'conflicts with "second":\n- .data.y',
                    ],
                ),
            ],
        ),
        Case(
            "force takes the field over",
            [
                apply(_A, configmap("a", data={"x": "1", "y": "1"}), status=201),
                apply(
                    _A,
                    configmap("a", data={"x": "2"}),
                    manager="second",
                    force=True,
                    fields={
                        "data": {"x": "2", "y": "1"},
                        _owned("applier"): {"f:data": {"f:y": {}}},
                        _owned("second"): {"f:data": {"f:x": {}}},
                    },
                ),
            ],
        ),
        Case(
            "a manager that loses its last field is forgotten",
            [
                apply(_A, configmap("a", data={"x": "1"}), status=201),
                apply(
                    _A,
                    configmap("a", data={"x": "2"}),
                    manager="second",
                    force=True,
                    fields={"metadata.managedFields": Length(1)},
                    absent=["metadata.managedFields[manager=applier]"],
                ),
            ],
        ),
        Case(
            "the same value is no conflict but shared",
            [
                apply(_A, configmap("a", data={"x": "1"}), status=201),
                apply(
                    _A,
                    configmap("a", data={"x": "1"}),
                    manager="second",
                    fields={
                        _owned("applier"): {"f:data": {"f:x": {}}},
                        _owned("second"): {"f:data": {"f:x": {}}},
                    },
                ),
            ],
        ),
        Case(
            "an update takes fields from an applier without asking",
            [
                apply(_A, configmap("a", data={"x": "1", "y": "1"}), status=201),
                patch(
                    _A,
                    {"data": {"x": "2"}},
                    query={"fieldManager": "updater"},
                    fields={
                        _owned("applier"): {"f:data": {"f:y": {}}},
                        _owned("updater"): {"f:data": {"f:x": {}}},
                    },
                ),
                apply(_A, configmap("a", data={"x": "1", "y": "1"}), status=409, causes=[".data.x"]),
            ],
        ),
        Case(
            "apply and update of one manager are two entries",
            [
                apply(_A, configmap("a", data={"x": "1"}), manager="m", status=201),
                patch(
                    _A,
                    {"data": {"y": "2"}},
                    query={"fieldManager": "m"},
                    fields={
                        "metadata.managedFields[operation=Apply].fieldsV1": {"f:data": {"f:x": {}}},
                        "metadata.managedFields[operation=Update].fieldsV1": {"f:data": {"f:y": {}}},
                    },
                ),
            ],
        ),
        Case(
            "a fieldManager is required",
            [
                patch(
                    _A,
                    configmap("a"),
                    APPLY,
                    status=422,
                    reason="Invalid",
                    message='PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: '
                    "is required for apply patch",
                    causes=["fieldManager"],
                )
            ],
        ),
        Case(
            "the body may not have managedFields",
            [
                apply(
                    _A,
                    configmap("a", managedFields=[{"manager": "x", "operation": "Apply"}]),
                    status=400,
                    reason="BadRequest",
                    message="metadata.managedFields must be nil",
                )
            ],
        ),
        Case(
            "the body must have apiVersion and kind",
            [
                apply(_A, {"metadata": {"name": "a"}}, status=400, reason="BadRequest"),
                apply(_A, {"kind": "ConfigMap", "metadata": {"name": "a"}}, status=400, reason="BadRequest"),
            ],
        ),
        Case(
            "the body must be of the path's version",
            [
                apply(
                    _A,
                    {"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
                    status=400,
                    reason="BadRequest",
                )
            ],
        ),
        Case(
            "the body must have the path's name",
            [apply(_A, configmap("b"), status=400, reason="BadRequest")],
        ),
        Case(
            "the body's name may be left out",
            [
                apply(
                    _A,
                    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"x": "1"}},
                    status=(201, 400),
                )
            ],
        ),
        Case(
            "the body must be of the path's namespace",
            [apply(_A, configmap("a", namespace="elsewhere"), status=400, reason="BadRequest")],
        ),
        Case(
            "YAML is what apply speaks",
            [
                apply(
                    _A,
                    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: '1'\n",
                    status=201,
                    fields={"data": {"x": "1"}},
                )
            ],
        ),
        Case(
            "a body that is no YAML is a bad request",
            [apply(_A, b"\x00: [", status=400, reason="BadRequest")],
        ),
        Case(
            "a wrong resourceVersion is a conflict",
            [
                apply(
                    _A, configmap("a", data={"x": "1"}), status=201, save={"rv": "metadata.resourceVersion"}
                ),
                patch(_A, {"data": {"y": "1"}}),
                apply(
                    _A,
                    configmap("a", data={"x": "2"}, resourceVersion="{rv}"),
                    status=409,
                    reason="Conflict",
                    message="the object has been modified",
                ),
            ],
        ),
        Case(
            "a resourceVersion for what does not exist does not keep it from being created",
            [apply(_A, configmap("a", resourceVersion="5"), status=201)],
        ),
        Case(
            "a uid for what does not exist is a conflict",
            [
                apply(
                    _A,
                    configmap("a", uid="11111111-1111-4111-8111-111111111111"),
                    status=409,
                    reason="Conflict",
                    message="uid mismatch: the provided object specified uid "
                    "11111111-1111-4111-8111-111111111111, and no existing object was found",
                )
            ],
        ),
        Case(
            "dry run answers with owners and stores nothing",
            [
                apply(
                    _A,
                    configmap("a", data={"x": "1"}),
                    query={"dryRun": "All"},
                    status=201,
                    fields={_owned("applier"): {"f:data": {"f:x": {}}}},
                ),
                get(_A, status=404),
            ],
        ),
        Case(
            "labels, annotations and finalizers are owned one by one",
            [
                apply(
                    _A,
                    configmap("a", labels={"l": "1"}, annotations={"n": "1"}, finalizers=["example.com/f"]),
                    status=201,
                    fields={
                        _owned("applier"): {
                            "f:metadata": {
                                "f:labels": {"f:l": {}},
                                "f:annotations": {"f:n": {}},
                                "f:finalizers": {'v:"example.com/f"': {}},
                            }
                        }
                    },
                ),
                apply(
                    _A,
                    configmap("a", finalizers=["example.com/g"]),
                    manager="second",
                    fields={"metadata.finalizers": ["example.com/f", "example.com/g"]},
                ),
                apply(
                    _A,
                    configmap("a", labels={"l": "1"}),
                    fields={"metadata.finalizers": ["example.com/g"]},
                    absent=["metadata.annotations"],
                ),
            ],
        ),
        Case(
            "ownerReferences are a map by uid",
            [
                apply(
                    _A,
                    configmap(
                        "a", ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u1"}]
                    ),
                    status=201,
                    fields={_owned("applier"): {"f:metadata": {"f:ownerReferences": {'k:{"uid":"u1"}': {}}}}},
                ),
                apply(
                    _A,
                    configmap(
                        "a", ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "u2"}]
                    ),
                    manager="second",
                    fields={"metadata.ownerReferences": Length(2)},
                ),
            ],
        ),
        Case(
            "ports of a service are a map by port and protocol, and the protocol has a default",
            [
                apply(
                    f"{SERVICES}/s",
                    _service({"port": 80, "name": "http"}),
                    status=201,
                    fields={
                        _owned("applier"): Has(
                            {
                                "f:spec": {
                                    "f:ports": {
                                        'k:{"port":80,"protocol":"TCP"}': {
                                            ".": {},
                                            "f:name": {},
                                            "f:port": {},
                                        }
                                    }
                                }
                            }
                        )
                    },
                ),
                apply(
                    f"{SERVICES}/s",
                    {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "metadata": {"name": "s"},
                        "spec": {"ports": [{"port": 443, "name": "https"}]},
                    },
                    manager="second",
                    fields={"spec.ports[0].port": 80, "spec.ports[1].port": 443},
                ),
                apply(
                    f"{SERVICES}/s",
                    {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "metadata": {"name": "s"},
                        "spec": {"ports": [{"port": 443, "name": "https"}], "clusterIP": "None"},
                    },
                    fields={"spec.ports[0].port": 443},
                    absent=["spec.ports[1]", "spec.selector"],
                ),
            ],
        ),
        Case(
            "a key twice in a keyed list is refused",
            [
                apply(
                    f"{SERVICES}/s",
                    _service({"port": 80, "name": "a"}, {"port": 80, "name": "b"}),
                    status=(422, 500),
                    message='duplicate entries for key [port=80,protocol="TCP"]',
                )
            ],
        ),
        Case(
            "containers of a pod are a map by name",
            [
                apply(
                    f"{PODS}/a",
                    pod("a"),
                    status=201,
                    fields={
                        _owned("applier"): {
                            "f:spec": {
                                "f:containers": {'k:{"name":"main"}': {".": {}, "f:image": {}, "f:name": {}}}
                            }
                        }
                    },
                ),
            ],
        ),
        Case(
            "a field nobody knows is refused by a built-in kind",
            [
                apply(
                    _A,
                    {**configmap("a"), "unknown": 1},
                    status=(400, 500),
                    message=".unknown: field not declared in schema",
                )
            ],
        ),
        Case(
            "a wrong type is refused by a built-in kind",
            [apply(_A, {**configmap("a"), "data": "x"}, status=(400, 500), message="data")],
        ),
        # Custom kinds
        Case(
            "a custom object is applied, defaulted, and owns only what was sent",
            [
                apply(
                    _W,
                    widget("a", size=1),
                    status=201,
                    fields={
                        "spec": {"size": 1, "color": "red"},
                        _owned("applier"): {"f:spec": {"f:size": {}}},
                        "metadata.managedFields[0].apiVersion": f"{GROUP}/v1",
                    },
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a set keeps the members of every applier",
            [
                apply(_W, widget("a", tags=["x", "y"]), status=201),
                apply(
                    _W, widget("a", tags=["z", "y"]), manager="second", fields={"spec.tags": ["x", "z", "y"]}
                ),
                apply(_W, widget("a", tags=["x"]), fields={"spec.tags": ["x", "z", "y"]}),
                apply(_W, widget("a", tags=[]), fields={"spec.tags": ["z", "y"]}),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a member twice in a set is refused",
            [
                apply(
                    _W,
                    widget("a", tags=["x", "x"]),
                    status=(422, 500),
                    message='duplicate entries for key [="x"]',
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "an atomic list belongs to one manager",
            [
                apply(_W, widget("a", steps=["x"]), status=201),
                apply(_W, widget("a", steps=["y"]), manager="second", status=409, causes=[".spec.steps"]),
                apply(
                    _W,
                    widget("a", steps=["y"]),
                    manager="second",
                    force=True,
                    fields={"spec.steps": ["y"], _owned("second"): {"f:spec": {"f:steps": {}}}},
                ),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "an atomic map belongs to one manager",
            [
                apply(_W, widget("a", atom={"a": "1"}), status=201),
                apply(_W, widget("a", atom={"b": "2"}), manager="second", status=409, causes=[".spec.atom"]),
                apply(
                    _W,
                    widget("a", atom={"b": "2"}),
                    manager="second",
                    force=True,
                    fields={"spec.atom": {"b": "2"}, _owned("second"): {"f:spec": {"f:atom": {}}}},
                ),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a granular map is owned key by key",
            [
                apply(_W, widget("a", map={"x": "1"}), status=201),
                apply(
                    _W,
                    widget("a", map={"y": "2"}),
                    manager="second",
                    fields={
                        "spec.map": {"x": "1", "y": "2"},
                        _owned("second"): {"f:spec": {"f:map": {"f:y": {}}}},
                    },
                ),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "nested objects are owned field by field",
            [
                apply(_W, widget("a", nested={"inner": {"value": "1"}}), status=201),
                apply(
                    _W,
                    widget("a", nested={"inner": {"other": "2"}}),
                    manager="second",
                    fields={"spec.nested": {"inner": {"value": "1", "other": "2"}}},
                ),
                apply(_W, widget("a"), fields={"spec.nested": {"inner": {"other": "2"}}}),
                apply(_W, widget("a"), manager="second", absent=["spec.nested"]),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "items of a keyed list are owned field by field",
            [
                apply(_W, widget("a", ports=[{"port": 1, "note": "n"}]), status=201),
                apply(
                    _W,
                    widget("a", ports=[{"port": 1, "weight": 5}, {"port": 2}]),
                    manager="second",
                    fields={
                        "spec.ports[0]": {"port": 1, "protocol": "TCP", "note": "n", "weight": 5},
                        "spec.ports[1].port": 2,
                    },
                ),
                apply(_W, widget("a"), fields={"spec.ports[0]": {"port": 1, "protocol": "TCP", "weight": 5}}),
                apply(_W, widget("a"), manager="second", absent=["spec.ports"]),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "an item goes with its applier though another changed a field of it",
            [
                apply(_W, widget("a", ports=[{"port": 1, "note": "n"}, {"port": 2}]), status=201),
                patch(
                    _W,
                    [{"op": "replace", "path": "/spec/ports/0/note", "value": "m"}],
                    "application/json-patch+json",
                    query={"fieldManager": "second"},
                    fields={
                        _owned("second"): {
                            "f:spec": {"f:ports": {'k:{"port":1,"protocol":"TCP"}': {"f:note": {}}}}
                        }
                    },
                ),
                apply(_W, widget("a", ports=[{"port": 2}]), fields={"spec.ports": Length(1)}),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a whole object goes with its applier, defaults that nobody owns included",
            [
                apply(_W, widget("a", ports=[{"port": 1}], nested={"inner": {"value": "1"}}), status=201),
                patch(
                    _W,
                    {"spec": {"nested": {"inner": {"other": "2"}}}},
                    query={"fieldManager": "second"},
                ),
                apply(
                    _W, widget("a"), fields={"spec": {"color": "red", "nested": {"inner": {"other": "2"}}}}
                ),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a null takes a value away",
            [
                apply(_W, widget("a", size=1), status=201),
                apply(_W, widget("a", size=None), status=(200, 422)),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "leaving the spec out gives all of it up",
            [
                apply(_W, widget("a", size=1), status=201),
                apply(
                    _W,
                    {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "a"}},
                    absent=["spec.size"],
                ),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "an item of a keyed list without its key is refused",
            [apply(_W, widget("a", ports=[{"note": "x"}]), status=(422, 500))],
            given=[WIDGET_CRD],
        ),
        Case(
            "an unknown field of a custom object is dropped and not owned",
            [
                apply(
                    _W,
                    widget("a", size=1, unknown="x"),
                    status=(201, 500),
                    query={"fieldValidation": "Ignore"},
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "what is preserved though unknown is owned too",
            [
                apply(
                    _W,
                    widget("a", free={"any": {"thing": [1, 2]}}),
                    status=201,
                    fields={_owned("applier"): {"f:spec": {"f:free": {"f:any": {".": {}, "f:thing": {}}}}}},
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a kind without a schema can be applied",
            [
                apply(
                    f"{GEARS}/a-{{id}}",
                    gear("a-{id}", spec={"x": {"y": [1]}}),
                    status=201,
                    fields={_owned("applier"): {"f:spec": {".": {}, "f:x": {".": {}, "f:y": {}}}}},
                ),
                apply(
                    f"{GEARS}/a-{{id}}",
                    gear("a-{id}", spec={"z": 1}),
                    manager="second",
                    fields={"spec": {"x": {"y": [1]}, "z": 1}},
                ),
                apply(f"{GEARS}/a-{{id}}", gear("a-{id}"), fields={"spec": {"z": 1}}),
            ],
            given=[GEAR_CRD],
        ),
        Case(
            "a custom object that would be invalid is 422",
            [apply(_W, widget("a", size=-1), status=422, causes=["spec.size"])],
            given=[WIDGET_CRD],
        ),
        Case(
            "a null removes a nullable field's value but keeps the null",
            [apply(_W, widget("a", note=None), status=201, fields={"spec": {"color": "red", "note": None}})],
            given=[WIDGET_CRD],
        ),
        # Status
        Case(
            "the status is applied on its own path with its own entry",
            [
                apply(_W, widget("a", size=1), status=201),
                apply(
                    f"{_W}/status",
                    widget("a", status={"phase": "Done"}),
                    fields={
                        "status": {"phase": "Done"},
                        "spec.size": 1,
                        "metadata.managedFields[subresource=status].fieldsV1": {"f:status": {"f:phase": {}}},
                        "metadata.managedFields[subresource=status].operation": "Apply",
                        "metadata.generation": 1,
                    },
                ),
                apply(_W, widget("a", size=1), fields={"status": {"phase": "Done"}}),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "status in an apply of the main resource has no effect and is not owned",
            [
                apply(
                    _W,
                    widget("a", size=1, status={"phase": "Done"}),
                    status=201,
                    fields={_owned("applier"): {"f:spec": {"f:size": {}}}},
                    absent=["status"],
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "conditions of two controllers live side by side",
            [
                apply(_W, widget("a"), status=201),
                apply(
                    f"{_W}/status",
                    widget("a", status={"conditions": [{"type": "A", "status": "True"}]}),
                    manager="one",
                ),
                apply(
                    f"{_W}/status",
                    widget("a", status={"conditions": [{"type": "B", "status": "False"}]}),
                    manager="two",
                    fields={
                        "status.conditions": [
                            {"type": "A", "status": "True"},
                            {"type": "B", "status": "False"},
                        ]
                    },
                ),
                apply(
                    f"{_W}/status",
                    widget("a", status={"conditions": [{"type": "A", "status": "False"}]}),
                    manager="two",
                    status=409,
                    causes=['.status.conditions[type="A"].status'],
                    message='conflict with "one" with subresource "status"',
                ),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "the status of what does not exist is not found",
            [apply(f"{_W}/status", widget("a", status={"phase": "x"}), status=404)],
            given=[WIDGET_CRD],
        ),
        Case(
            "a pod's status is applied as kubelets do",
            [
                apply(
                    f"{PODS}/a/status",
                    {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "metadata": {"name": "a"},
                        "status": {"conditions": [{"type": "Mine", "status": "True"}]},
                    },
                    fields={
                        "status.conditions[type=Mine].status": "True",
                        "status.phase": "Pending",
                        _owned("applier"): {
                            "f:status": {
                                "f:conditions": {'k:{"type":"Mine"}': {".": {}, "f:status": {}, "f:type": {}}}
                            }
                        },
                    },
                )
            ],
            given=[pod("a")],
        ),
        # From client-side apply
        Case(
            "an object made before any apply: its fields belong to before-first-apply if nobody is recorded",
            [
                put(
                    _A, configmap("a", data={"x": "1"}, managedFields=[{}]), absent=["metadata.managedFields"]
                ),
                apply(
                    _A,
                    configmap("a", data={"x": "2"}),
                    status=409,
                    message='conflict with "before-first-apply" using v1: .data.x',
                ),
                apply(
                    _A,
                    configmap("a", data={"y": "1"}),
                    fields={
                        _owned("before-first-apply"): {"f:data": {".": {}, "f:x": {}}},
                        _owned("applier"): {"f:data": {"f:y": {}}},
                    },
                ),
            ],
            given=[configmap("a", data={"x": "1"})],
        ),
        Case(
            "an update of an object without managers records none",
            [
                put(
                    _A, configmap("a", data={"x": "1"}, managedFields=[{}]), absent=["metadata.managedFields"]
                ),
                patch(_A, {"data": {"y": "1"}}, absent=["metadata.managedFields"]),
            ],
            given=[configmap("a", data={"x": "1"})],
        ),
        Case(
            "kubectl that turns to server-side apply may change what it applied client-side",
            [
                post(
                    CONFIGMAPS,
                    _last_applied(configmap("a", data={"x": "1", "y": "1"})),
                    query={"fieldManager": "kubectl-client-side-apply"},
                ),
                apply(
                    _A,
                    configmap("a", data={"x": "2", "y": "1"}),
                    manager="kubectl",
                    fields={"data.x": "2", _owned("kubectl"): PRESENT},
                ),
            ],
        ),
        Case(
            "kubectl that turns to server-side apply refreshes the last-applied annotation",
            [
                post(
                    CONFIGMAPS,
                    _last_applied(configmap("a", data={"x": "1"})),
                    query={"fieldManager": "kubectl-client-side-apply"},
                ),
                apply(
                    _A,
                    configmap("a", data={"x": "2"}),
                    manager="kubectl",
                    fields={f'metadata.annotations["{_LAST_APPLIED}"]': Like('"x":"2"')},
                ),
            ],
        ),
        Case(
            "another manager than kubectl does not inherit from client-side apply",
            [
                post(
                    CONFIGMAPS,
                    _last_applied(configmap("a", data={"x": "1"})),
                    query={"fieldManager": "kubectl-client-side-apply"},
                ),
                apply(
                    _A,
                    configmap("a", data={"x": "2"}),
                    status=409,
                    message='conflict with "kubectl-client-side-apply" using v1',
                ),
            ],
        ),
        Case(
            "what the last-applied annotation claims is kubectl's, whoever is recorded",
            [
                post(
                    CONFIGMAPS,
                    _last_applied(configmap("a", data={"x": "1"})),
                    query={"fieldManager": "other"},
                ),
                apply(_A, configmap("a", data={"x": "2"}), manager="kubectl", fields={"data.x": "2"}),
            ],
        ),
        Case(
            "kubectl's upgrade of managers is a JSON patch that is taken as it is",
            [
                get(_A, save={"rv": "metadata.resourceVersion"}),
                patch(
                    _A,
                    [
                        {
                            "op": "replace",
                            "path": "/metadata/managedFields",
                            "value": [
                                {
                                    "manager": "kubectl",
                                    "operation": "Apply",
                                    "apiVersion": "v1",
                                    "time": "2026-01-01T00:00:00Z",
                                    "fieldsType": "FieldsV1",
                                    "fieldsV1": {"f:data": {"f:x": {}}},
                                }
                            ],
                        },
                        {"op": "replace", "path": "/metadata/resourceVersion", "value": "{rv}"},
                    ],
                    "application/json-patch+json",
                    fields={
                        "metadata.managedFields": Length(1),
                        "metadata.managedFields[0].manager": "kubectl",
                        "metadata.managedFields[0].operation": "Apply",
                        "metadata.managedFields[0].time": "2026-01-01T00:00:00Z",
                        "metadata.resourceVersion": Not("{rv}"),
                    },
                ),
                apply(_A, configmap("a", data={"y": "1"}), manager="kubectl", fields={"data": {"y": "1"}}),
            ],
            given=[configmap("a", data={"x": "1"})],
        ),
        Case(
            "more than ten updaters are folded into ancient-changes",
            [
                *[patch(_A, {"data": {f"k{n}": "1"}}, query={"fieldManager": f"m{n}"}) for n in range(11)],
                get(
                    _A,
                    fields={
                        "metadata.managedFields": Length(10),
                        "metadata.managedFields[manager=ancient-changes].operation": "Update",
                        "metadata.managedFields[manager=m10].operation": "Update",
                    },
                ),
            ],
            given=[configmap("a", data={"x": "1"})],
        ),
    ],
)


@each(TABLE)
def test_apply(case: Case, player: Player) -> None:
    player.play(case)
