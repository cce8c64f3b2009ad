"""What a pod asks: init containers, sidecars, overhead, limits; and which nodes its constraints let it on."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.core import PodSpec
from springtide.api.struct import decode
from springtide.scheduling.classes import class_of, constraints_of
from springtide.scheduling.requests import format_amount, pod_requests, readable_amount, readable_pair
from tests.builders import taint


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": f"c-{cpu}", "resources": {"requests": {"cpu": cpu}}, **more}


def spec(**fields: Any) -> PodSpec:
    return decode(PodSpec, {"containers": [container("1")], **fields})


SIDECAR = {"restartPolicy": "Always"}
CASES = [
    ("containers add up", spec(containers=[container("1"), container("500m")]), 1500),
    ("an init container larger than all of them counts instead", spec(initContainers=[container("3")]), 3000),
    ("init containers run one after the other", spec(initContainers=[container("3"), container("2")]), 3000),
    ("a sidecar runs beside the containers", spec(initContainers=[container("2", **SIDECAR)]), 3000),
    (
        "and beside the init containers after it",
        spec(initContainers=[container("2", **SIDECAR), container("4")]),
        6000,
    ),
    (
        "but not beside those before it",
        spec(initContainers=[container("4"), container("2", **SIDECAR)]),
        4000,
    ),
    ("the overhead of a runtime class is added", spec(overhead={"cpu": "250m"}), 1250),
    (
        "a limit without a request is the request",
        spec(containers=[{"name": "c", "resources": {"limits": {"cpu": "2"}}}]),
        2000,
    ),
    ("a fraction of a thousandth is rounded up", spec(containers=[container("0.0001")]), 1),
]


@pytest.mark.parametrize(("why", "pod", "cpu"), CASES, ids=[case[0] for case in CASES])
def test_what_a_pod_takes(why: str, pod: PodSpec, cpu: int) -> None:
    assert pod_requests(pod) == {"cpu": cpu, "pods": 1}


def test_amounts_are_written_as_people_write_them() -> None:
    written = [
        format_amount(name, n) for name, n in (("cpu", 1500), ("memory", 2 << 30), ("nvidia.com/gpu", 8))
    ]
    assert written == ["1500m", "2Gi", "8"]


def required(*terms: dict[str, Any]) -> PodSpec:
    return spec(
        affinity={
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}
            }
        }
    )


def wants(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


LABELS = {"zone": "x", "cores": "16"}
SELECTS = [
    ("no constraints select every node", spec(), True),
    ("a node selector that holds", spec(nodeSelector={"zone": "x"}), True),
    ("a node selector that does not", spec(nodeSelector={"zone": "y"}), False),
    ("a node selector for a label it lacks", spec(nodeSelector={"disk": "ssd"}), False),
    ("In", required(wants("zone", "In", "x", "y")), True),
    ("In, for a label it lacks", required(wants("disk", "In", "ssd")), False),
    ("NotIn", required(wants("zone", "NotIn", "x")), False),
    ("NotIn, for a label it lacks", required(wants("disk", "NotIn", "ssd")), True),
    ("Exists", required(wants("zone", "Exists")), True),
    ("DoesNotExist", required(wants("zone", "DoesNotExist")), False),
    ("Gt", required(wants("cores", "Gt", "8")), True),
    ("Lt", required(wants("cores", "Lt", "8")), False),
    ("Gt, for what is no number", required(wants("zone", "Gt", "8")), False),
    ("one of several terms is enough", required(wants("zone", "In", "y"), wants("cores", "Exists")), True),
    ("a term without requirements holds nowhere", required({}), False),
    (
        "the name of the node",
        required({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}),
        True,
    ),
]


@pytest.mark.parametrize(("why", "pod", "holds"), SELECTS, ids=[case[0] for case in SELECTS])
def test_which_nodes_are_selected(why: str, pod: PodSpec, holds: bool) -> None:
    assert constraints_of(pod).select("a", LABELS) is holds


TOLERATES: list[tuple[str, dict[str, str], bool]] = [
    ("the same key and value", {"key": "gpu", "value": "a100", "effect": "NoSchedule"}, True),
    ("any value", {"key": "gpu", "operator": "Exists"}, True),
    ("everything", {"operator": "Exists"}, True),
    ("another value", {"key": "gpu", "value": "h100"}, False),
    ("another effect", {"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ("another key", {"key": "cpu", "operator": "Exists"}, False),
]


@pytest.mark.parametrize(("why", "toleration", "holds"), TOLERATES, ids=[case[0] for case in TOLERATES])
def test_which_taints_are_tolerated(why: str, toleration: dict[str, str], holds: bool) -> None:
    constraints = constraints_of(spec(tolerations=[toleration]))
    assert (constraints.untolerated([taint("gpu", value="a100")]) is None) is holds


def test_a_taint_that_only_prefers_keeps_nobody_away() -> None:
    assert constraints_of(spec()).untolerated([taint("gpu", "PreferNoSchedule")]) is None


def test_equal_pods_are_one_class_and_others_are_not() -> None:
    assert class_of(spec()) == class_of(spec(hostname="other", restartPolicy="Never"))
    assert class_of(spec()) != class_of(spec(nodeSelector={"zone": "x"}))
    assert class_of(spec()) != class_of(spec(containers=[container("2")]))


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("cpu", 4_000_000, "4000"),
        ("cpu", 1500, "1.5"),
        ("cpu", 100, "0.1"),
        ("cpu", 0, "0"),
        ("memory", 4 * 2**30, "4Gi"),
        ("memory", 1536 * 2**20, "1.5Gi"),
        ("memory", 8_321_507_328, "7.75Gi"),
        ("memory", 64 * 2**20, "64Mi"),
        ("memory", 2000 * 2**30, "2000Gi"),
        ("memory", 12, "12"),
        ("nvidia.com/gpu", 4000, "4000"),
    ],
)
def test_amounts_are_plain_numbers_to_people(name: str, amount: int, text: str) -> None:
    assert readable_amount(name, amount) == text


def test_amounts_that_differ_never_look_equal() -> None:
    assert readable_pair("memory", 2**32, 2**32 - 1024) == ("4Gi", "4194303Ki")
    assert readable_pair("memory", 2**32, 2**31) == ("4Gi", "2Gi")
