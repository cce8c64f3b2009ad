"""Which of the nodes that can hold a pod gets it: small functions with a registered name.

A site chooses one by name at wiring time; `least-waste` is the default. Called by `placement`, for all
nodes at once the first time a class of pods is seen and afterwards only for the nodes that changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from springtide.scheduling.nodes import Floats

Score = Callable[[Floats, Floats], Floats]
"""(free, wanted) -> score of each node, lower is better. `free` is nodes × resources, `wanted` one pod's
requests per resource, both as weighted shares of the largest node: see `SCARCITY`."""

SCARCITY = 4.0
"""How much more a share of an extended resource (an accelerator) counts than one of CPU or memory: pods that
do not ask for it are kept off nodes that have it, and those that do fill up nodes already in use."""


@dataclass(frozen=True)
class Policy:
    """A way to choose among feasible nodes."""

    name: str
    score: Score
    even: bool = False
    """Spread a gang over nodes as evenly as they allow, instead of filling node after node."""


_registered: dict[str, Policy] = {}


def register_policy(policy: Policy) -> Policy:
    """Make a policy known by its name. Raises ValueError when the name is taken."""
    if policy.name in _registered:
        raise ValueError(f"policy {policy.name!r} is registered already; choose another name")
    _registered[policy.name] = policy
    return policy


def policy_named(name: str) -> Policy:
    """The policy of this name. Raises ValueError listing the known ones."""
    try:
        return _registered[name]
    except KeyError:
        raise ValueError(
            f"policy {name!r} is not registered; known: {', '.join(sorted(_registered))}"
        ) from None


def _least_waste(free: Floats, wanted: Floats) -> Floats:
    """What would be left on the node: best fit over all resources."""
    left: Floats = free.sum(axis=1) - wanted.sum()
    return left


def _most_free(free: Floats, wanted: Floats) -> Floats:
    """The emptiest node first."""
    return -_least_waste(free, wanted)


LEAST_WASTE = register_policy(Policy("least-waste", _least_waste))
SPREAD = register_policy(Policy("spread", _most_free, even=True))
