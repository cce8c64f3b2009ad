"""Pods: what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.conformance.case import PODS, Case, Json, each, post, table
from tests.conformance.play import Player

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


def refused(name: str, body: Json, *causes: str, message: str | Sequence[str] = ()) -> Case:
    return Case(name, [post(PODS, body, status=422, reason="Invalid", causes=causes, message=message)])


C = "spec.containers[0]"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

NAMES = [
    refused("a pod without containers", pod(containers=()), "spec.containers"),
    refused("a container without a name", pod(containers=[{"image": "x"}]), f"{C}.name"),
    refused("a container without an image", pod(containers=[{"name": "a"}]), f"{C}.image"),
    refused(
        "a container's name is a label",
        pod(containers=[{"name": "A_b", "image": "x"}]),
        f"{C}.name",
        message="RFC 1123 label",
    ),
    refused(
        "two containers of one name",
        pod(containers=[MAIN, MAIN]),
        "spec.containers[1].name",
        message="Duplicate value",
    ),
    refused(
        "an init container with a container's name", pod(initContainers=[MAIN]), "spec.initContainers[0].name"
    ),
    refused("an image with spaces around it", main(image=" x "), f"{C}.image", message="whitespace"),
    refused(
        "a pull policy that is none",
        main(imagePullPolicy="Sometimes"),
        f"{C}.imagePullPolicy",
        message='supported values: "Always", "IfNotPresent", "Never"',
    ),
    refused(
        "a termination message policy that is none",
        main(terminationMessagePolicy="Loud"),
        f"{C}.terminationMessagePolicy",
    ),
    refused("a host name is a label", pod(hostname="a.b"), "spec.hostname"),
    refused("a subdomain is a label", pod(subdomain="a.b"), "spec.subdomain"),
    refused("a node's name is a subdomain", pod(nodeName="A"), "spec.nodeName"),
    refused(
        "a restart policy that is none",
        pod(restartPolicy="Perhaps"),
        "spec.restartPolicy",
        message='Unsupported value: "Perhaps"',
    ),
    refused("a DNS policy that is none", pod(dnsPolicy="Mine"), "spec.dnsPolicy"),
    refused(
        "a deadline of nothing",
        pod(activeDeadlineSeconds=0),
        "spec.activeDeadlineSeconds",
        message="between 1 and 2147483647",
    ),
    refused("an operating system that is none", pod(os={"name": "plan9"}), "spec.os"),
    refused("own DNS without a server", pod(dnsPolicy="None"), "spec.dnsConfig"),
    refused(
        "a DNS server that is no address",
        pod(dnsConfig={"nameservers": ["x"]}),
        "spec.dnsConfig.nameservers[0]",
    ),
    refused(
        "a host alias that is no address",
        pod(hostAliases=[{"ip": "x", "hostnames": ["a"]}]),
        "spec.hostAliases[0].ip",
    ),
    refused("labels of nodes are labels", pod(nodeSelector={"a b": "c"}), "spec.nodeSelector"),
    refused(
        "ephemeral containers come later",
        pod(ephemeralContainers=[{"name": "e", "image": "x"}]),
        "spec.ephemeralContainers",
        message="cannot be set on create",
    ),
    refused("a gated pod has no node", pod(nodeName="n", schedulingGates=[{"name": "a/b"}]), "spec.nodeName"),
    refused(
        "two gates of one name",
        pod(schedulingGates=[{"name": "a/b"}, {"name": "a/b"}]),
        "spec.schedulingGates[1]",
    ),
    refused(
        "a readiness gate is a condition",
        pod(readinessGates=[{"conditionType": "a b"}]),
        "spec.readinessGates[0].conditionType",
    ),
]

PORTS_AND_ENV = [
    refused(
        "a port beyond the last",
        main(ports=[{"containerPort": 70000}]),
        f"{C}.ports[0].containerPort",
        message="between 1 and 65535",
    ),
    refused("a port of nothing", main(ports=[{"containerPort": 0}]), f"{C}.ports[0].containerPort"),
    refused(
        "two ports of one name",
        main(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
        f"{C}.ports[1].name",
    ),
    refused(
        "a port's name is short",
        main(ports=[{"containerPort": 1, "name": "a" * 16}]),
        f"{C}.ports[0].name",
        message="15 characters",
    ),
    refused(
        "a port's name has a letter", main(ports=[{"containerPort": 1, "name": "123"}]), f"{C}.ports[0].name"
    ),
    refused(
        "a protocol that is none",
        main(ports=[{"containerPort": 1, "protocol": "ICMP"}]),
        f"{C}.ports[0].protocol",
    ),
    refused(
        "two containers on one port of the host",
        pod(
            containers=[
                {"name": n, "image": "x", "ports": [{"containerPort": 80, "hostPort": 80}]} for n in "ab"
            ]
        ),
        "spec.containers[1].ports[0].hostPort",
    ),
    refused(
        "another port of the host in the host's network",
        pod(containers=[{**MAIN, "ports": [{"containerPort": 80, "hostPort": 81}]}], hostNetwork=True),
        f"{C}.ports[0].hostPort",
        message="must match `containerPort`",
    ),
    refused("a variable without a name", main(env=[{"value": "x"}]), f"{C}.env[0].name"),
    refused("a variable with = in its name", main(env=[{"name": "a=b"}]), f"{C}.env[0].name"),
    refused(
        "a value from two places",
        main(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        f"{C}.env[0].valueFrom",
        message="may not be specified when `value` is not empty",
    ),
    refused(
        "a value from nowhere",
        main(env=[{"name": "A", "valueFrom": {}}]),
        f"{C}.env[0].valueFrom",
        message="must specify one of",
    ),
    refused(
        "a field that pods do not offer",
        main(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.hostname"}}}]),
        f"{C}.env[0].valueFrom.fieldRef.fieldPath",
    ),
    refused(
        "a resource that containers do not offer",
        main(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]),
        f"{C}.env[0].valueFrom.resourceFieldRef.resource",
    ),
    refused(
        "a key of a config map needs a key",
        main(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": ""}}}]),
        f"{C}.env[0].valueFrom.configMapKeyRef.key",
    ),
    refused("variables from nowhere", main(envFrom=[{}]), f"{C}.envFrom", message="must specify one of"),
    refused(
        "variables from a secret without a name",
        main(envFrom=[{"secretRef": {}}]),
        f"{C}.envFrom[0].secretRef.name",
    ),
    refused(
        "a probe that does nothing",
        main(livenessProbe={}),
        f"{C}.livenessProbe",
        message="must specify a handler type",
    ),
    refused(
        "a probe that does two things",
        main(livenessProbe={"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}),
        f"{C}.livenessProbe.tcpSocket",
    ),
    refused(
        "a probe that runs nothing", main(readinessProbe={"exec": {}}), f"{C}.readinessProbe.exec.command"
    ),
    refused(
        "a probe of a port beyond the last",
        main(startupProbe={"tcpSocket": {"port": 70000}}),
        f"{C}.startupProbe.tcpSocket.port",
    ),
    refused(
        "liveness needs one success",
        main(livenessProbe={"tcpSocket": {"port": 1}, "successThreshold": 2}),
        f"{C}.livenessProbe.successThreshold",
    ),
    refused(
        "a probe before its time",
        main(livenessProbe={"tcpSocket": {"port": 1}, "initialDelaySeconds": -1}),
        f"{C}.livenessProbe.initialDelaySeconds",
    ),
    refused(
        "readiness ends nothing",
        main(readinessProbe={"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5}),
        f"{C}.readinessProbe.terminationGracePeriodSeconds",
    ),
    refused(
        "a hook that sleeps too long",
        main(lifecycle={"preStop": {"sleep": {"seconds": 60}}}),
        f"{C}.lifecycle.preStop.sleep",
    ),
    refused(
        "an init container has no probes",
        pod(initContainers=[{"name": "i", "image": "x", "livenessProbe": {"tcpSocket": {"port": 1}}}]),
        "spec.initContainers[0].livenessProbe",
    ),
    Case(
        "a sidecar may have probes",
        [
            post(
                PODS,
                pod(
                    initContainers=[
                        {
                            "name": "i",
                            "image": "x",
                            "restartPolicy": "Always",
                            "livenessProbe": {"tcpSocket": {"port": 1}},
                        }
                    ]
                ),
            )
        ],
    ),
    refused(
        "a container's restart policy is one there is",
        pod(initContainers=[{"name": "i", "image": "x", "restartPolicy": "Perhaps"}]),
        "spec.initContainers[0].restartPolicy",
    ),
]

VOLUMES_AND_RESOURCES = [
    refused(
        "a mount of nothing",
        main(volumeMounts=[{"name": "v", "mountPath": "/x"}]),
        f"{C}.volumeMounts[0].name",
        message="Not found",
    ),
    refused(
        "two mounts at one place",
        pod(
            containers=[
                {**MAIN, "volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]}
            ],
            volumes=[{"name": "v"}],
        ),
        f"{C}.volumeMounts[1].mountPath",
        message="must be unique",
    ),
    refused(
        "a mount that leaves its volume",
        pod(
            containers=[{**MAIN, "volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "../y"}]}],
            volumes=[{"name": "v"}],
        ),
        f"{C}.volumeMounts.subPath",
        message="must not contain '..'",
    ),
    refused(
        "two volumes of one name",
        pod(volumes=[{"name": "v"}, {"name": "v"}]),
        "spec.volumes[1].name",
        message="Duplicate",
    ),
    refused("a volume's name is a label", pod(volumes=[{"name": "A"}]), "spec.volumes[0].name"),
    refused(
        "a volume with two sources",
        pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
        "spec.volumes[0].hostPath",
    ),
    refused(
        "a secret without a name",
        pod(volumes=[{"name": "v", "secret": {}}]),
        "spec.volumes[0].secret.secretName",
    ),
    refused(
        "a config map without a name",
        pod(volumes=[{"name": "v", "configMap": {}}]),
        "spec.volumes[0].configMap.name",
    ),
    refused(
        "a claim without a name",
        pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": ""}}]),
        "spec.volumes[0].persistentVolumeClaim.claimName",
    ),
    refused(
        "a mode beyond 0777",
        pod(volumes=[{"name": "v", "secret": {"secretName": "x", "defaultMode": 512}}]),
        "spec.volumes[0].secret.defaultMode",
    ),
    refused(
        "a file outside of its volume",
        pod(volumes=[{"name": "v", "configMap": {"name": "x", "items": [{"key": "k", "path": "/etc"}]}}]),
        "spec.volumes[0].configMap.items[0].path",
        message="must be a relative path",
    ),
    refused(
        "a host path of no type",
        pod(volumes=[{"name": "v", "hostPath": {"path": "/x", "type": "Door"}}]),
        "spec.volumes[0].hostPath.type",
    ),
    refused(
        "a token for less than ten minutes",
        pod(
            serviceAccountName="default",
            volumes=[
                {
                    "name": "v",
                    "projected": {
                        "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]
                    },
                }
            ],
        ),
        "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds",
    ),
    refused(
        "requests beyond limits",
        main(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        f"{C}.resources.requests",
        message="must be less than or equal to cpu limit of 1",
    ),
    refused(
        "less than nothing",
        main(resources={"requests": {"cpu": "-1"}}),
        f"{C}.resources.requests[cpu]",
        message="greater than or equal to 0",
    ),
    refused(
        "a resource nobody knows",
        main(resources={"requests": {"gold": "1"}}),
        f"{C}.resources.requests[gold]",
        f"{C}.resources.requests[gold]",
    ),
    refused(
        "half a device",
        main(resources={"limits": {"example.com/gpu": "500m"}}),
        f"{C}.resources.limits[example.com/gpu]",
        f"{C}.resources.requests[example.com/gpu]",
        message="must be an integer",
    ),
    refused(
        "a device that is asked for and not limited",
        main(resources={"requests": {"example.com/gpu": "1"}}),
        f"{C}.resources.limits",
        message="Limit must be set for non overcommitable resources",
    ),
    refused(
        "fewer devices asked for than allowed",
        main(resources={"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "2"}}),
        f"{C}.resources.requests",
        message="must be equal to example.com/gpu limit of 2",
    ),
    Case(
        "a quantity that is none is no pod at all",
        [post(PODS, main(resources={"requests": {"cpu": "much"}}), status=400, reason="BadRequest")],
    ),
    refused("a negative user", main(securityContext={"runAsUser": -1}), f"{C}.securityContext.runAsUser"),
    refused(
        "a negative group of files", pod(securityContext={"fsGroup": -1}), "spec.securityContext.fsGroup"
    ),
    refused(
        "privileged without escalation",
        main(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
        f"{C}.securityContext",
    ),
    refused(
        "a seccomp profile without its file",
        main(securityContext={"seccompProfile": {"type": "Localhost"}}),
        f"{C}.securityContext.seccompProfile.localhostProfile",
    ),
]

PLACEMENT = [
    refused(
        "a toleration of everything says Exists",
        pod(tolerations=[{"effect": "NoExecute"}]),
        "spec.tolerations[0].operator",
    ),
    refused(
        "Exists needs no value",
        pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        "spec.tolerations[0].operator",
    ),
    refused(
        "an effect that is none",
        pod(tolerations=[{"key": "a", "effect": "Sometimes"}]),
        "spec.tolerations[0].effect",
    ),
    refused(
        "seconds are for NoExecute",
        pod(tolerations=[{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}]),
        "spec.tolerations[0].effect",
    ),
    refused(
        "an operator that is none",
        pod(tolerations=[{"key": "a", "operator": "Like"}]),
        "spec.tolerations[0].operator",
    ),
    refused(
        "affinity to no term",
        pod(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}),
        f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms",
    ),
    refused(
        "In needs values",
        pod(
            affinity={
                "nodeAffinity": {
                    REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}
                }
            }
        ),
        f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values",
    ),
    refused(
        "a weight beyond 100",
        pod(
            affinity={
                "nodeAffinity": {
                    PREFERRED: [
                        {
                            "weight": 101,
                            "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                        }
                    ]
                }
            }
        ),
        f"spec.affinity.nodeAffinity.{PREFERRED}[0].weight",
    ),
    refused(
        "affinity to pods needs a topology",
        pod(affinity={"podAffinity": {REQUIRED: [{"labelSelector": {}, "topologyKey": ""}]}}),
        f"spec.affinity.podAffinity.{REQUIRED}[0].topologyKey",
        f"spec.affinity.podAffinity.{REQUIRED}[0].topologyKey",
    ),
    refused(
        "a spread of no skew",
        pod(
            topologySpreadConstraints=[
                {"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}
            ]
        ),
        "spec.topologySpreadConstraints[0].maxSkew",
    ),
    refused(
        "a spread that does neither",
        pod(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "Perhaps"}]),
        "spec.topologySpreadConstraints[0].whenUnsatisfiable",
    ),
    refused(
        "a spread over nothing",
        pod(
            topologySpreadConstraints=[
                {"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "DoNotSchedule"}
            ]
        ),
        "spec.topologySpreadConstraints[0].topologyKey",
    ),
    refused(
        "domains of a mere preference",
        pod(
            topologySpreadConstraints=[
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}
            ]
        ),
        "spec.topologySpreadConstraints[0].minDomains",
    ),
    Case(
        "a priority class that is not there",
        [post(PODS, pod(priorityClassName="no-{id}"), status=403, message="no PriorityClass with name no-")],
    ),
    Case(
        "a priority that is not that of the class",
        [post(PODS, pod(priority=5), status=403, message="must not be provided in pod spec")],
    ),
    Case(
        "the cluster's own priorities are there",
        [post(PODS, pod(priorityClassName="system-node-critical"), fields={"spec.priority": 2000001000})],
    ),
    Case(
        "a runtime class that is not there",
        [post(PODS, pod(runtimeClassName="no-{id}"), status=403, message='RuntimeClass "no-')],
    ),
]

TABLE = table("pod_rules", [*NAMES, *PORTS_AND_ENV, *VOLUMES_AND_RESOURCES, *PLACEMENT])


@each(TABLE)
def test_pod_rules(case: Case, player: Player) -> None:
    player.play(case)
