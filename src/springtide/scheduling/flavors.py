"""What a flavor means for pods: whether they may use it, and on which nodes they then run.

Called by the cycle, for `quota` and `placement`. Source: Kueue's ResourceFlavor and its flavor assignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from springtide.api.core import NodeSelectorTerm, Toleration
from springtide.api.labels import HOSTNAME
from springtide.api.nodematch import term_holds
from springtide.api.struct import replace as replaced
from springtide.scheduling.classes import Constraints, constraints
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.hypernodes import TIER
from springtide.scheduling.queues import FlavorFacts


def may_use(pod_set: PodSetFacts, flavor: FlavorFacts, keys: Iterable[str]) -> bool:
    """Whether pods may be given a flavor, as far as labels of these keys, its taints and its topology say.

    `keys` are the labels by which the flavors of the queue's group differ: what pods ask of other labels is
    for the nodes themselves to answer.
    """
    asked = pod_set.pod_class.constraints
    told = frozenset(keys)
    if any(flavor.labels.get(key) != value for key, value in asked.selector if key in told):
        return False
    if asked.affinity is not None and not any(_holds(term, flavor.labels, told) for term in asked.affinity):
        return False
    if flavor.taints:
        tolerant = constraints((), None, (*asked.tolerations, *flavor.tolerations), ())
        if tolerant.untolerated(flavor.taints) is not None:
            return False
    return not misfit(pod_set, flavor.levels)


def misfit(pod_set: PodSetFacts, levels: Sequence[str]) -> str:
    """What a Topology of these levels cannot answer of what a pod set asks, in words; empty if nothing.

    Without levels the nodes' labels are all there is, and any of them will do; HyperNodes have their own.
    """
    if not levels or any(level.startswith(TIER) for level in pod_set.named_levels):
        return ""
    unknown = next((one for one in pod_set.named_levels if one not in levels and one != HOSTNAME), None)
    if unknown is not None:
        return f"its topology level {unknown} is not among {', '.join(levels)}"
    order = [*levels, *([HOSTNAME] if HOSTNAME not in levels else [])]
    wide = pod_set.preferred_level or pod_set.required_level
    chain = [*([wide] if wide else []), *(cut.level for cut in pod_set.slices)]
    for at, (above, below) in enumerate(pairwise(chain)):
        may_equal = bool(wide) and at == 0
        if order.index(above) > order.index(below) or (above == below and not may_equal):
            return f"its slices within one {below} cannot be part of one {above}, which is no wider"
    return ""


def on_nodes_of(pod_set: PodSetFacts, flavors: Iterable[FlavorFacts]) -> PodSetFacts:
    """The pod set, on the nodes of its flavors alone, in their topology, with the tolerations they give."""
    asked = pod_set.pod_class.constraints
    levels: tuple[str, ...] = ()
    selector = dict(asked.selector)
    tolerations = list(asked.tolerations)
    for flavor in flavors:
        selector.update(flavor.labels)
        levels = levels or flavor.levels
        tolerations += [one for one in flavor.tolerations if one not in tolerations]
    found = _constrained(asked, selector, tuple(tolerations))
    return replace(pod_set, pod_class=replace(pod_set.pod_class, constraints=found), levels=levels)


def _constrained(
    asked: Constraints, selector: Mapping[str, str], tolerations: tuple[Toleration, ...]
) -> Constraints:
    if len(selector) == len(asked.selector) and len(tolerations) == len(asked.tolerations):
        return asked
    return constraints(tuple(sorted(selector.items())), asked.affinity, tolerations, asked.preferred)


def _holds(term: NodeSelectorTerm, labels: Mapping[str, str], keys: frozenset[str]) -> bool:
    """Whether a term holds, as far as it speaks of these labels."""
    told = [one for one in term.match_expressions if one.key in keys]
    if not told:
        return True
    return term_holds(replaced(term, match_expressions=told, match_fields=[]), "", labels)
