"""Traces of jobs: when each came, how long it ran, how many GPUs it had. Read by `jobs`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from springtide.simulation.tracefile import TraceError, rows

COLUMNS = ("timestamp", "duration", "num_gpus")


class JobTraceError(TraceError):
    """A trace cannot be read or replayed; the text names file, line, field and value."""

    hint = (
        "expected CSV with the columns timestamp, duration (seconds), num_gpus and perhaps cluster and user"
    )


@dataclass(frozen=True, slots=True)
class TraceJob:
    """One job of a trace."""

    arrival: float
    """Seconds since the first arrival."""
    duration: float
    """Seconds it ran."""
    gpus: int
    cluster: str = ""
    """Virtual cluster: whose share of the machines it ran on."""
    user: str = ""

    @property
    def gpu_seconds(self) -> float:
        return self.duration * self.gpus


def load_jobs(path: Path) -> list[TraceJob]:
    """Read a trace, first come first; jobs without GPUs are left out. Raises JobTraceError."""
    found = []
    for line, row in rows(path, COLUMNS, JobTraceError):
        gpus = _number(path, line, row, "num_gpus")
        if gpus != int(gpus):
            raise JobTraceError(f"{path}:{line}: num_gpus: {row['num_gpus']!r} is not a whole number")
        if gpus:
            found.append(
                TraceJob(
                    arrival=_moment(path, line, row["timestamp"]),
                    duration=_number(path, line, row, "duration"),
                    gpus=int(gpus),
                    cluster=row.get("cluster") or row.get("vc") or "",
                    user=row.get("user") or "",
                )
            )
    return in_order(found)


def in_order(jobs: Iterable[TraceJob]) -> list[TraceJob]:
    """The same jobs, first come first, counted from the first arrival."""
    known = sorted(jobs, key=lambda job: job.arrival)
    if not known:
        raise JobTraceError("the trace has no job that asks for GPUs")
    first = known[0].arrival
    return [TraceJob(job.arrival - first, job.duration, job.gpus, job.cluster, job.user) for job in known]


def demand(jobs: Sequence[TraceJob]) -> float:
    """GPUs that the jobs keep busy on average from the first arrival to the last, if nobody ever waits."""
    span = max(job.arrival for job in jobs) - min(job.arrival for job in jobs)
    if span <= 0:
        raise JobTraceError("all jobs of the trace arrive at once: say how many nodes there are")
    return sum(job.gpu_seconds for job in jobs) / span


def nodes_for(jobs: Sequence[TraceJob], load: float, gpus_per_node: int) -> int:
    """How many nodes bring the mean demand nearest to this part of the GPUs without going above it."""
    if load <= 0:
        raise JobTraceError(f"load: {load} must be above 0")
    return max(1, math.ceil(demand(jobs) / load / gpus_per_node))


def _number(path: Path, line: int, row: dict[str, str], name: str) -> float:
    try:
        found = float(row[name] or "")
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise JobTraceError(f"{path}:{line}: {name}: {row[name]!r} is not a number of at least 0")
    return found


def _moment(path: Path, line: int, text: str) -> float:
    """Seconds of some epoch; a time without a zone is taken as UTC."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise JobTraceError(
            f"{path}:{line}: timestamp: {text!r} is neither seconds nor a date and time"
        ) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
