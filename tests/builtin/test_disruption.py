"""Disruption budgets: how many pods may go, as the controller says and evictions keep to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from springtide.api.core import Pod
from springtide.api.policy import PodDisruptionBudget
from springtide.api.struct import decode
from springtide.builtin.disruption_plan import GONE_WITHIN, assess, failed, needs_scales
from springtide.client import TooManyRequests
from tests.builtin.cluster import Cluster, Json, cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
PODS = "/api/v1/namespaces/default/pods"


def budget(disrupted: dict[str, str] | None = None, **spec: Any) -> PodDisruptionBudget:
    body = {
        "metadata": {"name": "b", "namespace": "default", "generation": 3},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, **spec},
        "status": {"disruptedPods": disrupted or {}},
    }
    return decode(PodDisruptionBudget, body)


def pods(*ready: bool) -> list[Pod]:
    return [decode(Pod, _pod(f"p{index}", ready=one)) for index, one in enumerate(ready)]


def _pod(name: str, *, ready: bool = True) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "x"}},
        "spec": {"nodeName": "n", "containers": [{"name": "main", "image": "x:1"}]},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


@pytest.mark.parametrize(
    ("spec", "ready", "scale", "expected", "desired", "allowed"),
    [
        pytest.param({"minAvailable": 2}, (True,) * 3, 0, 3, 2, 1, id="a number that must stay"),
        pytest.param({"minAvailable": 2}, (True, True, False), 0, 3, 2, 0, id="one is not ready"),
        pytest.param({"minAvailable": "50%"}, (True,) * 3, 3, 3, 2, 1, id="a share is rounded up"),
        pytest.param({"maxUnavailable": 1}, (True,) * 3, 4, 4, 3, 0, id="one of four is missing"),
        pytest.param({"maxUnavailable": "30%"}, (True,) * 10, 10, 10, 7, 3, id="a share that may be away"),
        pytest.param({"maxUnavailable": 5}, (True,) * 2, 2, 2, 0, 2, id="more may be away than there are"),
        pytest.param({"minAvailable": 0}, (), 0, 0, 0, 0, id="no pods"),
    ],
)
def test_how_many_may_go(
    spec: Json, ready: tuple[bool, ...], scale: int, expected: int, desired: int, allowed: int
) -> None:
    status = assess(budget(**spec), pods(*ready), {"owner": scale}, NOW).status
    assert (status.expected_pods, status.desired_healthy) == (expected, desired)
    assert status.disruptions_allowed == allowed
    assert status.observed_generation == 3
    assert status.conditions[0].reason == ("SufficientPods" if allowed else "InsufficientPods")


def test_a_granted_eviction_counts_until_the_pod_is_gone_or_was_not_deleted() -> None:
    known = budget({"p0": "2025-12-31T23:59:00Z"}, minAvailable=1)
    decided = assess(known, pods(True, True, True), {}, NOW)
    assert (decided.status.current_healthy, decided.status.disruptions_allowed) == (2, 1)
    assert decided.again_seconds == 60.0
    late = assess(known, pods(True, True, True), {}, NOW + GONE_WITHIN + timedelta(seconds=1))
    assert (late.status.disrupted_pods, late.overdue) == ({}, ("p0",))


def test_what_cannot_be_counted_allows_nothing() -> None:
    status = failed(budget(maxUnavailable=1), "no scale", NOW)
    assert (status.disruptions_allowed, status.conditions[0].reason) == (0, "SyncFailed")
    assert needs_scales(budget(maxUnavailable=1))
    assert not needs_scales(budget(minAvailable=1))


async def _eviction(world: Cluster, name: str) -> bool:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    try:
        await world._send("POST", f"{PODS}/{name}/eviction", body)
    except TooManyRequests:
        return False
    return True


async def test_evictions_that_come_together_share_what_is_allowed() -> None:
    async with cluster() as world:
        await world.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
        for index in range(5):
            made = _pod(f"p{index}")
            await world.create(made)
            status = {**made["status"], "phase": "Running"}
            await world.patch(f"{PODS}/p{index}/status", {"status": status})
        spec = {"selector": {"matchLabels": {"app": "x"}}, "minAvailable": 3}
        await world._send(
            "POST",
            BUDGETS,
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "b", "namespace": "default"},
                "spec": spec,
            },
        )
        await asyncio.sleep(1)
        granted = await asyncio.gather(*(_eviction(world, f"p{index}") for index in range(5)))
        assert sum(granted) == 2
        await asyncio.sleep(1)
        found = await world.get(f"{BUDGETS}/b")
        assert found is not None
        assert (found["status"]["currentHealthy"], found["status"]["disruptionsAllowed"]) == (3, 0)
