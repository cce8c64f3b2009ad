"""What `kubectl get` prints, after kube-apiserver's printers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.resources import Column
from springtide.server.jsonpath import compile_path
from springtide.server.table import to_table
from springtide.server.table_time import age

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    group: str
    kind: str
    columns: tuple[Column, ...] = ()


def ago(**units: float) -> str:
    return (NOW - timedelta(**units)).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(kind: Kind, obj: Json, *, wide: bool = False) -> dict[str, Any]:
    """Cells by column name, after the name."""
    table = to_table(kind, [obj], now=NOW)
    row = table["rows"][0]
    columns = table["columnDefinitions"]
    assert len(columns) == len(row["cells"])
    assert row["object"]["kind"] == "PartialObjectMetadata"
    pairs = zip(columns, row["cells"], strict=True)
    return {column["name"]: cell for column, cell in list(pairs)[1:] if wide or column["priority"] == 0}


def pod(phase: str = "Running", *containers: Json, inits: tuple[Json, ...] = (), **status: Any) -> Json:
    """A Pod whose containers have these statuses."""
    return {
        "metadata": {"name": "p", "creationTimestamp": ago(minutes=5)},
        "spec": {
            "containers": [{"name": one["name"]} for one in containers] or [{"name": "main"}],
            "initContainers": [{"name": one["name"], **one.pop("spec", {})} for one in inits],
        },
        "status": {
            "phase": phase,
            "containerStatuses": list(containers),
            "initContainerStatuses": list(inits),
            **status,
        },
    }


def container(name: str = "main", *, ready: bool = False, restarts: int = 0, **state: Any) -> Json:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


def running(name: str = "main", **more: Any) -> Json:
    return {**container(name, ready=True, running={"startedAt": ago(minutes=1)}), **more}


def ended(code: int, reason: str = "", name: str = "main", **more: Any) -> Json:
    return container(name, terminated={"exitCode": code, **({"reason": reason} if reason else {}), **more})


READY = {"type": "Ready", "status": "True"}
PODS: dict[str, tuple[Json, str, str]] = {
    "pending": (pod("Pending"), "0/1", "Pending"),
    "running": (pod("Running", running()), "1/1", "Running"),
    "pulling": (
        pod("Pending", container(waiting={"reason": "ContainerCreating"})),
        "0/1",
        "ContainerCreating",
    ),
    "crashing": (
        pod("Running", container(waiting={"reason": "CrashLoopBackOff"})),
        "0/1",
        "CrashLoopBackOff",
    ),
    "done": (pod("Succeeded", ended(0, "Completed")), "0/1", "Completed"),
    "failed": (pod("Failed", ended(1, "Error")), "0/1", "Error"),
    "out of memory": (pod("Failed", ended(137, "OOMKilled")), "0/1", "OOMKilled"),
    "exit code without a reason": (pod("Failed", ended(3)), "0/1", "ExitCode:3"),
    "ended by a signal": (pod("Failed", ended(143, signal=15)), "0/1", "Signal:15"),
    "evicted": (pod("Failed", reason="Evicted"), "0/1", "Evicted"),
    "gated": (
        pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
        "0/1",
        "SchedulingGated",
    ),
    "one of two done, pod ready": (
        pod("Running", ended(0, "Completed", "a"), running("b"), conditions=[READY]),
        "1/2",
        "Running",
    ),
    "one of two done, pod not ready": (
        pod("Running", ended(0, "Completed", "a"), running("b")),
        "1/2",
        "NotReady",
    ),
    "the first container's trouble wins": (
        pod("Running", container("a", waiting={"reason": "CrashLoopBackOff"}), ended(1, "Error", "b")),
        "0/2",
        "CrashLoopBackOff",
    ),
    "initializing": (
        pod("Pending", inits=(ended(0, "Completed", "i"), container("j", running={}))),
        "0/1",
        "Init:1/2",
    ),
    "init failed": (pod("Pending", inits=(ended(1, "Error", "i"),)), "0/1", "Init:Error"),
    "init failed without a reason": (pod("Pending", inits=(ended(2, "", "i"),)), "0/1", "Init:ExitCode:2"),
    "init crashing": (
        pod("Pending", inits=(container("i", waiting={"reason": "CrashLoopBackOff"}),)),
        "0/1",
        "Init:CrashLoopBackOff",
    ),
    "sidecar": (
        pod(
            "Running",
            running(),
            inits=({**running("s"), "started": True, "spec": {"restartPolicy": "Always"}},),
        ),
        "2/2",
        "Running",
    ),
}


def test_columns_end_before_the_first_that_cannot_be_read() -> None:
    """Kubernetes stores such a definition too, and prints what stands before it."""
    paths = (".spec.a", "..", ".spec.b")
    columns = tuple(Column(f"C{number}", "string", path) for number, path in enumerate(paths))
    assert shown(Kind("x.dev", "X", columns), {"metadata": {"name": "x"}, "spec": {"a": "1"}}) == {"C0": "1"}


@pytest.mark.parametrize(("obj", "ready", "status"), PODS.values(), ids=PODS)
def test_a_pod_in_one_word(obj: Json, ready: str, status: str) -> None:
    cells = shown(Kind("", "Pod"), obj)
    assert (cells["Ready"], cells["Status"], cells["Age"]) == (ready, status, "5m")


def test_a_pod_that_is_being_deleted() -> None:
    for phase, reason, word in (
        ("Running", "", "Terminating"),
        ("Running", "NodeLost", "Unknown"),
        ("Succeeded", "", "Succeeded"),
    ):
        obj = pod(phase, reason=reason)
        obj["metadata"]["deletionTimestamp"] = ago(seconds=1)
        assert shown(Kind("", "Pod"), obj)["Status"] == word


def test_restarts_say_when_the_last_one_was() -> None:
    again = {**running(), "restartCount": 3, "lastState": {"terminated": {"finishedAt": ago(hours=2)}}}
    assert shown(Kind("", "Pod"), pod("Running", again))["Restarts"] == "3 (120m ago)"
    assert shown(Kind("", "Pod"), pod("Running", running()))["Restarts"] == "0"


def test_wide_columns_of_a_pod() -> None:
    obj = pod("Running", running(), podIP="127.0.0.9")
    obj["spec"] |= {"nodeName": "n1", "readinessGates": [{"conditionType": "x"}]}
    cells = shown(Kind("", "Pod"), obj, wide=True)
    assert (cells["IP"], cells["Node"], cells["Nominated Node"], cells["Readiness Gates"]) == (
        "127.0.0.9",
        "n1",
        "<none>",
        "0/1",
    )


def test_finished_pods_are_marked_so_that_clients_can_hide_them() -> None:
    row = to_table(Kind("", "Pod"), [pod("Failed", ended(1, "Error"))], now=NOW)["rows"][0]
    assert [(one["type"], one["reason"]) for one in row["conditions"]] == [("Completed", "Failed")]


def node(ready: str, **spec: Any) -> Json:
    labels = {"node-role.kubernetes.io/gpu": "", "node-role.kubernetes.io/control-plane": ""}
    return {
        "metadata": {"name": "n", "creationTimestamp": ago(days=3), "labels": labels},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": ready}] if ready else [],
            "nodeInfo": {"kubeletVersion": "v1", "osImage": "Linux"},
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        },
    }


@pytest.mark.parametrize(
    ("obj", "status"),
    [
        (node("True"), "Ready"),
        (node("False"), "NotReady"),
        (node("Unknown"), "NotReady"),
        (node(""), "Unknown"),
        (node("True", unschedulable=True), "Ready,SchedulingDisabled"),
    ],
)
def test_a_node(obj: Json, status: str) -> None:
    cells = shown(Kind("", "Node"), obj, wide=True)
    assert cells["Status"] == status
    assert (cells["Roles"], cells["Age"], cells["Version"]) == ("control-plane,gpu", "3d", "v1")
    assert (cells["Internal-IP"], cells["External-IP"]) == ("10.0.0.1", "<none>")
    assert (cells["OS-Image"], cells["Kernel-Version"]) == ("Linux", "<unknown>")


META = {"name": "x", "creationTimestamp": ago(hours=5)}
OTHERS: dict[str, tuple[Kind, Json, list[Any]]] = {
    "Namespace": (Kind("", "Namespace"), {"status": {"phase": "Active"}}, ["Active", "5h"]),
    "ConfigMap": (Kind("", "ConfigMap"), {"data": {"a": "1"}, "binaryData": {"b": "2"}}, [2, "5h"]),
    "Secret": (Kind("", "Secret"), {"data": None}, ["Opaque", 0, "5h"]),
    "Service": (
        Kind("", "Service"),
        {
            "spec": {
                "clusterIP": "None",
                "ports": [{"port": 80}, {"port": 53, "nodePort": 3, "protocol": "UDP"}],
            }
        },
        ["ClusterIP", "None", "<none>", "80/TCP,53:3/UDP", "5h"],
    ),
    "LoadBalancer": (
        Kind("", "Service"),
        {"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.2", "ports": [{"port": 80}]}},
        ["LoadBalancer", "10.0.0.2", "<pending>", "80/TCP", "5h"],
    ),
    "Lease": (
        Kind("coordination.k8s.io", "Lease"),
        {"spec": {"holderIdentity": "me"}},
        ["me", "5h"],
    ),
    "PriorityClass": (
        Kind("scheduling.k8s.io", "PriorityClass"),
        {"value": 7, "globalDefault": True},
        [7, True, "5h", "PreemptLowerPriority"],
    ),
    "PersistentVolumeClaim": (
        Kind("", "PersistentVolumeClaim"),
        {
            "spec": {"volumeName": "v", "storageClassName": "local"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
        },
        ["Bound", "v", "1Gi", "RWO", "local", "5h"],
    ),
    "CustomResourceDefinition": (
        Kind("apiextensions.k8s.io", "CustomResourceDefinition"),
        {},
        [META["creationTimestamp"]],
    ),
    "Event": (
        Kind("", "Event"),
        {
            "involvedObject": {"kind": "Pod", "name": "p"},
            "type": "Warning",
            "reason": "BackOff",
            "message": "again\n",
            "lastTimestamp": ago(seconds=30),
        },
        ["30s", "Warning", "BackOff", "pod/p", "again"],
    ),
    "an Event of the newer kind": (
        Kind("", "Event"),
        {"involvedObject": {"kind": "Node", "name": "n"}, "eventTime": ago(minutes=4)},
        ["4m", "", "", "node/n", ""],
    ),
    "any other kind": (Kind("x.example.com", "Thing"), {}, ["5h"]),
}


@pytest.mark.parametrize(("kind", "obj", "cells"), OTHERS.values(), ids=OTHERS)
def test_other_kinds(kind: Kind, obj: Json, cells: list[Any]) -> None:
    assert list(shown(kind, {"metadata": META, **obj}).values()) == cells


def test_printer_columns_of_a_custom_kind() -> None:
    columns = (
        Column("State", "string", '.status.conditions[?(@.type=="Complete")].status'),
        Column("Nodes", "integer", ".spec.trainer.numNodes"),
        Column("Started", "date", ".status.startTime"),
        Column("Labels", "string", ".metadata.labels"),
        Column("Missing", "string", ".spec.nothing"),
        Column("Wrong", "integer", ".spec.text"),
        Column("On", "boolean", ".spec.on", priority=1),
    )
    obj = {
        "metadata": {**META, "labels": {"a": "b"}},
        "spec": {"trainer": {"numNodes": 2}, "text": "x", "on": True},
        "status": {
            "startTime": ago(minutes=3),
            "conditions": [{"type": "Failed", "status": "False"}, {"type": "Complete", "status": "True"}],
        },
    }
    assert shown(Kind("trainer.kubeflow.org", "TrainJob", columns), obj, wide=True) == {
        "State": "True",
        "Nodes": 2,
        "Started": "3m",
        "Labels": '{"a":"b"}',
        "Missing": None,
        "Wrong": None,
        "On": True,
    }


DOC = {
    "a": {"b": [1, 2, {"c": 3}], "d.e/f": "dotted"},
    "items": [{"n": "x", "v": 1}, {"n": "y", "v": 5, "ok": True}, "text"],
}
PATHS: dict[str, list[Any]] = {
    ".a.b[0]": [1],
    "a.b[-1].c": [3],
    "{.a.b[0:2]}": [[1, 2]],
    ".a.b[*]": [[1, 2, {"c": 3}]],
    ".a['d.e/f']": ["dotted"],
    r".a.d\.e/f": ["dotted"],
    '.items[?(@.n=="y")].v': [5],
    ".items[?(@.n!='y')].v": [1],
    ".items[?(@.v>1)].n": ["y"],
    ".items[?(@.v<=1)].n": ["x"],
    ".items[?(@.ok==true)].n": ["y"],
    ".items[?(@.ok)].n": ["y"],
    ".items[*].n": [["x", "y"]],
    ".items.*": [[*DOC["items"]]],
    ".nothing.at.all": [],
    ".a.b[9]": [],
    ".items[?(@.n>3)].n": [],
    ".": [DOC],
}


@pytest.mark.parametrize(("path", "found"), PATHS.items())
def test_a_json_path_finds(path: str, found: list[Any]) -> None:
    expected = found[0] if found and isinstance(found[0], list) else found
    assert compile_path(path)(DOC) == expected


@pytest.mark.parametrize("path", [".a[", ".a[?(@.b==", "..a", ".a[x]"])
def test_a_json_path_that_cannot_be_read_is_quoted(path: str) -> None:
    with pytest.raises(ValueError, match="cannot read JSONPath"):
        compile_path(path)


AGES = {
    -5: "<invalid>",
    -0.5: "0s",
    0: "0s",
    119: "119s",
    120: "2m",
    125: "2m5s",
    599: "9m59s",
    600: "10m",
    179 * 60 + 59: "179m",
    180 * 60: "3h",
    7 * 3600 + 59 * 60: "7h59m",
    8 * 3600: "8h",
    47 * 3600: "47h",
    48 * 3600: "2d",
    50 * 3600: "2d2h",
    8 * 86400: "8d",
    729 * 86400: "729d",
    730 * 86400: "2y",
    800 * 86400: "2y70d",
    8 * 365 * 86400: "8y",
}


@pytest.mark.parametrize(("seconds", "text"), AGES.items())
def test_an_age(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_no_time_is_an_unknown_age() -> None:
    assert age(None) == "<unknown>"
    assert shown(Kind("", "ConfigMap"), {"metadata": {"name": "x"}})["Age"] == "<unknown>"


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_is_older_is_never_shown_younger_by_more_than_a_unit(a: int, b: int) -> None:
    younger, older = sorted((a, b))
    assert _seconds(age(younger)) <= _seconds(age(older))


def _seconds(text: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
    total, number = 0, ""
    for character in text:
        if character.isdigit():
            number += character
        else:
            total += int(number) * units[character]
            number = ""
    return total
