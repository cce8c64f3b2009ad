"""What pods ask of the topology: parsed from a pod set's `topologyRequest`, and held against a Topology.

Called by `facts` for every pod set, and by `flavors` for the flavor a pod set may be given. Names and rules
are those of Kueue's topology aware scheduling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from springtide.api.kueue import PodSetTopologyRequest
from springtide.api.labels import HOSTNAME


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


def misfit(ask: TopologyAsk, levels: Sequence[str]) -> str:
    """What of a request a Topology of these levels cannot answer, in words; empty if nothing."""
    named = [one for one in (ask.preferred, ask.required, *(cut.level for cut in ask.slices)) if one]
    unknown = next((one for one in named if one not in levels and one != HOSTNAME), None)
    if unknown is not None:
        return f"it asks for topology level {unknown}, which is not among {', '.join(levels)}"
    wide = ask.preferred or ask.required
    order = [*levels, *([HOSTNAME] if HOSTNAME not in levels else [])]
    chain = [*([wide] if wide else []), *(cut.level for cut in ask.slices)]
    for at, (above, below) in enumerate(pairwise(chain)):
        may_equal = bool(wide) and at == 0
        if order.index(above) > order.index(below) or (above == below and not may_equal):
            return f"slices within one {below} are wider than one {above}; name the wider level first"
    return ""
