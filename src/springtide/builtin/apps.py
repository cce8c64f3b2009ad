"""Wires the controllers of the apps kinds into a runtime. Called by `controller`."""

from __future__ import annotations

from typing import Any

from springtide.builtin.daemonsets import DaemonSets
from springtide.builtin.deployments import Deployments
from springtide.builtin.replicasets import ReplicaSets
from springtide.builtin.statefulsets import StatefulSets
from springtide.runtime import Runtime

ROOM = "builtin"
_WORKERS = 5
"""Objects of one kind reconciled at once; kube-controller-manager's number."""


def register_apps(runtime: Runtime) -> None:
    """Add the controllers to a runtime."""
    sets, rollouts = ReplicaSets(runtime, ROOM), Deployments(runtime, ROOM)
    numbered, daemons = StatefulSets(runtime, ROOM), DaemonSets(runtime, ROOM)
    runtime.controller(
        "builtin.replicasets",
        sets.reconcile,
        [(sets.sets, _own_key), (sets.pods, sets.keys_of_pod)],
        workers=_WORKERS,
    )
    runtime.controller(
        "builtin.deployments",
        rollouts.reconcile,
        [
            (rollouts.deployments, _own_key),
            (rollouts.sets, rollouts.keys_of_set),
            (rollouts.pods, rollouts.keys_of_pod),
        ],
        workers=_WORKERS,
    )
    runtime.controller(
        "builtin.statefulsets",
        numbered.reconcile,
        [(numbered.sets, _own_key), (numbered.pods, numbered.keys_of_pod)],
        workers=_WORKERS,
    )
    runtime.controller(
        "builtin.daemonsets",
        daemons.reconcile,
        [
            (daemons.sets, _own_key),
            (daemons.pods, daemons.keys_of_pod),
            (daemons.nodes, daemons.keys_of_node),
        ],
        workers=_WORKERS,
    )


def _own_key(obj: Any) -> tuple[str]:
    return (obj.key,)
