"""`springtide defragment`: whom moving elsewhere would let start, and what that gains; moves on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from springtide import client as api
from springtide.api.commands import Emit
from springtide.cli.cluster import cluster, options
from springtide.cli.output import JSON, YAML, output_option, print_data
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options

if TYPE_CHECKING:
    from springtide.scheduling.consolidate import Consolidated, Gain

_NODES_SHOWN = 6
_DEFAULT = "[default: as the SchedulerConfiguration says, else "


@click.command(name="defragment")
@click.option("--dry-run", is_flag=True, help="Only show it; so it is without --apply, too.")
@click.option("--apply", "applies", is_flag=True, help="Do it: the workloads are moved by the scheduler.")
@click.option(
    "--idle",
    "idle_seconds",
    type=click.FloatRange(min=0),
    help=f"Seconds for which what is free in pieces would lie idle otherwise {_DEFAULT}1800].",
)
@click.option("--moves", type=click.IntRange(min=0), help=f"At most, an hour {_DEFAULT}20].")
@click.option(
    "--run-time",
    "minimum_run_seconds",
    type=click.FloatRange(min=0),
    help=f"Seconds for which a workload must have run before it is moved {_DEFAULT}600].",
)
@output_option(JSON, YAML)
@target_options
def command(
    dry_run: bool,
    applies: bool,
    idle_seconds: float | None,
    moves: int | None,
    minimum_run_seconds: float | None,
    output: str,
    namespace: str,
    kubeconfig: Any,
    context: str,
) -> None:
    """Show which workloads could be moved so that others start that wait although enough is free in pieces.

    Only workloads move that have saved a checkpoint (or say springtide.dev/movable: "true"), and only where
    more is gained than lost, in device-seconds. With --apply they are evicted; the scheduler holds the places
    of all of them and starts them there.
    """
    if dry_run and applies:
        raise click.UsageError("--dry-run and --apply exclude each other")

    async def work(session: Session) -> Consolidated:
        from springtide.scheduling.consolidate import consolidated
        from springtide.scheduling.defragmentation import Consolidation

        known = await options(session)
        base = known.consolidation or Consolidation()
        settings = replace(
            base,
            moves_per_hour=base.moves_per_hour if moves is None else moves,
            idle_seconds=base.idle_seconds if idle_seconds is None else idle_seconds,
            minimum_run_seconds=(
                base.minimum_run_seconds if minimum_run_seconds is None else minimum_run_seconds
            ),
        )
        found = consolidated((await cluster(session)).snapshot(), session.now(), settings, known)
        if applies:
            writes = [one for one in found.commands if not isinstance(one, Emit)]
            await api.execute(session.client.with_manager("scheduling"), writes)
        return found

    found = connected(Target(kubeconfig, context, namespace), work)
    if output:
        print_data([asdict(one) for one in found.gains], output)
        return
    click.echo("\n\n".join(map(render, found.gains)) if found.gains else _nothing(found.waiting))
    if found.gains and not applies:
        click.echo("\nnothing was moved; --apply does it", err=True)


def render(one: Gain) -> str:
    """One who would start, the gain in the first line."""
    gained, lost, net = one.gained_device_seconds, one.lost_device_seconds, one.net_device_seconds
    lines = [
        f"{one.workload}: {one.devices:g} devices start on {_places(one.nodes)}",
        f"  gains {gained:.0f} device-seconds, loses {lost:.0f}: {net:.0f} net",
    ]
    for step in one.moves:
        way = f"{_places(step.before)} -> {_places(step.after)}"
        again = f"{step.lost_device_seconds:.0f} device-seconds to do again"
        lines.append(f"  moves {step.workload} (priority {step.priority}): {way}, {again}")
    return "\n".join(lines)


def _nothing(waiting: int) -> str:
    if not waiting:
        return "nothing to gain: nobody waits"
    return f"nothing to gain: {waiting} wait; moving others would start none, or cost more than it gains"


def _places(nodes: Mapping[str, int]) -> str:
    shown = [f"{node} ({count})" for node, count in list(nodes.items())[:_NODES_SHOWN]]
    more = f" and {len(nodes) - _NODES_SHOWN} more" if len(nodes) > _NODES_SHOWN else ""
    return ", ".join(shown) + more
