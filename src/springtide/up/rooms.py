"""Which controllers a platform runs: one list, for the laptop, for a cluster and for the simulator alike."""

from __future__ import annotations

from springtide import builtin, ceilings, health, podgroups, scheduling, training, volcano, workloads
from springtide.runtime import Runtime
from springtide.scheduling import feeds

OWN, EMBEDDED = feeds.OWN, feeds.EMBEDDED


def register_controllers(runtime: Runtime, *, embedded: bool = True) -> None:
    """Everything in one process. `embedded` adds what a real cluster has of its own."""
    names = EMBEDDED if embedded else OWN
    register_domains(runtime, names)
    settings = scheduling.Settings(scheduler_names=names, provisioned_volumes=not embedded)
    scheduling.register(runtime, settings)
    if embedded:
        register_embedded(runtime)


def register_domains(runtime: Runtime, scheduler_names: frozenset[str] = OWN) -> None:
    """The controllers of every domain but scheduling, which may run as a process of its own.

    `scheduler_names`: pods that name one of these in `spec.schedulerName` are this program's to place.
    """
    training.register(runtime)
    workloads.register(runtime)
    health.register(runtime)
    ceilings.register(runtime)
    podgroups.register(runtime, podgroups.Settings(scheduler_names=scheduler_names))
    volcano.register(runtime, volcano.Settings(scheduler_names=scheduler_names))


def register_embedded(runtime: Runtime) -> None:
    """The controllers that every cluster has of its own: on only for the embedded control plane."""
    builtin.register(runtime)
