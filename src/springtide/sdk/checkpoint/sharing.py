"""Which rank stores which piece; pure, so that all ranks come to the same without a word. Called by
`checkpointer`.

What is sharded is stored by who holds it. What is the same on all ranks (the model of a DDP job) is kept once
in the memory of each node, split over its ranks so that each copies less, and made durable once, split over
all: a node that dies takes nothing with it, and storage gets no byte twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from springtide.sdk.checkpoint.arrays import Leaf, Shape, item_bytes

SPLIT_BYTES = 32 << 20
"""Tensors larger than this are cut along their first dimension where several ranks store them."""
WORTH_BYTES = 64 << 20
"""A state smaller than this is stored by one rank a node: splitting costs more than it saves."""
_ALIGN = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands: its rank, how many there are, and the ranks on its node."""

    rank: int
    world: int
    local: tuple[int, ...]

    @property
    def even(self) -> bool:
        """Whether ranks fill the nodes in order, equally many on each: only then a split is the same
        everywhere.
        """
        each = len(self.local)
        first = self.rank // each * each
        return self.world % each == 0 and self.local == tuple(range(first, first + each))


@dataclass(frozen=True, slots=True)
class Stow:
    """One piece this rank puts into its memory, and whether it is its to make durable."""

    name: str
    start: Shape
    size: Shape
    array: Any
    bytes: int
    own: bool
    local: bool


def stows(leaves: dict[str, Leaf], local: Iterable[str], place: Place) -> list[Stow]:
    """What this rank stores, its own first, so that what is made durable is the front of its part."""
    mine: list[Stow] = []
    common: list[Stow] = []
    private = frozenset(local)
    for name, leaf in leaves.items():
        if leaf.shares is not None and name not in private:
            mine += [
                _stow(name, leaf, share.start, share.size, share.array, not share.replica)
                for share in leaf.shares
            ]
        elif name in private or leaf.kind == "bytes":
            mine.append(_stow(name, leaf, (0,) * len(leaf.shape), leaf.shape, leaf.array, True, local=True))
        else:
            common += _cut(name, leaf, place)
    return sorted(mine + _split(common, place), key=lambda stow: not stow.own)


def _stow(
    name: str, leaf: Leaf, start: Shape, size: Shape, array: Any, own: bool, *, local: bool = False
) -> Stow:
    return Stow(name, start, size, array, math.prod(size) * item_bytes(leaf.dtype), own, local)


def _cut(name: str, leaf: Leaf, place: Place) -> list[Stow]:
    origin = (0,) * len(leaf.shape)
    if place.world == 1 or leaf.bytes <= SPLIT_BYTES or leaf.shape[0] < 2:
        return [_stow(name, leaf, origin, leaf.shape, leaf.array, True)]
    rows = max(1, SPLIT_BYTES * leaf.shape[0] // leaf.bytes)
    return [
        _stow(
            name,
            leaf,
            (first, *origin[1:]),
            (min(rows, leaf.shape[0] - first), *leaf.shape[1:]),
            leaf.array[first : first + rows],
            True,
        )
        for first in range(0, leaf.shape[0], rows)
    ]


def _split(common: list[Stow], place: Place) -> list[Stow]:
    """Of pieces that every rank holds, those this rank stores; `own` on one node only."""
    each = len(place.local) if place.even else 1
    nodes = place.world // each
    node, seat = divmod(place.rank, each)
    worth = sum(stow.bytes for stow in common) >= WORTH_BYTES
    in_memory = [0] * each
    durable = [0] * nodes
    kept = []
    for stow in common:
        keeper = in_memory.index(min(in_memory)) if worth else 0
        owner = durable.index(min(durable)) if worth else 0
        in_memory[keeper] += stow.bytes
        durable[owner] += stow.bytes
        if keeper == seat:
            kept.append(
                Stow(stow.name, stow.start, stow.size, stow.array, stow.bytes, owner == node, local=False)
            )
    return kept


def offsets(stowed: list[Stow]) -> tuple[list[int], int, int]:
    """Where each piece begins, where the rank's own end, and where all end."""
    places = []
    at = own = 0
    for stow in stowed:
        places.append(at)
        at += -(-stow.bytes // _ALIGN) * _ALIGN
        own = at if stow.own else own
    return places, own, at
