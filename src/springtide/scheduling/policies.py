"""Which of the nodes that can hold a pod gets it: small functions with a registered name.

A site chooses one by name at wiring time; `fragments` is the default. Called by `placement`, for all nodes at
once the first time a class of pods is seen and afterwards only for the nodes that changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from springtide.scheduling.arrays import Floats, Ints
from springtide.scheduling.devices import WHOLE, DeviceRequest
from springtide.scheduling.fragments import PLAIN, STANDARD, Fragments, Seen, Weights
from springtide.scheduling.plugins import load_plugin

SCARCITY = 4.0
"""How much more a share of an extended resource (an accelerator) counts than one of CPU or memory: pods that
do not ask for it are kept off nodes that have it, and those that do fill up nodes already in use."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What a policy sees: the nodes it is asked about, one row a node, and the pod."""

    free: Floats
    """What is free, nodes × resources, each as a weighted share of the largest node: see `SCARCITY`."""
    wanted: Floats
    """What the pod asks for, in the same shares."""
    cpu: int
    """What the pod asks for, in thousandths of a CPU."""
    asked: DeviceRequest | None
    """What the pod asks of devices."""
    nodes: Seen
    """Free CPUs and devices."""
    usable: Floats
    """`fragments.usable(nodes)`."""
    fragments: Fragments
    """What devices are stranded for the pods that usually come."""
    random: np.random.Generator
    """The only source of chance."""


class Ranking(NamedTuple):
    """What a policy says of each node it was asked about."""

    cost: Floats
    """The lowest is taken."""
    device: Ints | None = None
    """Which device a part of one is best taken of; None: the one that is used most already."""


Score = Callable[[Sight], Ranking]


@dataclass(frozen=True)
class Policy:
    """A way to choose among feasible nodes."""

    name: str
    score: Score
    even: bool = False
    """Spread a gang over nodes as evenly as they allow, instead of filling node after node."""
    weights: Weights = STANDARD
    """What counts in `Sight.fragments`."""
    fickle: bool = False
    """Whether a node's cost differs from one look to the next though the node is the same."""


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
        raise ValueError(f"policy {name!r} is not registered; known: {', '.join(known_policies())}") from None


def find_policy(name: str) -> Policy:
    """A registered policy, or a site's own: `FILE.py:NAME` or `MODULE:NAME`.

    Raises ValueError when there is none.
    """
    return load_plugin(name, Policy) if ":" in name else policy_named(name)


def known_policies() -> list[str]:
    """The names of all policies."""
    return sorted(_registered)


def _left(sight: Sight) -> Floats:
    """What would be left on the node, over all resources."""
    found: Floats = sight.free.sum(axis=1) - sight.wanted.sum()
    return found


def _least_waste(sight: Sight) -> Ranking:
    """Best fit over all resources."""
    return Ranking(_left(sight))


def _most_free(sight: Sight) -> Ranking:
    """The emptiest node first."""
    return Ranking(-_left(sight))


def _fragments(sight: Sight) -> Ranking:
    """The fewest devices stranded for the pods that usually come; pods without devices keep off them."""
    if not sight.nodes.share.shape[1]:
        return _least_waste(sight)
    return Ranking(*sight.fragments.cost(sight.nodes, sight.usable, sight.cpu, sight.asked))


def _published(sight: Sight) -> Ranking:
    """Fragmentation gradient descent as published: a whole number from 0 to 100; the first of equals wins."""
    cost, device = sight.fragments.cost(sight.nodes, sight.usable, sight.cpu, sight.asked)
    with np.errstate(over="ignore"):
        score = np.floor(100 / (1 + np.exp(cost / 100)))
    return Ranking(-score, device)


def _packing(sight: Sight) -> Ranking:
    """Used devices before idle ones, then used nodes before idle ones."""
    share = sight.nodes.share
    part = (share > 0) & (share < WHOLE)
    opens = ~(part & (share >= (sight.asked.share if sight.asked else WHOLE))).any(axis=1)
    return Ranking(opens * 1000.0 + (share == WHOLE).sum(axis=1) * 10.0 + _left(sight))


def _best_fit(sight: Sight) -> Ranking:
    """The least left over of CPUs and devices, each as a share of a node of 128 CPUs and eight devices.

    Source of the rule and of both numbers: the BestFit baseline of Weng et al., USENIX ATC 2023.
    """
    return Ranking(sight.nodes.cpu / 128_000 + sight.nodes.share.sum(axis=1) / (8 * WHOLE))


def _random(sight: Sight) -> Ranking:
    """Any node that will do."""
    return Ranking(sight.random.random(len(sight.free)))


FRAGMENTS = register_policy(Policy("fragments", _fragments))
LEAST_WASTE = register_policy(Policy("least-waste", _least_waste))
SPREAD = register_policy(Policy("spread", _most_free, even=True))
FGD = register_policy(Policy("fgd", _published, weights=PLAIN))
BEST_FIT = register_policy(Policy("best-fit", _best_fit))
PACKING = register_policy(Policy("packing", _packing))
RANDOM = register_policy(Policy("random", _random, fickle=True))
