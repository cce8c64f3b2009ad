"""Says of each RemediationPolicy whether all it names is known: the controller `health.policies`."""

from __future__ import annotations

from springtide.api.commands import Apply
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.remediation import RemediationPolicy
from springtide.api.struct import encode
from springtide.faults import catalog
from springtide.health.remediation_policy import trouble_of
from springtide.runtime import Runtime

NAME = "health.policies"
VALID = "Valid"


def register(runtime: Runtime) -> None:
    """Add the controller to `runtime`."""
    policies = runtime.informer(RemediationPolicy)

    async def reconcile(key: str) -> None:
        policy = policies.cache.get(key)
        if policy is None:
            return
        trouble = trouble_of(policy, (one.name for one in catalog()))
        told = Condition(
            type=VALID,
            status="False" if trouble else "True",
            reason="UnknownNames" if trouble else "Understood",
            message=trouble or "All that it names is known",
            observed_generation=policy.metadata.generation or None,
        )
        known = find_condition(policy.status.conditions, VALID)
        new = find_condition(set_condition(policy.status.conditions, told, runtime.clock.now()), VALID)
        if new is None or new == known:
            return
        fields = {"status": {"conditions": [encode(new)]}}
        meta = policy.metadata
        await runtime.apply(NAME, [Apply(RemediationPolicy, "", meta.name, fields, "status", meta.uid)])

    runtime.controller(NAME, reconcile, [(policies, lambda policy: [policy.key])])
