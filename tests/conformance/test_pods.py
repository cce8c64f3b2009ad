"""Pods: what is filled in, and what may change later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.conformance.case import (
    JSON_PATCH,
    PODS,
    Case,
    Has,
    Json,
    Like,
    delete,
    each,
    get,
    patch,
    post,
    put,
    table,
)
from tests.conformance.play import Player

POD = f"{PODS}/a"
MAIN = {"name": "main", "image": "example/app:1"}


def pod(*, name: str = "a", containers: Sequence[Json] = (MAIN,), **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [dict(one) for one in containers],
            **spec,
        },
    }


def main(**fields: Any) -> Json:
    """A pod whose one container has these fields, too."""
    return pod(containers=[{**MAIN, **fields}])


def filled_in(name: str, body: Json, fields: Json, absent: Sequence[str] = ()) -> Case:
    return Case(name, [post(PODS, body, fields=fields, absent=absent)])


COST = "controller.kubernetes.io/pod-deletion-cost"


def costs(name: str, text: str, status: int) -> Case:
    """A pod that says what its deletion costs, from the start and later."""
    body, later = pod(), {"metadata": {"annotations": {COST: text}}}
    wrong: dict[str, Any] = {"causes": [f"metadata.annotations[{COST}]"]} if status == 422 else {}
    body["metadata"] |= later["metadata"]
    return Case(
        name,
        [
            post(PODS, body, status=201 if status == 200 else status, **wrong),
            post(PODS, pod(name="later")),
            patch(f"{PODS}/later", later, status=status, **wrong),
        ],
    )


def mirror(name: str, status: int, **spec: Any) -> Case:
    """A pod that says it stands for one that a node runs by itself."""
    body = pod(**spec)
    body["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    return Case(name, [post(PODS, body, status=status)])


def changed(name: str, old: Json, change: Json, **expected: Any) -> Case:
    """A merge patch of a pod."""
    return Case(name, [post(PODS, old), patch(POD, change, **expected)])


C = "spec.containers[0]"

DEFAULTS = [
    filled_in(
        "a pod's spec is filled in",
        pod(),
        {
            "spec.restartPolicy": "Always",
            "spec.dnsPolicy": "ClusterFirst",
            "spec.schedulerName": "default-scheduler",
            "spec.terminationGracePeriodSeconds": 30,
            "spec.securityContext": {},
            "spec.enableServiceLinks": True,
            "spec.priority": 0,
            "spec.preemptionPolicy": "PreemptLowerPriority",
            f"{C}.imagePullPolicy": "IfNotPresent",
            f"{C}.resources": {},
            f"{C}.terminationMessagePath": "/dev/termination-log",
            f"{C}.terminationMessagePolicy": "File",
        },
    ),
    filled_in(
        "an image without a tag is always pulled",
        main(image="example/app"),
        {f"{C}.imagePullPolicy": "Always"},
    ),
    filled_in(
        "the tag latest is always pulled", main(image="a:5000/app:latest"), {f"{C}.imagePullPolicy": "Always"}
    ),
    filled_in("a port of a registry is no tag", main(image="a:5000/app"), {f"{C}.imagePullPolicy": "Always"}),
    filled_in(
        "a digest is pulled once",
        main(image="example/app@sha256:" + "a" * 64),
        {f"{C}.imagePullPolicy": "IfNotPresent"},
    ),
    filled_in("a pod begins Pending", pod(), {"status.phase": "Pending", "status.qosClass": "BestEffort"}),
    filled_in(
        "limits are requests where those are not stated",
        main(resources={"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
        {f"{C}.resources.requests": {"cpu": "500m", "memory": "1Gi"}, "status.qosClass": "Burstable"},
    ),
    filled_in(
        "equal requests and limits make a pod Guaranteed",
        main(resources={"limits": {"cpu": "1", "memory": "1Gi"}}),
        {"status.qosClass": "Guaranteed"},
    ),
    filled_in(
        "amounts are written one way",
        main(resources={"requests": {"cpu": "0.5", "memory": "1024Mi"}}),
        {f"{C}.resources.requests": {"cpu": "500m", "memory": "1Gi"}},
    ),
    filled_in(
        "a number is an amount, too",
        main(resources={"requests": {"cpu": 2}}),
        {f"{C}.resources.requests.cpu": "2"},
    ),
    filled_in(
        "a probe is filled in",
        main(livenessProbe={"httpGet": {"port": 80}}),
        {
            f"{C}.livenessProbe": {
                "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            }
        },
    ),
    filled_in("a port is TCP", main(ports=[{"containerPort": 80}]), {f"{C}.ports[0].protocol": "TCP"}),
    filled_in(
        "a port of a pod in the host's network is the host's",
        pod(containers=[{**MAIN, "ports": [{"containerPort": 8080}]}], hostNetwork=True),
        {f"{C}.ports[0].hostPort": 8080},
    ),
    filled_in(
        "a field of the pod is of v1",
        main(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        {f"{C}.env[0].valueFrom.fieldRef.apiVersion": "v1"},
    ),
    filled_in(
        "a volume without a source is empty", pod(volumes=[{"name": "v"}]), {"spec.volumes[0].emptyDir": {}}
    ),
    filled_in(
        "files of secrets and config maps can be read",
        pod(
            volumes=[{"name": "s", "secret": {"secretName": "x"}}, {"name": "c", "configMap": {"name": "x"}}]
        ),
        {"spec.volumes[0].secret.defaultMode": 420, "spec.volumes[1].configMap.defaultMode": 420},
    ),
    filled_in(
        "a projected token lives an hour",
        pod(
            serviceAccountName="default",
            volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        ),
        {
            "spec.volumes[0].projected.defaultMode": 420,
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds": 3600,
        },
    ),
    filled_in(
        "a host path has no type",
        pod(volumes=[{"name": "v", "hostPath": {"path": "/x"}}]),
        {"spec.volumes[0].hostPath.type": ""},
    ),
    filled_in(
        "a pod tolerates short outages",
        pod(),
        {
            "spec.tolerations": [
                {
                    "key": f"node.kubernetes.io/{what}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
                for what in ("not-ready", "unreachable")
            ]
        },
    ),
    filled_in(
        "a pod that tolerates everything gets no further tolerations",
        pod(tolerations=[{"operator": "Exists"}]),
        {"spec.tolerations": [{"operator": "Exists"}]},
    ),
    filled_in(
        "a gated pod says so",
        pod(schedulingGates=[{"name": "example.com/wait"}]),
        {"status.conditions[type=PodScheduled].reason": "SchedulingGated"},
    ),
    filled_in(
        "status is not the user's to set",
        {**pod(), "status": {"phase": "Running"}},
        {"status.phase": "Pending"},
    ),
]

CHANGES = [
    changed(
        "an image may change",
        pod(),
        {
            "spec": {
                "containers": [
                    {
                        **MAIN,
                        "image": "other:2",
                        "imagePullPolicy": "IfNotPresent",
                        "resources": {},
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                    }
                ]
            }
        },
        fields={f"{C}.image": "other:2"},
    ),
    Case(
        "another field of a container may not",
        [
            post(PODS, pod()),
            patch(
                POD,
                [{"op": "add", "path": "/spec/containers/0/command", "value": ["x"]}],
                JSON_PATCH,
                status=422,
                causes=["spec"],
                message="pod updates may not change fields other than",
            ),
        ],
    ),
    Case(
        "containers neither come nor go",
        [
            post(PODS, pod()),
            patch(
                POD,
                [{"op": "add", "path": "/spec/containers/-", "value": {"name": "b", "image": "x"}}],
                JSON_PATCH,
                status=422,
                causes=["spec.containers"],
                message="may not add or remove containers",
            ),
        ],
    ),
    changed(
        "the node is not changed by an update",
        pod(),
        {"spec": {"nodeName": "n"}},
        status=422,
        causes=["spec"],
    ),
    changed(
        "a deadline may be set",
        pod(),
        {"spec": {"activeDeadlineSeconds": 60}},
        fields={"spec.activeDeadlineSeconds": 60},
    ),
    changed(
        "a deadline may come nearer", pod(activeDeadlineSeconds=60), {"spec": {"activeDeadlineSeconds": 30}}
    ),
    changed(
        "a deadline may not move away",
        pod(activeDeadlineSeconds=60),
        {"spec": {"activeDeadlineSeconds": 90}},
        status=422,
        causes=["spec.activeDeadlineSeconds"],
    ),
    changed(
        "a deadline may not be taken away",
        pod(activeDeadlineSeconds=60),
        {"spec": {"activeDeadlineSeconds": None}},
        status=422,
        causes=["spec.activeDeadlineSeconds"],
    ),
    Case(
        "tolerations are added",
        [
            post(PODS, pod()),
            patch(
                POD,
                [{"op": "add", "path": "/spec/tolerations/-", "value": {"key": "a", "operator": "Exists"}}],
                JSON_PATCH,
                fields={"spec.tolerations": Has([{"key": "a", "operator": "Exists"}])},
            ),
        ],
    ),
    changed(
        "tolerations of short outages come back",
        pod(),
        {"spec": {"tolerations": []}},
        fields={"spec.tolerations[0].tolerationSeconds": 300},
    ),
    changed(
        "tolerations are not removed",
        pod(tolerations=[{"key": "a", "operator": "Exists"}]),
        {"spec": {"tolerations": []}},
        status=422,
        causes=["spec.tolerations"],
    ),
    changed(
        "gates are removed",
        pod(schedulingGates=[{"name": "a/b"}]),
        {"spec": {"schedulingGates": None}},
        absent=["spec.schedulingGates"],
    ),
    changed(
        "gates are not added",
        pod(),
        {"spec": {"schedulingGates": [{"name": "a/b"}]}},
        status=422,
        causes=["spec.schedulingGates[0].name"],
    ),
    changed(
        "a gated pod may be narrowed",
        pod(schedulingGates=[{"name": "a/b"}]),
        {"spec": {"nodeSelector": {"zone": "x"}}},
        fields={"spec.nodeSelector": {"zone": "x"}},
    ),
    changed(
        "a free pod may not", pod(), {"spec": {"nodeSelector": {"zone": "x"}}}, status=422, causes=["spec"]
    ),
    changed(
        "labels may change",
        pod(),
        {"metadata": {"labels": {"a": "b"}}},
        fields={"metadata.labels": {"a": "b"}},
    ),
    changed(
        "status is not changed by an update of the pod",
        pod(),
        {"status": {"phase": "Running"}},
        fields={"status.phase": "Pending"},
    ),
    Case(
        "status is changed through its path",
        [
            post(PODS, pod()),
            patch(
                f"{POD}/status",
                {"status": {"phase": "Running", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}},
                fields={"status.phase": "Running"},
            ),
            get(POD, fields={"status.podIP": "10.0.0.9"}),
        ],
    ),
    Case(
        "an ephemeral container is added through its path",
        [
            post(PODS, pod()),
            patch(
                f"{POD}/ephemeralcontainers",
                {
                    "spec": {
                        "ephemeralContainers": [
                            {"name": "debug", "image": "tools:1", "targetContainerName": "main"}
                        ]
                    }
                },
                fields={"spec.ephemeralContainers[0].imagePullPolicy": "IfNotPresent"},
            ),
            get(POD, fields={"spec.ephemeralContainers[0].name": "debug"}),
        ],
    ),
    Case(
        "an ephemeral container has no ports",
        [
            post(PODS, pod()),
            patch(
                f"{POD}/ephemeralcontainers",
                {
                    "spec": {
                        "ephemeralContainers": [
                            {"name": "debug", "image": "x:1", "ports": [{"containerPort": 1}]}
                        ]
                    }
                },
                status=422,
                causes=["spec.ephemeralContainers[0].ports"],
            ),
        ],
    ),
    Case(
        "an ephemeral container does not go",
        [
            post(PODS, pod()),
            patch(
                f"{POD}/ephemeralcontainers",
                {"spec": {"ephemeralContainers": [{"name": "debug", "image": "x:1"}]}},
            ),
            patch(
                f"{POD}/ephemeralcontainers",
                {"spec": {"ephemeralContainers": []}},
                status=422,
                causes=["spec.ephemeralContainers"],
                message="may not be removed",
            ),
        ],
    ),
    Case(
        "CPU is resized through its path",
        [
            post(PODS, main(resources={"requests": {"cpu": "1"}})),
            patch(
                f"{POD}/resize",
                [{"op": "replace", "path": "/spec/containers/0/resources/requests/cpu", "value": "2"}],
                JSON_PATCH,
                fields={f"{C}.resources.requests.cpu": "2"},
            ),
        ],
    ),
    Case(
        "a resize keeps the quality of service",
        [
            post(PODS, pod()),
            patch(
                f"{POD}/resize",
                [{"op": "add", "path": "/spec/containers/0/resources/requests", "value": {"cpu": "2"}}],
                JSON_PATCH,
                status=422,
                message="Pod QOS Class may not change",
            ),
        ],
    ),
    Case(
        "a binding sets the node once",
        [
            post(PODS, pod()),
            post(
                f"{POD}/binding",
                {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": "a"},
                    "target": {"kind": "Node", "name": "n1"},
                },
                status=201,
            ),
            get(POD, fields={"spec.nodeName": "n1", "status.conditions[type=PodScheduled].status": "True"}),
            post(
                f"{POD}/binding",
                {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": "a"},
                    "target": {"kind": "Node", "name": "n2"},
                },
                status=409,
                message="already assigned to node",
            ),
        ],
    ),
    Case(
        "a gated pod is not bound",
        [
            post(PODS, pod(schedulingGates=[{"name": "a/b"}])),
            post(
                f"{POD}/binding",
                {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": "a"},
                    "target": {"kind": "Node", "name": "n1"},
                },
                status=409,
                message="schedulingGates",
            ),
        ],
    ),
    Case(
        "pods are found by node",
        [
            post(PODS, pod(nodeName="n-{id}")),
            get(
                PODS, query={"fieldSelector": "spec.nodeName=n-{id}"}, fields={"items[0].metadata.name": "a"}
            ),
        ],
    ),
    Case(
        "pods are found by phase",
        [
            post(PODS, pod()),
            get(
                PODS, query={"fieldSelector": "status.phase=Pending"}, fields={"items[0].metadata.name": "a"}
            ),
        ],
    ),
    Case("a pod that runs nowhere goes at once", [post(PODS, pod()), delete(POD), get(POD, status=404)]),
    Case(
        "a pod on a node goes with grace",
        [
            post(PODS, pod(nodeName="n")),
            delete(
                POD,
                fields={"metadata.deletionGracePeriodSeconds": 30, "metadata.deletionTimestamp": Like("Z$")},
            ),
            delete(POD, {"gracePeriodSeconds": 0}),
            get(POD, status=404),
        ],
    ),
    Case(
        "an existing pod does not become a mirror pod",
        [
            post(PODS, pod()),
            patch(
                POD,
                {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}},
                status=422,
                causes=["metadata.annotations[kubernetes.io/config.mirror]"],
            ),
        ],
    ),
    costs("a pod's deletion may cost less than nothing", "-7", 200),
    costs("a pod's deletion costs a whole number", "1.5", 422),
    costs("a pod's deletion costs no number with a plus", "+7", 422),
    costs("a pod's deletion costs no number with zeros in front", "07", 422),
    costs("a pod's deletion costs a number of 32 bits", "2147483648", 422),
    costs("a pod's deletion does not cost nothing at all", "", 422),
    mirror("a mirror pod is not given a service account", 201, nodeName="n"),
    mirror("a mirror pod without a node is none", 422),
    mirror("a mirror pod names no service account", 403, nodeName="n", serviceAccountName="default"),
    mirror(
        "a mirror pod names no secrets",
        403,
        nodeName="n",
        volumes=[{"name": "v", "secret": {"secretName": "s"}}],
    ),
    mirror(
        "a mirror pod has no tokens",
        403,
        nodeName="n",
        volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
    ),
    Case(
        "a pod put without its service account would lose it",
        [post(PODS, pod()), put(POD, pod(), status=422, causes=["spec"])],
    ),
    Case(
        "a pod put with its service account is the same",
        [
            post(PODS, pod(serviceAccountName="default"), save={"version": "metadata.resourceVersion"}),
            put(POD, pod(serviceAccountName="default"), fields={"metadata.resourceVersion": "{version}"}),
        ],
    ),
]

TABLE = table("pods", [*DEFAULTS, *CHANGES])


@each(TABLE)
def test_pods(case: Case, player: Player) -> None:
    player.play(case)
