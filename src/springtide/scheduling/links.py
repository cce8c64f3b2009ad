"""Which devices of a node are given together: the nearest to each other, and the NICs beside them.

Called by `devices` for nodes that say where their devices sit, with what is free as bits. A set is the better
the nearer its farthest two are (one NVLink group, one PCIe switch, one NUMA node), then the more of the NICs
asked for sit at its switches, then the nearer all are to each other, then the nearer those to each other that
are left for the next. A NUMA policy is a rule: `single-numa-node` wants all on one, `restricted` on no more
than it takes on the empty node; `best-effort` only prefers that. Nodes are alike and so are their states:
answers are kept.
Source of the policies: Kubernetes, Topology Manager; Volcano, numaaware.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

from springtide.api.devicetopology import UNKNOWN_NUMA, Layout, Nic

NONE, BEST_EFFORT, RESTRICTED, SINGLE = "none", "best-effort", "restricted", "single-numa-node"
POLICIES = (NONE, BEST_EFFORT, RESTRICTED, SINGLE)
HARD = (RESTRICTED, SINGLE)
"""Policies that keep a pod off a node."""
_SETS_MAX = 2000
"""Up to so many sets are all looked at; beyond, one is grown from each device."""

Wanted = tuple[tuple[str, int], ...]
"""NICs asked for: resource and number."""
Chosen = tuple[tuple[int, ...], tuple[int, ...]]
"""Numbers of the devices, and of the NICs."""


@lru_cache(maxsize=65536)
def choose(layout: Layout, free: int, nics: int, count: int, policy: str, wanted: Wanted) -> Chosen | None:
    """The best `count` of the free devices, and their NICs; None if the policy allows no set of them.

    NICs that are not there are not given; under a hard policy they count as the devices do.
    """
    able = bits(free)
    best: Chosen | None = None
    best_rank: tuple[float, ...] = ()
    for group in _groups(layout, able, count, policy):
        for devices in _sets(layout, group, count):
            if policy == RESTRICTED and _width(layout, devices) != least_width(layout, count):
                continue
            given = nics_beside(layout, devices, nics, wanted, hard=policy in HARD)
            if given is None:
                continue
            rank = _rank(layout, able, devices, given, policy)
            if best is None or rank > best_rank:
                best, best_rank = (devices, given), rank
    return best


@lru_cache(maxsize=65536)
def room(layout: Layout, free: int, nics: int, count: int, policy: str, wanted: Wanted) -> int:
    """How many pods of `count` devices fit one after the other."""
    pods = 0
    while (found := choose(layout, free, nics, count, policy, wanted)) is not None:
        free &= ~of_bits(found[0])
        nics &= ~of_bits(found[1])
        pods += 1
    return pods


@lru_cache(maxsize=65536)
def nearness(layout: Layout, free: int, count: int) -> int:
    """How near the farthest two of the best set are, less than it could be on the empty node; 0: as near."""
    here, whole = choose(layout, free, 0, count, "", ()), (1 << len(layout.numa)) - 1
    ideal = choose(layout, whole, 0, count, "", ())
    if here is None or ideal is None:
        return 0
    return _farthest(layout, ideal[0]) - _farthest(layout, here[0])


def least_width(layout: Layout, count: int) -> int:
    """The fewest NUMA nodes that have so many devices together, were all of them free."""
    there = [layout.numa.count(numa) for numa in sorted(set(layout.numa) - {UNKNOWN_NUMA})]
    total, width = 0, 0
    for one in sorted(there, reverse=True):
        if total >= count:
            break
        total, width = total + one, width + 1
    return width


def nics_beside(
    layout: Layout, devices: Sequence[int], nics: int, wanted: Wanted, *, hard: bool
) -> tuple[int, ...] | None:
    """NICs for these devices: of their switches, as evenly as there are devices at each, then of their NUMA
    nodes, then any. None under a hard policy that leaves too few of the same NUMA nodes."""
    numa = {layout.numa[one] for one in devices}
    left = Counter(layout.switch[one] for one in devices if layout.switch[one])
    given: list[int] = []
    for resource, number in wanted:
        able = [one for one in bits(nics) if layout.nics[one].resource == resource]
        if hard:
            able = [one for one in able if layout.nics[one].numa in numa]
            if len(able) < number:
                return None
        for _ in range(min(number, len(able))):
            nearest = max(able, key=lambda one: (*_beside(layout.nics[one], left, numa), -one))
            able.remove(nearest)
            given.append(nearest)
            left[layout.nics[nearest].switch] -= 1
    return tuple(given)


def bits(mask: int) -> list[int]:
    """The numbers whose bits are set."""
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


def of_bits(numbers: Iterable[int]) -> int:
    """The other way round."""
    return sum(1 << number for number in numbers)


def _beside(nic: Nic, left: Counter[str], numa: set[int]) -> tuple[bool, bool, int]:
    here = left[nic.switch] if nic.switch in left else -len(left)
    return here > 0, nic.numa in numa and nic.numa != UNKNOWN_NUMA, here


def _groups(layout: Layout, able: list[int], count: int, policy: str) -> list[list[int]]:
    """Devices of which a set may be made: all, or those of each NUMA node."""
    if policy != SINGLE:
        return [able] if len(able) >= count and _tells(layout, able, policy) else []
    known = sorted({layout.numa[one] for one in able} - {UNKNOWN_NUMA})
    groups = [[one for one in able if layout.numa[one] == numa] for numa in known]
    return [group for group in groups if len(group) >= count]


def _tells(layout: Layout, able: list[int], policy: str) -> bool:
    return policy != RESTRICTED or all(layout.numa[one] != UNKNOWN_NUMA for one in able)


def _sets(layout: Layout, able: list[int], count: int) -> Iterable[tuple[int, ...]]:
    if comb(len(able), count) <= _SETS_MAX:
        yield from combinations(able, count)
        return
    seen = set()
    for first in able:
        grown = [first]
        rest = [one for one in able if one != first]
        while len(grown) < count:
            near = max(rest, key=lambda one: (sum(layout.links[one][other] for other in grown), -one))
            grown.append(near)
            rest.remove(near)
        seen.add(tuple(sorted(grown)))
    yield from sorted(seen)


def _rank(
    layout: Layout, able: list[int], devices: tuple[int, ...], nics: tuple[int, ...], policy: str
) -> tuple[float, ...]:
    """The greater the better."""
    rest = [one for one in able if one not in devices]
    switches = {layout.switch[one] for one in devices} - {""}
    beside = sum(layout.nics[one].switch in switches for one in nics)
    narrow = -_width(layout, devices) if policy in POLICIES and policy != NONE else 0
    return (
        narrow,
        _farthest(layout, devices),
        beside,
        _nearness(layout, devices),
        _nearness(layout, rest),
        *(-one for one in devices),
    )


def _width(layout: Layout, devices: Iterable[int]) -> int:
    return len({layout.numa[one] for one in devices})


def _farthest(layout: Layout, devices: Sequence[int]) -> int:
    return min((layout.links[one][two] for one, two in combinations(devices, 2)), default=0)


def _nearness(layout: Layout, devices: Sequence[int]) -> int:
    return sum(layout.links[one][two] for one, two in combinations(devices, 2))
