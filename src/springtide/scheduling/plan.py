"""The scheduler's decision: (snapshot, now) -> Plan. Pure; called by `controller`, tests and simulation.

A cycle reads like a recipe: take back admissions that must go; then, in one order for workloads and plain
pods (priority, then longest waiting), ask quota and place each whole or not at all; then explain the rest.
Passes repeat until one admits nothing, so a second plan on what this one wrote finds nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from springtide.api.commands import Command, Plan
from springtide.scheduling import status
from springtide.scheduling.cycle import Cycle
from springtide.scheduling.defragmentation import Consolidation
from springtide.scheduling.facts import WorkloadFacts
from springtide.scheduling.loans import Last
from springtide.scheduling.patience import Patience
from springtide.scheduling.policies import FRAGMENTS, Policy
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Ending
from springtide.scheduling.stranded import REPLACEMENT_SECONDS
from springtide.scheduling.timing import KUEUE, Timing
from springtide.scheduling.victim_policies import LEAST_LOST_WORK, VictimPolicy

ROUNDS_MAX = 4
"""So often a cycle is decided anew because what it lends would be called in at once."""
REFRESH_SECONDS = 30.0
"""How long the numbers of an explanation may be old."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a cycle decides."""

    policy: Policy = FRAGMENTS
    refresh: bool = True
    """Also rewrite explanations in which only numbers have changed."""
    report: bool = True
    """Also bring the counts in the status of queues up to date."""
    fair_strategies: tuple[str, ...] = ()
    """Kueue's preemption strategies of fair sharing; none: reclaim is by quota alone."""
    minimum_run_seconds: float = 0.0
    """Nobody is preempted before having run so long."""
    victims: VictimPolicy = LEAST_LOST_WORK
    """Who goes first of those who may be preempted."""
    patience: Patience | None = None
    """How long pods may take to become ready before their workload gives its place back; None: for ever."""
    timing: Timing = KUEUE
    """Whose turn it is, and who may start before its turn."""
    consolidation: Consolidation | None = None
    """When workloads are moved to make room; None: never."""
    replacement_seconds: float = REPLACEMENT_SECONDS
    """How long a gang that lost a node keeps its other places; 0: not at all."""
    starts_max: int | None = None
    """End after so many admissions and bindings, so that their writes need not wait; None: no end."""


def plan(snapshot: Snapshot, now: datetime, options: Options | None = None) -> Plan:
    """Decide one cycle."""
    options = options or Options()
    cycle, released, confirmed = _decided(snapshot, now, options)
    commands: list[Command] = [status.admit(facts, placed, now) for facts, placed in cycle.admitted.values()]
    commands += [one for facts, given in cycle.bound.values() for one in status.bind(facts, given, now)]
    commands += cycle.promise()
    commands += [command for one in cycle.preempted for command in one.commands(now)]
    commands += [one for pair in cycle.preempted_pods for one in status.doom(*pair, now)]
    commands += [status.end(pod) for pod in snapshot.doomed]
    commands += [one for pod in snapshot.unmade for one in status.select_node(pod)]
    commands += [command for one in cycle.moved for command in one.commands(now)]
    commands += cycle.kept
    commands += [one for key, one in confirmed if key not in cycle.ended]
    commands += cycle.resize(now) if not cycle.is_cut else ()
    commands += [one for facts, ending in released for one in status.release(facts, ending, now)]
    if cycle.is_cut:
        return Plan(tuple(commands), 0.0, cycle.notes)
    explained, stale = cycle.explain(now, options.refresh)
    reported = cycle.report(now) if options.report else ()
    waits = [REFRESH_SECONDS] if stale else []
    if cycle.next_at is not None:
        waits.append((cycle.next_at - now).total_seconds())
    return Plan((*commands, *explained, *reported), min(waits, default=None), cycle.notes)


def decided_on(snapshot: Snapshot, now: datetime, options: Options) -> Cycle:
    """A cycle that has decided who starts, of which nothing is written: for what is asked from outside."""
    return _decided(snapshot, now, options)[0]


def _decided(
    snapshot: Snapshot, now: datetime, options: Options
) -> tuple[Cycle, list[tuple[WorkloadFacts, Ending]], list[tuple[str, Command]]]:
    """A cycle that has decided who starts; who gives an admission back; what is said of checks, by key."""
    last: Last = {}
    for _ in range(ROUNDS_MAX):
        cycle = _cycle_on(snapshot, now, options, last)
        released = cycle.release()
        cycle.seat()
        confirmed = cycle.confirm(now)
        last = cycle.decide()
        if not last:
            break
    return cycle, released, confirmed


def _cycle_on(snapshot: Snapshot, now: datetime, options: Options, last: Last) -> Cycle:
    """A cycle that has not decided anything yet."""
    return Cycle(
        snapshot,
        options.policy,
        options.starts_max,
        now,
        fair_strategies=options.fair_strategies,
        minimum_run_seconds=options.minimum_run_seconds,
        victims=options.victims,
        patience=options.patience,
        timing=options.timing,
        replacement_seconds=options.replacement_seconds,
        consolidation=options.consolidation,
        last=last,
    )
