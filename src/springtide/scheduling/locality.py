"""Where a pod's data is: wishes about nodes, read from an annotation that whoever knows it writes.

The annotation `springtide.dev/data-locality` of a pod, or of a workload's pod template, is a JSON object of
node label, value of the label, and weight from 1 to 100, as in

    {"kubernetes.io/hostname": {"node-7": 80, "node-9": 20}, "topology.kubernetes.io/zone": {"b": 10}}

Every entry counts as one preferred node affinity of this weight: nodes that hold more of the data are
preferred, and none is ruled out. Called by `classes`; pods without the annotation cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from springtide.api.affinity import NodeSelectorRequirement, NodeSelectorTerm, PreferredSchedulingTerm
from springtide.api.labels import DATA_LOCALITY

_WEIGHT_MAX = 100


def data_wishes(annotations: Mapping[str, str]) -> tuple[PreferredSchedulingTerm, ...]:
    """The wishes of the annotation. Raises ValueError naming what it does not understand."""
    text = annotations.get(DATA_LOCALITY, "")
    if not text:
        return ()
    try:
        told = msgspec.json.decode(text, type=dict[str, dict[str, int]])
    except msgspec.DecodeError as error:
        raise ValueError(
            f"annotation {DATA_LOCALITY}: {error}; write {{node label: {{value: weight}}}}"
        ) from None
    return tuple(
        _wish(label, value, weight)
        for label, weights in sorted(told.items())
        for value, weight in sorted(weights.items())
    )


def _wish(label: str, value: str, weight: int) -> PreferredSchedulingTerm:
    if not 1 <= weight <= _WEIGHT_MAX:
        raise ValueError(
            f"annotation {DATA_LOCALITY}: weight {weight} of {label}={value} must be from 1 to {_WEIGHT_MAX}"
        )
    one = NodeSelectorRequirement(key=label, operator="In", values=[value])
    return PreferredSchedulingTerm(weight=weight, preference=NodeSelectorTerm(match_expressions=[one]))
