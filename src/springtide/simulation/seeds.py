"""Plays many seeds of a world, in several processes if asked to: one row of plain data each.

Called by `python -m springtide.simulation` and by the proofs under tests/endurance.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from time import process_time
from typing import TYPE_CHECKING, Any

from springtide.simulation.faults import NO_FAULTS, FaultSettings

if TYPE_CHECKING:
    from springtide.simulation.healthworld import HealthReport
    from springtide.simulation.world import Report


def rows(
    seeds: range, jobs: int, *, world: str, calm: bool = False, log_level: str = "error"
) -> Iterator[dict[str, Any]]:
    """One row a seed, as they end, `jobs` at a time; the children hash strings as their parent does."""
    play = partial(_one, world=world, calm=calm, level=log_level)
    if jobs == 1:
        yield from map(play, seeds)
        return
    with get_context("spawn").Pool(min(jobs, len(seeds))) as pool:
        yield from pool.imap_unordered(play, seeds, chunksize=4)


def collect_seldom() -> None:
    """Worlds are small and their process does nothing else: looking for rubbish took half of its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000_000, 10, 100)


def _one(seed: int, *, world: str, calm: bool, level: str) -> dict[str, Any]:
    if gc.get_threshold()[0] < 1_000_000:
        collect_seldom()
    began = process_time()
    if world == "health":
        from springtide.simulation import healthworld

        settings = healthworld.settings_of(seed)
        row = _row(healthworld.simulate(seed, NO_FAULTS if calm else settings, log_level=level))
    else:
        from springtide.simulation import world as jobsworld

        settings = FaultSettings.of_seed(seed)
        row = _row(jobsworld.simulate(seed, NO_FAULTS if calm else settings, log_level=level))
    return {**row, "cpu_seconds": process_time() - began}


def _row(report: Report | HealthReport) -> dict[str, Any]:
    violations = [f"{found.at:%H:%M:%S} {found.invariant}: {found.detail}" for found in report.violations]
    told = {
        "seed": report.seed,
        "ok": report.ok,
        "violations": violations,
        "virtual_seconds": round(report.virtual_seconds, 1),
        "revisions": report.revisions,
        "jobs": report.jobs,
        "faults": vars(report.counts),
    }
    more = ("diagnoses", "cordoned", "most_out", "slow")
    return told | {name: getattr(report, name) for name in more if hasattr(report, name)}
