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
from springtide.scheduling.fragments import PLAIN, STANDARD, Fragments, Node, Seen, Weights
from springtide.scheduling.plugins import Registry
from springtide.scheduling.supply import SCARCITY as SCARCITY
from springtide.scheduling.supply import Supply


class Sight:
    """What a policy sees: nodes that hold the pod, one row a node, and the pod. Worked out as it is read."""

    __slots__ = ("_rows", "_supply", "asked", "cpu", "fragments", "random", "wanted")

    def __init__(
        self,
        supply: Supply,
        rows: Ints,
        wanted: Floats,
        cpu: int,
        asked: DeviceRequest | None,
        fragments: Fragments,
        random: np.random.Generator,
    ) -> None:
        self._supply, self._rows = supply, rows
        self.wanted = wanted
        """What the pod asks for, each resource as a weighted share of the largest node: see `SCARCITY`."""
        self.cpu = cpu
        """What the pod asks for, in thousandths of a CPU."""
        self.asked = asked
        """What the pod asks of devices."""
        self.fragments = fragments
        """What devices are stranded for the pods that usually come."""
        self.random = random
        """The only source of chance."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Ints:
        """Which of all nodes these are."""
        return self._rows

    @property
    def nodes_in_all(self) -> int:
        """How many nodes there are, those included that do not hold the pod."""
        return len(self._supply)

    @property
    def free(self) -> Floats:
        """What is free, nodes × resources, in the shares of `wanted`."""
        return self._supply.weighted(self._rows)

    @property
    def nodes(self) -> Seen:
        """Free CPUs and devices."""
        return self._supply.seen(self._rows)

    @property
    def first(self) -> Node:
        """The first of them."""
        return self._supply.node(int(self._rows[0]))

    @property
    def standing(self) -> Floats:
        """`fragments.standing(nodes)`."""
        return self._supply.standing(self._rows)

    @property
    def has_devices(self) -> bool:
        """Whether any node has devices."""
        return self._supply.has_devices


class Ranking(NamedTuple):
    """What a policy says of each node it was asked about."""

    cost: Floats
    """The lowest is taken."""


Score = Callable[[Sight], Ranking]
Pick = Callable[[Sight], int]
"""Which device of the one node in sight a part is best taken of."""


@dataclass(frozen=True)
class Policy:
    """A way to choose among feasible nodes."""

    name: str
    score: Score
    pick: Pick | None = None
    """None: the device that is used most already."""
    even: bool = False
    """Spread a gang over nodes as evenly as they allow, instead of filling node after node."""
    weights: Weights = STANDARD
    """What counts in `Sight.fragments`."""
    fickle: bool = False
    """Whether a node's cost differs from one look to the next though the node is the same."""


_policies = Registry(Policy, "policy")
register_policy, find_policy, known_policies = _policies.register, _policies.find, _policies.known


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
    if not sight.has_devices:
        return _least_waste(sight)
    return Ranking(sight.fragments.cost(sight.nodes, sight.standing, sight.cpu, sight.asked))


def _published(sight: Sight) -> Ranking:
    """Fragmentation gradient descent as published: a whole number from 0 to 100; the first of equals wins."""
    cost = sight.fragments.cost(sight.nodes, sight.standing, sight.cpu, sight.asked)
    with np.errstate(over="ignore"):
        score = np.floor(100 / (1 + np.exp(cost / 100)))
    return Ranking(-score)


def _least_stranded(sight: Sight) -> int:
    """The device of which a part strands least."""
    return sight.fragments.device_of(sight.first, sight.cpu, sight.asked) if sight.asked is not None else -1


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
    return Ranking(sight.random.random(sight.nodes_in_all)[sight.rows])


FRAGMENTS = register_policy(Policy("fragments", _fragments, _least_stranded))
LEAST_WASTE = register_policy(Policy("least-waste", _least_waste))
SPREAD = register_policy(Policy("spread", _most_free, even=True))
FGD = register_policy(Policy("fgd", _published, _least_stranded, weights=PLAIN))
PACKING = register_policy(Policy("packing", _packing))
BEST_FIT = register_policy(Policy("best-fit", _best_fit))
RANDOM = register_policy(Policy("random", _random, fickle=True))
