"""Even spread over domains: which nodes keep within the allowed skew, and how uneven each would make it.

Pure functions on books, called by `filters`. Source of the rules: Kubernetes' PodTopologySpread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from springtide.scheduling.arrays import Floats, Ints, Mask
from springtide.scheduling.between import Spread
from springtide.scheduling.filters_books import Book


def within_skew(book: Book, skews: Ints, max_skew: int) -> Mask:
    """Nodes on which one more pod would not make the domains differ by more than is allowed."""
    return book.holds_at(skews <= max_skew)


def skews(
    spread: Spread, book: Book, *, counts_itself: bool, later: bool, inside: Mask | None = None
) -> Ints:
    """Per domain, by how much it would then be ahead of the emptiest.

    `inside`: the nodes that a gang is confined to. They are to its pods what a node selector would be: where
    the spread honors that, only domains with such nodes count.
    """
    now = book.now(later=later)
    known = book.known if inside is None or not spread.honors_affinity else book.known_inside(inside)
    least = 0
    if int(known.sum()) >= max(1, spread.min_domains):
        least = int(now[known].min())
    found: Ints = now + int(counts_itself) - least
    return found


def unevenness(spreads: Sequence[tuple[Spread, Book]], among: Mask, *, later: bool) -> Floats:
    """How uneven each node would make it, from 0 (best) to 1; 1 without one of the labels."""
    labelled: Mask = np.logical_and.reduce([book.labelled for _, book in spreads])
    uneven = np.zeros(len(among))
    choosable = among & labelled
    for spread, book in spreads:
        domains = len(np.unique(book.domains.of_node[choosable]))
        each = book.now(later=later) * np.log(domains + 2) + (spread.max_skew - 1)
        uneven += book.value_at(each)
    choice = uneven[choosable]
    if not len(choice) or choice.max() <= 0:
        return np.where(labelled, 0.0, 1.0)
    return np.where(labelled, (uneven - choice.min()) / choice.max(), 1.0)
