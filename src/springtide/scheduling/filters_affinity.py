"""Nearness and distance: which nodes affinity and anti-affinity between pods leave, and how good each is.

Pure functions on books, called by `filters`. Source of the rules: Kubernetes' InterPodAffinity. Anti-affinity
of pods that already run keeps others away as their own does; required affinity is met by pods that all terms
mean, and the first of a series that asks for itself may start anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from springtide.scheduling.arrays import Floats, Mask
from springtide.scheduling.filters_books import Book


def apart(book: Book, *, later: bool) -> Mask:
    """Nodes in whose domain none of those counted stands; nodes without the label are in none."""
    return ~book.holds_at(book.now(later=later) > 0)


def together(books: Sequence[Book], *, counts_itself: bool, later: bool) -> Mask:
    """Nodes that have every label, and in whose domains those asked for stand."""
    labelled: Mask = np.logical_and.reduce([book.labelled for book in books])
    now = [book.now(later=later) for book in books]
    if counts_itself and not any(found.any() for found in now):
        return labelled
    there = [book.holds_at(found > 0) for book, found in zip(books, now, strict=True)]
    found: Mask = np.logical_and.reduce([labelled, *there])
    return found


def dislike(wishes: Sequence[tuple[int, Book]], among: Mask, *, later: bool) -> Floats:
    """How far each node is from the best by these weights, from 0 to 1; `among`: the nodes to choose from."""
    liked = np.zeros(len(among))
    for weight, book in wishes:
        liked += weight * book.value_at(book.now(later=later))
    choice = liked[among]
    if not len(choice) or choice.max() == choice.min():
        return np.zeros(len(among))
    found: Floats = (choice.max() - liked) / (choice.max() - choice.min())
    return found
