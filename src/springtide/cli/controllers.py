"""`springtide controllers`: every controller but the scheduler, for the embedded server or a real cluster."""

from __future__ import annotations

from pathlib import Path

import click

from springtide.cli.part import leader_option, part_options, part_settings, run_until_signal, say

_BUILTIN = {"auto": None, "on": True, "off": False}


@click.command(name="controllers")
@part_options
@leader_option
@click.option(
    "--builtin",
    type=click.Choice(list(_BUILTIN)),
    default="auto",
    show_default=True,
    help="Also run what every cluster has of its own (Deployments, Jobs, garbage collection); "
    "auto: only on an embedded server.",
)
def command(
    kubeconfig: Path | None,
    context: str,
    metrics_port: int,
    log_level: str,
    leader_elect: bool,
    builtin: str,
) -> None:
    """Run the controllers in this process: training, workloads, health and, if wanted, the built-in ones."""
    settings = part_settings(
        kubeconfig, context, leader_elect=leader_elect, metrics_port=metrics_port, log_level=log_level
    )
    from springtide.up import run_controllers

    run_until_signal(lambda: run_controllers(settings, say, builtin=_BUILTIN[builtin]))
