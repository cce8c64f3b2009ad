"""Roles and bindings: what is well formed, what they allow, and that nobody grants more than they have."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    APPLY,
    CONFIGMAPS,
    CORE,
    PODS,
    SECRETS,
    Case,
    Has,
    Json,
    Like,
    Step,
    configmap,
    delete,
    each,
    get,
    patch,
    post,
    put,
    table,
)
from tests.conformance.play import Player

GROUP = "rbac.authorization.k8s.io"
RBAC = f"/apis/{GROUP}/v1"
ROLES = f"{RBAC}/namespaces/{{ns}}/roles"
BINDINGS = f"{RBAC}/namespaces/{{ns}}/rolebindings"
CLUSTER_ROLES = f"{RBAC}/clusterroles"
CLUSTER_BINDINGS = f"{RBAC}/clusterrolebindings"
SOON = 5.0
"""A real server hears of roles through its caches."""


def rule(verbs: str, resources: str, *, group: str = "", names: str = "") -> Json:
    found: Json = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return {**found, "resourceNames": names.split()} if names else found


def role(name: str, *rules: Json, kind: str = "Role", **metadata: Any) -> Json:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "rules": list(rules),
    }


def binding(
    name: str, to: str, *users: str, to_kind: str = "Role", kind: str = "RoleBinding", **more: Any
) -> Json:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "subjects": [{"kind": "User", "name": user, "apiGroup": GROUP} for user in users],
        "roleRef": {"kind": to_kind, "name": to, "apiGroup": GROUP},
        **more,
    }


def granted(*rules: Json, user: str = "alice") -> list[Json]:
    """A role with these rules, bound to a user in the case's namespace."""
    return [role("granted", *rules), binding("granted", "granted", user)]


def cluster_granted(*rules: Json, user: str = "alice") -> list[Json]:
    return [
        role("granted-{id}", *rules, kind="ClusterRole"),
        binding("granted-{id}", "granted-{id}", user, to_kind="ClusterRole", kind="ClusterRoleBinding"),
    ]


def allowed(step: Step) -> Step:
    """A step that must soon be let through."""
    return Step(**{**vars(step), "within": SOON})


def forbidden(method: str, path: str, body: Any = None, *, user: str = "alice", **expected: Any) -> Step:
    return Step(method, path, body, user=user, status=403, reason="Forbidden", **expected)


WRITES = rule("create update patch get", "roles rolebindings", group=GROUP)

