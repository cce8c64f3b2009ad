"""Watches: from a version on, from the start, with selectors, bookmarks and streaming lists."""

from __future__ import annotations

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    METADATA_FORM,
    TABLE_FORM,
    Case,
    Length,
    Like,
    configmap,
    delete,
    each,
    event,
    get,
    patch,
    post,
    table,
    watch,
)
from tests.conformance.play import Player
from tests.conformance.widgets import GROUP, WIDGET_CRD, WIDGETS, widget

_L = CONFIGMAPS
_RV = {"rv": "metadata.resourceVersion"}
_FROM = {"resourceVersion": "{rv}"}
_ENDS_INITIAL = {"k8s.io/initial-events-end": "true"}

TABLE = table(
    "watch",
    [
        Case(
            "a watch from a list's version brings every later change in order",
            [
                get(_L, save=_RV),
                post(_L, configmap("a", data={"x": "1"})),
                patch(f"{_L}/a", {"data": {"x": "2"}}),
                delete(f"{_L}/a"),
                watch(
                    _L,
                    event("ADDED", "a", data__x="1", kind="ConfigMap", apiVersion="v1"),
                    event("MODIFIED", "a", data__x="2"),
                    event("DELETED", "a", data__x="2"),
                    query=_FROM,
                ),
            ],
        ),
        Case(
            "a deleted object carries the version of its deletion",
            [
                delete(f"{_L}/a"),
                get(_L, save={"end": "metadata.resourceVersion"}),
                post(_L, configmap("b")),
                get(_L, query={"resourceVersion": "{end}", "resourceVersionMatch": "Exact"}, save=_RV),
                watch(_L, event("ADDED", "b"), query=_FROM),
            ],
            given=[configmap("a")],
        ),
        Case(
            "a watch without a version begins with what is there",
            [
                watch(_L, event("ADDED", "a"), event("ADDED", "b")),
                watch(_L, event("ADDED", "a"), event("ADDED", "b"), query={"resourceVersion": "0"}),
            ],
            given=[configmap("a"), configmap("b")],
        ),
        Case(
            "a watch ends after its timeout",
            [get(_L, save=_RV), watch(_L, query=_FROM)],
        ),
        Case(
            "a watch of one object by name",
            [
                get(_L, save=_RV),
                post(_L, configmap("b")),
                post(_L, configmap("a")),
                watch(_L, event("ADDED", "a"), query={**_FROM, "fieldSelector": "metadata.name=a"}),
            ],
        ),
        Case(
            "the old path of watches works too",
            [
                get(_L, save=_RV),
                post(_L, configmap("a")),
                watch(f"{CORE}/watch/namespaces/{{ns}}/configmaps", event("ADDED", "a"), query=_FROM),
            ],
        ),
        Case(
            "a selector makes objects enter and leave",
            [
                get(_L, save=_RV),
                post(_L, configmap("a", labels={"in": "no"})),
                patch(f"{_L}/a", {"metadata": {"labels": {"in": "yes"}}}),
                patch(f"{_L}/a", {"data": {"x": "1"}}),
                patch(
                    f"{_L}/a",
                    {"metadata": {"labels": {"in": "no"}}},
                    save={"left": "metadata.resourceVersion"},
                ),
                patch(f"{_L}/a", {"data": {"x": "2"}}),
                patch(f"{_L}/a", {"metadata": {"labels": {"in": "yes"}}}),
                watch(
                    _L,
                    event("ADDED", "a"),
                    event("MODIFIED", "a", data__x="1"),
                    event("DELETED", "a", metadata__resourceVersion="{left}", metadata__labels={"in": "yes"}),
                    event("ADDED", "a", data__x="2"),
                    query={**_FROM, "labelSelector": "in=yes"},
                ),
            ],
        ),
        Case(
            "a watch of all namespaces",
            [
                get(f"{CORE}/configmaps", save=_RV),
                post(_L, configmap("a", labels={"word": "{id}"})),
                watch(
                    f"{CORE}/configmaps",
                    event("ADDED", "a", metadata__namespace="{ns}"),
                    query={**_FROM, "labelSelector": "word={id}"},
                ),
            ],
        ),
        Case(
            "a version that is no number is refused",
            [
                get(
                    _L,
                    query={"watch": "true", "resourceVersion": "abc"},
                    status=(400, 422, 500),
                )
            ],
        ),
        Case(
            "a timeout that is no number is a bad request",
            [get(_L, query={"watch": "true", "timeoutSeconds": "x"}, status=400)],
        ),
        Case(
            "a match of versions is not for watches",
            [
                get(
                    _L,
                    query={"watch": "true", "resourceVersion": "1", "resourceVersionMatch": "Exact"},
                    status=422,
                    message="resourceVersionMatch is forbidden for watch unless sendInitialEvents is",
                    causes=["resourceVersionMatch"],
                )
            ],
        ),
        Case(
            "a streaming list brings what is there, then the bookmark that says so, then changes",
            [
                watch(
                    _L,
                    event("ADDED", "a"),
                    event("ADDED", "b"),
                    event(
                        "BOOKMARK",
                        kind="ConfigMap",
                        apiVersion="v1",
                        metadata__annotations=_ENDS_INITIAL,
                        metadata__resourceVersion=Like(r"^\d+$"),
                    ),
                    query={
                        "sendInitialEvents": "true",
                        "resourceVersionMatch": "NotOlderThan",
                        "allowWatchBookmarks": "true",
                    },
                )
            ],
            given=[configmap("a"), configmap("b")],
        ),
        Case(
            "a streaming list from version 0 and from a version",
            [
                get(f"{_L}/a", save=_RV),
                *[
                    watch(
                        _L,
                        event("ADDED", "a"),
                        event("BOOKMARK", metadata__annotations=_ENDS_INITIAL),
                        query={
                            "sendInitialEvents": "true",
                            "resourceVersionMatch": "NotOlderThan",
                            "allowWatchBookmarks": "true",
                            "resourceVersion": version,
                        },
                    )
                    for version in ("0", "{rv}")
                ],
            ],
            given=[configmap("a")],
        ),
        Case(
            "a streaming list needs bookmarks and NotOlderThan",
            [
                get(
                    _L,
                    query={"watch": "true", "sendInitialEvents": "true"},
                    status=422,
                    message="sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                    causes=["resourceVersionMatch"],
                ),
                get(
                    _L,
                    query={
                        "watch": "true",
                        "sendInitialEvents": "true",
                        "resourceVersionMatch": "Exact",
                        "allowWatchBookmarks": "true",
                    },
                    status=422,
                    causes=["resourceVersionMatch"],
                ),
            ],
        ),
        Case(
            "sendInitialEvents false begins now",
            [
                watch(
                    _L,
                    query={
                        "sendInitialEvents": "false",
                        "resourceVersionMatch": "NotOlderThan",
                    },
                )
            ],
            given=[configmap("a")],
        ),
        Case(
            "a streaming list of tables: the columns come once",
            [
                watch(
                    _L,
                    event("ADDED", "", kind="Table", rows=Length(1), columnDefinitions=Length(3)),
                    event("ADDED", "", kind="Table", rows=Length(1)),
                    headers={"Accept": TABLE_FORM},
                )
            ],
            given=[configmap("a"), configmap("b")],
        ),
        Case(
            "a watch of metadata only",
            [
                watch(
                    _L,
                    event("ADDED", "a", kind="PartialObjectMetadata", apiVersion="meta.k8s.io/v1", data=None),
                    headers={"Accept": METADATA_FORM},
                )
            ],
            given=[configmap("a", data={"x": "1"})],
        ),
        Case(
            "custom objects are watched like any other",
            [
                get(WIDGETS, save=_RV),
                post(WIDGETS, widget("a", size=1)),
                patch(f"{WIDGETS}/a/status", {"status": {"phase": "Done"}}),
                watch(
                    WIDGETS,
                    event("ADDED", "a", kind="Widget", apiVersion=f"{GROUP}/v1"),
                    event("MODIFIED", "a", status__phase="Done", spec__size=1),
                    query=_FROM,
                ),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "custom objects are watched by their fields",
            [
                get(WIDGETS, save=_RV),
                post(WIDGETS, widget("a", color="blue")),
                post(WIDGETS, widget("b")),
                patch(f"{WIDGETS}/b", {"spec": {"color": "blue"}}),
                watch(
                    WIDGETS,
                    event("ADDED", "a"),
                    event("ADDED", "b"),
                    query={**_FROM, "fieldSelector": "spec.color=blue"},
                ),
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "an update that changes nothing brings no event",
            [
                get(f"{_L}/a", save=_RV),
                patch(f"{_L}/a", {"data": {"x": "1"}}),
                patch(f"{_L}/a", {"data": {"x": "2"}}),
                watch(_L, event("MODIFIED", "a", data__x="2"), query=_FROM),
            ],
            given=[configmap("a", data={"x": "1"})],
        ),
        Case(
            "a finalizer makes a deletion two events",
            [
                get(f"{_L}/a", save=_RV),
                delete(f"{_L}/a"),
                patch(f"{_L}/a", {"metadata": {"finalizers": None}}),
                watch(
                    _L,
                    event("MODIFIED", "a", metadata__deletionTimestamp=Like("Z$")),
                    event("DELETED", "a"),
                    query=_FROM,
                ),
            ],
            given=[configmap("a", finalizers=["example.com/f"])],
        ),
        Case(
            "the stream is JSON without gzip and chunked",
            [
                get(
                    _L,
                    query={"watch": "true", "timeoutSeconds": "1"},
                    answer_headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
                )
            ],
        ),
        Case(
            "a watch with an unknown field is refused",
            [get(_L, query={"watch": "true", "fieldSelector": "data.x=1"}, status=400)],
        ),
    ],
)


@each(TABLE)
def test_watch(case: Case, player: Player) -> None:
    player.play(case)
