"""Which controllers a platform runs: one list, for the laptop and for the simulator alike."""

from __future__ import annotations

from springtide import builtin, health, scheduling, training, workloads
from springtide.runtime import Runtime


def register_controllers(runtime: Runtime, *, embedded: bool = True) -> None:
    """Add every domain's controllers. `embedded` adds those that a real cluster has of its own."""
    training.register(runtime)
    scheduling.register(runtime)
    workloads.register(runtime)
    health.register(runtime)
    if embedded:
        builtin.register(runtime)
