"""Which controllers a platform runs: one list, for the laptop and for the simulator alike."""

from __future__ import annotations

from springtide import builtin, health, scheduling, training, workloads
from springtide.api.labels import SCHEDULER_NAME
from springtide.runtime import Runtime

OWN = frozenset((SCHEDULER_NAME,))
EMBEDDED = OWN | {"default-scheduler"}
"""The embedded control plane has no other scheduler: pods that name none are placed too."""


def register_controllers(runtime: Runtime, *, embedded: bool = True) -> None:
    """Add every domain's controllers. `embedded` adds those that a real cluster has of its own."""
    training.register(runtime)
    scheduling.register(runtime, scheduling.Settings(scheduler_names=EMBEDDED if embedded else OWN))
    workloads.register(runtime)
    health.register(runtime)
    if embedded:
        builtin.register(runtime)
