"""What admission checks add to the pods of a workload: for `scheduling`, that places, and `workloads`."""

from __future__ import annotations

from springtide.api.kueue import PodSetUpdate, Workload
from springtide.api.struct import replace


def updates_of(workload: Workload) -> dict[str, PodSetUpdate]:
    """What checks add to each pod set: those of later checks, by name, on top of those of earlier ones."""
    found: dict[str, PodSetUpdate] = {}
    for state in sorted(workload.status.admission_checks, key=lambda one: one.name):
        for one in state.pod_set_updates:
            known = found.get(one.name)
            found[one.name] = one if known is None else _joined(known, one)
    return found


def _joined(one: PodSetUpdate, other: PodSetUpdate) -> PodSetUpdate:
    return replace(
        one,
        labels={**one.labels, **other.labels},
        annotations={**one.annotations, **other.annotations},
        node_selector={**one.node_selector, **other.node_selector},
        tolerations=[*one.tolerations, *(t for t in other.tolerations if t not in one.tolerations)],
    )
