"""What a replay of jobs came to: the figures of its table and the curves of its report.

Filled by `jobs`, printed by `springtide simulate jobs`, drawn by `report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from springtide.scheduling.arrays import Floats
from springtide.simulation.jobtrace import TraceJob

SIZES = ((1, 1, "1"), (2, 8, "2-8"), (9, 63, "9-63"), (64, None, ">=64"))
"""Classes of jobs by GPUs: from, to, name."""
CURVE_POINTS = 400
QUANTILES = 200


@dataclass(frozen=True, slots=True)
class Figures:
    """Waiting and completion of some jobs, in seconds."""

    jobs: int
    wait_mean: float
    wait_p50: float
    wait_p99: float
    wait_max: float
    completion_mean: float
    completion_p50: float
    completion_p99: float


@dataclass(frozen=True, slots=True)
class Curves:
    """Means over equal parts of the time of a replay."""

    step_seconds: float
    waiting: tuple[float, ...]
    """Jobs that wait."""
    busy: tuple[float, ...]
    """GPUs in use, as a part of all."""
    wait_quantiles: tuple[float, ...]
    """Waiting time in seconds that each equal part of the jobs stays below, the shortest first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One replay under one policy."""

    policy: str
    oracle: bool
    """Whether durations were known beforehand rather than learned from the jobs that had ended."""
    nodes: int
    gpus: int
    load: float
    """Mean demand as a part of all GPUs."""
    skipped: int
    """Jobs that ask for more than the whole cluster."""
    overall: Figures
    by_size: dict[str, Figures]
    """By class of size, see `SIZES`; classes without jobs are left out."""
    makespan: float
    """Seconds from the first arrival to the last end."""
    utilization: float
    """Part of the GPUs in use from the first arrival to the last."""
    utilization_makespan: float
    """The same to the last end."""
    fairness: float
    """Jain's index, over virtual clusters, of the part of its jobs' time in the system that they ran."""
    reservations: int
    backfilled: int
    """Jobs that started before one that came before them in the order."""
    decisions: int
    decisions_per_second: float
    """Starts and reservations, by CPU time of the whole replay."""
    cpu_seconds: float
    curves: Curves


def figures(wait: Floats, duration: Floats) -> Figures:
    """The figures of jobs that waited and ran so long."""
    done = wait + duration
    return Figures(
        jobs=len(wait),
        wait_mean=float(wait.mean()),
        wait_p50=_upper(wait, 50),
        wait_p99=_upper(wait, 99),
        wait_max=float(wait.max()),
        completion_mean=float(done.mean()),
        completion_p50=_upper(done, 50),
        completion_p99=_upper(done, 99),
    )


def by_size(gpus: Floats, wait: Floats, duration: Floats) -> dict[str, Figures]:
    """The figures of each class of sizes."""
    found = {}
    for low, high, name in SIZES:
        inside = (gpus >= low) & (gpus <= (high if high is not None else np.inf))
        if inside.any():
            found[name] = figures(wait[inside], duration[inside])
    return found


def fairness(jobs: Sequence[TraceJob], wait: Floats) -> float:
    """Jain's index over virtual clusters: 1 if all get on equally well, 1/n if one alone does.

    How well one gets on: of the GPU-time that its jobs spend in the system, the part that they run.
    """
    ran: dict[str, float] = {}
    spent: dict[str, float] = {}
    for job, waited in zip(jobs, wait.tolist(), strict=True):
        ran[job.cluster] = ran.get(job.cluster, 0.0) + job.gpu_seconds
        spent[job.cluster] = spent.get(job.cluster, 0.0) + (waited + job.duration) * job.gpus
    parts = np.array([ran[name] / spent[name] if spent[name] else 1.0 for name in sorted(ran)])
    total = float((parts * parts).sum())
    return float(parts.sum()) ** 2 / (len(parts) * total) if total else 1.0


def curves(jobs: Sequence[TraceJob], wait: Floats, capacity: int) -> Curves:
    """What waits and what is in use over the time of the replay."""
    arrival = np.array([job.arrival for job in jobs])
    gpus = np.array([job.gpus for job in jobs], dtype=np.float64)
    start = arrival + wait
    end = start + np.array([job.duration for job in jobs])
    edges = np.linspace(0.0, max(float(end.max()), 1.0), CURVE_POINTS + 1)
    step = float(edges[1])
    one = np.ones(len(jobs))
    waiting = np.diff(_spent(arrival, one, edges) - _spent(start, one, edges)) / step
    busy = np.diff(_spent(start, gpus, edges) - _spent(end, gpus, edges)) / step / capacity
    levels = np.quantile(wait, np.linspace(0.0, 1.0, QUANTILES + 1))
    return Curves(
        step_seconds=step,
        waiting=tuple(np.maximum(waiting, 0.0).round(2).tolist()),
        busy=tuple(np.clip(busy, 0.0, 1.0).round(4).tolist()),
        wait_quantiles=tuple(levels.round(1).tolist()),
    )


def used(jobs: Sequence[TraceJob], wait: Floats, until: float) -> float:
    """GPU-seconds in use until then."""
    start = np.array([job.arrival for job in jobs]) + wait
    end = start + np.array([job.duration for job in jobs])
    ran = np.clip(np.minimum(end, until) - start, 0.0, None)
    return float((ran * np.array([job.gpus for job in jobs])).sum())


def _upper(values: Floats, percent: float) -> float:
    """The smallest value that so many of a hundred do not exceed; the largest of few."""
    return float(np.percentile(values, percent, method="inverted_cdf"))


def _spent(since: Floats, weight: Floats, edges: Floats) -> Floats:
    """Up to each edge, the sum over all of weight times the time since they began."""
    order = np.argsort(since, kind="stable")
    begun, weights = since[order], weight[order]
    count = np.searchsorted(begun, edges, side="right")
    total = np.concatenate(([0.0], np.cumsum(weights)))[count]
    moments = np.concatenate(([0.0], np.cumsum(weights * begun)))[count]
    found: Floats = total * edges - moments
    return found
