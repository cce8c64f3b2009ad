"""Who somebody is: tokens, service accounts and their tokens, reviews, impersonation."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    PODS,
    PRESENT,
    SECRETS,
    Case,
    Has,
    Json,
    Length,
    Like,
    Step,
    delete,
    each,
    get,
    pod,
    post,
    table,
)
from tests.conformance.play import Player
from tests.conformance.test_rbac import SOON, allowed, cluster_granted, granted, rule

ACCOUNTS = f"{CORE}/namespaces/{{ns}}/serviceaccounts"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
BOT = "system:serviceaccount:{ns}:bot"


def account(name: str = "bot", **more: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}, **more}


def token(name: str = "bot", *, spec: Json | None = None, **expected: Any) -> Step:
    return post(f"{ACCOUNTS}/{name}/token", {"spec": spec or {}}, **expected)


SAVED = {"token": "status.token"}


def with_token(method: str, path: str, body: Any = None, **expected: Any) -> Step:
    return Step(method, path, body, user="", headers={"Authorization": "Bearer {token}"}, **expected)


def acting(user: str, path: str, *more: tuple[str, str], by: str = "admin", **expected: Any) -> Step:
    headers = {"Impersonate-User": user, **dict(more)}
    return Step("POST", path, {}, user=by, headers=headers, **expected)


def bound(kind: str, name: str, uid: str = "{uid}") -> Json:
    return {"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}}


TABLE = table(
    "authentication",
    [
        Case("without a token nothing but health and version is to be had", [
            Step("GET", "/healthz", user="", text="ok"),
            Step("GET", "/livez", user=""),
            Step("GET", "/readyz", user=""),
            Step("GET", "/version", user=""),
            Step("GET", "/api", user="", status=(401, 403)),
            Step("GET", PODS, user="", status=(401, 403)),
            Step("POST", CONFIGMAPS, {}, user="", status=(401, 403)),
        ]),
        Case("a wrong token is refused everywhere", [
            Step("GET", path, user="", headers={"Authorization": "Bearer wrong"}, status=401,
                 reason="Unauthorized")
            for path in ("/healthz", "/version", "/api", PODS)
        ]),
        Case("another scheme is no credential", [
            Step("GET", PODS, user="", headers={"Authorization": "Basic YTpi"}, status=(401, 403)),
        ]),
        Case("somebody asks who they are", [
            post(WHO, {}, user="alice", fields={
                "kind": "SelfSubjectReview",
                "status.userInfo.username": "alice",
                "status.userInfo.groups": ["developers", "system:authenticated"],
                "metadata.creationTimestamp": PRESENT,
            }),
            post(WHO, {}, user="bob", fields={"status.userInfo.username": "bob"}),
        ]),
        # tokens of service accounts
        Case("a token of a service account is that account", [
            token(save=SAVED, fields={"kind": "TokenRequest", "spec.expirationSeconds": 3600,
                                      "spec.audiences": Length(1), "status.expirationTimestamp": PRESENT}),
            with_token("POST", WHO, {}, status=201, fields={
                "status.userInfo.username": BOT,
                "status.userInfo.groups": ["system:serviceaccounts", "system:serviceaccounts:{ns}",
                                           "system:authenticated"],
                "status.userInfo.uid": PRESENT,
                'status.userInfo.extra["authentication.kubernetes.io/credential-id"]': [Like("^JTI=")],
            }),
        ], given=[account()]),
        Case("a service account may do what its roles say", [
            token(save=SAVED),
            with_token("GET", PODS, within=SOON),
            with_token("GET", SECRETS, status=403, message=f'User "{BOT}" cannot list resource "secrets"'),
        ], given=[account(), *granted(rule("list", "pods"), user=BOT)]),
        Case("a token dies with its account", [
            token(save=SAVED),
            with_token("POST", WHO, {}, status=201),
            delete(f"{ACCOUNTS}/bot"),
            with_token("POST", WHO, {}, status=401, within=15.0),
        ], given=[account()]),
        Case("a token dies with the pod it is bound to", [
            post(PODS, pod("a", serviceAccountName="bot"), save={"uid": "metadata.uid"}),
            token(spec=bound("Pod", "a"), save=SAVED, fields={"spec.boundObjectRef.name": "a"}),
            with_token("POST", WHO, {}, status=201, fields={
                'status.userInfo.extra["authentication.kubernetes.io/pod-name"]': ["a"],
            }),
            delete(f"{PODS}/a", {"gracePeriodSeconds": 0}),
            with_token("POST", WHO, {}, status=401, within=15.0),
        ], given=[account()]),
        Case("a token may be bound to a secret", [
            post(SECRETS, {"metadata": {"name": "s"}}, save={"uid": "metadata.uid"}),
            token(spec=bound("Secret", "s"), save=SAVED),
            with_token("POST", WHO, {}, status=201),
            delete(f"{SECRETS}/s"),
            with_token("POST", WHO, {}, status=401, within=15.0),
        ], given=[account()]),
        Case("a token cannot be bound to a pod of another account", [
            post(PODS, pod("a"), save={"uid": "metadata.uid"}),
            token(spec=bound("Pod", "a"), status=400,
                  message="cannot bind token for serviceaccount"),
        ], given=[account()]),
        Case("a token cannot be bound to what is not there", [
            token(spec=bound("Pod", "nothing", ""), status=404),
            token(spec=bound("ConfigMap", "c", ""), status=400, message="cannot bind token to object"),
        ], given=[account()]),
        Case("a token cannot be bound to an object of another uid", [
            post(SECRETS, {"metadata": {"name": "s"}}),
            token(spec=bound("Secret", "s", "11111111-1111-4111-8111-111111111111"), status=409,
                  message="does not match the UID in record"),
        ], given=[account()]),
        Case("a token lives ten minutes at least", [
            token(spec={"expirationSeconds": 599}, status=422, causes=["spec.expirationSeconds"],
                  message="may not specify a duration less than 10 minutes"),
            token(spec={"expirationSeconds": 600}),
        ], given=[account()]),
        Case("a token for somebody else is no credential here", [
            token(spec={"audiences": ["vault"]}, save=SAVED, fields={"spec.audiences": ["vault"]}),
            with_token("POST", WHO, {}, status=401),
            post(TOKEN_REVIEWS, {"spec": {"token": "{token}", "audiences": ["vault", "x"]}},
                 fields={"status.authenticated": True, "status.audiences": ["vault"]}),
            post(TOKEN_REVIEWS, {"spec": {"token": "{token}"}}, absent=["status.authenticated"]),
        ], given=[account()]),
        Case("a token is asked for by those who may", [
            allowed(token(user="alice")),
            token("default", user="alice", status=403),
            token("bot", user="bob", status=403, message='cannot create resource "serviceaccounts/token"'),
        ], given=[account(), *granted(rule("create", "serviceaccounts/token", names="bot"))]),
        Case("no token of an account that is not there", [
            token("nobody", status=404),
        ]),
        Case("a review says whose token it is", [
            token(save=SAVED),
            post(TOKEN_REVIEWS, {"spec": {"token": "{token}"}}, fields={
                "status.authenticated": True, "status.user.username": BOT, "status.audiences": Length(1)}),
            post(TOKEN_REVIEWS, {"spec": {"token": "conformance-alice"}}, fields={
                "status.authenticated": True, "status.user.username": "alice",
                "status.user.groups": ["developers", "system:authenticated"]}),
            post(TOKEN_REVIEWS, {"spec": {"token": "nonsense"}}, absent=["status.authenticated"],
                 fields={"status.error": Like("invalid bearer token")}),
            post(TOKEN_REVIEWS, {"spec": {}}, status=400),
            post(TOKEN_REVIEWS, {"spec": {"token": "x"}}, user="bob", status=403),
        ], given=[account()]),
        Case("the issuer says who it is and with which keys", [
            get("/.well-known/openid-configuration", fields={
                "issuer": Like("^https://"), "jwks_uri": Like("/openid/v1/jwks$"),
                "subject_types_supported": ["public"]}),
            get("/openid/v1/jwks", headers={"Accept": "*/*"},
                fields={"keys[0].use": "sig", "keys[0].kid": PRESENT}),
            get("/openid/v1/jwks", user="bob", status=403),
            token(save=SAVED),
            with_token("GET", "/.well-known/openid-configuration"),
        ], given=[account()]),
        # pods
        Case("a pod runs as the default account and finds its token", [
            post(PODS, pod("a"), fields={
                "spec.serviceAccountName": "default",
                "spec.serviceAccount": "default",
                "spec.volumes[0].name": Like("^kube-api-access-"),
                "spec.volumes[0].projected.defaultMode": 420,
                "spec.volumes[0].projected.sources": Has([
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt",
                                   "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {
                        "apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
                ]),
                "spec.containers[0].volumeMounts[0].mountPath":
                    "/var/run/secrets/kubernetes.io/serviceaccount",
                "spec.containers[0].volumeMounts[0].readOnly": True,
            }),
        ]),
        Case("a pod without a token", [
            post(PODS, pod("a", automountServiceAccountToken=False), absent=["spec.volumes"]),
            post(PODS, pod("b", serviceAccountName="bot"), absent=["spec.volumes"]),
            post(PODS, pod("c", serviceAccountName="bot", automountServiceAccountToken=True),
                 fields={"spec.volumes": Length(1)}),
        ], given=[account(automountServiceAccountToken=False)]),
        Case("a pod gets the pull secrets of its account", [
            post(PODS, pod("a", serviceAccountName="bot"),
                 fields={"spec.imagePullSecrets": [{"name": "registry"}]}),
            post(PODS, pod("b", serviceAccountName="bot", imagePullSecrets=[{"name": "own"}]),
                 fields={"spec.imagePullSecrets": [{"name": "own"}]}),
        ], given=[account(imagePullSecrets=[{"name": "registry"}])]),
        Case("a pod of an account that is not there is refused", [
            post(PODS, pod("a", serviceAccountName="ghost"), status=403,
                 message='error looking up service account {ns}/ghost: serviceaccount "ghost" not found'),
        ]),
        # impersonation
        Case("an administrator acts as somebody else", [
            acting("jane", WHO, fields={"status.userInfo.username": "jane",
                                        "status.userInfo.groups": ["system:authenticated"]}),
            acting("jane", WHO, ("Impersonate-Group", "ops"), ("Impersonate-Uid", "7"),
                   ("Impersonate-Extra-Scopes", "a"),
                   fields={"status.userInfo.groups": ["ops", "system:authenticated"],
                           "status.userInfo.uid": "7", "status.userInfo.extra": {"scopes": ["a"]}}),
            acting("system:serviceaccount:{ns}:bot", WHO, fields={
                "status.userInfo.groups": ["system:serviceaccounts", "system:serviceaccounts:{ns}",
                                           "system:authenticated"]}),
        ]),
        Case("who acts as another has that one's rights", [
            Step("GET", PODS, headers={"Impersonate-User": "jane"}, status=403,
                 message='User "jane" cannot list resource "pods"'),
        ]),
        Case("acting as another needs a right", [
            acting("jane", WHO, by="bob", status=403, reason="Forbidden",
                   message='User "bob" cannot impersonate'),
            acting("system:serviceaccount:{ns}:bot", WHO, by="bob", status=403, reason="Forbidden",
                   message='User "bob" cannot impersonate'),
        ]),
        Case("each part that is claimed needs a right", [
            acting("jane", WHO, by="dave", within=SOON, fields={"status.userInfo.username": "jane"}),
            acting("max", WHO, by="dave", status=403, message='users "max" is forbidden'),
            acting("jane", WHO, ("Impersonate-Group", "system:masters"), by="dave", status=403,
                   message='groups "system:masters" is forbidden'),
            acting("jane", WHO, ("Impersonate-Uid", "7"), by="dave", status=403,
                   message='uids.authentication.k8s.io "7" is forbidden'),
            acting("jane", WHO, ("Impersonate-Extra-Scopes", "a"), by="dave", status=403,
                   message='cannot impersonate resource "userextras/scopes"'),
        ], given=cluster_granted(rule("impersonate", "users", names="jane"), user="dave")),
        Case("a claim of groups without a user makes no sense", [
            Step("POST", WHO, {}, headers={"Impersonate-Group": "ops"}, status=(400, 500)),
        ]),
    ],
)  # fmt: skip


@each(TABLE)
def test_authentication(case: Case, player: Player) -> None:
    player.play(case)
