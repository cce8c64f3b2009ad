"""What has to go for whole slices, domain by domain: steps of single nodes put together along the tree.

A slice needs all its pods inside one rack: what one node there could free is worth nothing until the rack
holds one slice more. So the steps of a domain's nodes, cheapest first, become steps of whole slices, layer by
layer from the innermost; and those are looked at inside each domain that the whole gang may be in. Called by
`openings`, which knows what each node's victims cost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from springtide.scheduling.arrays import Ints
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.tree import Tree


@dataclass(frozen=True)
class Step:
    """Victims after whom more pods fit: on one node, or in one domain."""

    price: float
    """For each pod more; never less than that of the step before at the same place."""
    row: int
    """The node, or one of the domain."""
    pods: int
    victims: tuple[int, ...]


@dataclass(frozen=True)
class Opened:
    """Steps, cheapest first, and what is free without them."""

    steps: Sequence[Step]
    free: dict[int, int]
    """Pods that fit now, by node or by one node of each domain."""


def by_slices(tree: Tree, asking: PodSetFacts, opened: Opened) -> Opened:
    """The same in whole slices."""
    for cut in reversed(asking.slices):
        level = tree.index(cut.level)
        if level < 0:
            return Opened((), {})
        opened = _merged(tree.domains(level), cut.size, opened)
    return opened


def by_domain(tree: Tree, asking: PodSetFacts, opened: Opened, most: int) -> list[list[Step]]:
    """The steps within each domain that can hold all pods, so many of the cheapest domains."""
    level = tree.index(asking.required_level)
    if level < 0:
        return []
    domain_of = tree.domains(level)
    free = _summed(domain_of, opened.free)
    inside: dict[int, list[Step]] = defaultdict(list)
    for step in opened.steps:
        if domain_of[step.row] >= 0:
            inside[int(domain_of[step.row])].append(step)
    prices: list[tuple[float, int]] = []
    for domain, own in inside.items():
        room, price = free.get(domain, 0), 0.0
        for step in own:
            if room >= asking.count:
                break
            room += step.pods
            price += step.price * step.pods
        if room >= asking.count:
            prices.append((price, domain))
    return [inside[domain] for _, domain in sorted(prices)[:most]]


def _summed(domain_of: Ints, free: dict[int, int]) -> dict[int, int]:
    found: dict[int, int] = defaultdict(int)
    for row, pods in free.items():
        if domain_of[row] >= 0:
            found[int(domain_of[row])] += pods
    return found


def _merged(domain_of: Ints, size: int, opened: Opened) -> Opened:
    inside: dict[int, list[Step]] = defaultdict(list)
    for step in opened.steps:
        if domain_of[step.row] >= 0:
            inside[int(domain_of[step.row])].append(step)
    some_row = {int(domain_of[row]): row for row in sorted(opened.free, reverse=True)}
    free = _summed(domain_of, opened.free)
    steps = [step for domain, own in inside.items() for step in _in_slices(own, free.get(domain, 0), size)]
    whole = {some_row[domain]: pods // size * size for domain, pods in free.items() if pods >= size}
    return Opened(sorted(steps, key=lambda step: step.price), whole)


def _in_slices(own: Iterable[Step], free: int, size: int) -> Iterable[Step]:
    """The steps of one domain, each for as many nodes as make a slice more."""
    victims: list[int] = []
    price, cost, room = 0.0, 0.0, free
    for step in own:
        gained = (room + step.pods) // size - room // size
        room += step.pods
        cost += step.price * step.pods
        victims += step.victims
        if gained:
            price = max(price, cost / (gained * size))
            yield Step(price, step.row, gained * size, tuple(victims))
            victims, cost = [], 0.0
