"""Which nodes a pod set gets, of what its class sees: pure, called by `placement` for each pod set.

Who asks for nothing of the topology gets the nodes that `packing` chooses by their score; who does is led
down the tree of its levels by `descent`. Either way pods are numbered along the tree where one is known, so
that neighbours in rank are neighbours in the network.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from springtide.scheduling.arrays import Ints
from springtide.scheduling.descent import counted, descend, in_order, wanted
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.packing import gaps, spend
from springtide.scheduling.tree import Tree
from springtide.scheduling.views import Share, View


def choose(nodes: Nodes, view: View, pod_set: PodSetFacts) -> Share | None:
    """The nodes for all pods of the set; None if they do not fit."""
    if pod_set.count == 0:
        return Share(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    if pod_set.required_level or pod_set.preferred_level or pod_set.slices:
        share = descend(tree_of(nodes, pod_set), view, pod_set)
        if share is not None or pod_set.levels or pod_set.required_level or pod_set.slices:
            return share
    elif pod_set.unconstrained:
        share = gaps(view.fits, view.ranked, pod_set.count)
        return in_order(nodes.tree(pod_set.levels), share) if share is not None else None
    share = spend(view.fits, view.ranked, pod_set.count, view.policy)
    if share is None or not pod_set.levels:
        return share
    return in_order(nodes.tree(pod_set.levels), share)


def inside(view: View, rows: Ints) -> View:
    """What a class sees of some nodes alone."""
    fits, ranked = np.zeros_like(view.fits), np.full_like(view.ranked, np.inf)
    fits[rows], ranked[rows] = view.fits[rows], view.ranked[rows]
    return replace(view, fits=fits, ranked=ranked)


def tree_of(nodes: Nodes, pod_set: PodSetFacts) -> Tree:
    """The tree by which a pod set is placed: of its flavor's topology, or of the labels it names itself."""
    return nodes.tree(pod_set.levels or pod_set.named_levels)


def room_in_best_domain(nodes: Nodes, fits: Ints, pod_set: PodSetFacts) -> int:
    """How many pods of a set that requires one domain the roomiest holds, in whole slices."""
    tree = tree_of(nodes, pod_set)
    asked = wanted(tree, pod_set)
    if asked is None or not len(tree.rows):
        return 0
    counts = counted(tree, asked.units, fits, asked.limit)[asked.limit]
    most = counts.max(initial=0) if pod_set.required_level else counts.sum()
    return int(most) * asked.units[asked.limit]
