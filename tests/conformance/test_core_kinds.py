"""Secrets, config maps, nodes, namespaces, claims, volumes, events and the other kinds of the core group."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    CONFIGMAPS,
    SECRETS,
    Case,
    Json,
    Like,
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

NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/namespaces/{ns}/persistentvolumeclaims"
CONTROLLERS = "/api/v1/namespaces/{ns}/replicationcontrollers"
TEMPLATES = "/api/v1/namespaces/{ns}/podtemplates"
EVENTS = "/api/v1/namespaces/{ns}/events"
NEW_EVENTS = "/apis/events.k8s.io/v1/namespaces/{ns}/events"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
JSON_OF_LOGIN = "eyJhdXRocyI6e319"


def made(kind: str, name: str, api_version: str = "v1", **fields: Any) -> Json:
    metadata = {"name": name, **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def secret(type_: str = "", **fields: Any) -> Json:
    return made("Secret", "a", **({"type": type_} if type_ else {}), **fields)


def bytes_of(value: Any) -> Json:
    return made("ConfigMap", "a", binaryData={"k": value})


def node(**fields: Any) -> Json:
    return made("Node", "n-{id}", **fields)


def claim(**spec: Any) -> Json:
    asked = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    return made("PersistentVolumeClaim", "a", spec={**asked, **spec})


def volume(**spec: Any) -> Json:
    given = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/tmp/x"}}
    return made(
        "PersistentVolume",
        "v-{id}",
        spec={key: value for key, value in {**given, **spec}.items() if value is not None},
    )


def event(**fields: Any) -> Json:
    about = {"kind": "Pod", "name": "p", "namespace": "{ns}", "apiVersion": "v1"}
    return made("Event", "e", **{"involvedObject": about, "reason": "Tried", "type": "Normal", **fields})


def new_event(**fields: Any) -> Json:
    about = {"kind": "Pod", "name": "p", "namespace": "{ns}", "apiVersion": "v1"}
    said = {
        "regarding": about,
        "eventTime": "2026-01-01T00:00:00.000001Z",
        "reportingController": "example.com/c",
        "reportingInstance": "c-1",
        "action": "Try",
        "reason": "Tried",
        "type": "Normal",
        "note": "it was tried",
    }
    return made("Event", "e", "events.k8s.io/v1", **{**said, **fields})


def controller(**spec: Any) -> Json:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    return made("ReplicationController", "a", spec={"template": template, **spec})


def refused(name: str, path: str, body: Json, *causes: str, message: str = "") -> Case:
    return Case(name, [post(path, body, status=422, causes=causes, message=message)])


DATA = [
    Case("a secret is Opaque", [post(SECRETS, secret(), fields={"type": "Opaque"})]),
    Case(
        "text becomes data",
        [post(SECRETS, secret(stringData={"k": "v"}), fields={"data": {"k": "dg=="}}, absent=["stringData"])],
    ),
    Case(
        "text wins over data",
        [post(SECRETS, secret(data={"k": "eA=="}, stringData={"k": "v"}), fields={"data.k": "dg=="})],
    ),
    Case("data that is not base64 cannot be read", [post(SECRETS, secret(data={"k": "%"}), status=400)]),
    Case(
        "base64 may be broken into lines, which are not kept",
        [post(SECRETS, secret(data={"k": "YWJj\nZGVm\r\n"}), fields={"data.k": "YWJjZGVm"})],
    ),
    *(
        Case(f"binary data cannot be read: {why}", [post(CONFIGMAPS, bytes_of(text), status=400)])
        for why, text in (("no base64", "%"), ("blanks", "e A=="), ("no padding", "eA"), ("a number", 5))
    ),
    Case("binary data", [post(CONFIGMAPS, bytes_of("eA\n=="), fields={"binaryData.k": "eA=="})]),
    *(
        Case(
            f"{field} {value!r} is no time, and cannot be read",
            [
                post(CONFIGMAPS, made("ConfigMap", "a", metadata={field: value}), status=400),
                post(CONFIGMAPS, made("ConfigMap", "a")),
                put(f"{CONFIGMAPS}/a", made("ConfigMap", "a", metadata={field: value}), status=400),
                patch(f"{CONFIGMAPS}/a", {"metadata": {field: value}}, status=422),
            ],
        )
        for field in ("creationTimestamp", "deletionTimestamp")
        for value in ("tomorrow", "2026-01-01", "", 5)
    ),
    Case(
        "times that the server keeps are not looked at otherwise",
        [
            post(
                CONFIGMAPS,
                made("ConfigMap", "a", metadata={"creationTimestamp": "2020-01-01T00:00:00.5+01:00"}),
            )
        ],
    ),
    Case(
        "a time in a spec that is none cannot be read",
        [post(LEASES, made("Lease", "a", "coordination.k8s.io/v1", spec={"renewTime": "now"}), status=400)],
    ),
    Case(
        "a number beyond its type cannot be read",
        [
            post(
                LEASES,
                made("Lease", "a", "coordination.k8s.io/v1", spec={"leaseTransitions": 2**31}),
                status=400,
            )
        ],
    ),
    refused("a key with a slash", SECRETS, secret(data={"a/b": "eA=="}), "data[a/b]"),
    refused(
        "a certificate without its key",
        SECRETS,
        secret("kubernetes.io/tls", data={"tls.crt": "eA=="}),
        "data[tls.key]",
    ),
    Case(
        "a certificate with its key",
        [post(SECRETS, secret("kubernetes.io/tls", data={"tls.crt": "", "tls.key": ""}))],
    ),
    refused(
        "a login of nothing", SECRETS, secret("kubernetes.io/basic-auth"), "data[username]", "data[password]"
    ),
    Case(
        "a login of a name alone",
        [post(SECRETS, secret("kubernetes.io/basic-auth", stringData={"username": "a"}))],
    ),
    refused("a key of nothing", SECRETS, secret("kubernetes.io/ssh-auth"), "data[ssh-privatekey]"),
    refused(
        "a registry login without its file",
        SECRETS,
        secret("kubernetes.io/dockerconfigjson"),
        "data[.dockerconfigjson]",
    ),
    refused(
        "a registry login that is no JSON",
        SECRETS,
        secret("kubernetes.io/dockerconfigjson", data={".dockerconfigjson": "eA=="}),
        "data[.dockerconfigjson]",
        message="redacted",
    ),
    Case(
        "a registry login",
        [post(SECRETS, secret("kubernetes.io/dockerconfigjson", data={".dockerconfigjson": JSON_OF_LOGIN}))],
    ),
    refused(
        "a token of no account",
        SECRETS,
        secret("kubernetes.io/service-account-token"),
        "metadata.annotations[kubernetes.io/service-account.name]",
    ),
    Case(
        "a secret keeps its type",
        [post(SECRETS, secret()), patch(f"{SECRETS}/a", {"type": "other"}, status=422, causes=["type"])],
    ),
    Case(
        "an immutable secret stays",
        [
            post(SECRETS, secret(immutable=True, stringData={"k": "v"})),
            patch(f"{SECRETS}/a", {"stringData": {"k": "w"}}, status=422, causes=["data"]),
        ],
    ),
    Case(
        "immutable is for ever",
        [
            post(SECRETS, secret(immutable=True)),
            patch(f"{SECRETS}/a", {"immutable": False}, status=422, causes=["immutable"]),
        ],
    ),
    Case(
        "secrets are found by type",
        [
            post(SECRETS, secret("example.com/x")),
            get(
                SECRETS, query={"fieldSelector": "type=example.com/x"}, fields={"items[0].metadata.name": "a"}
            ),
        ],
    ),
    refused("a key of a config map with a space", CONFIGMAPS, configmap("a", data={"a b": "x"}), "data[a b]"),
    refused(
        "a key in both maps",
        CONFIGMAPS,
        {**configmap("a", data={"k": "x"}), "binaryData": {"k": "eA=="}},
        "data[k]",
        message="duplicate of key present in binaryData",
    ),
    refused(
        "more than a config map holds",
        CONFIGMAPS,
        configmap("a", data={"k": "x" * (1024 * 1024 + 1)}),
        "[]",
        message="Too long",
    ),
    Case(
        "an immutable config map stays",
        [
            post(CONFIGMAPS, {**configmap("a"), "immutable": True}),
            patch(f"{CONFIGMAPS}/a", {"data": {"k": "v"}}, status=422, causes=["data"]),
        ],
    ),
]

CLUSTER = [
    refused(
        "a taint without an effect", NODES, node(spec={"taints": [{"key": "a"}]}), "metadata.taints[0].effect"
    ),
    refused(
        "a taint of no effect there is",
        NODES,
        node(spec={"taints": [{"key": "a", "effect": "Perhaps"}]}),
        "metadata.taints[0].effect",
    ),
    refused(
        "one taint twice",
        NODES,
        node(
            spec={
                "taints": [
                    {"key": "a", "effect": "NoExecute"},
                    {"key": "a", "value": "x", "effect": "NoExecute"},
                ]
            }
        ),
        "metadata.taints[1]",
        message="Duplicate value",
    ),
    Case(
        "what a node has may all be used",
        [post(NODES, node(status={"capacity": {"cpu": "2"}}), fields={"status.allocatable": {"cpu": "2"}})],
    ),
    Case(
        "a node keeps its provider",
        [
            post(NODES, node(spec={"providerID": "a://1"})),
            patch(
                f"{NODES}/n-{{id}}", {"spec": {"providerID": "a://2"}}, status=422, causes=["spec.providerID"]
            ),
        ],
    ),
    Case(
        "a node may be closed",
        [
            post(NODES, node()),
            patch(
                f"{NODES}/n-{{id}}", {"spec": {"unschedulable": True}}, fields={"spec.unschedulable": True}
            ),
        ],
    ),
    Case(
        "a namespace carries its name",
        [
            get(
                f"{NAMESPACES}/{{ns}}",
                fields={
                    'metadata.labels["kubernetes.io/metadata.name"]': "{ns}",
                    "status.phase": "Active",
                    "spec.finalizers": ["kubernetes"],
                },
            )
        ],
    ),
    Case(
        "a namespace does not lose its name",
        [
            patch(
                f"{NAMESPACES}/{{ns}}",
                {"metadata": {"labels": {"kubernetes.io/metadata.name": "x"}}},
                fields={'metadata.labels["kubernetes.io/metadata.name"]': "{ns}"},
            )
        ],
    ),
    refused("a namespace's name is a label", NAMESPACES, made("Namespace", "a.b"), "metadata.name"),
    Case(
        "the cluster's own namespaces stay",
        [delete(f"{NAMESPACES}/kube-system", status=403, message="this namespace may not be deleted")],
    ),
    Case(
        "nothing is made in a namespace that is not there",
        [
            post(
                "/api/v1/namespaces/none-{id}/configmaps",
                configmap("a"),
                status=404,
                message='namespaces "none-',
            )
        ],
    ),
    Case(
        "a namespace is emptied and goes",
        [
            post(NAMESPACES, made("Namespace", "t-{id}", spec={"finalizers": ["example.com/hold"]})),
            delete(f"{NAMESPACES}/t-{{id}}", fields={"status.phase": "Terminating"}),
            post(
                "/api/v1/namespaces/t-{id}/configmaps",
                configmap("a"),
                status=403,
                message="because it is being terminated",
            ),
            put(f"{NAMESPACES}/t-{{id}}/finalize", made("Namespace", "t-{id}", spec={"finalizers": []})),
            get(f"{NAMESPACES}/t-{{id}}", status=404, within=5),
        ],
    ),
]

STORAGE = [
    Case(
        "a claim begins Pending",
        [post(CLAIMS, claim(), fields={"status.phase": "Pending", "spec.volumeMode": "Filesystem"})],
    ),
    refused("a claim of no mode", CLAIMS, claim(accessModes=[]), "spec.accessModes"),
    refused("a claim of a mode there is not", CLAIMS, claim(accessModes=["Perhaps"]), "spec.accessModes"),
    refused(
        "a mode for one pod alone",
        CLAIMS,
        claim(accessModes=["ReadWriteOncePod", "ReadWriteOnce"]),
        "spec.accessModes",
        message="may not use ReadWriteOncePod with other access modes",
    ),
    refused("a claim of no size", CLAIMS, claim(resources={}), "spec.resources[storage]"),
    refused(
        "a claim of nothing",
        CLAIMS,
        claim(resources={"requests": {"storage": "0"}}),
        "spec.resources[storage]",
        message="must be greater than zero",
    ),
    Case(
        "what a claim asks for stays",
        [
            post(CLAIMS, claim()),
            patch(
                f"{CLAIMS}/a",
                {"spec": {"accessModes": ["ReadOnlyMany"]}},
                status=422,
                causes=["spec"],
                message="spec is immutable after creation except resources.requests",
            ),
        ],
    ),
    Case(
        "a claim is bound once",
        [
            post(CLAIMS, claim()),
            patch(f"{CLAIMS}/a", {"spec": {"volumeName": "v"}}),
            patch(f"{CLAIMS}/a", {"spec": {"volumeName": "w"}}, status=422, causes=["spec"]),
        ],
    ),
    Case(
        "a claim that is not bound does not grow",
        [
            post(CLAIMS, claim()),
            patch(
                f"{CLAIMS}/a", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}, status=(403, 422)
            ),
        ],
    ),
    Case(
        "a volume is kept",
        [
            post(
                VOLUMES,
                volume(),
                fields={
                    "spec.persistentVolumeReclaimPolicy": "Retain",
                    "spec.volumeMode": "Filesystem",
                    "status.phase": "Pending",
                },
            )
        ],
    ),
    refused(
        "a volume of no source", VOLUMES, volume(hostPath=None), "spec", message="must specify a volume type"
    ),
    refused("a volume of two sources", VOLUMES, volume(nfs={"server": "s", "path": "/"}), "spec.nfs"),
    refused("a volume of no size", VOLUMES, volume(capacity=None), "spec.capacity"),
    refused(
        "a reclaim policy that is none",
        VOLUMES,
        volume(persistentVolumeReclaimPolicy="Burn"),
        "spec.persistentVolumeReclaimPolicy",
    ),
    refused(
        "a local volume without its nodes",
        VOLUMES,
        volume(hostPath=None, local={"path": "/x"}),
        "spec.nodeAffinity",
        message="Local volume requires node affinity",
    ),
    Case(
        "a volume's source stays",
        [
            post(VOLUMES, volume()),
            patch(
                f"{VOLUMES}/v-{{id}}",
                {"spec": {"hostPath": {"path": "/other"}}},
                status=422,
                causes=["spec.persistentvolumesource"],
            ),
        ],
    ),
]

OTHERS = [
    Case(
        "a template of a pod is filled in",
        [
            post(
                TEMPLATES,
                made("PodTemplate", "a", template={"spec": {"containers": [{"name": "c", "image": "x:1"}]}}),
                fields={"template.spec.restartPolicy": "Always"},
                absent=["template.spec.enableServiceLinks"],
            )
        ],
    ),
    refused(
        "a template without containers",
        TEMPLATES,
        made("PodTemplate", "a", template={"spec": {"containers": []}}),
        "template.spec.containers",
    ),
    Case(
        "a controller's selector follows from its template",
        [
            post(
                CONTROLLERS,
                controller(),
                fields={
                    "spec.selector": {"app": "x"},
                    "metadata.labels": {"app": "x"},
                    "spec.replicas": 1,
                    "status.replicas": 0,
                },
            )
        ],
    ),
    refused(
        "a selector of other pods",
        CONTROLLERS,
        controller(selector={"app": "y"}),
        "spec.template.metadata.labels",
    ),
    refused("fewer than no replicas", CONTROLLERS, controller(replicas=-1), "spec.replicas"),
    Case("an event is kept", [post(EVENTS, event(), fields={"involvedObject.name": "p"})]),
    refused(
        "an event about another namespace",
        EVENTS,
        event(involvedObject={"kind": "Pod", "name": "p", "namespace": "other"}),
        "involvedObject.namespace",
    ),
    Case(
        "events are found by what they are about",
        [
            post(EVENTS, event()),
            get(
                EVENTS,
                query={"fieldSelector": "involvedObject.name=p,reason=Tried,type=Normal"},
                fields={"items[0].metadata.name": "e"},
            ),
        ],
    ),
    Case(
        "an event of v1 is one of events.k8s.io",
        [
            post(EVENTS, event(message="m", count=2)),
            get(
                f"{NEW_EVENTS}/e",
                fields={
                    "apiVersion": "events.k8s.io/v1",
                    "regarding.name": "p",
                    "note": "m",
                    "deprecatedCount": 2,
                },
            ),
        ],
    ),
    Case(
        "and the other way round",
        [
            post(NEW_EVENTS, new_event(), fields={"note": "it was tried"}),
            get(
                f"{EVENTS}/e",
                fields={
                    "apiVersion": "v1",
                    "involvedObject.name": "p",
                    "message": "it was tried",
                    "reportingComponent": "example.com/c",
                },
            ),
        ],
    ),
    Case(
        "new events are found by regarding",
        [
            post(NEW_EVENTS, new_event()),
            get(
                NEW_EVENTS,
                query={"fieldSelector": "regarding.name=p"},
                fields={"items[0].regarding.kind": "Pod"},
            ),
        ],
    ),
    refused("a new event has a time", NEW_EVENTS, new_event(eventTime=None), "eventTime"),
    refused("a new event is Normal or a Warning", NEW_EVENTS, new_event(type="Odd"), "type"),
    refused("a new event has an action", NEW_EVENTS, new_event(action=""), "action"),
    Case(
        "a new event does not change",
        [
            post(NEW_EVENTS, new_event()),
            patch(f"{NEW_EVENTS}/e", {"reason": "Other"}, status=422, causes=["reason", "reason"]),
        ],
    ),
    Case(
        "a new event goes on",
        [
            post(NEW_EVENTS, new_event()),
            patch(
                f"{NEW_EVENTS}/e",
                {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}},
                fields={"series.count": 2, "series.lastObservedTime": Like("00:00:01")},
            ),
        ],
    ),
]

TABLE = table("core_kinds", [*DATA, *CLUSTER, *STORAGE, *OTHERS])


@each(TABLE)
def test_core_kinds(case: Case, player: Player) -> None:
    player.play(case)
