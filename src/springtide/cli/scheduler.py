"""`springtide scheduler`: the engine alone, for the embedded server or a real cluster."""

from __future__ import annotations

from pathlib import Path

import click

from springtide.cli.part import leader_option, part_options, part_settings, run_until_signal, say


@click.command(name="scheduler")
@part_options
@leader_option
@click.option("--policy", default="", help="Registered policy that chooses among feasible nodes.")
def command(
    kubeconfig: Path | None,
    context: str,
    metrics_port: int,
    log_level: str,
    leader_elect: bool,
    policy: str,
) -> None:
    """Run the scheduler in this process.

    It admits Workloads and places pods whose schedulerName is springtide; on an embedded server also those
    that name no scheduler.
    """
    settings = part_settings(
        kubeconfig, context, leader_elect=leader_elect, metrics_port=metrics_port, log_level=log_level
    )
    from springtide.up import run_scheduler

    run_until_signal(lambda: run_scheduler(settings, say, policy=policy))
