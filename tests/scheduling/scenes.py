"""Small scenes of nodes, running pods and one pod that waits, and on which nodes it may run.

The expected nodes are those of kube-scheduler 1.36: `test_filters_oracle` asks it again where its binary is
at hand. Pods are written as little as possible; `pod` fills in the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from springtide.api.core import Namespace, Node, Pod
from springtide.api.meta import Object
from springtide.api.struct import decode

Json = dict[str, Any]
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


@dataclass(frozen=True)
class Scene:
    """A cluster, and where the pod `pending` may run."""

    name: str
    nodes: Sequence[Json]
    pending: Json
    expected: str
    """Names of nodes, one letter each; empty: it waits."""
    running: Sequence[Json] = ()
    others: Sequence[Json] = ()
    """Further objects: namespaces, claims, volumes."""

    def objects(self) -> list[Object]:
        """All of it but the pod that waits."""
        kinds: Mapping[str, type[Object]] = {"Node": Node, "Pod": Pod, "Namespace": Namespace}
        return [decode(kinds[raw["kind"]], raw) for raw in (*self.others, *self.nodes, *self.running)]

    def waiting(self) -> Pod:
        """The pod that waits."""
        return decode(Pod, self.pending)


def node(name: str, zone: str = "", *, taints: Sequence[Json] = (), **labels: str) -> Json:
    """A node of 8 CPUs."""
    told = {HOST: name, **labels, **({ZONE: zone} if zone else {})}
    offered = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": told, "uid": f"uid-{name}"},
        "spec": {"taints": list(taints)} if taints else {},
        "status": {
            "capacity": offered,
            "allocatable": offered,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(name: str, at: str = "", app: str = "", namespace: str = "default", **spec: Any) -> Json:
    """A pod of a tenth of a CPU; on a node, or waiting."""
    labels = {**({"app": app} if app else {}), **spec.pop("labels", {})}
    container: Json = {"name": "main", "image": "x", "resources": {"requests": {"cpu": "100m"}}}
    container["ports"] = [
        {"containerPort": port.get("hostPort", 80), "protocol": "TCP", **port}
        for port in spec.pop("ports", ())
    ]
    metadata = {"name": name, "namespace": namespace, "labels": labels, "uid": f"uid-{namespace}-{name}"}
    metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "containers": [container],
            "schedulerName": "springtide",
            **({"nodeName": at} if at else {}),
            **spec,
        },
        "status": {"phase": "Running" if at else "Pending"},
    }


def term(selector: Json | None, key: str = ZONE, **more: Any) -> Json:
    """An affinity term."""
    return {"topologyKey": key, **({"labelSelector": selector} if selector is not None else {}), **more}


def app(name: str) -> Json:
    """The selector of an application."""
    return {"matchLabels": {"app": name}}


def near(*terms: Json) -> Json:
    """Required affinity."""
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def away(*terms: Json) -> Json:
    """Required anti-affinity."""
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def spread(selector: Json | None, key: str = ZONE, skew: int = 1, **more: Any) -> Json:
    """A hard spread constraint."""
    told = {"labelSelector": selector} if selector is not None else {}
    return {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", **told, **more}


def namespace(name: str, **labels: str) -> Json:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


ABCD = (node("a", "x"), node("b", "x"), node("c", "y"), node("d"))
"""Two nodes in zone x, one in zone y, one in none."""
TEAM = (namespace("team", kind="batch"), namespace("other"))
TAINT = {"key": "special", "effect": "NoSchedule"}
SSD = {"key": "disk", "operator": "In", "values": ["ssd"]}


def nodes_like(*terms: Json) -> Json:
    """Required node affinity."""
    required = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


AFFINITY = [
    Scene(
        "near another application, by zone",
        ABCD,
        pod("p", **near(term(app("web")))),
        "ab",
        [pod("w", "a", "web")],
    ),
    Scene(
        "near another application, on its node",
        ABCD,
        pod("p", **near(term(app("web"), HOST))),
        "a",
        [pod("w", "a", "web")],
    ),
    Scene("near nobody who is there", ABCD, pod("p", **near(term(app("web")))), ""),
    Scene(
        "the first of a series that wants to be together goes where the label is",
        ABCD,
        pod("p", app="web", **near(term(app("web")))),
        "abc",
    ),
    Scene(
        "the second of a series goes to the first",
        ABCD,
        pod("p", app="web", **near(term(app("web")))),
        "c",
        [pod("w", "c", "web")],
    ),
    Scene(
        "near pods that all terms mean",
        ABCD,
        pod("p", **near(term(app("web")), term({"matchLabels": {"tier": "front"}}, HOST))),
        "c",
        [
            pod("w", "a", "web"),
            pod("f", "b", labels={"tier": "front"}),
            pod("wf", "c", "web", labels={"tier": "front"}),
        ],
    ),
    Scene(
        "pods of another namespace do not count",
        ABCD,
        pod("p", **near(term(app("web")))),
        "",
        [pod("w", "a", "web", namespace="team")],
        TEAM,
    ),
    Scene(
        "pods of a named namespace count",
        ABCD,
        pod("p", **near(term(app("web"), namespaces=["team"]))),
        "ab",
        [pod("w", "a", "web", namespace="team"), pod("own", "c", "web")],
        TEAM,
    ),
    Scene(
        "namespaces chosen by their labels",
        ABCD,
        pod("p", **near(term(app("web"), namespaceSelector={"matchLabels": {"kind": "batch"}}))),
        "ab",
        [pod("w", "a", "web", namespace="team"), pod("o", "c", "web", namespace="other")],
        TEAM,
    ),
    Scene(
        "an empty namespace selector means all",
        ABCD,
        pod("p", **near(term(app("web"), namespaceSelector={}))),
        "abc",
        [pod("w", "a", "web", namespace="team"), pod("o", "c", "web", namespace="other")],
        TEAM,
    ),
    Scene(
        "matchLabelKeys: near its own revision",
        ABCD,
        pod("p", app="web", labels={"rev": "2"}, **near(term(app("web"), matchLabelKeys=["rev"]))),
        "c",
        [pod("w1", "a", "web", labels={"rev": "1"}), pod("w2", "c", "web", labels={"rev": "2"})],
    ),
    Scene(
        "away from another application",
        ABCD,
        pod("p", **away(term(app("web")))),
        "cd",
        [pod("w", "a", "web")],
    ),
    Scene(
        "away from its like, on each node one",
        ABCD,
        pod("p", app="web", **away(term(app("web"), HOST))),
        "bd",
        [pod("w", "a", "web"), pod("v", "c", "web")],
    ),
    Scene(
        "who runs keeps those away that it does not want",
        ABCD,
        pod("p", app="noisy"),
        "cd",
        [pod("w", "a", "web", **away(term(app("noisy"))))],
    ),
    Scene(
        "who runs does not mind others",
        ABCD,
        pod("p", app="calm"),
        "abcd",
        [pod("w", "a", "web", **away(term(app("noisy"))))],
    ),
    Scene(
        "who runs minds pods of namespaces that it names by label",
        ABCD,
        pod("p", app="noisy", namespace="team"),
        "cd",
        [
            pod(
                "w",
                "a",
                "web",
                **away(term(app("noisy"), namespaceSelector={"matchLabels": {"kind": "batch"}})),
            )
        ],
        TEAM,
    ),
    Scene(
        "mismatchLabelKeys: away from other tenants",
        ABCD,
        pod(
            "p",
            labels={"tenant": "one"},
            **away(
                term(
                    {"matchExpressions": [{"key": "tenant", "operator": "Exists"}]},
                    mismatchLabelKeys=["tenant"],
                )
            ),
        ),
        "abd",
        [pod("t1", "a", labels={"tenant": "one"}), pod("t2", "c", labels={"tenant": "two"})],
    ),
    Scene(
        "a selector without labels means every pod",
        ABCD,
        pod("p", **away(term({}))),
        "cd",
        [pod("w", "b", "web")],
    ),
    Scene("no selector means no pod", ABCD, pod("p", **away(term(None))), "abcd", [pod("w", "b", "web")]),
    Scene(
        "finished pods do not count",
        ABCD,
        pod("p", **away(term(app("web")))),
        "abcd",
        [{**pod("w", "a", "web"), "status": {"phase": "Succeeded"}}],
    ),
]
SPREAD = [
    Scene(
        "even over zones; without the label nowhere",
        ABCD,
        pod("p", app="web", topologySpreadConstraints=[spread(app("web"))]),
        "c",
        [pod("w", "a", "web")],
    ),
    Scene(
        "a skew of two allows one more",
        ABCD,
        pod("p", app="web", topologySpreadConstraints=[spread(app("web"), skew=2)]),
        "abc",
        [pod("w", "a", "web")],
    ),
    Scene(
        "who is not counted itself may make it no worse",
        ABCD,
        pod("p", app="other", topologySpreadConstraints=[spread(app("web"))]),
        "abc",
        [pod("w", "a", "web")],
    ),
    Scene(
        "fewer domains than asked for: none may get two",
        ABCD,
        pod("p", app="web", topologySpreadConstraints=[spread(app("web"), minDomains=3)]),
        "",
        [pod("w", "a", "web"), pod("v", "c", "web")],
    ),
    Scene(
        "as many domains as asked for",
        ABCD,
        pod("p", app="web", topologySpreadConstraints=[spread(app("web"), minDomains=2)]),
        "abc",
        [pod("w", "a", "web"), pod("v", "c", "web")],
    ),
    Scene(
        "over zones and nodes at once",
        ABCD,
        pod("p", app="web", topologySpreadConstraints=[spread(app("web")), spread(app("web"), HOST)]),
        "b",
        [pod("w", "a", "web"), pod("v", "c", "web"), pod("u", "c", "web")],
    ),
    Scene(
        "a zone that the pod may not use does not count",
        ABCD,
        pod(
            "p",
            app="web",
            nodeSelector={ZONE: "x"},
            topologySpreadConstraints=[spread(app("web"))],
        ),
        "ab",
        [pod("w", "a", "web")],
    ),
    Scene(
        "unless nodes of its affinity are ignored",
        ABCD,
        pod(
            "p",
            app="web",
            nodeSelector={ZONE: "x"},
            topologySpreadConstraints=[spread(app("web"), nodeAffinityPolicy="Ignore")],
        ),
        "",
        [pod("w", "a", "web")],
    ),
    Scene(
        "a tainted zone counts",
        (node("a", "x"), node("b", "y", taints=[TAINT])),
        pod("p", app="web", topologySpreadConstraints=[spread(app("web"))]),
        "",
        [pod("w", "a", "web")],
    ),
    Scene(
        "unless taints are honoured",
        (node("a", "x"), node("b", "y", taints=[TAINT])),
        pod("p", app="web", topologySpreadConstraints=[spread(app("web"), nodeTaintsPolicy="Honor")]),
        "a",
        [pod("w", "a", "web")],
    ),
    Scene(
        "a cordoned zone counts",
        (node("a", "x"), {**node("b", "y"), "spec": {"unschedulable": True}}),
        pod("p", app="web", topologySpreadConstraints=[spread(app("web"))]),
        "",
        [pod("w", "a", "web")],
    ),
    Scene(
        "matchLabelKeys: each revision by itself",
        ABCD,
        pod(
            "p",
            app="web",
            labels={"rev": "2"},
            topologySpreadConstraints=[spread(app("web"), matchLabelKeys=["rev"])],
        ),
        "abc",
        [pod("w", "a", "web", labels={"rev": "1"})],
    ),
    Scene(
        "pods of other namespaces do not count for a spread",
        ABCD,
        pod("p", app="web", topologySpreadConstraints=[spread(app("web"))]),
        "abc",
        [pod("w", "a", "web", namespace="team")],
        TEAM,
    ),
    Scene(
        "no selector counts nobody",
        ABCD,
        pod("p", app="web", topologySpreadConstraints=[spread(None)]),
        "abc",
        [pod("w", "a", "web"), pod("v", "b", "web")],
    ),
    Scene(
        "a spread that need not be",
        ABCD,
        pod(
            "p",
            app="web",
            topologySpreadConstraints=[{**spread(app("web")), "whenUnsatisfiable": "ScheduleAnyway"}],
        ),
        "abcd",
        [pod("w", "a", "web")],
    ),
]
PORTS = [
    Scene(
        "a port of the node is taken",
        ABCD,
        pod("p", ports=[{"hostPort": 8080}]),
        "bcd",
        [pod("w", "a", ports=[{"hostPort": 8080}])],
    ),
    Scene(
        "the same port of another protocol",
        ABCD,
        pod("p", ports=[{"hostPort": 8080, "protocol": "UDP"}]),
        "abcd",
        [pod("w", "a", ports=[{"hostPort": 8080}])],
    ),
    Scene(
        "the same port on another address",
        ABCD,
        pod("p", ports=[{"hostPort": 8080, "hostIP": "127.0.0.1"}]),
        "abcd",
        [pod("w", "a", ports=[{"hostPort": 8080, "hostIP": "127.0.0.2"}])],
    ),
    Scene(
        "the same port on all addresses",
        ABCD,
        pod("p", ports=[{"hostPort": 8080, "hostIP": "127.0.0.1"}]),
        "bcd",
        [pod("w", "a", ports=[{"hostPort": 8080}])],
    ),
    Scene(
        "a pod on the node's network has its ports",
        ABCD,
        pod("p", hostNetwork=True, ports=[{"containerPort": 8080}]),
        "bcd",
        [pod("w", "a", ports=[{"hostPort": 8080}])],
    ),
    Scene(
        "a port of containers alone is no port of the node",
        ABCD,
        pod("p", ports=[{"containerPort": 8080}]),
        "abcd",
        [pod("w", "a", ports=[{"hostPort": 8080}])],
    ),
]
NODES = [
    Scene("a taint that is not tolerated", (node("a", taints=[TAINT]), node("b")), pod("p"), "b"),
    Scene(
        "a taint that is tolerated",
        (node("a", taints=[TAINT]), node("b")),
        pod("p", tolerations=[{"key": "special", "operator": "Exists"}]),
        "ab",
    ),
    Scene(
        "a taint that would end pods",
        (node("a", taints=[{"key": "special", "effect": "NoExecute"}]), node("b")),
        pod("p", tolerations=[{"key": "special", "operator": "Exists", "effect": "NoSchedule"}]),
        "b",
    ),
    Scene("a cordoned node", ({**node("a"), "spec": {"unschedulable": True}}, node("b")), pod("p"), "b"),
    Scene(
        "node affinity",
        (node("a", disk="ssd"), node("b")),
        pod("p", **nodes_like({"matchExpressions": [SSD]})),
        "a",
    ),
    Scene(
        "node affinity by name",
        ABCD,
        pod(
            "p",
            **nodes_like({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]}),
        ),
        "c",
    ),
    Scene("a gate holds the pod", ABCD, pod("p", schedulingGates=[{"name": "example.com/wait"}]), ""),
]


def claim(
    name: str, *, volume: str = "", storage: str = "", modes: Sequence[str] = ("ReadWriteOnce",), **notes: str
) -> Json:
    """A claim, perhaps bound to a volume."""
    done = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "annotations": {**done, **notes},
        },
        "spec": {
            "accessModes": list(modes),
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": storage,
            **({"volumeName": volume} if volume else {}),
        },
        "status": {"phase": "Bound" if volume else "Pending"},
    }


def volume(
    name: str, *reached_from: Json, of: str = "data", mode: str = "ReadWriteOnce", **labels: str
) -> Json:
    """A volume that is bound to a claim."""
    affinity = (
        {"nodeAffinity": {"required": {"nodeSelectorTerms": list(reached_from)}}} if reached_from else {}
    )
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": [mode],
            "csi": {"driver": "disk.example.com", "volumeHandle": name},
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": of},
            **affinity,
        },
        "status": {"phase": "Bound"},
    }


def storage_class(name: str, *zones: str, waits: bool = False, provisioner: str = "disk.example.com") -> Json:
    """A StorageClass, perhaps of some zones."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer" if waits else "Immediate",
        **({"allowedTopologies": [{"matchLabelExpressions": [_in_zones(zones)]}]} if zones else {}),
    }