TABLE = table(
    "rbac",
    [
        # what is well formed
        Case("a role is stored as it is sent", [
            post(ROLES, role("a", rule("get", "pods")), fields={"rules": [rule("get", "pods")]}),
        ]),
        Case("names of roles may have colons and capitals", [
            post(ROLES, role("System:a", rule("get", "pods")), fields={"metadata.name": "System:a"}),
        ]),
        Case("names of roles may not have slashes or percent signs", [
            post(ROLES, role("a/b"), status=422, causes=["metadata.name"]),
            post(ROLES, role("a%b"), status=422, causes=["metadata.name"]),
        ]),
        Case("a rule needs verbs", [
            post(ROLES, role("a", {"apiGroups": [""], "resources": ["pods"]}), status=422,
                 message="rules[0].verbs: Required value"),
        ]),
        Case("a rule needs groups and resources", [
            post(ROLES, role("a", {"verbs": ["get"]}), status=422,
                 causes=["rules[0].apiGroups", "rules[0].resources"]),
        ]),
        Case("a namespaced rule has no paths", [
            post(ROLES, role("a", {"verbs": ["get"], "nonResourceURLs": ["/x"]}), status=422,
                 causes=["rules[0].nonResourceURLs"],
                 message="namespaced rules cannot apply to non-resource URLs"),
        ]),
        Case("a rule is about resources or about paths", [
            post(CLUSTER_ROLES, role("a-{id}", {**rule("get", "pods"), "nonResourceURLs": ["/x"]},
                                     kind="ClusterRole"),
                 status=422, causes=["rules[0].nonResourceURLs"]),
        ]),
        Case("an aggregation needs selectors", [
            post(CLUSTER_ROLES, {**role("a-{id}", kind="ClusterRole"), "aggregationRule": {}}, status=422,
                 causes=["aggregationRule.clusterRoleSelectors"]),
        ]),
        Case("a binding gets the groups of its role and subjects", [
            post(BINDINGS, {
                **binding("a", "r"),
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [
                    {"kind": "User", "name": "x"},
                    {"kind": "ServiceAccount", "name": "y", "namespace": "z"},
                ],
            }, fields={
                "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "r"},
                "subjects[0]": {"apiGroup": GROUP, "kind": "User", "name": "x"},
                "subjects[1]": {"kind": "ServiceAccount", "name": "y", "namespace": "z"},
            }),
        ]),
        Case("a binding to something that is no role is refused", [
            post(BINDINGS, binding("a", "r", to_kind="Rule"), status=422, causes=["roleRef.kind"]),
            post(BINDINGS, binding("a", ""), status=422, message="roleRef.name: Required value"),
        ]),
        Case("a cluster binding grants cluster roles only", [
            post(CLUSTER_BINDINGS, binding("a-{id}", "r", kind="ClusterRoleBinding"), status=422,
                 causes=["roleRef.kind"]),
        ]),
        Case("a subject is a user, a group or a service account", [
            post(BINDINGS, binding("a", "r", subjects=[{"kind": "Robot", "name": "x"}]), status=422,
                 causes=["subjects[0].kind"]),
            post(BINDINGS, binding("a", "r", subjects=[{"kind": "User", "name": ""}]), status=422,
                 message="subjects[0].name: Required value"),
        ]),
        Case("a service account in a cluster binding has a namespace", [
            post(CLUSTER_BINDINGS,
                 binding("a-{id}", "r", to_kind="ClusterRole", kind="ClusterRoleBinding",
                         subjects=[{"kind": "ServiceAccount", "name": "x"}]),
                 status=422, causes=["subjects[0].namespace"]),
        ]),
        Case("a binding never changes its role", [
            patch(f"{BINDINGS}/granted", {"roleRef": {"name": "other"}}, status=422, causes=["roleRef"],
                  message="cannot change roleRef"),
        ], given=granted(rule("get", "pods"))),
        Case("roles print when they were made", [
            get(f"{ROLES}/granted", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
                fields={"columnDefinitions[1].name": "Created At",
                        "rows[0].cells[1]": Like(r"^\d{4}-\d\d-\d\dT")}),
        ], given=granted(rule("get", "pods"))),
        Case("bindings print role and subjects", [
            get(f"{BINDINGS}/granted", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
                fields={"rows[0].cells[1]": "Role/granted", "rows[0].cells[3]": "alice"}),
        ], given=granted(rule("get", "pods"))),
        # what they allow
        Case("a role allows its verbs on its resources in its namespace", [
            allowed(get(PODS, user="alice")),
            forbidden("DELETE", PODS),
            forbidden("GET", f"{CORE}/pods"),
            forbidden("GET", f"{CORE}/namespaces/kube-system/pods"),
            forbidden("GET", PODS, user="bob"),
        ], given=granted(rule("get list", "pods"))),
        Case("a role with names allows these names only", [
            allowed(get(f"{CONFIGMAPS}/a", user="alice")),
            forbidden("GET", f"{CONFIGMAPS}/b"),
            forbidden("GET", CONFIGMAPS),
        ], given=[configmap("a"), configmap("b"), *granted(rule("get list", "configmaps", names="a"))]),
        Case("a list limited to a name counts as that name", [
            allowed(get(CONFIGMAPS, user="alice", query={"fieldSelector": "metadata.name=a"})),
            forbidden("GET", CONFIGMAPS, query={"fieldSelector": "metadata.name=b"}),
            forbidden("GET", CONFIGMAPS, query={"fieldSelector": "metadata.name!=a"}),
        ], given=[configmap("a"), *granted(rule("list", "configmaps", names="a"))]),
        Case("a subresource is another resource", [
            forbidden("GET", f"{PODS}/a/log"),
            forbidden("PATCH", f"{PODS}/a/status", {}),
            forbidden("POST", f"{PODS}/a/eviction", {}),
        ], given=granted(rule("*", "pods"))),
        Case("a role for a subresource of all kinds", [
            allowed(get("/apis/apps/v1/namespaces/{ns}/deployments/a/scale", user="alice", status=404)),
            forbidden("GET", "/apis/apps/v1/namespaces/{ns}/deployments/a"),
        ], given=granted(rule("get", "*/scale", group="apps"))),
        Case("a role bound to a group", [
            allowed(get(PODS, user="alice")),
            allowed(get(PODS, user="carol")),
            forbidden("GET", PODS, user="bob"),
        ], given=[role("granted", rule("list", "pods")),
                  binding("granted", "granted",
                          subjects=[{"kind": "Group", "name": "developers", "apiGroup": GROUP}])]),
        Case("a cluster role bound in a namespace holds there", [
            allowed(get(PODS, user="alice")),
            allowed(get(f"{CORE}/namespaces/{{ns}}", user="alice")),
            forbidden("GET", f"{CORE}/namespaces/kube-system"),
            forbidden("GET", SECRETS),
            forbidden("POST", CONFIGMAPS, configmap("a")),
        ], given=[binding("views", "system:aggregate-to-view", "alice", to_kind="ClusterRole")]),
        Case("what edit collects lets people work but not rule", [
            allowed(post(CONFIGMAPS, configmap("a"), user="alice")),
            forbidden("GET", ROLES),
            forbidden("GET", f"{CORE}/nodes"),
        ], given=[binding("edits", "system:aggregate-to-edit", "alice", to_kind="ClusterRole")]),
        Case("a cluster role bound everywhere holds everywhere", [
            allowed(get(f"{CORE}/nodes", user="dave")),
            allowed(get(PODS, user="dave")),
            forbidden("GET", SECRETS, user="dave"),
        ], given=cluster_granted(rule("list", "nodes pods"), user="dave")),
        Case("a path is allowed by its rule", [
            allowed(get("/logs-{id}", user="dave", status=404)),
            allowed(get("/logs-{id}/deeper", user="dave", status=(403, 404))),
            forbidden("GET", "/metrics", user="dave"),
        ], given=cluster_granted({"verbs": ["get"], "nonResourceURLs": ["/logs-{id}*"]}, user="dave")),
        Case("discovery is for everybody", [
            get("/api", user="bob"),
            get("/apis", user="bob"),
            get("/apis/apps/v1", user="bob"),
            get("/openapi/v3", user="bob"),
            get("/version", user="bob"),
        ]),
        Case("a right ends with its binding", [
            allowed(get(PODS, user="alice")),
            delete(f"{BINDINGS}/granted"),
            Step("GET", PODS, user="alice", status=403, within=SOON),
        ], given=granted(rule("list", "pods"))),
        Case("a missing role is named in the refusal", [
            forbidden("GET", PODS, within=SOON,
                      message=f'RBAC: role.{GROUP} "nowhere" not found'),
        ], given=[binding("a", "nowhere", "alice")]),
        # nobody grants more than they have
        Case("nobody writes a role with more than they hold", [
            allowed(post(ROLES, role("fine", rule("get", "pods")), user="alice")),
            forbidden("POST", ROLES, role("more", rule("get list", "pods")), message=[
                f'roles.{GROUP} "more" is forbidden: user "alice" (groups=["developers" ',
                '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n',
                '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}',
            ]),
            forbidden("PUT", f"{ROLES}/fine", role("fine", rule("*", "pods"))),
            patch(f"{ROLES}/fine", {"rules": [rule("get", "*")]}, user="alice", status=403),
        ], given=granted(WRITES, rule("get", "pods"))),
        Case("apply is no way around the check", [
            allowed(get(f"{ROLES}/granted", user="alice")),
            patch(f"{ROLES}/new", role("new", rule("*", "*")), APPLY, query={"fieldManager": "x"},
                  user="alice", status=403),
            patch(f"{ROLES}/granted", role("granted", rule("*", "*")), APPLY,
                  query={"fieldManager": "x", "force": "true"}, user="alice", status=403),
        ], given=granted(WRITES)),
        Case("who may escalate may write any role", [
            allowed(post(ROLES, role("more", rule("*", "*")), user="alice")),
        ], given=granted(WRITES, rule("escalate", "roles", group=GROUP))),
        Case("nobody binds a role with more than they hold", [
            allowed(get(f"{BINDINGS}/granted", user="alice")),
            forbidden("POST", BINDINGS, binding("own", "secrets", "alice"),
                      message="attempting to grant RBAC permissions not currently held"),
            forbidden("POST", BINDINGS, binding("own", "cluster-admin", "alice", to_kind="ClusterRole")),
        ], given=[role("secrets", rule("get", "secrets")), *granted(WRITES)]),
        Case("a binding of somebody without rights to a role that does not exist", [
            allowed(get(f"{BINDINGS}/granted", user="alice")),
            post(BINDINGS, binding("own", "nowhere", "alice"), user="alice", status=404),
        ], given=granted(WRITES)),
        Case("who may bind a role may bind that one", [
            allowed(post(BINDINGS, binding("own", "secrets", "alice"), user="alice")),
            forbidden("POST", BINDINGS, binding("other", "nodes", "alice")),
        ], given=[role("secrets", rule("get", "secrets")), role("nodes", rule("get", "endpoints")),
                  *granted(WRITES, rule("bind", "roles", group=GROUP, names="secrets"))]),
        Case("collecting rules by label is for administrators", [
            Step("POST", CLUSTER_ROLES,
                 {**role("all-{id}", kind="ClusterRole"), "aggregationRule": {"clusterRoleSelectors": [{}]}},
                 user="dave", status=403, within=SOON,
                 message="must have cluster-admin privileges to use the aggregationRule"),
        ], given=cluster_granted(rule("create", "clusterroles", group=GROUP), user="dave")),
        # what every cluster has
        Case("the roles of every cluster are there", [
            get(f"{CLUSTER_ROLES}/cluster-admin", fields={
                "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                          {"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "metadata.labels": Has({"kubernetes.io/bootstrapping": "rbac-defaults"}),
                'metadata.annotations["rbac.authorization.kubernetes.io/autoupdate"]': "true",
            }),
            *(get(f"{CLUSTER_ROLES}/{name}") for name in (
                "admin", "edit", "view", "system:discovery", "system:basic-user",
                "system:public-info-viewer", "system:node", "system:node-bootstrapper",
                "system:node-proxier", "system:kube-scheduler", "system:kube-controller-manager",
                "system:auth-delegator", "system:monitoring", "system:aggregate-to-view",
                "system:controller:deployment-controller", "system:controller:generic-garbage-collector",
                "system:service-account-issuer-discovery",
            )),
            get(f"{CLUSTER_BINDINGS}/cluster-admin",
                fields={"subjects": [{"kind": "Group", "apiGroup": GROUP, "name": "system:masters"}]}),
            get(f"{RBAC}/namespaces/kube-system/roles/extension-apiserver-authentication-reader"),
        ]),
        Case("admin, edit and view collect", [
            get(f"{CLUSTER_ROLES}/{name}", fields={
                "aggregationRule.clusterRoleSelectors": [
                    {"matchLabels": {f"{GROUP}/aggregate-to-{name}": "true"}}
                ],
            })
            for name in ("admin", "edit", "view")
        ]),
        Case("a put of a role replaces its rules", [
            put(f"{ROLES}/granted", role("granted", rule("list", "pods")),
                fields={"rules": [rule("list", "pods")]}),
        ], given=granted(rule("get", "pods"))),
    ],
)  # fmt: skip


@each(TABLE)
def test_rbac(case: Case, player: Player) -> None:
    player.play(case)
