"""The real kube-scheduler lets the same plain pods go as the table of `test_pod_preemption` says."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from springtide.api.core import Pod
from springtide.api.meta import Object
from springtide.api.struct import encode
from tests.builders import node
from tests.scheduling.oracle import Cluster, kube_scheduler, needs_binaries
from tests.scheduling.scenes import Json
from tests.scheduling.test_pod_preemption import CASES, Case, budget

pytestmark = needs_binaries
_SETTLED_SECONDS = 1.0
_PRIORITIES = (0, 1, 2, 3, 5, 10, 11, 20)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kube_scheduler() as found:
        for value in _PRIORITIES:
            metadata = {"name": f"p{value}"}
            found.create(
                {
                    "apiVersion": "scheduling.k8s.io/v1",
                    "kind": "PriorityClass",
                    "metadata": metadata,
                    "value": value,
                }
            )
        yield found


def as_created(obj: Object) -> Json:
    """What an API server takes: of a pod, priority by its class alone."""
    raw: Json = encode(obj)
    if isinstance(obj, Pod):
        spec = raw["spec"]
        spec["priorityClassName"] = f"p{spec.pop('priority', 0)}"
        if spec.pop("preemptionPolicy", None) == "Never":
            spec["priorityClassName"] = "never"
    return raw


@pytest.mark.parametrize("case", CASES, ids=[case.why for case in CASES])
def test_kube_scheduler_lets_the_same_pods_go(cluster: Cluster, case: Case) -> None:
    never = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "never"}}
    cluster.create({**never, "value": 10, "preemptionPolicy": "Never"})
    objects = [as_created(node(name, cpu=4)) for name in case.nodes]
    objects += [as_created(one) for one in case.running]
    budgets = [as_created(budget(app, allowed)) for app, allowed in case.budgets.items()]
    waiting = as_created(case.waiting)
    made = [*objects, *budgets, waiting]
    try:
        for raw in (*objects, *budgets):
            cluster.create(raw)
        time.sleep(_SETTLED_SECONDS / 2)
        cluster.create(waiting)
        assert not cluster.decision(waiting)
        time.sleep(_SETTLED_SECONDS)
        gone = {one.metadata.name for one in case.running if _is_ending(cluster, one.metadata.name)}
    finally:
        for raw in reversed(made):
            cluster.delete(raw)
    assert gone == case.gone


def _is_ending(cluster: Cluster, name: str) -> bool:
    """Whether a pod is being deleted, or gone."""
    found = cluster.call("GET", f"/api/v1/namespaces/default/pods/{name}")
    return "deletionTimestamp" in found["metadata"] or found["kind"] == "Status"
