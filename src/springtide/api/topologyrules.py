"""What jobs say of the topology, Kueue's annotations or Volcano's networkTopology, as a `topologyRequest`.

Called by whoever makes Workloads of jobs. The names, and what may stand beside what, are those of Kueue's
topology aware scheduling and of Volcano.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from springtide.api import labels
from springtide.api.kueue import PodsetSliceRequiredTopologyConstraint, PodSetTopologyRequest
from springtide.api.struct import decode
from springtide.api.volcano import NetworkTopologySpec

LAYERS_MAX = 3
_HIGHEST = 2**31 - 1
"""No HyperNode is of a higher tier."""
_BOOLEANS = {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False}
_PLACES = (
    labels.PODSET_REQUIRED_TOPOLOGY,
    labels.PODSET_PREFERRED_TOPOLOGY,
    labels.PODSET_UNCONSTRAINED_TOPOLOGY,
)
_SLICE = (labels.PODSET_SLICE_REQUIRED_TOPOLOGY, labels.PODSET_SLICE_SIZE)
_ANNOTATIONS = (*_PLACES, *_SLICE, labels.PODSET_SLICE_LAYERS, labels.PODSET_GROUP_NAME)


def topology_request(annotations: Mapping[str, str], count: int) -> PodSetTopologyRequest | None:
    """What so many pods of a template ask; None if nothing. Raises ValueError naming the annotation."""
    said = {name: annotations[name] for name in _ANNOTATIONS if name in annotations}
    if not said:
        return None
    places = [name for name in _PLACES if name in said]
    if len(places) > 1:
        raise ValueError(f"{' and '.join(places)} exclude each other; keep one of them")
    group = said.get(labels.PODSET_GROUP_NAME)
    layers = _layers(said, count)
    if group is not None and (layers or not {*places} - {labels.PODSET_UNCONSTRAINED_TOPOLOGY}):
        rule = f"needs {_PLACES[0]} or {_PLACES[1]} beside it, and no slices"
        raise ValueError(f"{labels.PODSET_GROUP_NAME} {group!r}: {rule}")
    size = said.get(labels.PODSET_SLICE_SIZE)
    single = size is not None
    return PodSetTopologyRequest(
        required=said.get(labels.PODSET_REQUIRED_TOPOLOGY),
        preferred=said.get(labels.PODSET_PREFERRED_TOPOLOGY),
        unconstrained=_boolean(said.get(labels.PODSET_UNCONSTRAINED_TOPOLOGY)),
        pod_index_label=labels.JOB_COMPLETION_INDEX,
        pod_set_group_name=group,
        pod_set_slice_required_topology=layers[0].topology if single else None,
        pod_set_slice_size=layers[0].size if single else None,
        podset_slice_required_topology_constraints=[] if single else layers,
    )


def network_request(
    asked: NetworkTopologySpec | None,
    group: str = "",
    *,
    partition: NetworkTopologySpec | None = None,
    partition_size: int = 1,
) -> PodSetTopologyRequest | None:
    """Volcano's `networkTopology` as a pod set's request; None if it asks for nothing.

    Levels are tiers of HyperNodes (`labels.HYPER_NODE_TIER`). Pod sets of one `group` are near each other;
    `partition` is what is asked for every so many pods of the set.
    """
    whole = _tier(asked) if asked is not None else ""
    hard = asked is not None and asked.mode == "hard"
    cut = _tier(partition) if partition is not None and partition.mode == "hard" else ""
    if not whole and not cut:
        return None
    return PodSetTopologyRequest(
        required=whole if hard and whole else None,
        preferred=f"{labels.HYPER_NODE_TIER}0" if whole and not hard else None,
        pod_set_group_name=group or None,
        pod_set_slice_required_topology=cut or None,
        pod_set_slice_size=partition_size if cut else None,
    )


def _tier(asked: NetworkTopologySpec) -> str:
    """The highest tier that may be crossed; any, if none is named."""
    if asked.highest_tier_name:
        return labels.HYPER_NODE_TIER + asked.highest_tier_name
    highest = asked.highest_tier_allowed
    return f"{labels.HYPER_NODE_TIER}{highest if highest is not None else _HIGHEST}"


def _boolean(text: str | None) -> bool | None:
    if text is None:
        return None
    if text not in _BOOLEANS:
        raise ValueError(f"{labels.PODSET_UNCONSTRAINED_TOPOLOGY} {text!r}: must be true or false")
    return _BOOLEANS[text]


def _layers(said: Mapping[str, str], count: int) -> list[PodsetSliceRequiredTopologyConstraint]:
    """How pods are cut into slices, the largest first."""
    given = [name for name in _SLICE if name in said]
    text = said.get(labels.PODSET_SLICE_LAYERS)
    if given and text is not None:
        raise ValueError(f"{labels.PODSET_SLICE_LAYERS} and {given[0]} exclude each other; keep one of them")
    if len(given) == 1:
        raise ValueError(f"{_SLICE[0]} and {_SLICE[1]} go together; set both")
    layers = _parsed(text) if text is not None else []
    if given:
        size = said[labels.PODSET_SLICE_SIZE]
        if not size.isdecimal():
            raise ValueError(f"{labels.PODSET_SLICE_SIZE} {size!r}: must be a whole number of at least 1")
        layers = [PodsetSliceRequiredTopologyConstraint(topology=said[_SLICE[0]], size=int(size))]
    within = count
    for layer in layers:
        if layer.size < 1 or within % layer.size:
            name = given[1] if given else labels.PODSET_SLICE_LAYERS
            raise ValueError(f"{name}: {within} pods cannot be cut into slices of {layer.size}")
        within = layer.size
    return layers


def _parsed(text: str) -> list[PodsetSliceRequiredTopologyConstraint]:
    name = labels.PODSET_SLICE_LAYERS
    try:
        raw = msgspec.json.decode(text)
        layers = [decode(PodsetSliceRequiredTopologyConstraint, one) for one in raw]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}; must be a list of {{topology, size}} in JSON") from None
    if not 1 <= len(layers) <= LAYERS_MAX:
        raise ValueError(f"{name}: {len(layers)} layers; must be 1 to {LAYERS_MAX}")
    if len({layer.topology for layer in layers}) < len(layers):
        raise ValueError(f"{name}: names a level twice; each layer has a level of its own")
    return layers
