"""Preemption on the real server: who owns which condition, and the way back of who had to go."""

from __future__ import annotations

from springtide import health, scheduling, workloads
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition, is_true
from tests.builders import node, pod_set
from tests.embedded import embedded
from tests.scheduling.preemption import LOWER, job, queue


async def test_the_victim_ends_the_preemptor_runs_and_then_the_victim_runs_again() -> None:
    async with embedded(scheduling.register, workloads.register, health.register) as platform:
        await platform.create(*queue("q", within=LOWER), node("a", cpu=4))
        await platform.create(job("low", sets=(pod_set(4),)))
        await platform.settle()
        await platform.play("Running")
        await platform.settle()
        await platform.create(job("high", sets=(pod_set(3),), priority=10))
        await platform.settle()
        low = await platform.get(Workload, "low")
        assert low.status.admission is None
        assert is_true(low.status.conditions, "Preempted")
        evicted = find_condition(low.status.conditions, "Evicted")
        assert evicted is not None
        assert (evicted.status, evicted.reason) == ("True", "Preempted")
        high = await platform.get(Workload, "high")
        waits = find_condition(high.status.conditions, "QuotaReserved")
        assert waits is not None
        assert waits.reason == "WaitingForPreemptedWorkloads"
        await platform.end_deleted()
        await platform.settle()
        assert is_true((await platform.get(Workload, "high")).status.conditions, "Admitted")
        await platform.play("Succeeded")
        await platform.settle()
        again = await platform.get(Workload, "low")
        assert is_true(again.status.conditions, "Admitted")
        for type_ in ("Evicted", "Preempted"):
            over = find_condition(again.status.conditions, type_)
            assert over is not None
            assert (over.status, over.reason) == ("False", "QuotaReserved")
        assert again.status.requeue_state is not None
        assert again.status.requeue_state.count == 1
