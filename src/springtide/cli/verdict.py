"""The last word about a job: one line, the evidence under it and what to do next. Pure.

Called by `run` when a job ends and by `explain` at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from springtide.api.meta import find_condition
from springtide.api.springtide import Diagnosis, of_failures
from springtide.api.trainer import TrainJob
from springtide.cli.errors import EXIT_FAILURE, EXIT_OK
from springtide.cli.phase import duration, metrics

EVIDENCE_LINES = 12
"""The last lines of evidence are shown: with a Python traceback the error stands at its end."""


@dataclass(frozen=True)
class Verdict:
    """`digits: Complete in 21.4 s, accuracy 0.971`, or how and why it failed."""

    line: str
    evidence: tuple[str, ...] = ()
    hint: str = ""
    exit_code: int = EXIT_OK


def verdict(job: TrainJob, seconds: float | None = None, diagnosis: Diagnosis | None = None) -> Verdict:
    """The verdict on a finished job. `seconds`: how long it took as measured; else the timestamps say it."""
    name = job.metadata.name
    took = took_seconds(job) if seconds is None else seconds
    complete = find_condition(job.status.conditions, "Complete")
    if complete is not None and complete.status == "True":
        return Verdict(", ".join([f"{name}: Complete in {duration(took)}", *metrics(job)]))
    failed = find_condition(job.status.conditions, "Failed")
    cause = failed.message if failed is not None else ""
    if diagnosis is not None and not cause:
        cause = diagnosis.spec.message
    return Verdict(
        line=f"{name}: Failed in {duration(took)}: {cause or 'no cause is known'}",
        evidence=evidence(diagnosis),
        hint=_next_step(job, diagnosis),
        exit_code=EXIT_FAILURE,
    )


def deleted(name: str, seconds: float) -> Verdict:
    """The job went away before it ended."""
    return Verdict(f"{name}: deleted after {duration(seconds)}, before it ended", exit_code=EXIT_FAILURE)


def evidence(diagnosis: Diagnosis | None) -> tuple[str, ...]:
    """What the diagnosis rests on, each line with its source once."""
    if diagnosis is None:
        return ()
    lines: list[str] = []
    source = ""
    for found in diagnosis.spec.evidence:
        if found.source != source:
            source = found.source
            lines.append(f"{source}:")
        lines += [f"  {line}" for line in found.line.splitlines()]
    return tuple(lines[-EVIDENCE_LINES:])


def newest(diagnoses: Sequence[Diagnosis], workload: str) -> Diagnosis | None:
    """The diagnosis of a workload's latest failed attempt."""
    own = [found for found in of_failures(diagnoses) if found.spec.workload == workload]
    return max(own, key=lambda found: found.spec.attempt, default=None)


def took_seconds(job: TrainJob) -> float:
    """From creation to the finish condition, in the whole seconds the API keeps; 0 while unknown."""
    ends = [c.last_transition_time for c in job.status.conditions if c.type in ("Complete", "Failed")]
    return _seconds(job.metadata.creation_timestamp, next(iter(ends), None))


def _seconds(start: datetime | None, end: datetime | None) -> float:
    return max(0.0, (end - start).total_seconds()) if start is not None and end is not None else 0.0


def _next_step(job: TrainJob, diagnosis: Diagnosis | None) -> str:
    if diagnosis is not None and diagnosis.spec.next_step:
        return diagnosis.spec.next_step
    namespace = job.metadata.namespace
    where = f" -n {namespace}" if namespace not in ("", "default") else ""
    name = f"{job.metadata.name}{where}"
    return f"`springtide explain {name}` says more, `springtide logs {name}` has all it wrote"
