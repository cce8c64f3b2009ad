"""DELETE of objects and collections: preconditions, finalizers, grace, propagation."""

from __future__ import annotations

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    PODS,
    PRESENT,
    SECRETS,
    SERVICES,
    Case,
    Length,
    Like,
    configmap,
    delete,
    each,
    get,
    patch,
    pod,
    post,
    put,
    table,
)
from tests.conformance.play import Player
from tests.conformance.widgets import GROUP, WIDGET_CRD, WIDGETS, widget

_L, _A = CONFIGMAPS, f"{CONFIGMAPS}/a"
_ONE = [configmap("a", data={"x": "1"})]
_HELD = [configmap("a", finalizers=["example.com/f"])]
_SAVE = {"rv": "metadata.resourceVersion", "uid": "metadata.uid"}
_GONE = get(_A, status=404)


_BINDING = {
    "apiVersion": "v1",
    "kind": "Binding",
    "metadata": {"name": "a"},
    "target": {"kind": "Node", "name": "n"},
}


def _options(**fields: object) -> dict[str, object]:
    return {"kind": "DeleteOptions", "apiVersion": "v1", **fields}


TABLE = table(
    "delete",
    [
        Case(
            "a deletion answers with a Status that names what went",
            [
                get(_A, save=_SAVE),
                delete(
                    _A,
                    fields={
                        "kind": "Status",
                        "apiVersion": "v1",
                        "status": "Success",
                        "details": {"name": "a", "kind": "configmaps", "uid": "{uid}"},
                    },
                ),
                _GONE,
            ],
            given=_ONE,
        ),
        Case(
            "the Status of a group's kind names the group",
            [
                delete(
                    f"{WIDGETS}/a",
                    fields={
                        "status": "Success",
                        "details": {"name": "a", "group": GROUP, "kind": "widgets", "uid": PRESENT},
                    },
                )
            ],
            given=[WIDGET_CRD, widget("a")],
        ),
        Case(
            "the deletion of a pod answers with the pod",
            [
                delete(f"{PODS}/a", fields={"kind": "Pod", "metadata.name": "a"}),
                get(f"{PODS}/a", status=404),
            ],
            given=[pod("a")],
        ),
        Case(
            "the deletion of a service answers with the service",
            [delete(f"{SERVICES}/s", fields={"kind": "Service", "metadata.name": "s"})],
            given=[
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": "s"},
                    "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
                }
            ],
        ),
        Case("what does not exist is not found", [delete(_A, status=404, reason="NotFound")]),
        Case(
            "a deletion with the right uid and version goes through",
            [
                get(_A, save=_SAVE),
                delete(_A, _options(preconditions={"uid": "{uid}", "resourceVersion": "{rv}"})),
                _GONE,
            ],
            given=_ONE,
        ),
        Case(
            "a deletion of another uid is a conflict",
            [
                delete(
                    _A,
                    _options(preconditions={"uid": "11111111-1111-4111-8111-111111111111"}),
                    status=409,
                    reason="Conflict",
                    message="the UID in the precondition (11111111-1111-4111-8111-111111111111) does not "
                    "match the UID in record (",
                ),
                get(_A),
            ],
            given=_ONE,
        ),
        Case(
            "a deletion of an older version is a conflict",
            [
                get(_A, save=_SAVE),
                patch(_A, {"data": {"x": "2"}}),
                delete(
                    _A,
                    _options(preconditions={"resourceVersion": "{rv}"}),
                    status=409,
                    reason="Conflict",
                    message="the ResourceVersion in the precondition ({rv}) does not match the "
                    "ResourceVersion in record (",
                ),
            ],
            given=_ONE,
        ),
        Case(
            "dry run deletes nothing",
            [
                delete(_A, query={"dryRun": "All"}, fields={"status": "Success"}),
                delete(_A, _options(dryRun=["All"]), fields={"status": "Success"}),
                get(_A),
            ],
            given=_ONE,
        ),
        Case(
            "dry run takes only the value All",
            [
                delete(
                    _A,
                    query={"dryRun": "Some"},
                    status=422,
                    message='DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]',
                    causes=["dryRun"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "a finalizer holds the object, which says since when it is being deleted",
            [
                delete(
                    _A,
                    fields={
                        "kind": "ConfigMap",
                        "metadata.deletionTimestamp": Like("Z$"),
                        "metadata.deletionGracePeriodSeconds": 0,
                        "metadata.finalizers": ["example.com/f"],
                    },
                ),
                get(_A, fields={"metadata.deletionTimestamp": PRESENT}),
                patch(_A, {"metadata": {"finalizers": []}}, fields={"metadata.name": "a"}),
                _GONE,
            ],
            given=_HELD,
        ),
        Case(
            "a second deletion changes nothing",
            [
                delete(_A, save={"at": "metadata.deletionTimestamp", **_SAVE}),
                delete(
                    _A,
                    fields={"metadata.deletionTimestamp": "{at}", "metadata.resourceVersion": "{rv}"},
                ),
            ],
            given=_HELD,
        ),
        Case(
            "of several finalizers the last lets it go",
            [
                delete(_A),
                patch(_A, {"metadata": {"finalizers": ["example.com/g"]}}),
                get(_A, fields={"metadata.finalizers": ["example.com/g"]}),
                put(_A, configmap("a")),
                _GONE,
            ],
            given=[configmap("a", finalizers=["example.com/f", "example.com/g"])],
        ),
        Case(
            "no finalizer can be added to what is being deleted",
            [
                delete(_A),
                patch(
                    _A,
                    {"metadata": {"finalizers": ["example.com/f", "example.com/new"]}},
                    status=422,
                    message="no new finalizers can be added if the object is being deleted",
                    causes=["metadata.finalizers"],
                ),
            ],
            given=_HELD,
        ),
        Case(
            "what is being deleted can still be changed",
            [delete(_A), patch(_A, {"data": {"x": "2"}}, fields={"data.x": "2"})],
            given=_HELD,
        ),
        Case(
            "a name in deletion is still taken",
            [delete(_A), post(_L, configmap("a"), status=409, reason="AlreadyExists")],
            given=_HELD,
        ),
        Case(
            "a custom object in deletion counts one more generation",
            [
                delete(
                    f"{WIDGETS}/a",
                    fields={"metadata.generation": 2, "metadata.deletionTimestamp": PRESENT},
                )
            ],
            given=[WIDGET_CRD, widget("a", metadata={"finalizers": ["example.com/f"]})],
        ),
        # Propagation
        Case(
            "foreground holds the object with a finalizer",
            [
                delete(
                    _A,
                    _options(propagationPolicy="Foreground"),
                    fields={
                        "metadata.finalizers": ["foregroundDeletion"],
                        "metadata.deletionTimestamp": PRESENT,
                    },
                )
            ],
            given=_ONE,
        ),
        Case(
            "orphan holds the object with a finalizer",
            [
                delete(
                    _A,
                    _options(propagationPolicy="Orphan"),
                    fields={"metadata.finalizers": ["orphan"], "metadata.deletionTimestamp": PRESENT},
                )
            ],
            given=_ONE,
        ),
        Case(
            "background lets it go at once",
            [delete(_A, _options(propagationPolicy="Background"), fields={"status": "Success"}), _GONE],
            given=_ONE,
        ),
        Case(
            "the policy is taken from the query as well",
            [
                delete(
                    _A,
                    query={"propagationPolicy": "Foreground"},
                    fields={"metadata.finalizers": ["foregroundDeletion"]},
                )
            ],
            given=_ONE,
        ),
        Case(
            "orphanDependents is the old word for Orphan",
            [
                delete(_A, _options(orphanDependents=True), fields={"metadata.finalizers": ["orphan"]}),
            ],
            given=_ONE,
        ),
        Case(
            "orphanDependents false lets it go at once",
            [delete(_A, _options(orphanDependents=False)), _GONE],
            given=_ONE,
        ),
        Case(
            "orphanDependents and a policy exclude each other",
            [
                delete(
                    _A,
                    _options(orphanDependents=True, propagationPolicy="Background"),
                    status=422,
                    message="orphanDependents and deletionPropagation cannot be both set",
                    causes=["propagationPolicy"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "an unknown policy is not supported",
            [
                delete(
                    _A,
                    _options(propagationPolicy="Sideways"),
                    status=422,
                    message='propagationPolicy: Unsupported value: "Sideways"',
                    causes=["propagationPolicy"],
                )
            ],
            given=_ONE,
        ),
        Case(
            "a policy replaces the finalizer of another",
            [
                delete(_A, _options(propagationPolicy="Foreground")),
                delete(
                    _A,
                    _options(propagationPolicy="Orphan"),
                    fields={"metadata.finalizers": ["orphan"]},
                ),
                delete(_A, _options(propagationPolicy="Background")),
                _GONE,
            ],
            given=_ONE,
        ),
        # Options
        Case(
            "options in the body that make no sense are a bad request",
            [
                delete(_A, b"{nonsense", status=400, reason="BadRequest"),
                delete(_A, {"kind": "Pod", "apiVersion": "v1"}, status=400, reason="BadRequest"),
                delete(_A, _options(gracePeriodSeconds="soon"), status=400, reason="BadRequest"),
                get(_A),
            ],
            given=_ONE,
        ),
        Case(
            "options without a kind are taken",
            [delete(_A, {"propagationPolicy": "Background"}), _GONE],
            given=_ONE,
        ),
        Case(
            "options of the kind's own group are taken",
            [
                delete(
                    f"{WIDGETS}/a",
                    {"kind": "DeleteOptions", "apiVersion": f"{GROUP}/v1", "propagationPolicy": "Background"},
                ),
                get(f"{WIDGETS}/a", status=404),
            ],
            given=[WIDGET_CRD, widget("a")],
        ),
        Case(
            "a grace period that is no number is a bad request",
            [delete(_A, query={"gracePeriodSeconds": "x"}, status=400)],
            given=_ONE,
        ),
        # Pods
        Case(
            "a bound pod is given its grace period",
            [
                post(
                    f"{PODS}/a/binding",
                    _BINDING,
                ),
                delete(
                    f"{PODS}/a",
                    fields={
                        "metadata.deletionTimestamp": PRESENT,
                        "metadata.deletionGracePeriodSeconds": 30,
                    },
                ),
                get(f"{PODS}/a"),
                delete(
                    f"{PODS}/a",
                    _options(gracePeriodSeconds=5),
                    fields={"metadata.deletionGracePeriodSeconds": 5},
                ),
                delete(
                    f"{PODS}/a",
                    _options(gracePeriodSeconds=20),
                    fields={"metadata.deletionGracePeriodSeconds": 5},
                ),
                delete(f"{PODS}/a", _options(gracePeriodSeconds=0)),
                get(f"{PODS}/a", status=404),
            ],
            given=[pod("a")],
        ),
        Case(
            "a pod's own grace period is its spec's",
            [
                post(
                    f"{PODS}/a/binding",
                    _BINDING,
                ),
                delete(f"{PODS}/a", fields={"metadata.deletionGracePeriodSeconds": 7}),
            ],
            given=[pod("a", terminationGracePeriodSeconds=7)],
        ),
        # Collections
        Case(
            "a collection is deleted by label, and answers with what went",
            [
                delete(
                    _L,
                    query={"labelSelector": "go=yes"},
                    fields={"kind": "ConfigMapList", "items": Length(2), "items[0].metadata.name": "a"},
                ),
                get(_L, fields={"items": Length(1), "items[0].metadata.name": "c"}),
            ],
            given=[
                configmap("a", labels={"go": "yes"}),
                configmap("b", labels={"go": "yes"}),
                configmap("c", labels={"go": "no"}),
            ],
        ),
        Case(
            "a collection is deleted by field",
            [
                delete(_L, query={"fieldSelector": "metadata.name=b"}),
                get(_L, fields={"items": Length(1), "items[0].metadata.name": "a"}),
            ],
            given=[configmap("a"), configmap("b")],
        ),
        Case(
            "a whole collection is deleted",
            [delete(_L), get(_L, fields={"items": []})],
            given=[configmap("a"), configmap("b")],
        ),
        Case(
            "a deleted collection keeps what has finalizers",
            [
                delete(_L),
                get(
                    _L,
                    fields={"items": Length(1), "items[0].metadata.deletionTimestamp": PRESENT},
                ),
            ],
            given=[configmap("a", finalizers=["example.com/f"]), configmap("b")],
        ),
        Case(
            "dry run of a collection deletes nothing",
            [delete(_L, query={"dryRun": "All"}), get(_L, fields={"items": Length(1)})],
            given=_ONE,
        ),
        Case(
            "a collection of custom objects is deleted",
            [
                delete(WIDGETS, fields={"kind": "WidgetList", "items": Length(2)}),
                get(WIDGETS, fields={"items": []}),
            ],
            given=[WIDGET_CRD, widget("a"), widget("b")],
        ),
        Case(
            "a collection of secrets in one namespace leaves the others",
            [
                delete(SECRETS),
                get(f"{CORE}/namespaces/{{ns}}/configmaps", fields={"items": Length(1)}),
            ],
            given=[{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, *_ONE],
        ),
        Case(
            "options apply to every object of a collection",
            [
                delete(_L, _options(propagationPolicy="Orphan")),
                get(_L, fields={"items[0].metadata.finalizers": ["orphan"]}),
            ],
            given=_ONE,
        ),
        Case(
            "a collection without a namespace cannot be deleted",
            [delete(f"{CORE}/configmaps", status=405, reason="MethodNotAllowed")],
        ),
    ],
)


@each(TABLE)
def test_delete(case: Case, player: Player) -> None:
    player.play(case)
