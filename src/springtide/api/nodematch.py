"""Whether a node meets node selector terms and has only taints a pod puts up with. Pure.

Called by the scheduler and by the DaemonSet controller, which must agree. Source of the rules:
component-helpers `nodeaffinity`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from springtide.api.affinity import NodeSelectorRequirement, NodeSelectorTerm, Toleration
from springtide.api.nodes import Taint


def term_holds(term: NodeSelectorTerm, node: str, labels: Mapping[str, str]) -> bool:
    """All requirements of a term hold; a term without any matches no node."""
    if not term.match_expressions and not term.match_fields:
        return False
    return all(requirement_holds(r, labels) for r in term.match_expressions) and all(
        requirement_holds(r, {"metadata.name": node}) for r in term.match_fields
    )


def requirement_holds(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    """One requirement on one label."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _in_order(value, requirement)
    return False


def untolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration], effects: Iterable[str]) -> bool:
    """Whether there is a taint of one of these effects that none of the tolerations puts up with."""
    kept, asked = tuple(tolerations), frozenset(effects)
    return any(
        taint.effect in asked and not any(t.tolerates(taint.key, taint.value, taint.effect) for t in kept)
        for taint in taints
    )


def _in_order(value: str | None, requirement: NodeSelectorRequirement) -> bool:
    if value is None or len(requirement.values) != 1:
        return False
    try:
        left, right = int(value), int(requirement.values[0])
    except ValueError:
        return False
    return left > right if requirement.operator == "Gt" else left < right
