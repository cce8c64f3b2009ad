"""`springtide simulate`: what the scheduler would have made of a trace, decided by its own code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from springtide.cli.errors import CliError
from springtide.cli.output import JSON, YAML, columns, output_option, print_data
from springtide.cli.simulate_capacity import capacity
from springtide.cli.simulate_faults import faults
from springtide.cli.simulate_jobs import jobs

if TYPE_CHECKING:
    from springtide.simulation.openb import Outcome

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_DEFAULT_POLICY = "fragments"


@click.group(name="simulate")
def command() -> None:
    """Replay a trace, or change the cluster on trial, with the scheduler's own code. Nothing is written."""


command.add_command(jobs)
command.add_command(capacity)
command.add_command(faults)


@dataclass(frozen=True)
class OpenbRow:
    """One replay of one policy and seed."""

    policy: str
    seed: int
    protocol: str
    """`online`, or `backlog`: all pods seen at once, the largest first."""
    pods: int
    placed: int
    gpu_allocation_percent: float
    gpu_allocation_percent_at_1: float
    """When as much had arrived as there is."""
    fragmentation_percent: float
    """Free at the end and of no use to a typical pod, of all GPUs."""
    decisions_per_second: float
    p50_us: float
    p99_us: float


@command.command(name="openb")
@click.option("--nodes", "nodes_file", type=_FILE, required=True, help="List of nodes (CSV).")
@click.option("--pods", "pods_file", type=_FILE, required=True, help="List of pods (CSV).")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    default=(_DEFAULT_POLICY,),
    show_default=True,
    help="Registered policy, or your own as FILE.py:NAME. Repeat to compare.",
)
@click.option(
    "--seed", "seeds", type=int, multiple=True, default=(42,), show_default=True, help="Repeatable."
)
@click.option(
    "--arrivals",
    type=click.FloatRange(min=0.0, min_open=True),
    default=1.3,
    show_default=True,
    help="GPUs that are asked for in all, as a multiple of those there are.",
)
@click.option(
    "--backlog",
    is_flag=True,
    help="All pods wait at once; the largest go first. Nobody is overtaken for good: the queue is finite.",
)
@output_option(JSON, YAML)
def openb(
    nodes_file: Path,
    pods_file: Path,
    policies: Sequence[str],
    seeds: Sequence[int],
    arrivals: float,
    backlog: bool,
    output: str,
) -> None:
    """Alibaba's GPU trace of 2023, by the protocol of fragmentation gradient descent (USENIX ATC 2023).

    Pods of the list are repeated or dropped at random until they ask for so many times the GPUs there are,
    shuffled, and placed one after another; nobody leaves.
    """
    rows = list(_openb_rows(nodes_file, pods_file, policies, seeds, arrivals, backlog))
    if output:
        print_data([asdict(row) for row in rows], output)
        return
    click.echo(_openb_table(rows))


def _openb_rows(
    nodes_file: Path,
    pods_file: Path,
    policies: Sequence[str],
    seeds: Sequence[int],
    arrivals: float,
    backlog: bool,
) -> Iterator[OpenbRow]:
    from springtide.scheduling.policies import find_policy
    from springtide.simulation.openb import TraceError, load_nodes, load_pods, replay

    try:
        nodes, pods = load_nodes(nodes_file), load_pods(pods_file)
        chosen = [find_policy(name) for name in policies]
        for policy in chosen:
            for seed in seeds:
                found = replay(nodes, pods, policy, seed=seed, factor=arrivals, backlog=backlog)
                yield _openb_row(policy.name, seed, backlog, found)
    except TraceError as error:
        raise CliError(str(error), error.hint) from error
    except ValueError as error:
        raise CliError(str(error)) from error


def _openb_row(policy: str, seed: int, backlog: bool, found: Outcome) -> OpenbRow:
    took = sorted(found.decision_us)
    return OpenbRow(
        policy=policy,
        seed=seed,
        protocol="backlog" if backlog else "online",
        pods=found.pods,
        placed=found.placed,
        gpu_allocation_percent=round(found.allocation_percent, 3),
        gpu_allocation_percent_at_1=round(found.allocation_percent_at_capacity, 3),
        fragmentation_percent=round(found.stranded_percent, 3),
        decisions_per_second=round(1e6 * len(took) / sum(took)),
        p50_us=round(took[len(took) // 2], 1),
        p99_us=round(took[len(took) * 99 // 100], 1),
    )


def _openb_table(rows: Sequence[OpenbRow]) -> str:
    """One line a replay, and the mean of each policy that has several."""
    lines = [(row.policy, str(row.seed), *_numbers([row]), f"{row.placed} of {row.pods}") for row in rows]
    for policy in dict.fromkeys(row.policy for row in rows):
        own = [row for row in rows if row.policy == policy]
        if len(own) > 1:
            lines.append((policy, "mean", *_numbers(own), ""))
    header = ("POLICY", "SEED", "GPUS ALLOCATED", "AT CAPACITY", "STRANDED", "DECISIONS/S", "PODS PLACED")
    return columns(header, lines)


def _numbers(rows: Sequence[OpenbRow]) -> tuple[str, str, str, str]:
    def mean(values: Iterator[float]) -> float:
        return sum(values) / len(rows)

    return (
        f"{mean(row.gpu_allocation_percent for row in rows):.2f} %",
        f"{mean(row.gpu_allocation_percent_at_1 for row in rows):.2f} %",
        f"{mean(row.fragmentation_percent for row in rows):.2f} %",
        f"{mean(row.decisions_per_second for row in rows):.0f}",
    )
