"""PodDisruptionBudget: its rules, and evictions that honour what its status allows."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import PODS, Case, Json, Step, delete, each, get, patch, post, table
from tests.conformance.play import Player

BUDGETS = "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets"
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def pod(name: str = "a") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {
            "automountServiceAccountToken": False,
            "nodeName": "n",
            "containers": [{"name": "main", "image": "example/app:1"}],
        },
    }


def budget(name: str = "b", **spec: Any) -> Json:
    spec = {"selector": {"matchLabels": {"app": "x"}}, **(spec or {"minAvailable": 1})}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": spec,
    }


def running(name: str = "a", status: Json = READY) -> list[Step]:
    return [post(PODS, pod(name)), patch(f"{PODS}/{name}/status", {"status": status})]


def allows(count: int, current: int = 1, desired: int = 1, generation: int = 1) -> Step:
    """What the controller would say; it has said the same where one runs."""
    status = {
        "disruptionsAllowed": count,
        "currentHealthy": current,
        "desiredHealthy": desired,
        "expectedPods": current,
        "observedGeneration": generation,
    }
    return patch(f"{BUDGETS}/b/status", {"status": status})


def evict(name: str = "a", **expected: Any) -> Step:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    body.update(expected.pop("body", {}))
    return post(f"{PODS}/{name}/eviction", body, **{"status": 201, **expected})


def refused(name: str, spec: Json, *causes: str, message: str = "") -> Case:
    return Case(name, [post(BUDGETS, budget(**spec), status=422, causes=causes, message=message)])


CANNOT = "Cannot evict pod as it would violate the pod's disruption budget."

TABLE = table(
    "disruption",
    [
        Case(
            "a budget begins with nothing allowed",
            [post(BUDGETS, budget(), fields={"status.disruptionsAllowed": 0})],
        ),
        refused(
            "both at once", {"minAvailable": 1, "maxUnavailable": 1}, "spec", message="cannot be both set"
        ),
        refused("less than nothing", {"minAvailable": -1}, "spec.minAvailable"),
        refused("a share that is none", {"maxUnavailable": "half"}, "spec.maxUnavailable"),
        refused(
            "more than the whole",
            {"maxUnavailable": "110%"},
            "spec.maxUnavailable",
            message="must not be greater than 100%",
        ),
        refused(
            "an eviction policy that is none",
            {"minAvailable": 1, "unhealthyPodEvictionPolicy": "Perhaps"},
            "spec.unhealthyPodEvictionPolicy",
        ),
        Case(
            "a pod without a budget goes",
            [*running(), evict(), get(f"{PODS}/a", fields={"metadata.deletionGracePeriodSeconds": 30})],
        ),
        Case(
            "an eviction says in the pod why it goes",
            [
                *running(),
                evict(),
                get(
                    f"{PODS}/a",
                    fields={"status.conditions[type=DisruptionTarget].reason": "EvictionByEvictionAPI"},
                ),
            ],
        ),
        Case(
            "a budget that allows nothing holds its pods",
            [
                *running(),
                post(BUDGETS, budget()),
                allows(0),
                evict(status=429, reason="TooManyRequests", message=CANNOT),
                get(f"{PODS}/a", absent=["metadata.deletionTimestamp"]),
            ],
        ),
        Case(
            "a refusal names the budget and its needs",
            [
                *running(),
                post(BUDGETS, budget()),
                allows(0),
                evict(
                    status=429,
                    fields={
                        "details.causes[0].reason": "DisruptionBudget",
                        "details.causes[0].message": (
                            "The disruption budget b needs 1 healthy pods and has 1 currently"
                        ),
                    },
                ),
            ],
        ),
        Case(
            "a budget that was changed must be looked at first",
            [
                *running(),
                post(BUDGETS, budget(minAvailable="100%")),
                allows(0, generation=0),
                evict(status=429, message=CANNOT),
            ],
        ),
        Case(
            "a pod that is not ready may go while enough others are",
            [
                *running(status={"phase": "Running"}),
                post(BUDGETS, budget()),
                allows(0, current=1, desired=1),
                evict(),
            ],
        ),
        Case(
            "a pod that does not run yet needs no leave",
            [post(PODS, pod()), post(BUDGETS, budget()), allows(0), evict()],
        ),
        Case(
            "a pod that has ended needs no leave",
            [
                *running(status={"phase": "Succeeded"}),
                post(BUDGETS, budget()),
                allows(0),
                evict(),
                get(f"{PODS}/a", status=404),
            ],
        ),
        Case(
            "a dry run evicts nobody",
            [
                *running(),
                evict(body={"deleteOptions": {"dryRun": ["All"]}}),
                get(f"{PODS}/a", absent=["metadata.deletionTimestamp"]),
            ],
        ),
        Case(
            "an eviction of another incarnation is refused",
            [
                *running(),
                evict(body={"deleteOptions": {"preconditions": {"uid": "another"}}}, status=409),
                get(f"{PODS}/a", absent=["metadata.deletionTimestamp"]),
            ],
        ),
        Case(
            "an eviction names the pod of its path",
            [
                *running(),
                post(
                    f"{PODS}/a/eviction",
                    {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "other"}},
                    status=400,
                ),
            ],
        ),
        Case("nobody is evicted who is not there", [evict("none", status=404)]),
        Case(
            "grace is that of the eviction",
            [
                *running(),
                evict(body={"deleteOptions": {"gracePeriodSeconds": 5}}),
                get(f"{PODS}/a", fields={"metadata.deletionGracePeriodSeconds": 5}),
            ],
        ),
        Case(
            "a budget that is gone holds nobody",
            [*running(), post(BUDGETS, budget()), allows(0), delete(f"{BUDGETS}/b"), evict()],
        ),
    ],
)


@each(TABLE)
def test_disruption(case: Case, player: Player) -> None:
    player.play(case)
