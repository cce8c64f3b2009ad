"""POST on a collection: identity, names, namespaces, what the server sets, dry run."""

from __future__ import annotations

from tests.conformance.case import (
    CONFIGMAPS,
    CORE,
    PODS,
    PRESENT,
    Case,
    Like,
    Not,
    configmap,
    each,
    get,
    pod,
    post,
    table,
)
from tests.conformance.play import Player
from tests.conformance.widgets import GEAR_CRD, GEARS, WIDGET_CRD, WIDGETS, gear, widget

_UID = Like(r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
_TIME = Like(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

_SPEC = "metadata.managedFields[0].fieldsV1.f:spec"

TABLE = table(
    "create",
    [
        Case(
            "the server gives uid, creationTimestamp, resourceVersion and namespace",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", data={"k": "v"}),
                    fields={
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "metadata.name": "a",
                        "metadata.namespace": "{ns}",
                        "metadata.uid": _UID,
                        "metadata.creationTimestamp": _TIME,
                        "metadata.resourceVersion": Like(r"^[1-9]\d*$"),
                        "data": {"k": "v"},
                    },
                    absent=["metadata.generation", "metadata.selfLink", "metadata.generateName"],
                    warnings=(),
                )
            ],
        ),
        Case(
            "what only the server may set is not taken from the client",
            [
                post(
                    CONFIGMAPS,
                    configmap(
                        "a",
                        uid="11111111-1111-4111-8111-111111111111",
                        creationTimestamp="2001-01-01T00:00:00Z",
                        deletionTimestamp="2001-01-01T00:00:00Z",
                        deletionGracePeriodSeconds=5,
                        selfLink="/x",
                        generation=7,
                    ),
                    fields={
                        "metadata.uid": Not("11111111-1111-4111-8111-111111111111"),
                        "metadata.creationTimestamp": Not("2001-01-01T00:00:00Z"),
                    },
                    absent=[
                        "metadata.deletionTimestamp",
                        "metadata.deletionGracePeriodSeconds",
                        "metadata.selfLink",
                    ],
                )
            ],
        ),
        Case(
            "a resourceVersion is refused",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", resourceVersion="5"),
                    status=(400, 500),
                    message="resourceVersion should not be set on objects to be created",
                )
            ],
        ),
        Case(
            "a name that is taken is a conflict",
            [
                post(
                    CONFIGMAPS,
                    configmap("a"),
                    status=409,
                    reason="AlreadyExists",
                    message='configmaps "a" already exists',
                    fields={"details": {"name": "a", "kind": "configmaps"}, "code": 409, "status": "Failure"},
                )
            ],
            given=[configmap("a")],
        ),
        Case(
            "generateName makes a name of five random characters",
            [
                post(
                    CONFIGMAPS,
                    {"metadata": {"generateName": "made-"}, "apiVersion": "v1", "kind": "ConfigMap"},
                    fields={
                        "metadata.name": Like(r"^made-[bcdfghjklmnpqrstvwxz2456789]{5}$"),
                        "metadata.generateName": "made-",
                    },
                )
            ],
        ),
        Case(
            "a long generateName is cut so that the name has 63 characters",
            [
                post(
                    CONFIGMAPS,
                    {"metadata": {"generateName": "x" * 70}, "apiVersion": "v1", "kind": "ConfigMap"},
                    fields={"metadata.name": Like(r"^x{58}[bcdfghjklmnpqrstvwxz2456789]{5}$")},
                )
            ],
        ),
        Case(
            "a name wins over generateName",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", generateName="made-"),
                    fields={"metadata.name": "a", "metadata.generateName": "made-"},
                )
            ],
        ),
        Case(
            "neither name nor generateName is invalid",
            [
                post(
                    CONFIGMAPS,
                    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}},
                    status=422,
                    reason="Invalid",
                    message="name or generateName is required",
                    causes=["metadata.name"],
                )
            ],
        ),
        Case(
            "a name with capitals is invalid and the message says the rule",
            [
                post(
                    CONFIGMAPS,
                    configmap("Bad_Name"),
                    status=422,
                    reason="Invalid",
                    message='ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": '
                    "a lowercase RFC 1123 subdomain must consist of",
                    causes=["metadata.name"],
                    fields={
                        "details.causes[0].reason": "FieldValueInvalid",
                        "details.name": "Bad_Name",
                        "details.kind": "ConfigMap",
                    },
                )
            ],
        ),
        Case(
            "an invalid generateName is named as such",
            [
                post(
                    CONFIGMAPS,
                    {"metadata": {"generateName": "Bad-"}, "apiVersion": "v1", "kind": "ConfigMap"},
                    status=422,
                    causes=["metadata.generateName", "metadata.name"],
                )
            ],
        ),
        Case(
            "invalid labels and annotations are named by field",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", labels={"-bad": "x", "ok": "not ok!"}, annotations={"/": "x"}),
                    status=422,
                    causes=["metadata.labels", "metadata.annotations"],
                )
            ],
        ),
        Case(
            "annotations of more than 256 KiB are too long",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", annotations={"a": "x" * (256 * 1024)}),
                    status=422,
                    causes=["metadata.annotations"],
                    fields={"details.causes[0].reason": "FieldValueTooLong"},
                )
            ],
        ),
        Case(
            "an ownerReference needs all its parts",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", ownerReferences=[{"apiVersion": "v1", "kind": "", "name": "", "uid": ""}]),
                    status=422,
                    causes=[
                        "metadata.ownerReferences.kind",
                        "metadata.ownerReferences.name",
                        "metadata.ownerReferences.uid",
                    ],
                )
            ],
        ),
        Case(
            "only one owner may be the controller",
            [
                post(
                    CONFIGMAPS,
                    configmap(
                        "a",
                        ownerReferences=[
                            {"apiVersion": "v1", "kind": "Pod", "name": n, "uid": n, "controller": True}
                            for n in ("x", "y")
                        ],
                    ),
                    status=422,
                    causes=["metadata.ownerReferences"],
                )
            ],
        ),
        Case(
            "an Event cannot own anything",
            [
                post(
                    CONFIGMAPS,
                    configmap(
                        "a", ownerReferences=[{"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "y"}]
                    ),
                    status=422,
                    causes=["metadata.ownerReferences"],
                )
            ],
        ),
        Case(
            "a finalizer without a domain is invalid for built-in kinds",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", finalizers=["nodomain"]),
                    status=422,
                    message="name is neither a standard finalizer name nor is it fully qualified",
                    causes=["metadata.finalizers[0]"],
                )
            ],
        ),
        Case(
            "standard finalizers need no domain",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", finalizers=["foregroundDeletion", "example.com/x"]),
                    fields={"metadata.finalizers": ["foregroundDeletion", "example.com/x"]},
                )
            ],
        ),
        Case(
            "orphan and foregroundDeletion exclude each other",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", finalizers=["foregroundDeletion", "orphan"]),
                    status=422,
                    causes=["metadata.finalizers"],
                )
            ],
        ),
        Case(
            "the namespace in the object must be that of the path",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", namespace="elsewhere"),
                    status=400,
                    reason="BadRequest",
                    message="the namespace of the provided object does not match the namespace sent on the "
                    "request",
                )
            ],
        ),
        Case(
            "a namespace that does not exist is not found",
            [
                post(
                    f"{CORE}/namespaces/nowhere-{{id}}/configmaps",
                    configmap("a"),
                    status=404,
                    reason="NotFound",
                    message='namespaces "nowhere-{id}" not found',
                    fields={"details": {"name": "nowhere-{id}", "kind": "namespaces"}},
                )
            ],
        ),
        Case(
            "without a namespace in path the object of a namespaced kind cannot be created",
            [
                post(f"{CORE}/configmaps", configmap("a", namespace="{ns}"), status=405),
            ],
        ),
        Case(
            "apiVersion and kind may be left out",
            [
                post(
                    CONFIGMAPS,
                    {"metadata": {"name": "a"}},
                    fields={"apiVersion": "v1", "kind": "ConfigMap"},
                )
            ],
        ),
        Case(
            "another kind than the path's is a bad request",
            [
                post(
                    CONFIGMAPS,
                    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}},
                    status=400,
                    reason="BadRequest",
                    message='Secret in version "v1" cannot be handled as a ConfigMap',
                )
            ],
        ),
        Case(
            "another version than the path's is a bad request",
            [
                post(
                    CONFIGMAPS,
                    {"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
                    status=400,
                    reason="BadRequest",
                )
            ],
        ),
        Case(
            "an empty body is a bad request",
            [post(CONFIGMAPS, b"", status=400, reason="BadRequest")],
        ),
        Case(
            "a body that is no JSON is a bad request",
            [post(CONFIGMAPS, b"{nonsense", status=400, reason="BadRequest")],
        ),
        Case(
            "a body that is a list is a bad request",
            [post(CONFIGMAPS, [], status=400, reason="BadRequest")],
        ),
        Case(
            "a field of the wrong type is a bad request that names it",
            [
                post(
                    CONFIGMAPS,
                    {**configmap("a"), "data": {"x": 5}},
                    status=400,
                    reason="BadRequest",
                    message=['ConfigMap in version "v1" cannot be handled as a ConfigMap', "data"],
                )
            ],
        ),
        Case(
            "metadata of the wrong type is a bad request",
            [post(CONFIGMAPS, {**configmap("a"), "metadata": []}, status=400, reason="BadRequest")],
        ),
        Case(
            "YAML is taken",
            [
                post(
                    CONFIGMAPS,
                    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: '1'\n",
                    headers={"Content-Type": "application/yaml"},
                    fields={"data": {"x": "1"}},
                )
            ],
        ),
        Case(
            "an unknown media type is 415",
            [
                post(
                    CONFIGMAPS,
                    "x",
                    headers={"Content-Type": "text/html"},
                    status=415,
                    reason="UnsupportedMediaType",
                    message="the body of the request was in an unknown format",
                )
            ],
        ),
        Case(
            "dry run answers 201 and stores nothing",
            [
                post(
                    CONFIGMAPS,
                    configmap("a"),
                    query={"dryRun": "All"},
                    fields={"metadata.uid": _UID, "metadata.name": "a"},
                    absent=["metadata.resourceVersion"],
                ),
                get(f"{CONFIGMAPS}/a", status=404),
            ],
        ),
        Case(
            "dry run says that a name is taken",
            [post(CONFIGMAPS, configmap("a"), query={"dryRun": "All"}, status=409, reason="AlreadyExists")],
            given=[configmap("a")],
        ),
        Case(
            "dry run takes only the value All",
            [
                post(
                    CONFIGMAPS,
                    configmap("a"),
                    query={"dryRun": "true"},
                    status=422,
                    reason="Invalid",
                    message='CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["true"]',
                    causes=["dryRun"],
                )
            ],
        ),
        Case(
            "a fieldManager of more than 128 characters is invalid",
            [
                post(
                    CONFIGMAPS,
                    configmap("a"),
                    query={"fieldManager": "x" * 129},
                    status=422,
                    causes=["fieldManager"],
                )
            ],
        ),
        Case(
            "the fieldManager is recorded with operation, apiVersion and time",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", data={"x": "1"}, labels={"l": "1"}),
                    query={"fieldManager": "maker"},
                    fields={
                        "metadata.managedFields": [
                            {
                                "manager": "maker",
                                "operation": "Update",
                                "apiVersion": "v1",
                                "time": _TIME,
                                "fieldsType": "FieldsV1",
                                "fieldsV1": {
                                    "f:data": {".": {}, "f:x": {}},
                                    "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
                                },
                            }
                        ]
                    },
                )
            ],
        ),
        Case(
            "without a fieldManager the user agent up to its slash is recorded",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", data={"x": "1"}),
                    headers={"User-Agent": "my-tool/1.2 (linux)"},
                    fields={"metadata.managedFields[0].manager": "my-tool"},
                )
            ],
        ),
        Case(
            "managedFields that are sent empty are made anew",
            [
                post(
                    CONFIGMAPS,
                    configmap("a", data={"x": "1"}, managedFields=[]),
                    query={"fieldManager": "maker"},
                    fields={"metadata.managedFields[0].fieldsV1": {"f:data": {".": {}, "f:x": {}}}},
                )
            ],
        ),
        Case(
            "a kind with a spec begins at generation 1",
            [post(PODS, pod("a"), fields={"metadata.generation": 1})],
        ),
        Case(
            "services, claims, nodes and leases count no generations",
            [
                post(
                    f"{CORE}/namespaces/{{ns}}/services",
                    {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}},
                    absent=["metadata.generation"],
                ),
                post(
                    f"{CORE}/namespaces/{{ns}}/persistentvolumeclaims",
                    {
                        "metadata": {"name": "c"},
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "1Gi"}},
                        },
                    },
                    absent=["metadata.generation"],
                ),
                post(f"{CORE}/nodes", {"metadata": {"name": "n-{id}"}}, absent=["metadata.generation"]),
                post(
                    "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases",
                    {"metadata": {"name": "l"}, "spec": {"holderIdentity": "x"}},
                    absent=["metadata.generation"],
                ),
                get(f"{CORE}/namespaces/{{ns}}", absent=["metadata.generation"]),
            ],
        ),
        Case(
            "the creator of a pod owns what was set and what was defaulted, down to the items of keyed lists",
            [
                post(
                    PODS,
                    pod(
                        "a",
                        containers=[
                            {
                                "name": "c",
                                "image": "i",
                                "env": [{"name": "A", "value": "1"}],
                                "ports": [{"containerPort": 80}],
                                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                            }
                        ],
                        volumes=[{"name": "v", "configMap": {"name": "m"}}],
                    ),
                    fields={
                        f"{_SPEC}.f:containers": {
                            'k:{"name":"c"}': {
                                ".": {},
                                "f:name": {},
                                "f:image": {},
                                "f:imagePullPolicy": {},
                                "f:resources": {},
                                "f:terminationMessagePath": {},
                                "f:terminationMessagePolicy": {},
                                "f:env": {".": {}, 'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                                "f:ports": {
                                    ".": {},
                                    'k:{"containerPort":80,"protocol":"TCP"}': {
                                        ".": {},
                                        "f:containerPort": {},
                                        "f:protocol": {},
                                    },
                                },
                                "f:volumeMounts": {
                                    ".": {},
                                    'k:{"mountPath":"/v"}': {".": {}, "f:mountPath": {}, "f:name": {}},
                                },
                            }
                        },
                        f"{_SPEC}.f:volumes": {
                            ".": {},
                            'k:{"name":"v"}': {
                                ".": {},
                                "f:name": {},
                                "f:configMap": {".": {}, "f:defaultMode": {}, "f:name": {}},
                            },
                        },
                    },
                )
            ],
        ),
        Case(
            "status is not taken on create where it is a subresource",
            [
                post(
                    WIDGETS,
                    widget("a", size=1, status={"phase": "Done"}),
                    fields={"metadata.generation": 1, "spec": {"size": 1, "color": "red"}},
                    absent=["status"],
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a custom object without status subresource keeps its status",
            [
                post(
                    GEARS,
                    gear("a-{id}", status={"x": 1}),
                    fields={"status": {"x": 1}, "metadata.generation": 1},
                )
            ],
            given=[GEAR_CRD],
        ),
        Case(
            "a custom object must say its kind",
            [
                post(
                    WIDGETS,
                    {"metadata": {"name": "a"}},
                    status=400,
                    reason="BadRequest",
                )
            ],
            given=[WIDGET_CRD],
        ),
        Case(
            "a namespace in an object of a cluster-scoped kind is dropped",
            [
                post(
                    GEARS,
                    {**gear("a-{id}"), "metadata": {"name": "a-{id}", "namespace": "{ns}"}},
                    absent=["metadata.namespace"],
                )
            ],
            given=[GEAR_CRD],
        ),
        Case(
            "a created object can be read back unchanged",
            [
                post(
                    CONFIGMAPS, configmap("a", data={"x": "é漢😀"}), save={"rv": "metadata.resourceVersion"}
                ),
                get(f"{CONFIGMAPS}/a", fields={"metadata.resourceVersion": "{rv}", "data.x": "é漢😀"}),
            ],
        ),
        Case(
            "null for a field of a built-in kind means that it is absent",
            [
                post(
                    CONFIGMAPS,
                    {**configmap("a"), "data": None, "immutable": None},
                    absent=["data", "immutable"],
                )
            ],
        ),
        Case(
            "an explicitly empty map is left out of the answer of a built-in kind",
            [post(CONFIGMAPS, configmap("a", data={}, labels={}), absent=["data", "metadata.labels"])],
        ),
        Case(
            "the answer to a create is a whole object",
            [
                post(
                    PODS,
                    pod("a"),
                    fields={"kind": "Pod", "status.phase": "Pending", "spec.dnsPolicy": PRESENT},
                )
            ],
        ),
    ],
)


@each(TABLE)
def test_create(case: Case, player: Player) -> None:
    player.play(case)
