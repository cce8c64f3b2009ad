"""Refusals in the words of Kubernetes, and the reviews that say beforehand what would be refused."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    PODS,
    Case,
    Has,
    Json,
    Length,
    Step,
    each,
    get,
    post,
    table,
)
from tests.conformance.play import Player
from tests.conformance.test_rbac import SOON, granted, rule

REVIEWS = "/apis/authorization.k8s.io/v1"
SUBJECT, OWN = f"{REVIEWS}/subjectaccessreviews", f"{REVIEWS}/selfsubjectaccessreviews"
LOCAL, RULES = f"{REVIEWS}/namespaces/{{ns}}/localsubjectaccessreviews", f"{REVIEWS}/selfsubjectrulesreviews"


def asked(**spec: Any) -> Json:
    return {"spec": spec}


def pods(verb: str, **more: str) -> Json:
    return {"verb": verb, "resource": "pods", "namespace": "{ns}", **more}


def denied(
    verb: str,
    plural: str,
    name: str = "",
    *,
    group: str = "",
    subresource: str = "",
    where: str = 'in the namespace "{ns}"',
) -> str:
    """What bob is told."""
    head = (f"{plural}.{group}" if group else plural) + (f' "{name}"' if name else "")
    what = f'resource "{plural}{subresource}" in API group "{group}"'
    return f'{head} is forbidden: User "bob" cannot {verb} {what} {where}'


def refused(method: str, path: str, message: str, *, user: str = "bob", **details: Any) -> Step:
    fields = {"reason": "Forbidden", "code": 403, "message": message}
    return Step(
        method, path, {} if method != "GET" else None, user=user, status=403, fields={**fields, **details}
    )


TABLE = table(
    "authorization",
    [
        Case("a list is refused in upstream's words", [
            refused("GET", PODS, denied("list", "pods"), details={"kind": "pods"}),
        ]),
        Case("a get names the object", [
            refused("GET", f"{CONFIGMAPS}/a", denied("get", "configmaps", "a"),
                    details={"name": "a", "kind": "configmaps"}),
        ]),
        Case("a group and a subresource are named", [
            refused("GET", "/apis/apps/v1/namespaces/{ns}/deployments/d/scale",
                    denied("get", "deployments", "d", group="apps", subresource="/scale"),
                    details={"name": "d", "group": "apps", "kind": "deployments"}),
        ]),
        Case("what has no namespace is at the cluster scope", [
            refused("GET", f"{CORE}/nodes", denied("list", "nodes", where="at the cluster scope")),
            refused("GET", f"{CORE}/pods", denied("list", "pods", where="at the cluster scope")),
        ]),
        Case("a path is named", [
            refused("GET", "/metrics", 'forbidden: User "bob" cannot get path "/metrics"'),
            refused("POST", "/apis", 'forbidden: User "bob" cannot post path "/apis"'),
        ]),
        Case("each verb is named", [
            refused("POST", CONFIGMAPS, denied("create", "configmaps")),
            refused("PUT", f"{CONFIGMAPS}/a", denied("update", "configmaps", "a")),
            refused("PATCH", f"{CONFIGMAPS}/a", denied("patch", "configmaps", "a")),
            refused("DELETE", f"{CONFIGMAPS}/a", denied("delete", "configmaps", "a")),
            refused("DELETE", CONFIGMAPS, denied("deletecollection", "configmaps")),
        ]),
        Case("a watch is one", [
            Step("GET", PODS, query={"watch": "true"}, user="bob", status=403,
                 message='cannot watch resource "pods"'),
        ]),
        Case("what does not exist is forbidden first", [
            refused("GET", "/apis/nowhere.example.com/v1/namespaces/{ns}/things",
                    denied("list", "things", group="nowhere.example.com")),
        ]),
        Case("an administrator may do everything", [
            get(PODS),
            get("/apis/nowhere.example.com/v1/namespaces/{ns}/things", status=404),
        ]),
        # reviews
        Case("a subject review says whether and why", [
            post(SUBJECT, asked(user="alice", resourceAttributes=pods("list")), within=SOON, fields={
                "status.allowed": True,
                "status.reason":
                    'RBAC: allowed by RoleBinding "granted/{ns}" of Role "granted" to User "alice"',
            }),
            post(SUBJECT, asked(user="alice", resourceAttributes=pods("delete")),
                 fields={"status.allowed": False}),
            post(SUBJECT, asked(user="bob", resourceAttributes=pods("list")),
                 fields={"status.allowed": False}),
        ], given=granted(rule("list", "pods"))),
        Case("a subject review about names and subresources", [
            post(SUBJECT, asked(user="alice", resourceAttributes=pods("get", name="a", subresource="log")),
                 within=SOON, fields={"status.allowed": True}),
            post(SUBJECT, asked(user="alice", resourceAttributes=pods("get", name="b", subresource="log")),
                 fields={"status.allowed": False}),
            post(SUBJECT, asked(user="alice", resourceAttributes=pods("get", name="a")),
                 fields={"status.allowed": False}),
        ], given=granted(rule("get", "pods/log", names="a"))),
        Case("a subject review about a path", [
            post(SUBJECT, asked(user="x", groups=["system:authenticated"],
                                nonResourceAttributes={"verb": "get", "path": "/version"}),
                 fields={"status.allowed": True}),
            post(SUBJECT, asked(user="x", nonResourceAttributes={"verb": "get", "path": "/metrics"}),
                 fields={"status.allowed": False}),
        ]),
        Case("a subject review about an administrators' group", [
            post(SUBJECT, asked(user="x", groups=["system:masters"], resourceAttributes=pods("delete")),
                 fields={"status.allowed": True}),
        ]),
        Case("a subject review needs a subject and one question", [
            post(SUBJECT, asked(resourceAttributes=pods("get")), status=422, causes=["spec.user"]),
            post(SUBJECT, asked(user="x"), status=422, causes=["spec.resourceAttributes"]),
            post(SUBJECT, asked(user="x", resourceAttributes=pods("get"),
                                nonResourceAttributes={"path": "/", "verb": "get"}),
                 status=422, causes=["spec.nonResourceAttributes"]),
        ]),
        Case("a review about oneself", [
            post(OWN, asked(resourceAttributes=pods("list")), user="alice", within=SOON,
                 fields={"status.allowed": True}),
            post(OWN, asked(resourceAttributes=pods("list")), user="bob", fields={"status.allowed": False}),
        ], given=granted(rule("list", "pods"))),
        Case("a review in a namespace", [
            post(LOCAL, asked(user="alice", resourceAttributes=pods("list")), within=SOON,
                 fields={"status.allowed": True}),
            post(LOCAL, asked(user="alice", resourceAttributes=pods("list", namespace="other")), status=422,
                 causes=["spec.resourceAttributes.namespace"]),
        ], given=granted(rule("list", "pods"))),
        Case("asking about others needs a right", [
            post(SUBJECT, asked(user="x", resourceAttributes=pods("get")), user="bob", status=403),
        ]),
        Case("all that one may is listed", [
            post(RULES, asked(namespace="{ns}"), user="alice", within=SOON, fields={
                "status.incomplete": False,
                "status.resourceRules": Has([{**rule("get", "pods", names="a")}]),
            }),
            post(RULES, asked(namespace="{ns}"), user="bob", fields={"status.resourceRules": Length(2)}),
            post(RULES, asked(), user="alice", status=400),
        ], given=granted(rule("get", "pods", names="a"))),
        Case("reviews can only be posted", [
            get(SUBJECT, status=405),
            get(f"{SUBJECT}/x", status=404),
            Step("DELETE", SUBJECT, status=405),
            Step("PUT", f"{SUBJECT}/x", {}, status=404),
        ]),
    ],
)  # fmt: skip


@each(TABLE)
def test_authorization(case: Case, player: Player) -> None:
    player.play(case)
