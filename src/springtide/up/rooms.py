"""Which controllers a platform runs: one list, for the laptop, for a cluster and for the simulator alike."""

from __future__ import annotations

from springtide import builtin, health, scheduling, training, workloads
from springtide.api.labels import SCHEDULER_NAME
from springtide.runtime import Runtime

OWN = frozenset((SCHEDULER_NAME,))
EMBEDDED = OWN | {"default-scheduler"}
"""The embedded control plane has no other scheduler: pods that name none are placed too."""


def register_controllers(runtime: Runtime, *, embedded: bool = True) -> None:
    """Everything in one process. `embedded` adds what a real cluster has of its own."""
    register_domains(runtime)
    scheduling.register(runtime, scheduling.Settings(scheduler_names=EMBEDDED if embedded else OWN))
    if embedded:
        register_embedded(runtime)


def register_domains(runtime: Runtime) -> None:
    """The controllers of every domain but scheduling, which may run as a process of its own."""
    training.register(runtime)
    workloads.register(runtime)
    health.register(runtime)


def register_embedded(runtime: Runtime) -> None:
    """The controllers that every cluster has of its own: on only for the embedded control plane."""
    builtin.register(runtime)
