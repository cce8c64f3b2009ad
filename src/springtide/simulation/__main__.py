"""`python -m springtide.simulation SEED [COUNT]`: play seeds under faults, one JSON row each.

`--world jobs` is all controllers under jobs, queues and dying nodes; `--world health` is what finds faults
and heals them: evidence, hangs, user errors, cordons, persons, repairs. The last row counts them all.

Strings hash differently in every Python process unless told not to, and the order of sets follows; so this
starts itself again with `PYTHONHASHSEED=0`, under which a seed gives the same run everywhere.
"""

from __future__ import annotations

import json
import os
import sys
from time import monotonic

import click

from springtide.simulation.seeds import rows


@click.command()
@click.argument("seed", type=int)
@click.argument("count", type=int, default=1)
@click.option("--world", type=click.Choice(["jobs", "health"]), default="jobs", show_default=True)
@click.option("--calm", is_flag=True, help="Without faults of the API and of controllers.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at a time.")
@click.option("--brief", is_flag=True, help="Only rows of broken runs, and the last.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="error",
    show_default=True,
)
def main(seed: int, count: int, world: str, calm: bool, jobs: int, brief: bool, log_level: str) -> None:
    """Play COUNT runs from SEED on; exits 1 if an invariant broke."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "springtide.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    began, broken, cpu_seconds = monotonic(), [], 0.0
    totals: dict[str, int] = {}
    for row in rows(range(seed, seed + count), jobs, world=world, calm=calm, log_level=log_level):
        cpu_seconds += row.pop("cpu_seconds")
        for name, number in row["faults"].items():
            totals[name] = totals.get(name, 0) + number
        if not row["ok"]:
            broken.append(row["seed"])
        if not brief or not row["ok"]:
            click.echo(json.dumps(row))
    minutes = (monotonic() - began) / 60
    last = {
        "seeds": count,
        "broken": sorted(broken),
        "seeds_per_minute": round(count / minutes, 1),
        "seeds_per_minute_and_core": round(60 * count / cpu_seconds, 1),
        "faults": totals,
    }
    click.echo(json.dumps(last))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
