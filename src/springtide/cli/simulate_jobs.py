"""`springtide simulate jobs`: a trace of jobs with durations on equal nodes, policies compared."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from springtide.api.struct import decode
from springtide.cli.errors import CliError
from springtide.cli.manifests import read
from springtide.cli.output import JSON, YAML, columns, output_option, print_data

if TYPE_CHECKING:
    from springtide.scheduling.policies import Policy
    from springtide.simulation.jobs import JobPolicy
    from springtide.simulation.outcome import Figures, Outcome

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_HEADER = ("POLICY", "GPUS", "JOBS", "MEAN WAIT", "P50", "P99", "MEAN COMPLETION", "P99 COMPLETION")


@click.command(name="jobs")
@click.option("--trace", "trace_file", type=_FILE, required=True, help="CSV: timestamp, duration, num_gpus.")
@click.option("--nodes", type=click.IntRange(min=1), help="Nodes of the cluster; without it, by --load.")
@click.option("--gpus-per-node", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--load",
    type=click.FloatRange(min=0.0, min_open=True),
    default=0.9,
    show_default=True,
    help="Size the cluster so that jobs keep this part of it busy on average.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    default=("fifo", "easy", "default"),
    show_default=True,
    help="fifo, easy, default, an ordering, or your own as FILE.py:NAME. Repeat to compare.",
)
@click.option(
    "--config", type=_FILE, help="A SchedulerConfiguration: its ordering and policy as one more row."
)
@click.option("--oracle", is_flag=True, help="Durations are known beforehand instead of learned.")
@click.option("--one-node", is_flag=True, help="Keep the GPUs of a job on one node, or on whole ones.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Also write the curves as an HTML page."
)
@output_option(JSON, YAML)
def jobs(
    trace_file: Path,
    nodes: int | None,
    gpus_per_node: int,
    load: float,
    policies: Sequence[str],
    config: Path | None,
    oracle: bool,
    one_node: bool,
    report: Path | None,
    output: str,
) -> None:
    """A trace of jobs with their durations: who waits how long under which order.

    Every job starts whole or waits. Without --oracle the scheduler knows of durations only what it has
    learned from the jobs that ended before.
    """
    rows = _chosen(policies, config)
    outcomes = _replay(trace_file, nodes, gpus_per_node, load, rows, oracle=oracle, one_node=one_node)
    if report is not None:
        from springtide.simulation.report import report as drawn

        report.write_text(drawn(outcomes, trace_file.name))
    if output:
        print_data([_data(one) for one in outcomes], output)
    else:
        click.echo(_table(outcomes))
    if report is not None:
        click.echo(f"wrote {report}", err=True)


def _chosen(policies: Sequence[str], config: Path | None) -> list[tuple[JobPolicy, Policy]]:
    """How jobs are ordered, and how their nodes are chosen, for each row. Raises CliError."""
    from springtide.api.configuration import SchedulerConfiguration
    from springtide.scheduling.configuration import configured
    from springtide.scheduling.plan import Options
    from springtide.scheduling.policies import FRAGMENTS
    from springtide.simulation.jobs import JobPolicy, job_policy

    try:
        rows = [(job_policy(name), FRAGMENTS) for name in policies]
        for manifest in read(str(config), sys.stdin) if config is not None else ():
            if manifest.kind != "SchedulerConfiguration":
                raise CliError(f"{manifest.place}: kind {manifest.kind} is no SchedulerConfiguration")
            options = configured(Options(), decode(SchedulerConfiguration, manifest.raw).spec)
            timing = options.timing
            rows.append((JobPolicy("configured", timing.ordering, timing.backfill), options.policy))
    except ValueError as error:
        raise CliError(str(error)) from error
    return rows


def _replay(
    trace_file: Path,
    nodes: int | None,
    gpus_per_node: int,
    load: float,
    rows: Sequence[tuple[JobPolicy, Policy]],
    *,
    oracle: bool,
    one_node: bool,
) -> list[Outcome]:
    from springtide.simulation.jobs import replay_jobs
    from springtide.simulation.jobtrace import JobTraceError, load_jobs, nodes_for

    try:
        trace = load_jobs(trace_file)
        count = nodes if nodes is not None else nodes_for(trace, load, gpus_per_node)
        found = []
        for number, (policy, placing) in enumerate(rows, start=1):
            click.echo(
                f"{policy.name} ({number} of {len(rows)}): {len(trace)} jobs on {count} nodes", err=True
            )
            done = replay_jobs(
                trace, count, gpus_per_node, policy, oracle=oracle, one_node=one_node, placing=placing
            )
            found.append(done)
    except JobTraceError as error:
        raise CliError(str(error), error.hint) from error
    except ValueError as error:
        raise CliError(str(error)) from error
    return found


def _data(found: Outcome) -> dict[str, Any]:
    """Without the curves, which are for drawing."""
    raw = asdict(found)
    del raw["curves"]
    return raw


def _table(outcomes: Sequence[Outcome]) -> str:
    lines = []
    for found in outcomes:
        lines.append(_line(found.policy, "all", found.overall))
        lines += [_line(found.policy, size, figures) for size, figures in found.by_size.items()]
    whole = [
        (
            found.policy,
            f"{found.nodes}",
            f"{found.load:.0%}",
            f"{found.utilization:.1%}",
            _time(found.makespan),
            f"{found.fairness:.3f}",
            f"{found.backfilled}",
            f"{found.decisions_per_second:.0f}",
        )
        for found in outcomes
    ]
    header = ("POLICY", "NODES", "LOAD", "UTILIZATION", "MAKESPAN", "FAIRNESS", "BACKFILLED", "DECISIONS/S")
    return f"{columns(_HEADER, lines)}\n\n{columns(header, whole)}"


def _line(policy: str, size: str, figures: Figures) -> tuple[str, ...]:
    times = (
        figures.wait_mean,
        figures.wait_p50,
        figures.wait_p99,
        figures.completion_mean,
        figures.completion_p99,
    )
    return (policy, size, str(figures.jobs), *map(_time, times))


def _time(seconds: float) -> str:
    """`45 s`, `12.3 min`, `4.5 h`, `14.8 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
