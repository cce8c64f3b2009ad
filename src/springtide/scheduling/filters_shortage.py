"""How many nodes each constraint keeps away, in words: `12 nodes: host port 8080 taken; 3 nodes: …`.

Every node is counted once, with the first thing that keeps it away, so that the numbers add up to all nodes.
Called by `shortage` for pods that ask about other pods; on the views and masks the placement decides by.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from springtide.scheduling.arrays import Mask
from springtide.scheduling.classes import Constraints
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import NodeFacts, Nodes
from springtide.scheduling.placement import Placement
from springtide.scheduling.views import View


def filtered(placement: Placement, nodes: Nodes, pod_set: PodSetFacts, view: View, needs: str) -> str:
    """What keeps pods away that ask about other pods; empty where that is not why they wait."""
    if pod_set.pod_class.between is None:
        return ""
    allowed = placement.filters.through(view).fits > 0
    if pod_set.count == 1 and allowed.any():
        return ""
    if not any((view.fits[~mask] > 0).any() for mask, _ in placement.filters.reasons(view)) and allowed.any():
        beside = "" if pod_set.count == 1 else ", but not beside each other as they ask"
        return f"{needs}; {int(allowed.sum())} of {len(nodes)} nodes could hold one{beside}"
    return f"{needs}; {kept_away(placement, nodes, view)}"


def kept_away(placement: Placement, nodes: Nodes, view: View) -> str:
    """By what each of the nodes is kept away, most nodes first."""
    counts = _unfit_nodes(nodes, view)
    left: Mask = view.mask.copy()
    for mask, words in placement.filters.reasons(view):
        counts[words] += int((left & ~mask).sum())
        left &= mask
    full = left & (view.fits <= 0)
    counts["too little is free"] += int(full.sum())
    counts["could hold it"] += int((left & ~full).sum())
    return _listed(counts)


def not_eligible(nodes: Nodes, view: View) -> str:
    """What keeps such pods from some nodes, whatever is free there: `; 2 nodes: not ready`, or empty."""
    counts = _unfit_nodes(nodes, view)
    return f"; {_listed(counts)}" if counts else ""


def _unfit_nodes(nodes: Nodes, view: View) -> Counter[str]:
    rows = np.flatnonzero(~view.mask).tolist()
    return Counter(_unfit(nodes.facts[row], view.pod_class.constraints) for row in rows)


def _listed(counts: Counter[str]) -> str:
    said = [(number, words) for words, number in counts.most_common() if number]
    return "; ".join(f"{number} node{'' if number == 1 else 's'}: {words}" for number, words in said)


def _unfit(facts: NodeFacts, constraints: Constraints) -> str:
    if not facts.usable:
        return "not ready"
    if not constraints.select(facts.name, facts.labels):
        return "node selector or affinity does not match"
    taint = constraints.untolerated(facts.taints)
    return f"taint {taint.key} is not tolerated" if taint is not None else "not eligible"
