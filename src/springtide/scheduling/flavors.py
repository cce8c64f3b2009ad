"""What a flavor means for pods: whether they may use it, and on which nodes they then run.

Called by the cycle, for `quota` and `placement`. Source: Kueue's ResourceFlavor and its flavor assignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from springtide.api.core import NodeSelectorTerm, Toleration
from springtide.api.nodematch import term_holds
from springtide.api.struct import replace as replaced
from springtide.scheduling.classes import Constraints, PodClass, constraints
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.queues import FlavorFacts


def may_use(pod_class: PodClass, flavor: FlavorFacts, keys: Iterable[str]) -> bool:
    """Whether such pods may be given a flavor, as far as labels of these keys and its taints say.

    `keys` are the labels by which the flavors of the queue's group differ: what pods ask of other labels is
    for the nodes themselves to answer.
    """
    asked = pod_class.constraints
    told = frozenset(keys)
    if any(flavor.labels.get(key) != value for key, value in asked.selector if key in told):
        return False
    if asked.affinity is not None and not any(_holds(term, flavor.labels, told) for term in asked.affinity):
        return False
    tolerant = constraints((), None, (*asked.tolerations, *flavor.tolerations), ())
    return tolerant.untolerated(flavor.taints) is None


def on_nodes_of(pod_set: PodSetFacts, flavors: Iterable[FlavorFacts]) -> PodSetFacts:
    """The pod set, on the nodes of its flavors alone and with the tolerations they give."""
    asked = pod_set.pod_class.constraints
    selector = dict(asked.selector)
    tolerations = list(asked.tolerations)
    for flavor in flavors:
        selector.update(flavor.labels)
        tolerations += [one for one in flavor.tolerations if one not in tolerations]
    found = _constrained(asked, selector, tuple(tolerations))
    return replace(pod_set, pod_class=replace(pod_set.pod_class, constraints=found))


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
