"""kueue.x-k8s.io/v1beta2: the compressed topology assignment of a Workload, and how to write and read it.

`scheduling` writes assignments of nodes, or of devices of nodes, with `assign_nodes` and `assign_devices`;
`workloads` and others read any with `domains_of`, `nodes_of` or `places_of`. Values are stored per level,
with a shared prefix and suffix cut off and equal counts written once, so that an assignment of thousands of
nodes stays small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from springtide.api.labels import DEVICES, HOSTNAME
from springtide.api.listtypes import Limits
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.x-k8s.kueue.v1beta2"

DOMAINS_PER_SLICE = 100_000
"""The schema's bound on the values of one slice."""


class TopologyAssignmentSliceLevelIndividualValues(Struct):
    """A value for each domain."""

    roots: Annotated[list[str], Limits(min_items=1, max_items=100_000, items=Limits(max_length=63))]
    """The values without prefix and suffix, in the order of the domains."""
    prefix: Annotated[str | None, Limits(max_length=63)] = None
    """What all values start with."""
    suffix: Annotated[str | None, Limits(max_length=63)] = None
    """What all values end with."""


class TopologyAssignmentSliceLevelValues(Struct):
    """The values of one level; exactly one field is set."""

    universal: Annotated[str | None, Limits(max_length=63)] = None
    """The value of every domain."""
    individual: TopologyAssignmentSliceLevelIndividualValues | None = None
    """A value for each domain."""


class TopologyAssignmentSlicePodCounts(Struct):
    """How many pods each domain takes; exactly one field is set."""

    universal: Annotated[int | None, Limits(minimum=1, format="int32")] = None
    """The count of every domain."""
    individual: Annotated[
        list[int], Limits(min_items=1, max_items=100_000, items=Limits(minimum=1, format="int32"))
    ] = []
    """A count for each domain."""


class TopologyAssignmentSlice(Struct):
    """Part of an assignment."""

    domain_count: Annotated[int, Limits(minimum=1, format="int32")]
    """How many domains it has."""
    values_per_level: Annotated[list[TopologyAssignmentSliceLevelValues], Limits(min_items=1, max_items=16)]
    """The domains' values, level by level."""
    pod_counts: TopologyAssignmentSlicePodCounts
    """How many pods each domain takes."""


class TopologyAssignment(Struct):
    """Which topology domains take how many pods."""

    levels: Annotated[list[str], Limits(min_items=1, max_items=16, items=Limits(max_length=317))]
    """Node labels of the levels, the highest first."""
    slices: Annotated[list[TopologyAssignmentSlice], Limits(max_items=1000)]
    """Parts that together are the assignment."""


def assign_nodes(nodes: Iterable[tuple[str, int]]) -> TopologyAssignment:
    """The assignment that puts so many pods on each named node, in this order. Counts must be at least 1."""
    return _assign([HOSTNAME], [((name,), count) for name, count in nodes])


def assign_devices(places: Iterable[tuple[str, str, int]]) -> TopologyAssignment:
    """The same with the devices of each pod as `gpus.spelled`: a level of their own below the host name."""
    return _assign([HOSTNAME, DEVICES], [((name, devices), count) for name, devices, count in places])


def names_nodes(assignment: TopologyAssignment) -> bool:
    """Whether the assignment goes down to nodes."""
    return assignment.levels[-1:] == [HOSTNAME] or assignment.levels[-2:] == [HOSTNAME, DEVICES]


def nodes_of(assignment: TopologyAssignment) -> list[tuple[str, int]]:
    """Node and count of pods, in the order of the assignment; a node may come more than once.

    Raises ValueError when it does not go down to the host name, so that nodes cannot be told from it.
    """
    return [(node, count) for node, _, count in places_of(assignment)]


def places_of(assignment: TopologyAssignment) -> list[tuple[str, str, int]]:
    """Node, devices (empty where the assignment does not go down to them) and count of pods, in its order.

    Raises ValueError as `nodes_of`.
    """
    if not names_nodes(assignment):
        raise ValueError(f"lowest topology level is {assignment.levels[-1:]}, not {HOSTNAME}")
    if assignment.levels[-1] == HOSTNAME:
        return [(values[-1], "", count) for values, count in domains_of(assignment)]
    return [(values[-2], values[-1], count) for values, count in domains_of(assignment)]


def domains_of(assignment: TopologyAssignment) -> list[tuple[tuple[str, ...], int]]:
    """Each domain as its values, one a level, and the count of its pods."""
    return [domain for part in assignment.slices for domain in _domains(part)]


def _assign(levels: list[str], domains: Sequence[tuple[tuple[str, ...], int]]) -> TopologyAssignment:
    for values, count in domains:
        if count < 1:
            raise ValueError(f"node {values[0]!r} takes {count} pods: leave out nodes that take none")
    parts = [domains[i : i + DOMAINS_PER_SLICE] for i in range(0, len(domains), DOMAINS_PER_SLICE)]
    return TopologyAssignment(levels=levels, slices=[_slice(part, len(levels)) for part in parts])


def _slice(part: Sequence[tuple[tuple[str, ...], int]], levels: int) -> TopologyAssignmentSlice:
    return TopologyAssignmentSlice(
        domain_count=len(part),
        values_per_level=[_compress([values[level] for values, _ in part]) for level in range(levels)],
        pod_counts=_compress_counts([count for _, count in part]),
    )


def _compress(values: list[str]) -> TopologyAssignmentSliceLevelValues:
    if len(set(values)) == 1:
        return TopologyAssignmentSliceLevelValues(universal=values[0])
    prefix = _common_prefix(values)
    rests = [value[len(prefix) :] for value in values]
    suffix = _common_prefix([rest[::-1] for rest in rests])[::-1]
    roots = [rest[: len(rest) - len(suffix)] for rest in rests]
    return TopologyAssignmentSliceLevelValues(
        individual=TopologyAssignmentSliceLevelIndividualValues(
            prefix=prefix or None, suffix=suffix or None, roots=roots
        )
    )


def _common_prefix(values: Sequence[str]) -> str:
    """What all start with: as much as the first and the last in order have in common."""
    low, high = min(values), max(values)
    for position, letter in enumerate(low):
        if letter != high[position]:
            return low[:position]
    return low


def _compress_counts(counts: list[int]) -> TopologyAssignmentSlicePodCounts:
    if len(set(counts)) == 1:
        return TopologyAssignmentSlicePodCounts(universal=counts[0])
    return TopologyAssignmentSlicePodCounts(individual=counts)


def _domains(part: TopologyAssignmentSlice) -> list[tuple[tuple[str, ...], int]]:
    size = part.domain_count
    levels = [_expand(values, size) for values in part.values_per_level]
    universal = part.pod_counts.universal
    counts = part.pod_counts.individual if universal is None else [universal] * size
    return list(zip(zip(*levels, strict=True), counts, strict=True))


def _expand(values: TopologyAssignmentSliceLevelValues, size: int) -> list[str]:
    if values.individual is None:
        return [values.universal or ""] * size
    prefix, suffix = values.individual.prefix or "", values.individual.suffix or ""
    return [f"{prefix}{root}{suffix}" for root in values.individual.roots]
