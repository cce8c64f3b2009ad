"""Why a pod set does not fit as near together as it asks, in words. Called by `shortage`.

For sets that would fit if it were not for the topology: what they ask of it, and how much of that there is.
"""

from __future__ import annotations

from springtide.api.labels import HOSTNAME
from springtide.scheduling.choice import room_in_best_domain, tree_of
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.placement import Placement
from springtide.scheduling.views import View


def topology_shortage(
    placement: Placement, nodes: Nodes, pod_set: PodSetFacts, view: View, needs: str
) -> str:
    """Why no domain holds the set, or too few hold its slices; empty if the topology is not to blame.

    `needs` says what it asks of nodes.
    """
    if not (pod_set.required_level or pod_set.slices):
        return ""
    best = placement.room_in_best_domain(view, pod_set)
    if best >= pod_set.count:
        return ""
    needs += f" within one {pod_set.required_level}" if pod_set.required_level else ""
    needs += "".join(f", each {cut.size} of them within one {cut.level}" for cut in pod_set.slices)
    missing = _unlabelled(nodes, pod_set)
    if missing:
        return f"{needs}; {missing}"
    where = " in the best one" if pod_set.required_level else ""
    most = room_in_best_domain(nodes, placement.room_when_empty(view), pod_set)
    if most < pod_set.count:
        return f"the cluster can never hold it: {needs}; {most} of {pod_set.count} pods fit{where} when empty"
    return f"{needs}; {best} of {pod_set.count} pods fit{where} now"


def _unlabelled(nodes: Nodes, pod_set: PodSetFacts) -> str:
    """Which of the levels it goes by there are not; empty if there are all."""
    levels = pod_set.levels or pod_set.named_levels
    tree = tree_of(nodes, pod_set)
    unknown = [level for level in pod_set.named_levels if tree.index(level) < 0]
    if unknown:
        return f"{unknown[0]} is not among the levels {', '.join(levels)}"
    if not len(tree.rows):
        return f"no node has all of the labels {', '.join(one for one in levels if one != HOSTNAME)}"
    return ""
