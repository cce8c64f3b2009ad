"""What an answer looks like: Tables, metadata only, media types, gzip, HEAD."""

from __future__ import annotations

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    METADATA_FORM,
    METADATA_LIST_FORM,
    PODS,
    TABLE_FORM,
    Case,
    Has,
    Length,
    Like,
    Not,
    Step,
    configmap,
    delete,
    each,
    get,
    patch,
    pod,
    post,
    table,
)
from tests.conformance.play import Player
from tests.conformance.widgets import GEAR_CRD, GEARS, WIDGET_CRD, WIDGETS, gear, widget

_L, _A = CONFIGMAPS, f"{CONFIGMAPS}/a"
_ONE = [configmap("a", data={"x": "1", "y": "2"})]
_TABLE = {"Accept": f"{TABLE_FORM},application/json"}
_META = {"Accept": f"{METADATA_FORM},application/json"}
_METAS = {"Accept": f"{METADATA_LIST_FORM},application/json"}
_BIG = configmap("big", data={"x": "y" * 200_000})

TABLE = table(
    "forms",
    [
        Case(
            "a list as a Table has columns and a row an object",
            [
                get(
                    _L,
                    headers=_TABLE,
                    fields={
                        "kind": "Table",
                        "apiVersion": "meta.k8s.io/v1",
                        "metadata.resourceVersion": Like(r"\d"),
                        "columnDefinitions[0].name": "Name",
                        "columnDefinitions[0].type": "string",
                        "columnDefinitions[0].format": "name",
                        "columnDefinitions[0].priority": 0,
                        "columnDefinitions[1].name": "Data",
                        "columnDefinitions[2].name": "Age",
                        "rows": Length(1),
                        "rows[0].cells[0]": "a",
                        "rows[0].cells[1]": 2,
                        "rows[0].cells[2]": Like(r"^\d+s$"),
                        "rows[0].object.kind": "PartialObjectMetadata",
                        "rows[0].object.apiVersion": "meta.k8s.io/v1",
                        "rows[0].object.metadata.name": "a",
                    },
                    absent=["rows[0].object.data"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "one object as a Table",
            [
                get(
                    _A,
                    headers=_TABLE,
                    fields={
                        "kind": "Table",
                        "rows": Length(1),
                        "metadata.resourceVersion": Like(r"\d"),
                        "rows[0].cells[0]": "a",
                    },
                )
            ],
            given=_ONE,
        ),
        Case(
            "rows carry the whole object or nothing, as asked",
            [
                get(
                    _L,
                    headers=_TABLE,
                    query={"includeObject": "Object"},
                    fields={"rows[0].object.data.x": "1", "rows[0].object.kind": "ConfigMap"},
                ),
                get(_L, headers=_TABLE, query={"includeObject": "None"}, absent=["rows[0].object"]),
                get(
                    _L,
                    headers=_TABLE,
                    query={"includeObject": "Metadata"},
                    fields={"rows[0].object.kind": "PartialObjectMetadata"},
                ),
                get(_L, headers=_TABLE, query={"includeObject": "Some"}, status=400, reason="BadRequest"),
            ],
            given=_ONE,
        ),
        Case(
            "an empty Table still has columns",
            [get(_L, headers=_TABLE, fields={"columnDefinitions": Length(3), "rows": []})],
        ),
        Case(
            "a Table has pages",
            [
                get(
                    _L,
                    headers=_TABLE,
                    query={"limit": "1"},
                    fields={
                        "rows": Length(1),
                        "metadata.continue": Like("."),
                        "metadata.remainingItemCount": 1,
                    },
                )
            ],
            given=[configmap("a"), configmap("b")],
        ),
        Case(
            "a pod's Table is what kubectl prints",
            [
                get(
                    PODS,
                    headers=_TABLE,
                    fields={
                        "rows[0].cells[0]": "a",
                        "rows[0].cells[1]": "0/1",
                        "rows[0].cells[2]": "Pending",
                        "rows[0].cells[3]": "0",
                        "columnDefinitions[1].name": "Ready",
                        "columnDefinitions[2].name": "Status",
                        "columnDefinitions[3].name": "Restarts",
                        "columnDefinitions[5].name": "IP",
                        "columnDefinitions[5].priority": 1,
                        "columnDefinitions[6].name": "Node",
                        "columnDefinitions[7].name": "Nominated Node",
                        "columnDefinitions[8].name": "Readiness Gates",
                        "rows[0].cells[6]": "<none>",
                    },
                )
            ],
            given=[pod("a")],
        ),
        Case(
            "a custom kind's Table has its columns",
            [
                get(
                    WIDGETS,
                    headers=_TABLE,
                    fields={
                        "columnDefinitions[1].name": "Size",
                        "columnDefinitions[1].type": "integer",
                        "columnDefinitions[2].name": "Color",
                        "columnDefinitions[2].priority": 1,
                        "columnDefinitions[3].name": "Age",
                        "columnDefinitions[3].type": "date",
                        "rows[0].cells[0]": "a",
                        "rows[0].cells[1]": 3,
                        "rows[0].cells[2]": "red",
                        "rows[0].cells[3]": Like(r"^\d+s$"),
                    },
                )
            ],
            given=[WIDGET_CRD, widget("a", size=3)],
        ),
        Case(
            "a custom kind without columns has Name and Age",
            [
                get(
                    f"{GEARS}/a-{{id}}",
                    headers=_TABLE,
                    fields={
                        "columnDefinitions": Length(2),
                        "columnDefinitions[1].name": "Age",
                        "rows[0].cells[0]": "a-{id}",
                    },
                )
            ],
            given=[GEAR_CRD, gear("a-{id}")],
        ),
        Case(
            "metadata of one object only",
            [
                get(
                    _A,
                    headers=_META,
                    fields={
                        "kind": "PartialObjectMetadata",
                        "apiVersion": "meta.k8s.io/v1",
                        "metadata.name": "a",
                        "metadata.uid": Not(None),
                    },
                    absent=["data"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "metadata of a list only",
            [
                get(
                    _L,
                    headers=_METAS,
                    fields={
                        "kind": "PartialObjectMetadataList",
                        "apiVersion": "meta.k8s.io/v1",
                        "items": Length(1),
                        "items[0].metadata.name": "a",
                        "metadata.resourceVersion": Like(r"\d"),
                    },
                    absent=["items[0].data"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "a write can be answered with metadata only",
            [
                post(
                    _L,
                    configmap("b", data={"x": "1"}),
                    headers=_META,
                    absent=["data"],
                    fields={"kind": "PartialObjectMetadata", "metadata.name": "b"},
                ),
                patch(
                    f"{_L}/b",
                    {"data": {"x": "2"}},
                    headers=_META,
                    absent=["data"],
                    fields={"kind": "PartialObjectMetadata"},
                ),
                get(f"{_L}/b", fields={"data.x": "2"}),
            ],
        ),
        Case(
            "a write can be answered with a Table",
            [
                post(_L, configmap("b"), headers=_TABLE, fields={"kind": "Table", "rows[0].cells[0]": "b"}),
                delete(f"{_L}/b", headers=_TABLE, fields={"kind": "Status"}),
            ],
        ),
        Case(
            "a collection of metadata is paged",
            [
                get(_L, headers=_METAS, query={"limit": "1"}, fields={"metadata.continue": Like(".")}),
            ],
            given=[configmap("a"), configmap("b")],
        ),
        # Negotiation
        Case(
            "the first acceptable form wins",
            [
                get(_A, headers={"Accept": "application/json"}, fields={"kind": "ConfigMap"}),
                get(_A, headers={"Accept": "*/*"}, fields={"kind": "ConfigMap"}),
                get(_A, headers={"Accept": f"text/html, {TABLE_FORM}"}, fields={"kind": "Table"}),
                get(
                    _A,
                    headers={"Accept": "application/json;as=Nonsense;v=v1;g=meta.k8s.io,application/json"},
                    fields={"kind": "ConfigMap"},
                ),
            ],
            given=_ONE,
        ),
        Case(
            "nothing acceptable is 406",
            [
                get(
                    _A,
                    headers={"Accept": "text/html"},
                    status=406,
                    reason="NotAcceptable",
                    message="application/json",
                ),
                get(_L, headers={"Accept": "application/xml"}, status=406),
            ],
            given=_ONE,
        ),
        Case(
            "answers are application/json",
            [
                get(_A, answer_headers={"Content-Type": "application/json"}),
                get(f"{_L}/nothing", status=404, answer_headers={"Content-Type": "application/json"}),
            ],
            given=_ONE,
        ),
        Case(
            "an accepted charset does no harm",
            [get(_A, headers={"Accept": "application/json;charset=utf-8"}, fields={"kind": "ConfigMap"})],
            given=_ONE,
        ),
        Case(
            "large answers are compressed for who takes gzip",
            [
                get(
                    f"{_L}/big",
                    headers={"Accept-Encoding": "gzip"},
                    fields={"data.x": Length(200_000)},
                    answer_headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
                ),
                get(f"{_L}/big", fields={"data.x": Length(200_000)}, answer_headers={"Content-Encoding": ""}),
                get(_A, headers={"Accept-Encoding": "gzip"}, answer_headers={"Content-Encoding": ""}),
            ],
            given=[*_ONE, _BIG],
        ),
        Case(
            "every answer says that it must not be cached without asking",
            [get(_A, answer_headers={"Cache-Control": "no-cache, private"})],
            given=_ONE,
        ),
        Case(
            "HEAD is GET without a body",
            [Step("HEAD", _A, status=(200, 405))],
            given=_ONE,
        ),
        Case(
            "pretty answers are the same JSON",
            [get(_A, query={"pretty": "true"}, fields={"data": {"x": "1", "y": "2"}})],
            given=_ONE,
        ),
        Case(
            "namespaces and nodes print what kubectl prints",
            [
                get(
                    f"{CORE}/namespaces/{{ns}}",
                    headers=_TABLE,
                    fields={
                        "rows[0].cells": Has(["{ns}", "Active"]),
                        "columnDefinitions[1].name": "Status",
                        "columnDefinitions[2].name": "Age",
                    },
                ),
                get(
                    f"{CORE}/nodes/n-{{id}}",
                    headers=_TABLE,
                    fields={
                        "rows[0].cells[0]": "n-{id}",
                        "rows[0].cells[1]": Like("Unknown|NotReady"),
                        "columnDefinitions[2].name": "Roles",
                        "columnDefinitions[4].name": "Version",
                    },
                ),
            ],
            given=[{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n-{id}"}}],
        ),
    ],
)


@each(TABLE)
def test_forms(case: Case, player: Player) -> None:
    player.play(case)
