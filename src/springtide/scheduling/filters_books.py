"""How many pods stand in each domain of a topology label: the counts that filters between pods look at.

A `Book` counts the pods of one group, or the carriers of one wish, over the values of one node label. It is
opened when a class of pods first needs it in a cycle and kept current with every pod that is placed or goes.
Owned by `filters`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from springtide.scheduling.arrays import Floats, Ints, Mask
from springtide.scheduling.between import Group, Port, Term
from springtide.scheduling.nodes import Domains

Counted = Group | Term | Port
"""Whom a book counts: pods of a group, carriers of a wish, or those who clash with a port."""


@dataclass(eq=False)
class Book:
    """Pods per domain."""

    domains: Domains
    """`of_node` is -1 for nodes without the label; they are in no domain."""
    eligible: Mask | None = None
    """Nodes whose pods count; None: all."""
    running_only: bool = False
    """Whether pods that are being deleted do not count (as kube-scheduler's spreading has it)."""
    counts: Ints = field(init=False)
    gone: Ints = field(init=False)
    """Those of them who have gone in what is being tried."""
    known: Mask = field(init=False)
    """Domains that have a node that counts."""

    def __post_init__(self) -> None:
        size = len(self.domains.names)
        self.counts = np.zeros(size, dtype=np.int64)
        self.gone = np.zeros(size, dtype=np.int64)
        self.known = np.ones(size, dtype=np.bool_)
        if self.eligible is not None:
            self.known[:] = False
            inside = self.domains.of_node[self.eligible]
            self.known[inside[inside >= 0]] = True

    def known_inside(self, inside: Mask) -> Mask:
        """Domains that have a node that counts among these."""
        found: Mask = np.zeros_like(self.known)
        domain = self.domains.of_node[inside if self.eligible is None else inside & self.eligible]
        found[domain[domain >= 0]] = True
        return found

    def add(self, rows: Ints, pods: Ints, *, gone: bool = False) -> None:
        """So many more pods on these nodes; or so many more of them gone."""
        if self.eligible is not None:
            inside = self.eligible[rows]
            rows, pods = rows[inside], pods[inside]
        domain = self.domains.of_node[rows]
        if len(domain) == 1:
            if domain[0] >= 0:
                (self.gone if gone else self.counts)[domain[0]] += pods[0]
            return
        inside = domain >= 0
        np.add.at(self.gone if gone else self.counts, domain[inside], pods[inside])

    def now(self, *, later: bool) -> Ints:
        """Pods per domain; `later`: without those who go in what is being tried."""
        return self.counts - self.gone if later else self.counts

    def holds_at(self, of_domain: Mask) -> Mask:
        """Nodes in whose domain it holds; not those in none."""
        found: Mask = np.append(of_domain, False)[self.domains.of_node]
        return found

    def value_at(self, of_domain: Ints | Floats) -> Floats:
        """What each node's domain has; 0 in none."""
        found: Floats = np.append(of_domain, 0.0)[self.domains.of_node]
        return found

    @property
    def labelled(self) -> Mask:
        """Nodes that are in a domain."""
        found: Mask = self.domains.of_node >= 0
        return found
