"""To whom a node copies its snapshots, and from where a pod gets the newest whole one. Pure.

Where copies go follows from the objects alone: every node reckons the same, nobody has to write it down.
The gang's nodes are sorted by their domains and each copies to the one that stands `m` places further, `m`
being the size of the largest domain: two nodes of one domain never stand that far apart, and every node keeps
the copy of exactly one other. Levels are tried from the widest (zone) on. A gang of which more than half lies
in one domain at each level copies to nodes outside, of the gang or not; who has no room there says so.
Neighbours in rank (a slice: one pipeline or tensor group, which is emptied as a whole when one of them is
suspected, ByteRobust's over-eviction) are avoided where others are to be had. Called by `keeper`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from springtide.node.keeper_layout import Part

PEERS_MAX = 3
"""How many nodes are named: the first is used, the others while it does not answer or has no room."""
_SHIFTS_TRIED = 64


@dataclass(frozen=True)
class Place:
    """A node whose keeper answers."""

    node: str
    domains: tuple[str, ...] = ()
    """Its domains, widest first (zone, block, rack), each with those around it; equally many for all."""
    rank_group: int = -1
    """Which of the gang's slices runs on it; -1: none, or slices are not told apart."""


def domains_of(labels: Mapping[str, str], levels: Sequence[str]) -> tuple[str, ...]:
    """A node's domains by these labels, each with those around it; without a label, all are in one."""
    path = [labels.get(level, "") for level in levels]
    return tuple("/".join(path[: depth + 1]) for depth in range(len(path)))


def peers_of(own: Place, gang: Iterable[Place], others: Iterable[Place], seed: str) -> tuple[str, ...]:
    """Nodes to copy to, best first. `gang`: nodes of the same job; `others`: all else. `own` is left out.

    `seed` (the job's uid) spreads those who must go outside. Empty when there is nobody else.
    """
    mates = sorted(
        (own, *(one for one in gang if one.node != own.node)), key=lambda one: (one.domains, one.node)
    )
    names = {one.node for one in mates}
    strangers = [one for one in others if one.node not in names]
    level = _level(mates)
    ring = {one.node: turn for turn, one in enumerate(_ring(own, mates, level))}
    alike = level is not None or all(one.domains == own.domains for one in mates)

    def trouble(one: Place) -> tuple[int, bool, bool, int, bytes]:
        mate = one.node in ring
        if mate and level is not None and one.domains[level] != own.domains[level]:
            common = 0
        else:
            common = sum(1 for a, b in zip(one.domains, own.domains, strict=False) if a == b)
        beside = own.rank_group >= 0 and one.rank_group == own.rank_group
        turn = ring[one.node] if mate and alike else 0
        return common, beside, not mate, turn, _draw(seed, own.node, one.node)

    candidates = [*(one for one in mates if one.node != own.node), *strangers]
    return tuple(one.node for one in sorted(candidates, key=trouble)[:PEERS_MAX])


def _level(mates: Sequence[Place]) -> int | None:
    """The widest level at which no domain holds more than half of the gang; None: there is none."""
    for depth in range(len(mates[0].domains)):
        if 2 * _largest(mates, depth) <= len(mates):
            return depth
    return None


def _largest(mates: Sequence[Place], depth: int) -> int:
    return max(Counter(one.domains[depth] for one in mates).values())


def _ring(own: Place, mates: Sequence[Place], level: int | None) -> list[Place]:
    """The gang's other nodes, beginning with the one that is to keep our copy."""
    count = len(mates)
    if count == 1:
        return []
    at = next(index for index, one in enumerate(mates) if one.node == own.node)
    shift = _apart(mates, 1 if level is None else _largest(mates, level))
    turns = (shift + further for further in range(count))
    return [mates[(at + turn) % count] for turn in turns if turn % count]


def _apart(mates: Sequence[Place], least: int) -> int:
    """The shortest shift of at least this many that also leaves every slice; `least` where none does."""
    count = len(mates)
    for shift in range(least, min(count - least, least + _SHIFTS_TRIED) + 1):
        if all(
            one.rank_group < 0 or one.rank_group != mates[(at + shift) % count].rank_group
            for at, one in enumerate(mates)
        ):
            return shift
    return least


def _draw(seed: str, node: str, other: str) -> bytes:
    """Rendezvous hashing: which of many takes whose copy, evenly, and hardly changed when one leaves."""
    return hashlib.blake2b(f"{seed}/{node}/{other}".encode(), digest_size=8).digest()


# -- what is to be restored -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Restore:
    """The newest step that is whole over all keepers, and who has its parts."""

    step: int
    world: int
    parts: Mapping[int, tuple[Part, tuple[str, ...]]]
    """By rank: the part, and the nodes that hold it."""


def newest_whole(held: Mapping[str, Iterable[Part]]) -> Restore | None:
    """From what each keeper says it holds, the newest step that one session saved with all its ranks.

    Newest in time: after a fall back to an older step, numbers begin again lower.
    """
    steps: dict[tuple[int, str, int], dict[int, dict[str, tuple[Part, list[str]]]]] = {}
    for node in sorted(held):
        for part in held[node]:
            ranks = steps.setdefault((part.step, part.session, part.world), {})
            ranks.setdefault(part.rank, {}).setdefault(part.checksum, (part, []))[1].append(node)
    whole = [
        Restore(step, world, {rank: _most_held(same) for rank, same in ranks.items()})
        for (step, _, world), ranks in steps.items()
        if len(ranks) == world
    ]
    return max(
        whole, key=lambda one: (max(part.time for part, _ in one.parts.values()), one.step), default=None
    )


def _most_held(same: Mapping[str, tuple[Part, list[str]]]) -> tuple[Part, tuple[str, ...]]:
    part, nodes = max(same.values(), key=lambda one: (len(one[1]), one[0].checksum))
    return part, tuple(nodes)


def wanted_ranks(found: Restore, index: int, pods: int) -> list[int]:
    """Which ranks' parts the pod of this index needs: its own, and what they share with ranks beside them.

    All of them where the pods cannot have as many ranks as before: the world is cut anew.
    """
    each, rest = divmod(found.world, pods) if pods > 0 else (0, 1)
    if rest or not each or not 0 <= index < pods:
        return list(range(found.world))
    own = range(index * each, (index + 1) * each)
    beside = {rank for one in own for rank in found.parts[one][0].local if rank in found.parts}
    return sorted({*own, *beside})
