"""Keeps the status of PodDisruptionBudgets: how many of their pods may be evicted now.

A controller whose keys are budgets. It shares the pods' informer with the rooms that have one anyway, and
asks the server for the scale of the pods' controllers only for budgets that are percentages or a maximum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from springtide.api.core import Pod
from springtide.api.meta import OwnerReference, controller_of
from springtide.api.policy import PodDisruptionBudget, PodDisruptionBudgetStatus
from springtide.api.resources import Resource, resource_of
from springtide.api.struct import decode, encode_json, replace
from springtide.builtin.disruption_plan import assess, failed, needs_scales, selector_of
from springtide.builtin.inventory import Inventory
from springtide.client import ApiError, Conflict, NotFound
from springtide.runtime import Runtime, logger

ROOM = "builtin"
_BY_NAMESPACE = "builtin.namespace"
_CONFLICT_SECONDS = 0.2
_RETRY_SECONDS = 5.0

log = logger("builtin.disruption")


class _ScaleSpec(msgspec.Struct, frozen=True):
    replicas: int = 0


class _Scale(msgspec.Struct, frozen=True):
    """What of an autoscaling/v1 Scale counts."""

    spec: _ScaleSpec = _ScaleSpec()


class Disruption:
    """Reconciles one budget at a time."""

    def __init__(self, runtime: Runtime, inventory: Inventory) -> None:
        self._runtime = runtime
        self._inventory = inventory
        self._client = runtime.client.with_manager(ROOM)
        self.budgets = runtime.informer(PodDisruptionBudget, indexes={_BY_NAMESPACE: _namespace_of})
        self.pods = runtime.informer(Pod, indexes={_BY_NAMESPACE: _namespace_of})

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The budgets that count a pod."""
        budgets = self.budgets.cache.by_index(_BY_NAMESPACE, pod.metadata.namespace)
        for budget in budgets:
            selector = selector_of(budget)
            if selector is not None and selector.matches(pod.metadata.labels):
                yield budget.key

    async def reconcile(self, key: str) -> float | None:
        """Count the budget's pods; returns when to look again."""
        budget = self.budgets.cache.get(key)
        if budget is None:
            return None
        now, pods = self._runtime.clock.now(), self._pods_of(budget)
        try:
            scales = await self._scales(pods) if needs_scales(budget) else {}
        except LookupError as error:
            await self._write(budget, failed(budget, str(error), now))
            return _RETRY_SECONDS
        decided = assess(budget, pods, scales, now)
        if decided.overdue:
            log.warning("evicted pods were not deleted", budget=key, pods=",".join(decided.overdue))
        again = await self._write(budget, decided.status)
        return again if again is not None else decided.again_seconds

    def _pods_of(self, budget: PodDisruptionBudget) -> list[Pod]:
        selector = selector_of(budget)
        if selector is None:
            return []
        pods = self.pods.cache.by_index(_BY_NAMESPACE, budget.metadata.namespace)
        return [pod for pod in pods if selector.matches(pod.metadata.labels)]

    async def _scales(self, pods: Sequence[Pod]) -> dict[str, int]:
        """Replicas wanted by each controller of the pods. Raises LookupError for one that has no scale."""
        owners = {owner.uid: (owner, pod) for pod in pods if (owner := controller_of(pod)) is not None}
        return {uid: await self._scale(owner, pod) for uid, (owner, pod) in owners.items()}

    async def _scale(self, owner: OwnerReference, pod: Pod) -> int:
        resource = self._resource(owner)
        if resource is None:
            raise LookupError(
                f"found no controllers for pod {pod.metadata.name!r}: {owner.kind} is not served"
            )
        path = resource.path(pod.metadata.namespace, owner.name, "scale")
        try:
            answer = await self._client.request("GET", path)
        except NotFound as error:
            qualified = f"{resource.plural}.{resource.group}"
            raise LookupError(f"{qualified} does not implement the scale subresource") from error
        except ApiError as error:
            raise LookupError(f"the scale of {owner.kind} {owner.name} cannot be read: {error}") from error
        return msgspec.json.decode(answer.body, type=_Scale).spec.replicas

    def _resource(self, owner: OwnerReference) -> Resource | None:
        return self._inventory.find(owner.api_version.rpartition("/")[0], owner.kind)

    async def _write(self, budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus) -> float | None:
        """PUT the status, based on the version that was read: an eviction in between makes it a conflict."""
        if status == budget.status:
            return None
        path = resource_of(PodDisruptionBudget).path(
            budget.metadata.namespace, budget.metadata.name, "status"
        )
        try:
            answer = await self._client.request("PUT", path, body=encode_json(replace(budget, status=status)))
        except Conflict:
            return _CONFLICT_SECONDS
        except NotFound:
            return None
        self._runtime.observe(decode(PodDisruptionBudget, answer.body))
        return None


def register_disruption(runtime: Runtime, inventory: Inventory) -> None:
    """Add the controller to a runtime."""
    disruption = Disruption(runtime, inventory)
    runtime.controller(
        "builtin.disruption",
        disruption.reconcile,
        [(disruption.budgets, lambda budget: (budget.key,)), (disruption.pods, disruption.keys_of_pod)],
    )


def _namespace_of(obj: Pod | PodDisruptionBudget) -> Iterable[str]:
    return (obj.metadata.namespace,)
