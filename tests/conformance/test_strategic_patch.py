"""Strategic merge patches: merge keys, primitive lists, directives."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    PODS,
    SERVICES,
    STRATEGIC,
    Case,
    Json,
    Length,
    Step,
    configmap,
    each,
    get,
    patch,
    pod,
    post,
    table,
)
from tests.conformance.play import Player

_POD = pod(
    "a",
    containers=[
        {"name": "one", "image": "a:1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
        {"name": "two", "image": "b:1"},
    ],
    volumes=[{"name": "v", "emptyDir": {}}],
    tolerations=[{"key": "k", "operator": "Exists"}],
)
_BUDGETS = "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets"
_BUDGET: Json = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "b"},
    "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"x": "1"}}},
}
_SERVICE: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s"},
    "spec": {
        "selector": {"app": "x", "tier": "y"},
        "clusterIP": "None",
        "ports": [
            {"name": "http", "port": 80, "targetPort": 8080},
            {"name": "https", "port": 443},
        ],
    },
}
_TEMPLATE_FIELDS = {"template.metadata.labels": {"app": "x"}}


def _on_pod(body: Any, **expected: Any) -> Step:
    return patch(f"{PODS}/a", body, STRATEGIC, **expected)


def _on_service(body: Any, **expected: Any) -> Step:
    return patch(f"{SERVICES}/s", body, STRATEGIC, **expected)


def _on_map(body: Any, **expected: Any) -> Step:
    return patch(f"{CONFIGMAPS}/a", body, STRATEGIC, **expected)


_MAP = [configmap("a", data={"x": "1", "y": "2"}, finalizers=["example.com/1", "example.com/2"])]
_NODE: Json = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "node-{id}"},
    "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoSchedule"}]},
}
_NODE_PATH = f"{CORE}/nodes/node-{{id}}"

TABLE = table(
    "strategic merge patch",
    [
        Case(
            "containers are merged by name",
            [
                _on_pod(
                    {"spec": {"containers": [{"name": "two", "image": "b:2"}]}},
                    fields={
                        "spec.containers[0].name": "one",
                        "spec.containers[0].image": "a:1",
                        "spec.containers[1].image": "b:2",
                    },
                )
            ],
            given=[_POD],
        ),
        Case(
            "ports of a service are merged by port",
            [
                _on_service(
                    {"spec": {"ports": [{"port": 80, "name": "web"}]}},
                    fields={
                        "spec.ports[0].name": "web",
                        "spec.ports[0].targetPort": 8080,
                        "spec.ports[1].name": "https",
                    },
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "a new item of a keyed list is put first",
            [
                _on_service(
                    {"spec": {"ports": [{"port": 90, "name": "more"}]}},
                    fields={"spec.ports[0].port": 90, "spec.ports[1].port": 80, "spec.ports[2].port": 443},
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "$patch delete takes an item of a keyed list away",
            [
                _on_service(
                    {"spec": {"ports": [{"port": 443, "$patch": "delete"}]}},
                    fields={"spec.ports[0].port": 80},
                    absent=["spec.ports[1]"],
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "$patch replace replaces a list",
            [
                _on_service(
                    {"spec": {"ports": [{"port": 1, "name": "x"}, {"$patch": "replace"}]}},
                    fields={"spec.ports[0].port": 1},
                    absent=["spec.ports[1]"],
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "$patch replace replaces a map",
            [
                _on_service(
                    {"spec": {"selector": {"$patch": "replace", "new": "z"}}},
                    fields={"spec.selector": {"new": "z"}},
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "$patch delete empties a map",
            [
                _on_service(
                    {"spec": {"selector": {"$patch": "delete"}}},
                    absent=["spec.selector"],
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "an unknown $patch directive is refused",
            [
                _on_service({"spec": {"selector": {"$patch": "invent"}}}, status=(400, 422, 500)),
            ],
            given=[_SERVICE],
        ),
        Case(
            "an item without its merge key is refused",
            [
                _on_service(
                    {"spec": {"ports": [{"name": "x"}]}},
                    status=(422, 500),
                    message="does not contain declared merge key: port",
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "null removes a member of a map",
            [_on_service({"spec": {"selector": {"tier": None}}}, fields={"spec.selector": {"app": "x"}})],
            given=[_SERVICE],
        ),
        Case(
            "finalizers are a primitive list that is merged",
            [
                _on_map(
                    {"metadata": {"finalizers": ["example.com/3", "example.com/1"]}},
                    fields={"metadata.finalizers": ["example.com/3", "example.com/1", "example.com/2"]},
                )
            ],
            given=_MAP,
        ),
        Case(
            "$deleteFromPrimitiveList takes members away",
            [
                _on_map(
                    {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/1"]}},
                    fields={"metadata.finalizers": ["example.com/2"]},
                )
            ],
            given=_MAP,
        ),
        Case(
            "$setElementOrder orders a primitive list",
            [
                _on_map(
                    {
                        "metadata": {
                            "$setElementOrder/finalizers": [
                                "example.com/2",
                                "example.com/3",
                                "example.com/1",
                            ],
                            "finalizers": ["example.com/3"],
                        }
                    },
                    fields={"metadata.finalizers": ["example.com/2", "example.com/3", "example.com/1"]},
                )
            ],
            given=_MAP,
        ),
        Case(
            "$setElementOrder orders a keyed list",
            [
                _on_service(
                    {
                        "spec": {
                            "$setElementOrder/ports": [{"port": 443}, {"port": 90}, {"port": 80}],
                            "ports": [{"port": 90, "name": "more"}],
                        }
                    },
                    fields={"spec.ports[0].port": 443, "spec.ports[1].port": 90, "spec.ports[2].port": 80},
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "$setElementOrder without the item that the patch sets is refused",
            [
                _on_service(
                    {
                        "spec": {
                            "$setElementOrder/ports": [{"port": 443}],
                            "ports": [{"port": 90, "name": "x"}],
                        }
                    },
                    status=(400, 422, 500),
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "what the order does not name keeps its place",
            [
                _on_service(
                    {
                        "spec": {
                            "$setElementOrder/ports": [{"port": 90}, {"port": 80}],
                            "ports": [{"port": 90, "name": "more"}],
                        }
                    },
                    fields={"spec.ports[0].port": 90, "spec.ports[1].port": 80, "spec.ports[2].port": 443},
                )
            ],
            given=[_SERVICE],
        ),
        Case(
            "env of a container is merged by name below the container",
            [
                patch(
                    f"{CORE}/namespaces/{{ns}}/podtemplates/t",
                    {
                        "template": {
                            "spec": {
                                "containers": [
                                    {
                                        "name": "one",
                                        "env": [
                                            {"name": "X", "value": "9"},
                                            {"name": "Y", "$patch": "delete"},
                                            {"name": "Z", "value": "3"},
                                        ],
                                    }
                                ]
                            }
                        }
                    },
                    STRATEGIC,
                    fields={
                        "template.spec.containers[name=one].env": [
                            {"name": "X", "value": "9"},
                            {"name": "Z", "value": "3"},
                        ]
                    },
                )
            ],
            given=[
                {
                    "apiVersion": "v1",
                    "kind": "PodTemplate",
                    "metadata": {"name": "t"},
                    "template": {"metadata": {"labels": {"app": "x"}}, "spec": _POD["spec"]},
                }
            ],
        ),
        Case(
            "$retainKeys clears the other members of a union",
            [
                patch(
                    f"{CORE}/namespaces/{{ns}}/podtemplates/t",
                    {
                        "template": {
                            "spec": {
                                "volumes": [
                                    {
                                        "name": "v",
                                        "$retainKeys": ["name", "hostPath"],
                                        "hostPath": {"path": "/tmp"},
                                    }
                                ]
                            }
                        }
                    },
                    STRATEGIC,
                    fields={
                        "template.spec.volumes": [{"name": "v", "hostPath": {"path": "/tmp", "type": ""}}]
                    },
                )
            ],
            given=[
                {
                    "apiVersion": "v1",
                    "kind": "PodTemplate",
                    "metadata": {"name": "t"},
                    "template": {"metadata": {"labels": {"app": "x"}}, "spec": _POD["spec"]},
                }
            ],
        ),
        Case(
            "tolerations have no merge key and are replaced",
            [
                _on_pod(
                    {
                        "spec": {
                            "tolerations": [
                                {"key": "k", "operator": "Exists"},
                                {"key": "n", "operator": "Exists"},
                                {
                                    "key": "node.kubernetes.io/not-ready",
                                    "operator": "Exists",
                                    "effect": "NoExecute",
                                    "tolerationSeconds": 300,
                                },
                                {
                                    "key": "node.kubernetes.io/unreachable",
                                    "operator": "Exists",
                                    "effect": "NoExecute",
                                    "tolerationSeconds": 300,
                                },
                            ]
                        }
                    },
                    fields={"spec.tolerations[1].key": "n"},
                    absent=["spec.tolerations[4]"],
                )
            ],
            given=[_POD],
        ),
        Case(
            "taints are atomic: the list is replaced",
            [
                patch(
                    _NODE_PATH,
                    {"spec": {"taints": [{"key": "c", "effect": "NoExecute"}]}},
                    STRATEGIC,
                    fields={"spec.taints[0].key": "c"},
                    absent=["spec.taints[1]"],
                )
            ],
            given=[_NODE],
        ),
        Case(
            "conditions are merged by type on the status path",
            [
                patch(
                    f"{PODS}/a/status",
                    {"status": {"conditions": [{"type": "A", "status": "True"}]}},
                    STRATEGIC,
                    fields={"status.conditions[0].type": "A"},
                ),
                patch(
                    f"{PODS}/a/status",
                    {
                        "status": {
                            "conditions": [{"type": "B", "status": "True"}, {"type": "A", "status": "False"}]
                        }
                    },
                    STRATEGIC,
                    fields={
                        "status.conditions[type=A].status": "False",
                        "status.conditions[type=B].status": "True",
                    },
                ),
            ],
            given=[pod("a")],
        ),
        Case(
            "ownerReferences are merged by uid",
            [
                _on_map(
                    {
                        "metadata": {
                            "ownerReferences": [
                                {"apiVersion": "v1", "kind": "Pod", "name": "n2", "uid": "u2"}
                            ]
                        }
                    },
                    fields={
                        "metadata.ownerReferences[uid=u1].name": "n1",
                        "metadata.ownerReferences[uid=u2].name": "n2",
                    },
                ),
                _on_map(
                    {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "u1"}]}},
                    fields={"metadata.ownerReferences[0].uid": "u2"},
                    absent=["metadata.ownerReferences[1]"],
                ),
            ],
            given=[
                configmap(
                    "a", ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "n1", "uid": "u1"}]
                )
            ],
        ),
        Case(
            "an orphaning delete as the garbage collector does it: by uid precondition in the patch",
            [
                get(f"{CONFIGMAPS}/a", save={"uid": "metadata.uid"}),
                _on_map(
                    {"metadata": {"uid": "{uid}", "ownerReferences": [{"$patch": "delete", "uid": "u1"}]}},
                    absent=["metadata.ownerReferences"],
                ),
            ],
            given=[
                configmap(
                    "a", ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "n1", "uid": "u1"}]
                )
            ],
        ),
        Case(
            "a patch that is no object is a bad request",
            [_on_map([], status=400, reason="BadRequest")],
            given=_MAP,
        ),
        Case(
            "kubectl label's patch sets and removes labels",
            [
                _on_map(
                    {"metadata": {"labels": {"x": "1", "y": "2"}}},
                    fields={"metadata.labels": {"x": "1", "y": "2"}},
                ),
                _on_map({"metadata": {"labels": {"x": None}}}, fields={"metadata.labels": {"y": "2"}}),
            ],
            given=_MAP,
        ),
        Case(
            "an unknown field in a patch is dropped with a warning",
            [
                _on_map(
                    {"data": {"z": "1"}, "unknown": 1},
                    fields={"data.z": "1"},
                    absent=["unknown"],
                    warnings=['unknown field "unknown"'],
                )
            ],
            given=_MAP,
        ),
        Case(
            "a wrong type is refused",
            [_on_map({"data": "x"}, status=422, reason="Invalid", causes=["patch"])],
            given=_MAP,
        ),
        Case(
            "imagePullSecrets of an account are replaced: their merge key is missing upstream",
            [
                patch(
                    f"{CORE}/namespaces/{{ns}}/serviceaccounts/sa",
                    {"imagePullSecrets": [{"name": "y"}]},
                    STRATEGIC,
                    fields={"imagePullSecrets": [{"name": "y"}]},
                )
            ],
            given=[
                {
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": "sa"},
                    "imagePullSecrets": [{"name": "x"}],
                }
            ],
        ),
        Case(
            "the selector of a disruption budget is replaced, not merged",
            [
                post(_BUDGETS, _BUDGET),
                patch(
                    f"{_BUDGETS}/b",
                    {"spec": {"selector": {"matchLabels": {"y": "2"}}}},
                    STRATEGIC,
                    fields={"spec.selector": {"matchLabels": {"y": "2"}}},
                ),
            ],
        ),
        Case(
            "addresses of a pod's node are merged by address",
            [
                post(PODS, pod("p")),
                *(
                    patch(f"{PODS}/p/status", {"status": {"hostIP": "10.0.0.1", **status}}, STRATEGIC, **then)
                    for status, then in (
                        ({"hostIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, {}),
                        ({"hostIPs": [{"ip": "10.0.0.1"}]}, {"fields": {"status.hostIPs": Length(2)}}),
                    )
                ),
            ],
        ),
        Case(
            "a service made and patched keeps its clusterIP",
            [
                post(SERVICES, _SERVICE | {"metadata": {"name": "t"}}),
                patch(
                    f"{SERVICES}/t",
                    {"spec": {"selector": {"n": "1"}}},
                    STRATEGIC,
                    fields={"spec.clusterIP": "None"},
                ),
            ],
        ),
    ],
)


@each(TABLE)
def test_strategic_patch(case: Case, player: Player) -> None:
    player.play(case)
