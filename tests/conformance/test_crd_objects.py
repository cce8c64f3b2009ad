"""Objects of CRDs: defaults, pruning, validation, changes, versions, and the end of a definition."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    APPLY,
    CRDS,
    PRESENT,
    TABLE_FORM,
    Case,
    Has,
    Json,
    Length,
    Like,
    crd,
    delete,
    each,
    get,
    patch,
    post,
    put,
    table,
)
from tests.conformance.play import Player

GROUP = "objects.conformance.dev"
CRATES = f"/apis/{GROUP}/v1/namespaces/{{ns}}/crates"
_TEXT: Json = {"type": "string"}
_INT: Json = {"type": "integer"}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


_SPEC = _object(
    size={"type": "integer", "default": 1, "minimum": 0, "maximum": 10},
    ratio={"type": "number", "exclusiveMinimum": True, "minimum": 0, "multipleOf": 0.5},
    color={"type": "string", "enum": ["red", "green"]},
    name={"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
    short={"type": "integer", "format": "int32"},
    flag={"type": "boolean", "default": True},
    nested={**_object(a={"type": "string", "default": "x"}, b=_TEXT), "default": {}},
    bare=_object(a={"type": "string", "default": "y"}),
    list={
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": _object(a={"type": "integer", "default": 5}, b=_TEXT),
    },
    set={"type": "array", "x-kubernetes-list-type": "set", "items": _TEXT},
    keyed={
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {**_object(name=_TEXT, value={"type": "string", "maxLength": 3}), "required": ["name"]},
    },
    map={
        "type": "object",
        "maxProperties": 2,
        "additionalProperties": _object(a={"type": "integer", "default": 7}),
    },
    free={**_object(known=_object(a=_TEXT)), "x-kubernetes-preserve-unknown-fields": True},
    either={"x-kubernetes-int-or-string": True},
    none={"type": "string", "nullable": True},
    noneDefault={"type": "string", "nullable": True, "default": "d"},
    notNull={"type": "string", "default": "d"},
    need={**_object(a=_TEXT), "required": ["a"]},
    embedded={
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    },
    one={**_object(a=_INT, b=_INT), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    any={**_object(a=_INT, b=_INT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    every={**_INT, "allOf": [{"minimum": 2}, {"maximum": 4}]},
    never={**_INT, "not": {"enum": [3]}},
    date={"type": "string", "format": "date-time"},
    day={"type": "string", "format": "date"},
    span={"type": "string", "format": "duration"},
    bytes={"type": "string", "format": "byte"},
    uuid={"type": "string", "format": "uuid"},
    v4={"type": "string", "format": "ipv4"},
    v6={"type": "string", "format": "ipv6"},
    cidr={"type": "string", "format": "cidr"},
    uri={"type": "string", "format": "uri"},
    email={"type": "string", "format": "email"},
    host={"type": "string", "format": "hostname"},
    mac={"type": "string", "format": "mac"},
    label={"type": "string", "format": "k8s-short-name"},
)

CRATE_CRD = crd(
    "crates",
    GROUP,
    {"type": "object", "properties": {"spec": _SPEC, "status": _object(phase=_TEXT)}},
    version={"subresources": {"status": {}}},
)


def crate(named: str = "a", /, **spec: Any) -> Json:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Crate", "metadata": {"name": named}, "spec": spec}


def _case(name: str, *steps: Any) -> Case:
    return Case(name, steps, given=[CRATE_CRD])


def _wrong(title: str, field: str, /, *says: str, **spec: Any) -> Case:
    return _case(title, post(CRATES, crate(**spec), status=422, causes=[field], message=says))


def _formats() -> list[Case]:
    rows = {
        "date": ("2024-02-29T10:00:00.5Z", "2024-02-30T10:00:00Z"),
        "day": ("2024-02-29", "2024-2-9"),
        "span": ("1h30m", "1 parsec"),
        "bytes": ("YWI=", "a b"),
        "uuid": ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810"),
        "v4": ("10.0.0.1", "10.0.0.256"),
        "v6": ("::1", "10.0.0.1"),
        "cidr": ("10.0.0.0/8", "10.0.0.0"),
        "uri": ("https://a/b", "a b"),
        "email": ("a@b.c", "a b"),
        "host": ("a.example", "-a"),
        "mac": ("00:11:22:33:44:55", "00:11"),
        "label": ("a-b", "A"),
    }
    return [
        _case(
            f"format {_SPEC['properties'][key]['format']}",
            post(CRATES, crate("good", **{key: good})),
            post(
                CRATES,
                crate("bad", **{key: bad}),
                status=422,
                causes=[f"spec.{key}"],
                message="must be of type",
            ),
        )
        for key, (good, bad) in rows.items()
    ]


_V1: Json = {"name": "v1", "served": True, "storage": True}
_SIMPLE = {"type": "object", "properties": {"spec": _object(a=_TEXT, b={"type": "string", "default": "new"})}}
_PLAIN = {"type": "object", "properties": {"spec": _object(a=_TEXT, c=_TEXT)}}


def _box_crd(*versions: Json) -> Json:
    return crd(
        "boxes",
        "{id}." + GROUP,
        names={"plural": "boxes", "kind": "Box", "singular": "box"},
        versions=list(versions),
    )


def _boxes(version: str = "v1") -> str:
    return f"/apis/{{id}}.{GROUP}/{version}/namespaces/{{ns}}/boxes"


def _box(name: str = "a", version: str = "v1", **spec: Any) -> Json:
    return {
        "apiVersion": f"{{id}}.{GROUP}/{version}",
        "kind": "Box",
        "metadata": {"name": name},
        "spec": spec,
    }


_BOX = f"{CRDS}/boxes.{{id}}.{GROUP}"


def _with(schema: Json, **version: Any) -> Json:
    return {**_V1, "schema": {"openAPIV3Schema": schema}, **version}


_READY = {"status": 200, "within": 20.0}

TABLE = table(
    "crd objects",
    [
        # Defaults
        _case(
            "defaults are filled in where their holder is",
            post(
                CRATES,
                crate(list=[{}], map={"k": {}}),
                fields={
                    "spec.size": 1,
                    "spec.flag": True,
                    "spec.nested": {"a": "x"},
                    "spec.list": [{"a": 5}],
                    "spec.map": {"k": {"a": 7}},
                    "spec.notNull": "d",
                },
                absent=["spec.bare"],
            ),
        ),
        _case(
            "null takes the default where it is not allowed",
            post(
                CRATES,
                crate(notNull=None, noneDefault=None),
                fields={"spec.notNull": "d", "spec.noneDefault": None},
            ),
        ),
        _case("null stays where it is allowed", post(CRATES, crate(none=None), fields={"spec.none": None})),
        _case(
            "null without a default goes",
            post(CRATES, crate(color=None, list=[{"b": None}]), absent=["spec.color", "spec.list[0].b"]),
        ),
        # Pruning
        _case(
            "undeclared fields go",
            post(
                CRATES,
                {**crate(size=2, odd=1, nested={"odd": 1}, list=[{"odd": 1}]), "odd": 1},
                absent=["odd", "spec.odd", "spec.nested.odd", "spec.list[0].odd"],
            ),
        ),
        _case(
            "undeclared fields are said where that is wanted",
            post(
                CRATES, crate(odd=1), query={"fieldValidation": "Warn"}, warnings=['unknown field "spec.odd"']
            ),
            post(
                CRATES,
                crate("b", odd=1),
                query={"fieldValidation": "Strict"},
                status=400,
                message='unknown field "spec.odd"',
            ),
        ),
        _case(
            "what keeps unknown fields prunes below what it declares",
            post(
                CRATES,
                crate(free={"odd": {"x": 1}, "known": {"odd": 1}}),
                fields={"spec.free": {"odd": {"x": 1}, "known": {}}},
            ),
        ),
        _case(
            "an embedded resource keeps its fields",
            post(
                CRATES,
                crate(
                    embedded={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": 1}}
                ),
                fields={"spec.embedded.spec": {"a": 1}},
            ),
        ),
        # Values
        _wrong("a text for a number", "spec.size", "must be of type integer", size="x"),
        _wrong("too small", "spec.size", "should be greater than or equal to 0", size=-1),
        _wrong("too big", "spec.size", "should be less than or equal to 10", size=11),
        _wrong("not above an exclusive minimum", "spec.ratio", "should be greater than 0", ratio=0),
        _wrong("no multiple", "spec.ratio", "should be a multiple of 0.5", ratio=0.75),
        _wrong(
            "beyond int32", "<nil>", "must be of type integer with format int32 in spec.short", short=2**40
        ),
        _wrong(
            "not one of the allowed",
            "spec.color",
            'Unsupported value: "blue": supported values: "red", "green"',
            color="blue",
        ),
        _wrong("too short", "spec.name", "should be at least 2 chars long", name="a"),
        _wrong("too long", "spec.name", "Too long", name="abcde"),
        _wrong("no match", "spec.name", "should match '^[a-z]+$'", name="A1"),
        _wrong("too few items", "spec.list", "should have at least 1 items", list=[]),
        _wrong("too many items", "spec.list", "Too many: 3: must have at most 2 items", list=[{}, {}, {}]),
        _wrong("too many keys", "spec.map", "must have at most 2 items", map={"a": {}, "b": {}, "c": {}}),
        _wrong("a missing field", "spec.need.a", "Required value", need={}),
        _wrong("twice in a set", "spec.set[1]", 'Duplicate value: "a"', set=["a", "a"]),
        _wrong(
            "twice the same key",
            "spec.keyed[1]",
            'Duplicate value: {"name":"a"}',
            keyed=[{"name": "a"}, {"name": "a"}],
        ),
        _case(
            "a number or a text",
            post(CRATES, crate("a", either=1)),
            post(CRATES, crate("b", either="50%")),
            post(CRATES, crate("c", either=True), status=422, causes=["spec.either"]),
        ),
        _case(
            "one of two",
            post(CRATES, crate("a", one={"a": 1})),
            post(
                CRATES,
                crate("b", one={"a": 1, "b": 1}),
                status=422,
                message="must validate one and only one schema (oneOf)",
            ),
        ),
        _case(
            "any of two",
            post(CRATES, crate("a", any={"a": 1, "b": 1})),
            post(CRATES, crate("b", any={}), status=422, message="must validate at least one schema (anyOf)"),
        ),
        _case(
            "all of two",
            post(CRATES, crate("a", every=3)),
            post(CRATES, crate("b", every=5), status=422, message="should be less than or equal to 4"),
        ),
        _case(
            "not",
            post(CRATES, crate("a", never=2)),
            post(CRATES, crate("b", never=3), status=422, message="must not validate the schema (not)"),
        ),
        *_formats(),
        # Changes
        _case(
            "status has writers of its own",
            post(
                CRATES,
                {**crate(size=2), "status": {"phase": "x"}},
                absent=["status"],
                fields={"metadata.generation": 1},
            ),
            patch(
                f"{CRATES}/a/status",
                {"status": {"phase": "y"}, "spec": {"size": 9}},
                fields={"status.phase": "y", "spec.size": 2, "metadata.generation": 1},
            ),
            patch(
                f"{CRATES}/a",
                {"status": {"phase": "z"}, "spec": {"size": 3}},
                fields={"status.phase": "y", "spec.size": 3, "metadata.generation": 2},
            ),
        ),
        Case(
            "what became wrong may stay as it was, but not be changed to something wrong",
            [
                post(CRDS, _box_crd(_with(_PLAIN))),
                post(_boxes(), _box(a="long text", c="x"), status=201, within=20.0),
                patch(
                    _BOX,
                    {
                        "spec": {
                            "versions": [
                                _with(
                                    {
                                        "type": "object",
                                        "properties": {
                                            "spec": _object(a={"type": "string", "maxLength": 3}, c=_TEXT)
                                        },
                                    }
                                )
                            ]
                        }
                    },
                ),
                post(_boxes(), _box("b", a="long text"), status=422, within=20.0, message="Too long"),
                patch(f"{_boxes()}/a", {"spec": {"c": "y"}}, fields={"spec.c": "y"}),
                patch(f"{_boxes()}/a", {"spec": {"a": "other long text"}}, status=422, causes=["spec.a"]),
                patch(f"{_boxes()}/a", {"spec": {"a": "ok"}}),
            ],
        ),
        Case(
            "a new rule lets unchanged parts through",
            [
                post(CRDS, _box_crd(_with(_PLAIN))),
                post(_boxes(), _box(a="bad", c="x"), status=201, within=20.0),
                patch(
                    _BOX,
                    {
                        "spec": {
                            "versions": [
                                _with(
                                    {
                                        "type": "object",
                                        "properties": {
                                            "spec": _object(
                                                a={
                                                    **_TEXT,
                                                    "x-kubernetes-validations": [{"rule": "self == 'good'"}],
                                                },
                                                c=_TEXT,
                                            )
                                        },
                                    }
                                )
                            ]
                        }
                    },
                ),
                post(
                    _boxes(),
                    _box("b", a="bad"),
                    status=422,
                    within=20.0,
                    message="failed rule: self == 'good'",
                ),
                patch(f"{_boxes()}/a", {"spec": {"c": "y"}}, fields={"spec.c": "y"}),
                patch(f"{_boxes()}/a", {"spec": {"a": "worse"}}, status=422, causes=["spec.a"]),
            ],
        ),
        Case(
            "a new default is seen on what is stored",
            [
                post(CRDS, _box_crd(_with(_PLAIN))),
                post(_boxes(), _box(a="x", c="gone"), status=201, within=20.0),
                patch(_BOX, {"spec": {"versions": [_with(_SIMPLE)]}}),
                get(f"{_boxes()}/a", fields={"spec": {"a": "x", "b": "new"}}, within=20.0),
                get(_boxes(), fields={"items[0].spec": {"a": "x", "b": "new"}}, within=20.0),
            ],
        ),
        # Versions
        Case(
            "versions differ in nothing but apiVersion and schema",
            [
                post(
                    CRDS,
                    _box_crd(_with(_SIMPLE), _with(_PLAIN, name="v2", storage=False)),
                    fields={"status.storedVersions": ["v1"]},
                ),
                post(_boxes(), _box(a="x"), status=201, within=20.0),
                get(f"{_boxes('v2')}/a", fields={"apiVersion": "{id}." + f"{GROUP}/v2", "spec": {"a": "x"}}),
                put(
                    f"{_boxes('v2')}/a",
                    _box(version="v2", a="x"),
                    status=422,
                    message="must be specified for an update",
                ),
                post(_boxes("v2"), _box("b", "v2", a="y", c="z"), fields={"spec": {"a": "y"}}),
                get(f"{_boxes()}/b", fields={"spec": {"a": "y", "b": "new"}}),
            ],
        ),
        Case(
            "stored versions are remembered",
            [
                post(CRDS, _box_crd(_with(_PLAIN), _with(_PLAIN, name="v2", storage=False))),
                patch(
                    _BOX,
                    {"spec": {"versions": [_with(_PLAIN, storage=False), _with(_PLAIN, name="v2")]}},
                    fields={"status.storedVersions": ["v1", "v2"]},
                ),
                patch(
                    _BOX,
                    {"spec": {"versions": [_with(_PLAIN, name="v2")]}},
                    status=422,
                    message="v1 was previously a storage version",
                ),
                patch(
                    f"{_BOX}/status",
                    {"status": {"storedVersions": ["v2"]}},
                    fields={"status.storedVersions": ["v2"]},
                    within=5.0,
                ),
                patch(_BOX, {"spec": {"versions": [_with(_PLAIN, name="v2")]}}),
            ],
        ),
        Case(
            "a deprecated version warns",
            [
                post(CRDS, _box_crd(_with(_PLAIN, deprecated=True), _with(_PLAIN, name="v2", storage=False))),
                get(
                    _boxes(),
                    status=200,
                    within=20.0,
                    warnings=["{id}." + f"{GROUP}/v1 Box is deprecated; use " + "{id}." + f"{GROUP}/v2 Box"],
                ),
                get(_boxes("v2"), warnings=()),
            ],
        ),
        Case(
            "a version that is not served is not found",
            [
                post(CRDS, _box_crd(_with(_PLAIN), _with(_PLAIN, name="v2", storage=False, served=False))),
                get(_boxes(), **_READY),
                get(_boxes("v2"), status=404),
                patch(_BOX, {"spec": {"versions": [_with(_PLAIN), _with(_PLAIN, name="v2", storage=False)]}}),
                get(_boxes("v2"), **_READY),
            ],
        ),
        # Definitions
        Case(
            "a definition is established",
            [
                post(CRDS, _box_crd(_with(_PLAIN))),
                get(
                    _BOX,
                    within=20.0,
                    fields={
                        "status.conditions[type=NamesAccepted].reason": "NoConflicts",
                        "status.conditions[type=Established].status": "True",
                        "status.conditions[type=Established].reason": "InitialNamesAccepted",
                        "status.acceptedNames.plural": "boxes",
                        "status.acceptedNames.listKind": "BoxList",
                    },
                ),
                get(f"/apis/{{id}}.{GROUP}/v1", within=20.0, fields={"resources[name=boxes].kind": "Box"}),
            ],
        ),
        Case(
            "a kind's name belongs to one definition",
            [
                post(CRDS, _box_crd(_with(_PLAIN))),
                get(_BOX, within=20.0, fields={"status.conditions[type=Established].status": "True"}),
                post(
                    CRDS,
                    crd(
                        "cases",
                        "{id}." + GROUP,
                        _PLAIN,
                        names={"plural": "cases", "kind": "Box", "singular": "box"},
                    ),
                ),
                get(
                    f"{CRDS}/cases.{{id}}.{GROUP}",
                    within=20.0,
                    fields={
                        "status.conditions[type=NamesAccepted].status": "False",
                        "status.conditions[type=Established].status": "False",
                        "status.conditions[type=Established].reason": "NotAccepted",
                    },
                ),
                delete(_BOX),
                get(
                    f"{CRDS}/cases.{{id}}.{GROUP}",
                    within=30.0,
                    fields={"status.conditions[type=NamesAccepted].status": "True"},
                ),
            ],
        ),
        Case(
            "scope and kind do not change once established",
            [
                post(CRDS, _box_crd(_with(_PLAIN))),
                get(_BOX, within=20.0, fields={"status.conditions[type=Established].status": "True"}),
                patch(
                    _BOX,
                    {"spec": {"scope": "Cluster"}},
                    status=422,
                    causes=["spec.scope"],
                    message="field is immutable",
                ),
                patch(_BOX, {"spec": {"names": {"kind": "Other"}}}, status=422, causes=["spec.names.kind"]),
            ],
        ),
        Case(
            "a definition takes its objects along",
            [
                post(CRDS, _box_crd(_with(_PLAIN))),
                post(_boxes(), _box(a="x"), status=201, within=20.0),
                delete(_BOX),
                get(_BOX, status=404, within=30.0),
                get(_boxes(), status=404, within=20.0),
                post(CRDS, _box_crd(_with(_PLAIN))),
                get(_boxes(), within=20.0, status=200, fields={"items": Length(0)}),
            ],
        ),
        Case(
            "objects with finalizers keep their definition",
            [
                post(CRDS, _box_crd(_with(_PLAIN))),
                post(
                    _boxes(),
                    {**_box(a="x"), "metadata": {"name": "a", "finalizers": ["x.dev/wait"]}},
                    status=201,
                    within=20.0,
                ),
                delete(
                    _BOX,
                    fields={
                        "metadata.finalizers": ["customresourcecleanup.apiextensions.k8s.io"],
                        "status.conditions[type=Terminating].status": "True",
                    },
                ),
                get(f"{_boxes()}/a", within=20.0, fields={"metadata.deletionTimestamp": PRESENT}),
                post(
                    _boxes(),
                    _box("b"),
                    status=403,
                    within=5.0,
                    message="create not allowed while custom resource definition is terminating",
                ),
                get(_BOX, fields={"status.conditions[type=Terminating].status": "True"}),
                patch(f"{_boxes()}/a", {"metadata": {"finalizers": None}}),
                get(_BOX, status=404, within=40.0),
            ],
        ),
        Case(
            "columns print what their paths find",
            [
                post(
                    CRDS,
                    _box_crd(
                        _with(
                            {
                                "type": "object",
                                "properties": {
                                    "spec": _object(
                                        a=_TEXT,
                                        n=_INT,
                                        f={"type": "boolean"},
                                        d={"type": "number"},
                                        t=_TEXT,
                                        l={"type": "array", "items": _TEXT},
                                    )
                                },
                            },
                            additionalPrinterColumns=[
                                {
                                    "name": "A",
                                    "type": "string",
                                    "jsonPath": ".spec.a",
                                    "description": "about a",
                                },
                                {"name": "N", "type": "integer", "jsonPath": ".spec.n"},
                                {"name": "F", "type": "boolean", "jsonPath": ".spec.f"},
                                {"name": "D", "type": "number", "jsonPath": ".spec.d"},
                                {"name": "L", "type": "string", "jsonPath": ".spec.l[*]", "priority": 1},
                                {"name": "Missing", "type": "string", "jsonPath": ".spec.zzz"},
                            ],
                        )
                    ),
                ),
                post(_boxes(), _box(a="x", n=3, f=True, d=1.5, l=["p", "q"]), status=201, within=20.0),
                get(
                    _boxes(),
                    headers={"Accept": TABLE_FORM},
                    within=5.0,
                    fields={
                        "columnDefinitions[0].name": "Name",
                        "columnDefinitions[1].description": "about a",
                        "columnDefinitions[5].priority": 1,
                        "rows[0].cells": ["a", "x", 3, True, 1.5, "p", None],
                    },
                ),
            ],
        ),
        Case(
            "selectable fields select",
            [
                post(CRDS, _box_crd(_with(_PLAIN, selectableFields=[{"jsonPath": ".spec.a"}]))),
                post(_boxes(), _box("one", a="x"), status=201, within=20.0),
                post(_boxes(), _box("two", a="y")),
                get(
                    _boxes(),
                    query={"fieldSelector": "spec.a=y"},
                    fields={"items": Length(1), "items[0].metadata.name": "two"},
                    within=5.0,
                ),
                get(_boxes(), query={"fieldSelector": "spec.c=y"}, status=400),
            ],
        ),
        Case(
            "a definition is applied",
            [
                patch(
                    _BOX,
                    _box_crd(_with(_PLAIN)),
                    APPLY,
                    query={"fieldManager": "m"},
                    status=201,
                    fields={"metadata.managedFields[0]": Has({"manager": "m"})},
                ),
                get(_boxes(), **_READY),
                patch(
                    _BOX,
                    _box_crd(_with(_SIMPLE)),
                    APPLY,
                    query={"fieldManager": "m"},
                    fields={"metadata.generation": 2},
                ),
                post(_boxes(), _box(a="x"), status=201, fields={"spec.b": "new"}, within=20.0),
                get(_BOX, fields={"metadata.uid": Like("^[0-9a-f-]{36}$")}),
            ],
        ),
    ],
)


@each(TABLE)
def test_objects(case: Case, player: Player) -> None:
    player.play(case)
    assert case.steps
