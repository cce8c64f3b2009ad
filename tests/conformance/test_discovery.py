"""What a server says of itself: versions, health, groups, resources, OpenAPI, and paths that are not."""

from __future__ import annotations

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    PRESENT,
    Case,
    Has,
    Like,
    Not,
    Step,
    configmap,
    delete,
    each,
    get,
    post,
    put,
    table,
)
from tests.conformance.play import Player
from tests.conformance.widgets import GROUP, WIDGET_CRD

_V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_GET_LIST = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

_CORE_RESOURCES = "items[0].versions[0].resources"
_POD_PATH = 'paths["/api/v1/namespaces/{namespace}/pods/{name}"]'

TABLE = table(
    "discovery",
    [
        Case(
            "the version is Kubernetes'",
            [
                get(
                    "/version",
                    fields={
                        "major": "1",
                        "minor": Like(r"^\d+\+?$"),
                        "gitVersion": Like(r"^v1\.\d+\.\d+"),
                        "platform": Like("/"),
                        "goVersion": PRESENT,
                        "buildDate": PRESENT,
                        "compiler": PRESENT,
                    },
                )
            ],
        ),
        Case(
            "/api names the core versions",
            [get("/api", fields={"kind": "APIVersions", "versions": ["v1"]})],
        ),
        Case(
            "/apis lists groups with their versions",
            [
                get(
                    "/apis",
                    fields={
                        "kind": "APIGroupList",
                        "apiVersion": "v1",
                        "groups[name=apps].versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                        "groups[name=apps].preferredVersion.version": "v1",
                        f"groups[name={GROUP}].preferredVersion.groupVersion": f"{GROUP}/v1",
                    },
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a group has a document",
            [
                get(
                    "/apis/apps",
                    fields={
                        "kind": "APIGroup",
                        "apiVersion": "v1",
                        "name": "apps",
                        "preferredVersion.groupVersion": "apps/v1",
                    },
                ),
                get("/apis/nothing.example.com", status=404),
            ],
        ),
        Case(
            "a version lists its resources",
            [
                get(
                    "/api/v1",
                    fields={
                        "kind": "APIResourceList",
                        "groupVersion": "v1",
                        "resources[name=pods]": Has(
                            {
                                "singularName": "pod",
                                "namespaced": True,
                                "kind": "Pod",
                                "verbs": _GET_LIST,
                                "shortNames": ["po"],
                                "categories": ["all"],
                            }
                        ),
                        "resources[name=nodes].namespaced": False,
                        "resources[name=pods/status].verbs": ["get", "patch", "update"],
                        "resources[name=pods/log].verbs": ["get"],
                        "resources[name=pods/binding].kind": "Binding",
                        "resources[name=pods/eviction]": Has(
                            {"group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"]}
                        ),
                        "resources[name=namespaces/finalize].verbs": ["update"],
                        "resources[name=serviceaccounts/token]": Has(
                            {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
                        ),
                        "resources[name=namespaces].verbs": [
                            "create",
                            "delete",
                            "get",
                            "list",
                            "patch",
                            "update",
                            "watch",
                        ],
                    },
                ),
                get("/api/v2", status=404),
            ],
        ),
        Case(
            "custom kinds are listed with short names, categories and subresources",
            [
                get(
                    f"/apis/{GROUP}/v1",
                    fields={
                        "groupVersion": f"{GROUP}/v1",
                        "resources[name=widgets]": Has(
                            {
                                "kind": "Widget",
                                "singularName": "widget",
                                "shortNames": ["wd"],
                                "categories": ["all"],
                                "verbs": Has(_GET_LIST),
                            }
                        ),
                        "resources[name=widgets/status].verbs": ["get", "patch", "update"],
                        "resources[name=widgets/scale]": Has(
                            {"group": "autoscaling", "version": "v1", "kind": "Scale"}
                        ),
                    },
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "aggregated discovery of the core group",
            [
                get(
                    "/api",
                    headers={"Accept": f"{_V2},application/json"},
                    fields={
                        "kind": "APIGroupDiscoveryList",
                        "apiVersion": "apidiscovery.k8s.io/v2",
                        "items[0].versions[0].version": "v1",
                        "items[0].versions[0].freshness": "Current",
                        f"{_CORE_RESOURCES}[resource=pods]": Has(
                            {
                                "responseKind": Has({"kind": "Pod"}),
                                "scope": "Namespaced",
                                "singularResource": "pod",
                                "shortNames": ["po"],
                                "verbs": _GET_LIST,
                            }
                        ),
                        f"{_CORE_RESOURCES}[resource=pods].subresources[subresource=eviction]": Has(
                            {"responseKind": {"group": "policy", "kind": "Eviction", "version": "v1"}}
                        ),
                    },
                    answer_headers={"Content-Type": _V2, "Vary": "Accept"},
                )
            ],
        ),
        Case(
            "aggregated discovery of all other groups",
            [
                get(
                    "/apis",
                    headers={"Accept": _V2},
                    fields={
                        "kind": "APIGroupDiscoveryList",
                        "items": Has(
                            [
                                {"metadata": {"name": "apps"}},
                                {"metadata": {"name": GROUP}},
                            ]
                        ),
                    },
                    within=5,
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "aggregated discovery is not sent again to who has it",
            [
                get("/api", headers={"Accept": _V2}, answer_headers={"Etag": Like(".")}),
            ],
        ),
        Case(
            "health is ok, for everybody",
            [
                get("/healthz", text="ok"),
                get("/livez", text="ok"),
                get("/readyz", text="ok"),
                get("/livez", user="", text="ok"),
                get("/readyz", user="", text="ok"),
                get("/version", user="", fields={"major": "1"}),
            ],
        ),
        Case(
            "verbose health names its checks",
            [
                get("/readyz", query={"verbose": ""}, text="[+]ping ok"),
                get("/livez", query={"verbose": "true"}, text="livez check passed"),
                get("/healthz", query={"verbose": "1"}, text="healthz check passed"),
            ],
        ),
        Case(
            "a single check of health has a path",
            [
                get("/livez/ping", text="ok"),
                get("/readyz/ping", text="ok"),
                get("/healthz/ping", text="ok"),
                get("/livez/nothing", status=404),
            ],
        ),
        Case(
            "a check of health can be left out",
            [get("/readyz", query={"exclude": "ping", "verbose": "1"}, text="[+]ping excluded: ok")],
        ),
        Case(
            "the root lists paths",
            [
                get(
                    "/",
                    fields={
                        "paths": Has(["/api", "/api/v1", "/apis", "/healthz", "/version", "/openapi/v2"])
                    },
                )
            ],
        ),
        Case("metrics are served", [get("/metrics", answer_headers={"Content-Type": Like("^text/plain")})]),
        # OpenAPI
        Case(
            "OpenAPI v2 as JSON has paths and definitions",
            [
                get(
                    "/openapi/v2",
                    fields={
                        "swagger": "2.0",
                        "info.title": PRESENT,
                        'definitions["io.k8s.api.core.v1.Pod"].x-kubernetes-group-version-kind': [
                            {"group": "", "kind": "Pod", "version": "v1"}
                        ],
                        'definitions["io.k8s.api.core.v1.PodSpec"].properties.containers': Has(
                            {
                                "x-kubernetes-patch-merge-key": "name",
                                "x-kubernetes-patch-strategy": "merge",
                                "x-kubernetes-list-type": "map",
                                "x-kubernetes-list-map-keys": ["name"],
                            }
                        ),
                        f"{_POD_PATH}.patch.x-kubernetes-action": "patch",
                        f"{_POD_PATH}.get.x-kubernetes-group-version-kind": {
                            "group": "",
                            "kind": "Pod",
                            "version": "v1",
                        },
                    },
                    answer_headers={"Etag": Like(".")},
                )
            ],
        ),
        Case(
            "OpenAPI v3 has an index by group and version",
            [
                get(
                    "/openapi/v3",
                    fields={
                        'paths["api/v1"].serverRelativeURL': Like(r"^/openapi/v3/api/v1\?hash=[0-9A-F]+$"),
                        'paths["apis/apps/v1"].serverRelativeURL': Like(r"^/openapi/v3/apis/apps/v1\?hash="),
                    },
                )
            ],
        ),
        Case(
            "OpenAPI v3 of a group has components",
            [
                get(
                    "/openapi/v3/api/v1",
                    fields={
                        "openapi": Like(r"^3\.0"),
                        'components.schemas["io.k8s.api.core.v1.Pod"].properties.spec': PRESENT,
                        'paths["/api/v1/namespaces/{namespace}/pods"].post': PRESENT,
                    },
                ),
                get("/openapi/v3/apis/nothing/v1", status=404),
            ],
        ),
        Case(
            "a custom kind comes into OpenAPI",
            [
                get(
                    f"/openapi/v3/apis/{GROUP}/v1",
                    fields={
                        'components.schemas["dev.conformance.machinery.v1.Widget"].properties.spec': PRESENT,
                        'components.schemas["dev.conformance.machinery.v1.Widget"]'
                        ".x-kubernetes-group-version-kind": [
                            {"group": GROUP, "kind": "Widget", "version": "v1"}
                        ],
                    },
                    within=10,
                ),
                get(
                    "/openapi/v2",
                    fields={'definitions["dev.conformance.machinery.v1.Widget"]': PRESENT},
                    within=10,
                ),
            ],
            given=[WIDGET_CRD],
        ),
        # What is not
        Case(
            "an unknown path is not found",
            [
                get("/nothing", status=404),
                get("/apis/apps/v1/nothings", status=404),
                get("/apis/apps/v9/deployments", status=404),
                get(f"{CORE}/namespaces/{{ns}}/nothings", status=404),
                get(f"{CONFIGMAPS}/a/nothing", status=404),
                post("/apis/apps/v1/namespaces/{ns}/nothings", {}, status=404),
            ],
        ),
        Case(
            "a method that a path does not have is 405",
            [
                put(CONFIGMAPS, {}, status=405, reason="MethodNotAllowed"),
                post(f"{CONFIGMAPS}/a", {}, status=405),
                Step("PATCH", CONFIGMAPS, {}, status=405),
                delete(f"{CORE}/namespaces", status=405),
            ],
        ),
        Case(
            "slashes too many are another path",
            [get("//api/v1", status=404), get(f"{CORE}//namespaces", status=404)],
        ),
        Case(
            "a body that is nested without end is a bad request",
            [
                post(CONFIGMAPS, b"[" * 5000, status=400, reason="BadRequest"),
                post(CONFIGMAPS, b'{"metadata":' * 3000, status=400, reason="BadRequest"),
            ],
        ),
        Case(
            "methods that nothing here knows are 405",
            [
                Step("OPTIONS", "/api/v1", status=405, reason="MethodNotAllowed"),
                Step("OPTIONS", CONFIGMAPS, status=405, reason="MethodNotAllowed"),
                Step("TRACE", CONFIGMAPS, status=405),
            ],
        ),
        Case(
            "a path may end in a slash",
            [
                get(f"{CONFIGMAPS}/", fields={"kind": "ConfigMapList"}),
                get("/api/v1/", fields={"kind": "APIResourceList"}),
                get("/apis/", fields={"kind": "APIGroupList"}),
            ],
        ),
        Case(
            "a body larger than 3 MiB is too large",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", data={"x": "y" * (3 * 1024 * 1024)}),
                    status=413,
                    reason="RequestEntityTooLarge",
                    message="limit is 3145728",
                )
            ],
        ),
        Case(
            "a document cannot be written",
            [post("/version", {}, status=(404, 405)), post("/api", {}, status=(404, 405))],
        ),
        Case(
            "without a token only what is open to all is answered",
            [
                get("/api", user="", status=(401, 403)),
                get(CONFIGMAPS, user="", status=(401, 403)),
                get(
                    CONFIGMAPS,
                    user="",
                    headers={"Authorization": "Bearer wrong"},
                    status=401,
                    reason="Unauthorized",
                    fields={"message": Like("^Unauthorized"), "code": 401},
                ),
            ],
        ),
        Case(
            "who may nothing may discover",
            [
                get("/api", user="bob", fields={"kind": "APIVersions"}),
                get("/apis", user="bob", fields={"kind": "APIGroupList"}),
                get("/openapi/v3", user="bob", fields={"paths": PRESENT}),
                get("/metrics", user="bob", status=403),
                get(CONFIGMAPS, user="bob", status=403, reason="Forbidden"),
            ],
        ),
        Case(
            "every answer names the priority level that let it in",
            [
                get(
                    "/api/v1",
                    user="bob",
                    answer_headers={
                        "X-Kubernetes-Pf-Flowschema-Uid": Not(""),
                        "X-Kubernetes-Pf-Prioritylevel-Uid": Not(""),
                    },
                )
            ],
        ),
        Case(
            "every answer has an audit id",
            [get("/api/v1", answer_headers={"Audit-Id": Like("^[0-9a-f-]{36}$")})],
        ),
    ],
)


@each(TABLE)
def test_discovery(case: Case, player: Player) -> None:
    player.play(case)