def _in_zones(zones: Sequence[str]) -> Json:
    return {"key": ZONE, "values": list(zones)}


def uses(*claims: str) -> Json:
    """A pod's volumes."""
    return {"volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]}


IN_X = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["x"]}]}
AT_A = {"matchExpressions": [{"key": HOST, "operator": "In", "values": ["a"]}]}
FULL = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "CSINode",
    "metadata": {"name": "a", "uid": "uid-csi-a"},
    "spec": {
        "drivers": [
            {"name": "disk.example.com", "nodeID": "a", "topologyKeys": [], "allocatable": {"count": 1}}
        ]
    },
}
VOLUMES = [
    Scene(
        "a volume that is reached from one zone",
        ABCD,
        pod("p", **uses("data")),
        "ab",
        others=[claim("data", volume="v"), volume("v", IN_X)],
    ),
    Scene(
        "two volumes that are reached from different places",
        ABCD,
        pod("p", **uses("data", "more")),
        "a",
        others=[
            claim("data", volume="v"),
            claim("more", volume="w"),
            volume("v", IN_X),
            volume("w", AT_A, of="more"),
        ],
    ),
    Scene(
        "a volume and the pod's own affinity",
        ABCD,
        pod(
            "p",
            **uses("data"),
            **nodes_like({"matchExpressions": [{"key": HOST, "operator": "NotIn", "values": ["a"]}]}),
        ),
        "b",
        others=[claim("data", volume="v"), volume("v", IN_X)],
    ),
    Scene(
        "a volume that is reached from everywhere",
        ABCD,
        pod("p", **uses("data")),
        "abcd",
        others=[claim("data", volume="v"), volume("v")],
    ),
    Scene(
        "a volume with the label of a zone",
        ABCD,
        pod("p", **uses("data")),
        "cd",
        others=[claim("data", volume="v"), volume("v", **{ZONE: "y"})],
    ),
    Scene(
        "a volume to be made where its class allows it",
        ABCD,
        pod("p", **uses("data")),
        "c",
        others=[storage_class("late", "y", waits=True), claim("data", storage="late")],
    ),
    Scene(
        "a claim that is not bound",
        ABCD,
        pod("p", **uses("data")),
        "",
        others=[storage_class("fast"), claim("data", storage="fast")],
    ),
    Scene("a claim that is not there", ABCD, pod("p", **uses("data")), ""),
    Scene(
        "a node that holds as many volumes as it can",
        (node("a"), node("b")),
        pod("p", **uses("data")),
        "b",
        [pod("w", "a", **uses("more"))],
        [
            FULL,
            claim("data", volume="v"),
            claim("more", volume="w"),
            volume("v"),
            volume("w", of="more"),
        ],
    ),
    Scene(
        "a claim for one pod alone that another has",
        ABCD,
        pod("p", **uses("data")),
        "",
        [pod("w", "a", **uses("data"))],
        [claim("data", volume="v", modes=("ReadWriteOncePod",)), volume("v", mode="ReadWriteOncePod")],
    ),
]
SCENES = [*AFFINITY, *SPREAD, *PORTS, *NODES]
