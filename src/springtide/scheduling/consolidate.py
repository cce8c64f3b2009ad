"""What consolidation would do now, and the commands that begin it: for `springtide defragment`.

It is the scheduler's own cycle on the same snapshot; only the moves are taken from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from springtide.api.commands import Command
from springtide.scheduling import status
from springtide.scheduling.defragmentation import Consolidation, Rearrangement
from springtide.scheduling.plan import Options, decided_on
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.views import Share


@dataclass(frozen=True)
class Step:
    """One workload that goes elsewhere."""

    workload: str
    priority: int
    before: dict[str, int]
    """Pods per node."""
    after: dict[str, int]
    lost_device_seconds: float
    """Work it has to do again, and its restart."""


@dataclass(frozen=True)
class Gain:
    """What one who waits gets out of it."""

    workload: str
    nodes: dict[str, int]
    """Where it will run: pods per node."""
    devices: float
    gained_device_seconds: float
    lost_device_seconds: float
    net_device_seconds: float
    moves: tuple[Step, ...]


@dataclass(frozen=True)
class Consolidated:
    """What is to be done, and what it gains."""

    gains: tuple[Gain, ...]
    commands: tuple[Command, ...]
    waiting: int
    """How many wait, whether they are helped or not."""


def consolidated(
    snapshot: Snapshot, now: datetime, settings: Consolidation, options: Options | None = None
) -> Consolidated:
    """Whom one cycle would move. Nothing is written by this."""
    cycle = decided_on(snapshot, now, replace(options or Options(), consolidation=settings))
    found = list({one.why.wish.facts.key: one.why for one in cycle.moved}.values())
    commands: list[Command] = [command for one in cycle.moved for command in one.commands(now)]
    for one in found:
        verdict = cycle.why(one.wish.facts)
        if verdict is not None:
            commands.append(status.explain(one.wish.facts, verdict, now))
    names = [facts.name for facts in snapshot.nodes.facts]
    waiting = sum(facts.key not in cycle.admitted for facts in snapshot.waiting)
    return Consolidated(tuple(_gain(one, names) for one in found), tuple(commands), waiting)


def _gain(found: Rearrangement, names: list[str]) -> Gain:
    steps = []
    for movable, shares in found.places:
        facts = movable.victim.facts
        before: dict[str, int] = {}
        for (_, node), count in facts.assigned.items():
            before[node] = before.get(node, 0) + count
        steps.append(
            Step(facts.key, -facts.order[0], before, _nodes(shares, names), movable.lost_device_seconds)
        )
    return Gain(
        found.wish.facts.key,
        _nodes(found.shares, names),
        found.wish.devices,
        found.gained_device_seconds,
        found.lost_device_seconds,
        found.net_device_seconds,
        tuple(steps),
    )


def _nodes(shares: tuple[Share, ...], names: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for share in shares:
        for row, count in zip(share.rows.tolist(), share.counts.tolist(), strict=True):
            found[names[row]] = found.get(names[row], 0) + count
    return found
