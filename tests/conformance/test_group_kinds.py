"""Storage, ingresses, network policies, autoscalers, runtimes, priorities, leases, devices."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import Case, Json, delete, each, get, patch, post, table
from tests.conformance.play import Player

NETWORKING = "/apis/networking.k8s.io/v1"
INGRESSES = f"{NETWORKING}/namespaces/{{ns}}/ingresses"
POLICIES = f"{NETWORKING}/namespaces/{{ns}}/networkpolicies"
STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
SCALERS = "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers"
OLD_SCALERS = "/apis/autoscaling/v1/namespaces/{ns}/horizontalpodautoscalers"
RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/{ns}/resourceclaims"


def made(api_version: str, kind: str, name: str = "a", **fields: Any) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def ingress(*paths: Json, host: str = "example.com", **spec: Any) -> Json:
    rules = {"rules": [{"host": host, "http": {"paths": list(paths)}}]} if paths else {}
    return made("networking.k8s.io/v1", "Ingress", spec={**rules, **spec})


def path(text: str = "/", kind: str = "Prefix", **service: Any) -> Json:
    return {
        "path": text,
        "pathType": kind,
        "backend": {"service": {"name": "s", **(service or {"port": {"number": 80}})}},
    }


def policy(**spec: Any) -> Json:
    return made("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": {}, **spec})


def storage_class(**fields: Any) -> Json:
    return made("storage.k8s.io/v1", "StorageClass", "c-{id}", **{"provisioner": "example.com/p", **fields})


def driver(**spec: Any) -> Json:
    return made("storage.k8s.io/v1", "CSIDriver", "d-{id}", spec=spec)


def attachment(**spec: Any) -> Json:
    given = {"attacher": "example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    return made("storage.k8s.io/v1", "VolumeAttachment", "t-{id}", spec={**given, **spec})


def scaler(version: str = "autoscaling/v2", **spec: Any) -> Json:
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    return made(version, "HorizontalPodAutoscaler", spec={"scaleTargetRef": target, "maxReplicas": 3, **spec})


def runtime(**fields: Any) -> Json:
    return made("node.k8s.io/v1", "RuntimeClass", "r-{id}", **{"handler": "runc", **fields})


def priority(name: str = "p-{id}", **fields: Any) -> Json:
    return made("scheduling.k8s.io/v1", "PriorityClass", name, **{"value": 5, **fields})


def lease(**spec: Any) -> Json:
    return made("coordination.k8s.io/v1", "Lease", spec=spec)


def refused(name: str, url: str, body: Json, *causes: str, message: str = "") -> Case:
    return Case(name, [post(url, body, status=422, causes=causes, message=message)])


RULE = "spec.rules[0].http.paths[0]"
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}

TABLE = table(
    "group_kinds",
    [
        Case(
            "a priority class says 0 if it says nothing",
            [post(PRIORITIES, made("scheduling.k8s.io/v1", "PriorityClass", "z-{id}"), fields={"value": 0})],
        ),
        Case(
            "an ingress is kept", [post(INGRESSES, ingress(path()), fields={"status": {"loadBalancer": {}}})]
        ),
        refused(
            "an ingress to nowhere",
            INGRESSES,
            ingress(),
            "spec",
            message="either `defaultBackend` or `rules` must be specified",
        ),
        refused(
            "a path without its slash",
            INGRESSES,
            ingress(path("x")),
            f"{RULE}.path",
            message="must be an absolute path",
        ),
        refused("a path that goes back", INGRESSES, ingress(path("/a/../b")), f"{RULE}.path"),
        refused("a path type that is none", INGRESSES, ingress(path(kind="Like")), f"{RULE}.pathType"),
        refused(
            "a service without a port",
            INGRESSES,
            ingress(path(port={})),
            f"{RULE}.backend",
            message="port name or number is required",
        ),
        refused(
            "a port by name and number",
            INGRESSES,
            ingress(path(port={"name": "a", "number": 1})),
            f"{RULE}.backend",
        ),
        refused(
            "a host that is an address",
            INGRESSES,
            ingress(path(), host="10.0.0.1"),
            "spec.rules[0].host",
            message="must be a DNS name",
        ),
        Case("a host of any name", [post(INGRESSES, ingress(path(), host="*.example.com"))]),
        refused(
            "a class without a controller",
            f"{NETWORKING}/ingressclasses",
            made("networking.k8s.io/v1", "IngressClass", "i-{id}", spec={}),
            "spec.controller",
        ),
        Case(
            "a class keeps its controller",
            [
                post(
                    f"{NETWORKING}/ingressclasses",
                    made("networking.k8s.io/v1", "IngressClass", "i-{id}", spec={"controller": "a.io/b"}),
                ),
                patch(
                    f"{NETWORKING}/ingressclasses/i-{{id}}",
                    {"spec": {"controller": "a.io/c"}},
                    status=422,
                    causes=["spec.controller"],
                ),
            ],
        ),
        Case(
            "a policy restricts what comes in",
            [post(POLICIES, policy(), fields={"spec.policyTypes": ["Ingress"]})],
        ),
        Case(
            "and what goes out, if it says so",
            [
                post(
                    POLICIES,
                    policy(egress=[{"ports": [{"port": 53}]}]),
                    fields={
                        "spec.policyTypes": ["Ingress", "Egress"],
                        "spec.egress[0].ports[0].protocol": "TCP",
                    },
                )
            ],
        ),
        refused(
            "a policy for nobody",
            POLICIES,
            policy(ingress=[{"from": [{}]}]),
            "spec.ingress[0].from[0]",
            message="must specify a peer",
        ),
        refused(
            "a range that is none",
            POLICIES,
            policy(ingress=[{"from": [{"ipBlock": {"cidr": "x"}}]}]),
            "spec.ingress[0].from[0].ipBlock.cidr",
        ),
        refused(
            "an exception from elsewhere",
            POLICIES,
            policy(ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.1.0.0/25"]}}]}]),
            "spec.ingress[0].from[0].ipBlock.except[0]",
        ),
        refused(
            "ports that run backwards",
            POLICIES,
            policy(ingress=[{"ports": [{"port": 10, "endPort": 5}]}]),
            "spec.ingress[0].ports[0].endPort",
        ),
        refused("a direction that is none", POLICIES, policy(policyTypes=["Up"]), "spec.policyTypes[0]"),
        Case(
            "a storage class is filled in",
            [
                post(
                    STORAGE_CLASSES,
                    storage_class(),
                    fields={"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
                )
            ],
        ),
        refused("a storage class of nobody", STORAGE_CLASSES, storage_class(provisioner=""), "provisioner"),
        refused(
            "a class that recycles", STORAGE_CLASSES, storage_class(reclaimPolicy="Recycle"), "reclaimPolicy"
        ),
        refused(
            "a binding mode that is none",
            STORAGE_CLASSES,
            storage_class(volumeBindingMode="Later"),
            "volumeBindingMode",
        ),
        Case(
            "a storage class keeps its parameters",
            [
                post(STORAGE_CLASSES, storage_class(parameters={"a": "b"})),
                patch(
                    f"{STORAGE_CLASSES}/c-{{id}}",
                    {"parameters": {"a": "c"}},
                    status=422,
                    causes=["parameters"],
                ),
            ],
        ),
        Case(
            "a driver is filled in",
            [
                post(
                    DRIVERS,
                    driver(),
                    fields={
                        "spec.attachRequired": True,
                        "spec.podInfoOnMount": False,
                        "spec.volumeLifecycleModes": ["Persistent"],
                        "spec.fsGroupPolicy": "ReadWriteOnceWithFSType",
                    },
                )
            ],
        ),
        Case(
            "a driver keeps its way to attach",
            [
                post(DRIVERS, driver()),
                patch(
                    f"{DRIVERS}/d-{{id}}",
                    {"spec": {"attachRequired": False}},
                    status=422,
                    causes=["spec.attachedRequired"],
                ),
            ],
        ),
        Case(
            "an attachment is not there yet",
            [post(ATTACHMENTS, attachment(), fields={"status.attached": False})],
        ),
        Case(
            "an attachment does not change",
            [
                post(ATTACHMENTS, attachment()),
                patch(f"{ATTACHMENTS}/t-{{id}}", {"spec": {"nodeName": "m"}}, status=422, causes=["spec"]),
            ],
        ),
        Case(
            "an autoscaler is filled in",
            [post(SCALERS, scaler(), fields={"spec.minReplicas": 1, "spec.metrics": [CPU]})],
        ),
        refused(
            "no replicas at most", SCALERS, scaler(maxReplicas=0), "spec.maxReplicas", "spec.maxReplicas"
        ),
        refused("more at least than at most", SCALERS, scaler(minReplicas=5), "spec.maxReplicas"),
        refused("a metric that is none", SCALERS, scaler(metrics=[{"type": "Mood"}]), "spec.metrics[0].type"),
        Case(
            "an old autoscaler is a new one",
            [
                post(OLD_SCALERS, scaler("autoscaling/v1", targetCPUUtilizationPercentage=50)),
                get(f"{SCALERS}/a", fields={"spec.metrics[0].resource.target.averageUtilization": 50}),
            ],
        ),
        Case(
            "a new autoscaler is an old one",
            [
                post(SCALERS, scaler()),
                get(
                    f"{OLD_SCALERS}/a",
                    fields={"apiVersion": "autoscaling/v1", "spec.targetCPUUtilizationPercentage": 80},
                ),
            ],
        ),
        refused("a runtime without a handler", RUNTIMES, runtime(handler=""), "handler"),
        Case(
            "a runtime keeps its handler",
            [
                post(RUNTIMES, runtime()),
                patch(f"{RUNTIMES}/r-{{id}}", {"handler": "other"}, status=422, causes=["handler"]),
            ],
        ),
        Case(
            "a priority class preempts",
            [post(PRIORITIES, priority(), fields={"preemptionPolicy": "PreemptLowerPriority"})],
        ),
        refused(
            "more than users may have",
            PRIORITIES,
            priority(value=1000000001),
            "value",
            message="maximum allowed value of a user defined priority is 1000000000",
        ),
        refused("a name of the system", PRIORITIES, priority("system-{id}"), "metadata.name"),
        refused(
            "a preemption policy that is none",
            PRIORITIES,
            priority(preemptionPolicy="Perhaps"),
            "preemptionPolicy",
        ),
        Case(
            "a priority keeps its value",
            [
                post(PRIORITIES, priority()),
                patch(f"{PRIORITIES}/p-{{id}}", {"value": 6}, status=422, causes=["value"]),
            ],
        ),
        Case(
            "one default is enough",
            [
                post(PRIORITIES, priority("one-{id}", globalDefault=True)),
                post(
                    PRIORITIES,
                    priority("two-{id}", globalDefault=True),
                    status=403,
                    message="is already marked as default. Only one default can exist",
                    within=3,
                ),
                delete(f"{PRIORITIES}/one-{{id}}"),
            ],
        ),
        refused("a lease of no time", LEASES, lease(leaseDurationSeconds=0), "spec.leaseDurationSeconds"),
        refused(
            "a lease that changed hands less than never",
            LEASES,
            lease(leaseTransitions=-1),
            "spec.leaseTransitions",
        ),
        Case(
            "devices are claimed",
            [
                post(
                    CLAIMS,
                    made(
                        "resource.k8s.io/v1",
                        "ResourceClaim",
                        spec={
                            "devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpus"}}]}
                        },
                    ),
                    fields={"spec.devices.requests[0].name": "gpu"},
                )
            ],
        ),
    ],
)


@each(TABLE)
def test_group_kinds(case: Case, player: Player) -> None:
    player.play(case)
