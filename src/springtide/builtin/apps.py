"""Wires the controllers of the apps kinds into a runtime. Called by `controller`."""

from __future__ import annotations

from springtide.builtin.deployments import Deployments
from springtide.builtin.replicasets import ReplicaSets
from springtide.runtime import Runtime

ROOM = "builtin"
_WORKERS = 5
"""Objects of one kind reconciled at once, as kube-controller-manager has it."""


def register_apps(runtime: Runtime) -> None:
    """Add the controllers to a runtime."""
    sets = ReplicaSets(runtime, ROOM)
    runtime.controller(
        "builtin.replicasets",
        sets.reconcile,
        [(sets.sets, lambda one: (one.key,)), (sets.pods, sets.keys_of_pod)],
        workers=_WORKERS,
    )
    rollouts = Deployments(runtime, ROOM)
    runtime.controller(
        "builtin.deployments",
        rollouts.reconcile,
        [
            (rollouts.deployments, lambda one: (one.key,)),
            (rollouts.sets, rollouts.keys_of_set),
            (rollouts.pods, rollouts.keys_of_pod),
        ],
        workers=_WORKERS,
    )
