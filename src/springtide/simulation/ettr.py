"""Runs under faults, paired and summed up: in which part of the time a job trained, and where the rest went.

`compare` plays every system under the same faults of each seed; the rest is means and spreads over seeds.
Called by `springtide simulate faults`; drawn by `ettr_report`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import fmean, stdev
from time import process_time

from springtide.api.remediation import RemediationPolicy
from springtide.simulation.faultmix import Mix
from springtide.simulation.gangplaces import Size
from springtide.simulation.recovery import PHASES, Run
from springtide.simulation.recoverytimes import Times
from springtide.simulation.responses import Ours, Timeout

SYSTEMS = (Ours.name, Timeout.name)


@dataclass(frozen=True)
class Setting:
    """What is played."""

    mix: Mix
    times: Times
    size: Size
    days: float = 54.0
    engine: bool = True
    """Whether ours finds places by the scheduling engine; without it by counting, which is quicker."""
    policy: RemediationPolicy | None = None
    """What ours does about faults; None: what is built in."""


@dataclass(frozen=True)
class Outcome:
    """One system under the faults of one seed."""

    system: str
    seed: int
    ettr: float
    """Effective training-time ratio of the large job: steps that count, of all the time."""
    ettr_all: float
    """The same over all jobs, by GPUs."""
    phases: Mapping[str, float]
    """Where the large job's time went, as parts of it all."""
    interruptions: int
    """Of the large job."""
    stops: Mapping[str, int]
    """The same by cause."""
    down_seconds: Mapping[str, float]
    """By cause, mean time from the fault until training again."""
    interval_seconds: float
    """Between two snapshots or checkpoints."""
    cordons: int
    wrong_cordons: int
    """Nodes taken out that were not broken."""
    by_history: int
    """Nodes taken out for what they had a part in before, though no verdict alone would have."""
    missed: int
    """Faults of broken nodes after which the node stayed in service."""
    repeats: int
    """Faults of nodes that were broken already: put back by a bad repair, or never taken out."""
    moved: int
    """Ranks that were given another node, and theirs stayed in service."""
    persons: int
    displaced: int
    """Smaller jobs that made room."""
    nodes_out_mean: float
    nodes_out_max: int
    cpu_seconds: float


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds."""

    mean: float
    deviation: float
    least: float
    most: float


def play(setting: Setting, system: str, seed: int) -> Outcome:
    """One run."""
    began = process_time()
    times, size = setting.times, setting.size
    chosen = (
        Ours(times, size.gpus, size.nodes, setting.policy)
        if system == Ours.name
        else Timeout(times, size.nodes)
    )
    engine = setting.engine and isinstance(chosen, Ours)
    run = Run(chosen, setting.mix, times, size, seed, setting.days, engine=engine)
    run.play()
    large, tally, seconds = run.jobs["large"], run.tally, run.seconds
    nodes = sum(job.nodes for job in run.jobs.values())
    return Outcome(
        system=system,
        seed=seed,
        ettr=large.phases["train"] / seconds,
        ettr_all=sum(job.phases["train"] * job.nodes for job in run.jobs.values()) / (seconds * nodes),
        phases={name: large.phases[name] / seconds for name in PHASES},
        interruptions=large.interruptions,
        stops=dict(tally.stops),
        down_seconds={cause: tally.down_seconds[cause] / count for cause, count in tally.stops.items()},
        interval_seconds=large.interval,
        cordons=tally.cordons,
        wrong_cordons=tally.wrong_cordons,
        by_history=tally.by_history,
        missed=tally.missed,
        repeats=tally.repeats,
        moved=tally.moved,
        persons=tally.persons,
        displaced=tally.displaced,
        nodes_out_mean=tally.node_seconds_out / seconds,
        nodes_out_max=tally.nodes_out_max,
        cpu_seconds=process_time() - began,
    )


def compare(
    setting: Setting, seeds: Sequence[int], *, jobs: int = 1, done: Callable[[Outcome], None] = lambda _: None
) -> list[Outcome]:
    """Every system under the same faults of each seed, by seed; `done` hears of each as it ends."""
    wanted = [(setting, system, seed) for seed in seeds for system in SYSTEMS]
    found = []
    for outcome in _played(wanted, jobs):
        done(outcome)
        found.append(outcome)
    return sorted(found, key=lambda one: (one.seed, SYSTEMS.index(one.system)))


def _played(wanted: Sequence[tuple[Setting, str, int]], jobs: int) -> Iterator[Outcome]:
    if jobs < 2:
        yield from map(_play, wanted)
        return
    with get_context("spawn").Pool(min(jobs, len(wanted))) as pool:
        yield from pool.imap_unordered(_play, wanted)


def _play(wanted: tuple[Setting, str, int]) -> Outcome:
    return play(*wanted)


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(fmean(values), stdev(values) if len(values) > 1 else 0.0, min(values), max(values))


def of_system(outcomes: Sequence[Outcome], system: str) -> list[Outcome]:
    """The runs of one system, by seed."""
    return [one for one in outcomes if one.system == system]


def gained(outcomes: Sequence[Outcome]) -> list[float]:
    """By seed, how much larger the ratio of ours is than the baseline's on the same faults."""
    theirs = {one.seed: one.ettr for one in of_system(outcomes, Timeout.name)}
    return [one.ettr - theirs[one.seed] for one in of_system(outcomes, Ours.name) if one.seed in theirs]


def mean_phases(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Where the time went, as a mean over seeds."""
    return {name: fmean(one.phases[name] for one in outcomes) for name in PHASES}


def mean_down(outcomes: Sequence[Outcome]) -> dict[str, tuple[float, float]]:
    """By cause, interruptions a run and mean seconds from the fault until training again; the most first."""
    causes = {cause for one in outcomes for cause in one.stops}
    found = {}
    for cause in causes:
        stops = sum(one.stops.get(cause, 0) for one in outcomes)
        down = sum(one.down_seconds.get(cause, 0.0) * one.stops.get(cause, 0) for one in outcomes)
        found[cause] = (stops / len(outcomes), down / stops)
    return dict(sorted(found.items(), key=lambda one: (-one[1][0], one[0])))
