"""`python -m springtide.simulation SEED [COUNT]`: play seeds under faults, one JSON row each.

Strings hash differently in every Python process unless told not to, and the order of sets follows; so this
starts itself again with `PYTHONHASHSEED=0`, under which a seed gives the same run everywhere.
"""

from __future__ import annotations

import json
import os
import sys

import click

from springtide.simulation.faults import NO_FAULTS, FaultSettings
from springtide.simulation.world import Report, simulate


@click.command()
@click.argument("seed", type=int)
@click.argument("count", type=int, default=1)
@click.option("--calm", is_flag=True, help="Without faults.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="error",
    show_default=True,
)
def main(seed: int, count: int, calm: bool, log_level: str) -> None:
    """Play COUNT runs from SEED on; exits 1 if an invariant broke."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "springtide.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    broken = False
    for one in range(seed, seed + count):
        report = simulate(one, NO_FAULTS if calm else FaultSettings.of_seed(one), log_level=log_level)
        broken = broken or not report.ok
        click.echo(json.dumps(_row(report)))
    sys.exit(broken)


def _row(report: Report) -> dict[str, object]:
    violations = [f"{found.at:%H:%M:%S} {found.invariant}: {found.detail}" for found in report.violations]
    return {
        "seed": report.seed,
        "ok": report.ok,
        "violations": violations,
        "virtual_seconds": round(report.virtual_seconds, 1),
        "revisions": report.revisions,
        "jobs": report.jobs,
        "faults": vars(report.counts),
    }


if __name__ == "__main__":
    main()
