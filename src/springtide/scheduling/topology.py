"""What pods ask of the topology, parsed from a pod set's `topologyRequest`. Called by `facts`.

Names and rules are those of Kueue's topology aware scheduling.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from springtide.api.kueue import PodSetTopologyRequest


@dataclass(frozen=True, slots=True)
class Slice:
    """Pods are cut into groups of so many, each whole inside one domain of the level."""

    level: str
    size: int


@dataclass(frozen=True, slots=True)
class TopologyAsk:
    """The request of one pod set."""

    required: str = ""
    preferred: str = ""
    unconstrained: bool = False
    slices: tuple[Slice, ...] = ()
    """Layers, the coarsest first."""
    group: str = ""


NOTHING = TopologyAsk()


def topology_ask(request: PodSetTopologyRequest | None, count: int) -> TopologyAsk:
    """Parse a request. Raises ValueError naming the field for pods that cannot be cut so."""
    if request is None:
        return NOTHING
    slices = _slices(request)
    if slices and count % slices[0].size:
        raise ValueError(
            f"podSetSliceSize: {count} pods cannot be cut into slices of {slices[0].size}; "
            "make the count a multiple of it"
        )
    for above, below in pairwise(slices):
        if above.size % below.size:
            raise ValueError(
                f"podsetSliceRequiredTopologyConstraints: slices of {above.size} cannot "
                f"be cut into slices of {below.size}; make each size a multiple of the next"
            )
    return TopologyAsk(
        request.required or "",
        request.preferred or "",
        bool(request.unconstrained),
        slices,
        request.pod_set_group_name or "",
    )


def _slices(request: PodSetTopologyRequest) -> tuple[Slice, ...]:
    if request.podset_slice_required_topology_constraints:
        layers = request.podset_slice_required_topology_constraints
        return tuple(Slice(layer.topology, layer.size) for layer in layers)
    if request.pod_set_slice_required_topology and request.pod_set_slice_size:
        return (Slice(request.pod_set_slice_required_topology, request.pod_set_slice_size),)
    return ()
