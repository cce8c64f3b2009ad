"""Keeps each node's history: caches -> `history` -> NodeHealth.status.history. Registered by `controller`."""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api.nodehealth import NodeHealth
from springtide.api.springtide import Diagnosis
from springtide.health.history import plan
from springtide.runtime import Runtime

NAME = "health.history"
_BY_NODE = "health.history.node"


def register(runtime: Runtime) -> None:
    """Add the controller to a runtime."""
    healths = runtime.informer(NodeHealth)
    diagnoses = runtime.informer(Diagnosis, indexes={_BY_NODE: _node_of})

    async def keep(node: str) -> float | None:
        decided = plan(node, healths.cache.get(node), diagnoses.cache.by_index(_BY_NODE, node))
        await runtime.apply(NAME, decided.commands)
        return None

    runtime.controller(NAME, keep, [(diagnoses, _node_of)])


def _node_of(diagnosis: Diagnosis) -> Iterable[str]:
    return [diagnosis.spec.node] if diagnosis.spec.node else []
