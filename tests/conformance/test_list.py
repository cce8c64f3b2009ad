"""GET of collections: pages, resource versions, selectors, single objects."""

from __future__ import annotations

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    PODS,
    SECRETS,
    Case,
    Length,
    Like,
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
from tests.conformance.widgets import GROUP, WIDGET_CRD, WIDGETS, widget

_FIVE = [configmap(name, labels={"n": name, "odd": str(n % 2)}) for n, name in enumerate("abcde")]
_L = CONFIGMAPS
_RV = {"rv": "metadata.resourceVersion"}


def _names(*names: str) -> dict[str, object]:
    return {
        **{f"items[{n}].metadata.name": name for n, name in enumerate(names)},
        "items": Length(len(names)),
    }


def _selects(selector: str, *names: str) -> Step:
    return get(_L, query={"labelSelector": selector}, fields=_names(*names))


TABLE = table(
    "list",
    [
        Case(
            "an object is read by name",
            [get(f"{_L}/a", fields={"kind": "ConfigMap", "metadata.name": "a", "data": {"x": "1"}})],
            given=[configmap("a", data={"x": "1"})],
        ),
        Case(
            "what does not exist is not found",
            [
                get(
                    f"{_L}/nothing",
                    status=404,
                    reason="NotFound",
                    message='configmaps "nothing" not found',
                    fields={
                        "details": {"name": "nothing", "kind": "configmaps"},
                        "status": "Failure",
                        "code": 404,
                    },
                )
            ],
        ),
        Case(
            "what does not exist of a group is not found with its group",
            [
                get(
                    f"{WIDGETS}/nothing",
                    status=404,
                    message=f'widgets.{GROUP} "nothing" not found',
                    fields={"details": {"name": "nothing", "group": GROUP, "kind": "widgets"}},
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a list has kind, apiVersion, resourceVersion and items in order of their names",
            [
                get(
                    _L,
                    fields={
                        "kind": "ConfigMapList",
                        "apiVersion": "v1",
                        "metadata.resourceVersion": Like(r"^\d+$"),
                        **_names("a", "b", "c", "d", "e"),
                    },
                    absent=["metadata.continue", "metadata.remainingItemCount", "metadata.selfLink"],
                )
            ],
            given=_FIVE,
        ),
        Case(
            "items of a list of a built-in kind do not repeat kind and apiVersion",
            [get(_L, absent=["items[0].kind", "items[0].apiVersion"])],
            given=_FIVE[:1],
        ),
        Case(
            "items of a list of a custom kind say kind and apiVersion",
            [
                get(
                    WIDGETS,
                    fields={
                        "kind": "WidgetList",
                        "items[0].kind": "Widget",
                        "items[0].apiVersion": f"{GROUP}/v1",
                    },
                )
            ],
            given=[WIDGET_CRD, widget("a")],
        ),
        Case(
            "an empty list has an empty list of items",
            [get(_L, fields={"items": [], "kind": "ConfigMapList"})],
        ),
        Case(
            "a list in a namespace that does not exist is empty",
            [get(f"{CORE}/namespaces/nowhere-{{id}}/configmaps", fields={"items": []})],
        ),
        Case(
            "all namespaces are listed together",
            [
                get(
                    f"{CORE}/configmaps",
                    query={"labelSelector": "word={id}"},
                    fields={"items": Length(1), "items[0].metadata.namespace": "{ns}"},
                )
            ],
            given=[configmap("a", labels={"word": "{id}"})],
        ),
        # Pages
        Case(
            "limit gives a page, a token, and how many remain",
            [
                get(
                    _L,
                    query={"limit": "2"},
                    fields={
                        **_names("a", "b"),
                        "metadata.continue": Like("."),
                        "metadata.remainingItemCount": 3,
                    },
                )
            ],
            given=_FIVE,
        ),
        Case(
            "the token gives the next page, of the same version, until none is left",
            [
                get(_L, query={"limit": "2"}, save={"next": "metadata.continue", **_RV}),
                get(
                    _L,
                    query={"limit": "2", "continue": "{next}"},
                    fields={
                        **_names("c", "d"),
                        "metadata.resourceVersion": "{rv}",
                        "metadata.remainingItemCount": 1,
                    },
                    save={"next": "metadata.continue"},
                ),
                get(
                    _L,
                    query={"limit": "2", "continue": "{next}"},
                    fields={**_names("e"), "metadata.resourceVersion": "{rv}"},
                    absent=["metadata.continue", "metadata.remainingItemCount"],
                ),
            ],
            given=_FIVE,
        ),
        Case(
            "later pages are as the collection was at the first",
            [
                get(_L, query={"limit": "2"}, save={"next": "metadata.continue"}),
                post(_L, configmap("bb")),
                post(_L, configmap("cc")),
                delete(f"{_L}/d"),
                get(_L, query={"continue": "{next}"}, fields=_names("c", "d", "e")),
                get(_L, fields=_names("a", "b", "bb", "c", "cc", "e")),
            ],
            given=_FIVE,
        ),
        Case(
            "a limit as large as the collection needs no token",
            [
                get(
                    _L,
                    query={"limit": "5"},
                    fields=_names("a", "b", "c", "d", "e"),
                    absent=["metadata.continue"],
                )
            ],
            given=_FIVE,
        ),
        Case(
            "a page of what a selector chooses does not say how many remain",
            [
                get(
                    _L,
                    query={"limit": "1", "labelSelector": "odd=0"},
                    fields={**_names("a"), "metadata.continue": Like(".")},
                    absent=["metadata.remainingItemCount"],
                    save={"next": "metadata.continue"},
                ),
                get(
                    _L,
                    query={"limit": "1", "labelSelector": "odd=0", "continue": "{next}"},
                    fields=_names("c"),
                ),
            ],
            given=_FIVE,
        ),
        Case(
            "a limit that is no number is a bad request",
            [get(_L, query={"limit": "x"}, status=400, reason="BadRequest")],
        ),
        Case(
            "a negative limit is none",
            [get(_L, query={"limit": "-1"}, status=(200, 400))],
        ),
        Case(
            "a token nobody gave is a bad request",
            [
                get(
                    _L,
                    query={"limit": "1", "continue": "nonsense"},
                    status=400,
                    reason="BadRequest",
                    message="continue key is not valid",
                )
            ],
        ),
        Case(
            "a token and a resourceVersion exclude each other",
            [
                get(_L, query={"limit": "1"}, save={"next": "metadata.continue", **_RV}),
                get(
                    _L,
                    query={"continue": "{next}", "resourceVersion": "{rv}"},
                    status=(400, 422),
                    message="specifying resource version is not allowed when using continue",
                ),
            ],
            given=_FIVE,
        ),
        # Versions
        Case(
            "resourceVersion 0 takes any state",
            [get(_L, query={"resourceVersion": "0"}, fields={"kind": "ConfigMapList"})],
            given=_FIVE,
        ),
        Case(
            "Exact gives the collection as it was",
            [
                get(_L, save=_RV),
                delete(f"{_L}/a"),
                post(_L, configmap("f")),
                get(
                    _L,
                    query={"resourceVersion": "{rv}", "resourceVersionMatch": "Exact", "limit": "10"},
                    fields={**_names("a", "b", "c", "d", "e"), "metadata.resourceVersion": "{rv}"},
                ),
            ],
            given=_FIVE,
        ),
        Case(
            "NotOlderThan gives at least that state",
            [
                post(_L, configmap("f"), save=_RV),
                get(
                    _L,
                    query={"resourceVersion": "{rv}", "resourceVersionMatch": "NotOlderThan"},
                    fields=_names("a", "b", "c", "d", "e", "f"),
                ),
            ],
            given=_FIVE,
        ),
        Case(
            "a limit with a version and no match gives that very version",
            [
                get(_L, save=_RV),
                post(_L, configmap("f")),
                get(
                    _L,
                    query={"resourceVersion": "{rv}", "limit": "3"},
                    fields={**_names("a", "b", "c"), "metadata.resourceVersion": "{rv}"},
                ),
            ],
            given=_FIVE,
        ),
        Case(
            "a match without a version is forbidden",
            [
                get(
                    _L,
                    query={"resourceVersionMatch": "Exact"},
                    status=422,
                    reason="Invalid",
                    message="resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless "
                    "resourceVersion is provided",
                    causes=["resourceVersionMatch"],
                    fields={"details.kind": "ListOptions", "details.group": "meta.k8s.io"},
                )
            ],
        ),
        Case(
            "an unknown match is not supported",
            [
                get(
                    _L,
                    query={"resourceVersion": "1", "resourceVersionMatch": "Sometimes"},
                    status=422,
                    message='resourceVersionMatch: Unsupported value: "Sometimes"',
                    causes=["resourceVersionMatch"],
                )
            ],
        ),
        Case(
            "Exact with version 0 is forbidden",
            [
                get(
                    _L,
                    query={"resourceVersion": "0", "resourceVersionMatch": "Exact"},
                    status=422,
                    message='resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
                    causes=["resourceVersionMatch"],
                )
            ],
        ),
        Case(
            "a match and a token exclude each other",
            [
                get(_L, query={"limit": "1"}, save={"next": "metadata.continue"}),
                get(
                    _L,
                    query={"continue": "{next}", "resourceVersion": "1", "resourceVersionMatch": "Exact"},
                    status=422,
                    message="resourceVersionMatch is forbidden when continue is provided",
                    causes=["resourceVersionMatch"],
                ),
            ],
            given=_FIVE,
        ),
        Case(
            "a version that is no number is refused",
            [get(_L, query={"resourceVersion": "abc"}, status=(400, 422, 500), message="abc")],
        ),
        Case(
            "a version of the future times out",
            [
                get(
                    _L,
                    query={"resourceVersion": "99999999"},
                    status=504,
                    reason="Timeout",
                    message="Too large resource version",
                    causes=[""],
                    fields={
                        "details.causes[0].reason": "ResourceVersionTooLarge",
                        "details.retryAfterSeconds": 1,
                    },
                )
            ],
        ),
        Case(
            "a get at a version takes at least that state",
            [
                patch(f"{_L}/a", {"data": {"x": "2"}}, save=_RV),
                get(f"{_L}/a", query={"resourceVersion": "{rv}"}, fields={"data.x": "2"}),
                get(f"{_L}/a", query={"resourceVersion": "0"}, fields={"metadata.name": "a"}, within=2),
            ],
            given=_FIVE,
        ),
        Case(
            "sendInitialEvents is not for lists",
            [
                get(
                    _L,
                    query={"sendInitialEvents": "true"},
                    status=422,
                    message="sendInitialEvents is forbidden for list",
                    causes=["sendInitialEvents"],
                )
            ],
        ),
        # Label selectors
        Case("label equality", [_selects("n=b", "b"), _selects("n==b", "b")], given=_FIVE),
        Case("label inequality", [_selects("odd!=0", "b", "d")], given=_FIVE),
        Case(
            "inequality and notin select objects without the label",
            [
                get(_L, query={"labelSelector": "other!=1,odd"}, fields={"items": Length(5)}),
                get(_L, query={"labelSelector": "other notin (1),odd=1"}, fields={"items": Length(2)}),
            ],
            given=_FIVE,
        ),
        Case("labels in a set", [_selects("n in (a, c,e)", "a", "c", "e")], given=_FIVE),
        Case("labels not in a set", [_selects("n notin (a,c),odd=0", "e")], given=_FIVE),
        Case("a label exists", [_selects("n,odd=1", "b", "d")], given=_FIVE),
        Case("a label does not exist", [_selects("!odd"), _selects("!nothing,n=a", "a")], given=_FIVE),
        Case(
            "labels greater and less", [_selects("odd>0", "b", "d"), _selects("odd<1,n=a", "a")], given=_FIVE
        ),
        Case("several requirements must all hold", [_selects("odd=0,n in (a,b)", "a")], given=_FIVE),
        Case("an empty value in a set", [_selects("nothing in ()")], given=_FIVE),
        Case(
            "a selector that does not parse is a bad request",
            [
                get(
                    _L,
                    query={"labelSelector": "a in b"},
                    status=400,
                    reason="BadRequest",
                    message="unable to parse requirement",
                ),
                get(_L, query={"labelSelector": "a=b=c"}, status=400),
                get(_L, query={"labelSelector": ",,"}, status=(200, 400)),
                get(_L, query={"labelSelector": "a b"}, status=400),
                get(_L, query={"labelSelector": "(a)"}, status=400),
            ],
        ),
        Case(
            "a selector with an invalid key or value is a bad request",
            [
                get(_L, query={"labelSelector": "-a=b"}, status=400, reason="BadRequest"),
                get(_L, query={"labelSelector": "a=b!"}, status=400, reason="BadRequest"),
                get(_L, query={"labelSelector": "a=" + "x" * 64}, status=400, reason="BadRequest"),
                get(_L, query={"labelSelector": "a in (" + "x" * 64 + ")"}, status=400),
                get(_L, query={"labelSelector": "a>x"}, status=400),
            ],
        ),
        Case(
            "a label with a domain",
            [
                get(_L, query={"labelSelector": "example.com/a=1"}, fields=_names("z")),
            ],
            given=[configmap("z", labels={"example.com/a": "1"})],
        ),
        # Field selectors
        Case(
            "metadata.name selects one object",
            [
                get(_L, query={"fieldSelector": "metadata.name=c"}, fields=_names("c")),
                get(_L, query={"fieldSelector": "metadata.name!=c"}, fields=_names("a", "b", "d", "e")),
                get(
                    _L,
                    query={"fieldSelector": "metadata.name==c,metadata.namespace={ns}"},
                    fields=_names("c"),
                ),
            ],
            given=_FIVE,
        ),
        Case(
            "metadata.namespace selects across namespaces",
            [
                get(
                    f"{CORE}/configmaps",
                    query={"fieldSelector": "metadata.namespace={ns}"},
                    fields=_names("a", "b", "c", "d", "e"),
                )
            ],
            given=_FIVE,
        ),
        Case(
            "an unknown field is a bad request",
            [
                get(
                    _L,
                    query={"fieldSelector": "data.x=1"},
                    status=400,
                    reason="BadRequest",
                    message="data.x",
                )
            ],
        ),
        Case(
            "a field selector that does not parse is a bad request",
            [
                get(
                    _L,
                    query={"fieldSelector": "metadata.name"},
                    status=400,
                    message="invalid selector: 'metadata.name'; can't understand 'metadata.name'",
                )
            ],
        ),
        Case(
            "pods are selected by node, phase, policy and scheduler",
            [
                get(PODS, query={"fieldSelector": "spec.nodeName="}, fields=_names("a", "b")),
                get(PODS, query={"fieldSelector": "spec.nodeName=x"}, fields=_names()),
                get(PODS, query={"fieldSelector": "status.phase=Pending"}, fields=_names("a", "b")),
                get(PODS, query={"fieldSelector": "spec.restartPolicy=Never"}, fields=_names("b")),
                get(PODS, query={"fieldSelector": "spec.schedulerName=other"}, fields=_names("b")),
                get(
                    PODS, query={"fieldSelector": "spec.serviceAccountName=default"}, fields=_names("a", "b")
                ),
                get(PODS, query={"fieldSelector": "status.podIP="}, fields=_names("a", "b")),
                get(PODS, query={"fieldSelector": "spec.hostNetwork=false"}, fields=_names("a", "b")),
                get(PODS, query={"fieldSelector": "spec.hostname=x"}, status=400),
            ],
            given=[pod("a"), pod("b", restartPolicy="Never", schedulerName="other")],
        ),
        Case(
            "secrets are selected by type",
            [
                get(SECRETS, query={"fieldSelector": "type=example.com/t"}, fields=_names("b")),
            ],
            given=[
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}},
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}, "type": "example.com/t"},
            ],
        ),
        Case(
            "nodes are selected by unschedulable, namespaces by phase",
            [
                get(
                    f"{CORE}/nodes",
                    query={"fieldSelector": "spec.unschedulable=true,metadata.name=n-{id}"},
                    fields=_names("n-{id}"),
                ),
                get(
                    f"{CORE}/namespaces",
                    query={"fieldSelector": "status.phase=Active,metadata.name={ns}"},
                    fields=_names("{ns}"),
                ),
            ],
            given=[
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": "n-{id}"},
                    "spec": {"unschedulable": True},
                }
            ],
        ),
        Case(
            "custom objects are selected by what their definition says",
            [
                get(WIDGETS, query={"fieldSelector": "spec.color=blue"}, fields=_names("b")),
                get(WIDGETS, query={"fieldSelector": "spec.color!=blue"}, fields=_names("a")),
                get(
                    WIDGETS,
                    query={"fieldSelector": "spec.size=1"},
                    status=400,
                    message="field label not supported: spec.size",
                ),
            ],
            given=[WIDGET_CRD, widget("a"), widget("b", color="blue")],
        ),
        Case(
            "events are selected by the object they are about",
            [
                get(
                    f"{CORE}/namespaces/{{ns}}/events",
                    query={"fieldSelector": "involvedObject.name=p,involvedObject.kind=Pod,type=Warning"},
                    fields=_names("e1"),
                ),
                get(
                    f"{CORE}/namespaces/{{ns}}/events",
                    query={"fieldSelector": "involvedObject.uid=u2,reason=Other"},
                    fields=_names("e2"),
                ),
            ],
            given=[
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": name},
                    "involvedObject": {"kind": "Pod", "namespace": "{ns}", "name": about, "uid": uid},
                    "type": type_,
                    "reason": reason,
                }
                for name, about, uid, type_, reason in (
                    ("e1", "p", "u1", "Warning", "Failed"),
                    ("e2", "q", "u2", "Normal", "Other"),
                )
            ],
        ),
        Case(
            "a timeout that is no number is a bad request",
            [get(_L, query={"timeoutSeconds": "x"}, status=400)],
        ),
        Case(
            "an unknown query parameter does no harm",
            [get(_L, query={"pretty": "true", "nonsense": "1"}, fields={"kind": "ConfigMapList"})],
        ),
    ],
)


@each(TABLE)
def test_list(case: Case, player: Player) -> None:
    player.play(case)
