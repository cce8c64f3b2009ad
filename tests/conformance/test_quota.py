"""ResourceQuota and LimitRange: what they count, fill in and refuse.

Usage is asked for `within` some seconds: elsewhere a controller keeps it. Where none runs (a bare
kube-apiserver) the cases write the status themselves, as its controller would.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    PODS,
    Case,
    Json,
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

QUOTAS = "/api/v1/namespaces/{ns}/resourcequotas"
RANGES = "/api/v1/namespaces/{ns}/limitranges"
CLAIMS = "/api/v1/namespaces/{ns}/persistentvolumeclaims"
MAPS = "/api/v1/namespaces/{ns}/configmaps"


def quota(hard: Json, name: str = "q", **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name},
        "spec": {"hard": hard, **spec},
    }


def limited(hard: Json, **spec: Any) -> list[Step]:
    """A quota that is in force: its status says that nothing is used yet."""
    status = {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}
    return [post(QUOTAS, quota(hard, **spec)), patch(f"{QUOTAS}/q/status", status)]


def pod(name: str, resources: Json | None = None, **spec: Any) -> Json:
    container = {"name": "main", "image": "example/app:1", **({"resources": resources} if resources else {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"automountServiceAccountToken": False, "containers": [container], **spec},
    }


def claim(name: str, size: str, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": size}},
            **spec,
        },
    }


def limits(*items: Json) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "l"},
        "spec": {"limits": list(items)},
    }


def beyond(path: str, body: Json, *message: str) -> Step:
    return post(path, body, status=403, reason="Forbidden", message=message)


def refused(name: str, path: str, body: Json, *causes: str, message: str = "") -> Case:
    return Case(name, [post(path, body, status=422, causes=causes, message=message)])


def asks(**amounts: str) -> Json:
    return {"requests": dict(amounts)}


QUOTA = [
    Case(
        "pods beyond the quota are refused in the quota's words",
        [
            *limited({"pods": "1"}),
            post(PODS, pod("a")),
            beyond(
                PODS,
                pod("b"),
                'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1',
            ),
        ],
    ),
    Case(
        "requests are added up",
        [
            *limited({"requests.cpu": "1"}),
            post(PODS, pod("a", asks(cpu="600m"))),
            beyond(
                PODS,
                pod("b", asks(cpu="500m")),
                "requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1",
            ),
            post(PODS, pod("c", asks(cpu="400m"))),
        ],
    ),
    Case(
        "the bare name of a resource means its requests",
        [
            *limited({"memory": "1Gi"}),
            post(PODS, pod("a", asks(memory="1Gi"))),
            beyond(PODS, pod("b", asks(memory="1Mi")), "used: memory=1Gi"),
        ],
    ),
    Case(
        "limits count by themselves",
        [
            *limited({"limits.cpu": "1"}),
            beyond(PODS, pod("a", {"limits": {"cpu": "2"}}), "requested: limits.cpu=2"),
        ],
    ),
    Case(
        "what is counted must be stated",
        [
            *limited({"requests.cpu": "1", "limits.memory": "1Gi"}),
            beyond(
                PODS,
                pod("a"),
                "failed quota: q: must specify limits.memory for: main; requests.cpu for: main",
            ),
        ],
    ),
    Case(
        "devices count as requests",
        [
            *limited({"requests.example.com/gpu": "1"}),
            post(PODS, pod("a", {"limits": {"example.com/gpu": "1"}})),
            beyond(
                PODS, pod("b", {"limits": {"example.com/gpu": "1"}}), "requested: requests.example.com/gpu=1"
            ),
        ],
    ),
    Case(
        "objects are counted",
        [
            *limited({"count/configmaps": "1"}),
            post(MAPS, configmap("a")),
            beyond(MAPS, configmap("b"), 'configmaps "b" is forbidden: exceeded quota'),
        ],
    ),
    Case(
        "some kinds also by their bare name",
        [
            *limited({"configmaps": "1"}),
            post(MAPS, configmap("a")),
            beyond(MAPS, configmap("b"), "requested: configmaps=1"),
        ],
    ),
    Case(
        "kinds of groups are counted",
        [
            *limited({"count/leases.coordination.k8s.io": "0"}),
            beyond(
                "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases",
                {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}},
                'leases.coordination.k8s.io "a" is forbidden',
            ),
        ],
    ),
    Case(
        "storage is added up",
        [
            *limited({"requests.storage": "5Gi"}),
            post(CLAIMS, claim("a", "4Gi")),
            beyond(CLAIMS, claim("b", "2Gi"), "used: requests.storage=4Gi"),
        ],
    ),
    Case(
        "storage of one class is counted alone",
        [
            *limited({"fast.storageclass.storage.k8s.io/requests.storage": "1Gi"}),
            beyond(CLAIMS, claim("a", "2Gi"), "exceeded quota"),
            post(CLAIMS, claim("b", "2Gi", storageClassName="slow")),
        ],
    ),
    Case(
        "claims are counted",
        [
            *limited({"persistentvolumeclaims": "0"}),
            beyond(CLAIMS, claim("a", "1Gi"), "requested: persistentvolumeclaims=1"),
        ],
    ),
    Case(
        "BestEffort counts pods without requests",
        [
            *limited({"pods": "0"}, scopes=["BestEffort"]),
            beyond(PODS, pod("a"), "exceeded quota"),
            post(PODS, pod("b", asks(cpu="1m"))),
        ],
    ),
    Case(
        "Terminating counts pods with a deadline",
        [
            *limited({"pods": "0"}, scopes=["Terminating"]),
            post(PODS, pod("a")),
            beyond(PODS, pod("b", activeDeadlineSeconds=60), "exceeded quota"),
        ],
    ),
    Case(
        "a scope selector counts pods of a priority class",
        [
            *limited(
                {"pods": "0"},
                scopeSelector={
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
                    ]
                },
            ),
            post(PODS, pod("a")),
            beyond(PODS, pod("b", priorityClassName="system-node-critical"), "exceeded quota"),
        ],
    ),
    Case("what a quota does not name is free", [*limited({"pods": "0"}), post(MAPS, configmap("a"))]),
    Case(
        "a dry run takes nothing",
        [*limited({"pods": "1"}), post(PODS, pod("a"), query={"dryRun": "All"}), post(PODS, pod("b"))],
    ),
    Case(
        "a dry run beyond the quota is refused",
        [*limited({"pods": "0"}), post(PODS, pod("a"), query={"dryRun": "All"}, status=403)],
    ),
    Case(
        "used is told",
        [
            *limited({"pods": "2"}),
            post(PODS, pod("a")),
            get(f"{QUOTAS}/q", fields={"status.used.pods": "1"}, within=3),
        ],
    ),
    Case(
        "amounts are written one way",
        [
            post(
                QUOTAS, quota({"requests.memory": "1024Mi"}), fields={"spec.hard": {"requests.memory": "1Gi"}}
            )
        ],
    ),
    refused("a resource nobody counts", QUOTAS, quota({"gold": "1"}), "spec.hard[gold]", "spec.hard[gold]"),
    refused(
        "less than nothing",
        QUOTAS,
        quota({"pods": "-1"}),
        "spec.hard[pods]",
        message="greater than or equal to 0",
    ),
    refused("half a pod", QUOTAS, quota({"pods": "500m"}), "spec.hard[pods]", message="must be an integer"),
    refused(
        "a scope that is none",
        QUOTAS,
        quota({"pods": "1"}, scopes=["Big"]),
        "spec.scopes",
        "spec.scopes",
        message="unsupported scope",
    ),
    refused(
        "two scopes that exclude each other",
        QUOTAS,
        quota({"pods": "1"}, scopes=["BestEffort", "NotBestEffort"]),
        "spec.scopes",
        message="conflicting scopes",
    ),
    refused(
        "a scope of pods on config maps",
        QUOTAS,
        quota({"configmaps": "1"}, scopes=["BestEffort"]),
        "spec.scopes",
        message="unsupported scope applied to resource",
    ),
    Case(
        "scopes do not change",
        [
            post(QUOTAS, quota({"pods": "1"}, scopes=["BestEffort"])),
            put(f"{QUOTAS}/q", quota({"pods": "1"}), status=422, causes=["spec.scopes"]),
        ],
    ),
]

RANGE = [
    Case(
        "containers get what they leave open",
        [
            post(
                RANGES,
                limits({"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}),
            ),
            post(
                PODS,
                pod("a"),
                fields={
                    "spec.containers[0].resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}},
                    'metadata.annotations["kubernetes.io/limit-ranger"]': (
                        "LimitRanger plugin set: cpu request for container main; cpu limit for container main"
                    ),
                    "status.qosClass": "Burstable",
                },
                within=3,
            ),
        ],
    ),
    Case(
        "what is not said follows from what is",
        [
            post(
                RANGES,
                limits({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}),
                fields={
                    "spec.limits[0].default": {"cpu": "2"},
                    "spec.limits[0].defaultRequest": {"cpu": "2", "memory": "1Mi"},
                },
            )
        ],
    ),
    Case(
        "more than the most is refused",
        [
            post(RANGES, limits({"type": "Container", "max": {"cpu": "1"}})),
            post(
                PODS,
                pod("a", {"limits": {"cpu": "2"}}),
                status=403,
                message="maximum cpu usage per Container is 1, but limit is 2",
                within=3,
            ),
        ],
    ),
    Case(
        "less than the least is refused",
        [
            post(RANGES, limits({"type": "Container", "min": {"memory": "64Mi"}})),
            post(
                PODS,
                pod("a", asks(memory="1Mi")),
                status=403,
                message="minimum memory usage per Container is 64Mi, but request is 1Mi",
                within=3,
            ),
        ],
    ),
    Case(
        "a limit too far from its request is refused",
        [
            post(RANGES, limits({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}})),
            post(
                PODS,
                pod("a", {"requests": {"cpu": "1"}, "limits": {"cpu": "4"}}),
                status=403,
                message="cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
                within=3,
            ),
        ],
    ),
    Case(
        "containers of a pod are added up",
        [
            post(RANGES, limits({"type": "Pod", "max": {"cpu": "1"}})),
            post(
                PODS,
                pod("a", {"limits": {"cpu": "2"}}),
                status=403,
                message="maximum cpu usage per Pod is 1, but limit is 2",
                within=3,
            ),
        ],
    ),
    Case(
        "claims have bounds",
        [
            post(
                RANGES,
                limits(
                    {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
                ),
            ),
            post(
                CLAIMS,
                claim("a", "1Mi"),
                status=403,
                message="minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi",
                within=3,
            ),
            post(
                CLAIMS,
                claim("b", "3Gi"),
                status=403,
                message="maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi",
            ),
            post(CLAIMS, claim("c", "2Gi")),
        ],
    ),
    refused(
        "pods have no defaults",
        RANGES,
        limits({"type": "Pod", "default": {"cpu": "1"}}),
        "spec.limits[0].default",
        message="may not be specified when `type` is 'Pod'",
    ),
    refused("two items of one type", RANGES, limits({"type": "Pod"}, {"type": "Pod"}), "spec.limits[1].type"),
    refused(
        "a least above the most",
        RANGES,
        limits({"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}),
        "spec.limits[0].min[cpu]",
        message="min value 2 is greater than max value 1",
    ),
    refused("a type that is none", RANGES, limits({"type": "Thing"}), "spec.limits[0].type"),
    refused(
        "claims without a bound", RANGES, limits({"type": "PersistentVolumeClaim"}), "spec.limits[0].limits"
    ),
    refused(
        "a ratio below 1",
        RANGES,
        limits({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}),
        "spec.limits[0].maxLimitRequestRatio[cpu]",
    ),
    Case(
        "a range that is gone binds nobody",
        [
            post(RANGES, limits({"type": "Pod", "max": {"cpu": "1"}})),
            delete(f"{RANGES}/l"),
            post(PODS, pod("a", {"limits": {"cpu": "2"}}), within=3),
        ],
    ),
]

TABLE = table("quota", [*QUOTA, *RANGE])


@each(TABLE)
def test_quota(case: Case, player: Player) -> None:
    player.play(case)
