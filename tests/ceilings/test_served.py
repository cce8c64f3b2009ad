"""A request ceiling on the real server: under it pods start at once, above it when somebody approves."""

from __future__ import annotations

from springtide import ceilings, health, scheduling, workloads
from springtide.api.flavors import AdmissionCheckParametersReference
from springtide.api.kueue import (
    AdmissionCheck,
    AdmissionCheckSpec,
    AdmissionChecksStrategy,
    AdmissionCheckState,
    AdmissionCheckStrategyRule,
    Workload,
)
from springtide.api.meta import ObjectMeta, is_true
from springtide.api.springtide import RequestCeiling, RequestCeilingSpec
from springtide.api.struct import encode, replace
from springtide.ceilings.plan import CONTROLLER
from tests.builders import at, cluster_queue, local_queue, node, pod_set, resource_flavor, workload
from tests.embedded import Platform, embedded


async def approve(platform: Platform, name: str, state: str = "Ready") -> None:
    said = AdmissionCheckState(name="budget", state=state, last_transition_time=at(0))
    fields = {"status": {"admissionChecks": [encode(said)]}}
    client = platform.client.with_manager("somebody")
    await client.apply(Workload, name, "default", fields, subresource="status")


async def test_the_small_one_starts_at_once_and_the_large_one_once_it_is_approved() -> None:
    rooms = (scheduling.register, workloads.register, health.register, ceilings.register)
    async with embedded(*rooms) as platform:
        queue = cluster_queue(quota={"cpu": 100})
        strategy = AdmissionChecksStrategy(admission_checks=[AdmissionCheckStrategyRule(name="budget")])
        parameters = AdmissionCheckParametersReference(
            api_group="springtide.dev", kind="RequestCeiling", name="small"
        )
        await platform.create(
            RequestCeiling(
                metadata=ObjectMeta(name="small"), spec=RequestCeilingSpec(per_workload={"cpu": 2})
            ),
            AdmissionCheck(
                metadata=ObjectMeta(name="budget"),
                spec=AdmissionCheckSpec(controller_name=CONTROLLER, parameters=parameters),
            ),
            resource_flavor(),
            replace(queue, spec=replace(queue.spec, admission_checks_strategy=strategy)),
            local_queue(),
            node("a", cpu=8),
        )
        await platform.create(workload("small", pod_set(2)), workload("large", pod_set(3), job="other"))
        await platform.settle()
        small, large = await platform.get(Workload, "small"), await platform.get(Workload, "large")
        assert is_true(small.status.conditions, "Admitted")
        assert is_true(large.status.conditions, "QuotaReserved")
        assert not is_true(large.status.conditions, "Admitted")
        assert "springtide approve large" in large.status.admission_checks[0].message
        assert len(await platform.pods()) == 2
        await approve(platform, "large")
        await platform.settle()
        assert is_true((await platform.get(Workload, "large")).status.conditions, "Admitted")
        assert len(await platform.pods()) == 5
