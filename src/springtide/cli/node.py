"""`springtide node`: this machine as a node, or the simulated nodes of a file, in a process of its own."""

from __future__ import annotations

import platform as machine
import re
from pathlib import Path

import click

from springtide.cli.errors import CliError
from springtide.cli.part import kernel_log_option, part_options, part_settings, run_until_signal, say
from springtide.cli.target import data_dir_option


@click.command(name="node")
@part_options
@data_dir_option
@click.option("--name", default="", show_default="this machine's name", help="Name of the Node.")
@click.option(
    "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the Node; may be repeated."
)
@click.option(
    "--address-prefix",
    default="",
    show_default="some that no other node of this machine has",
    metavar="127.N",
    help="First two numbers of its pods' loopback addresses.",
)
@click.option(
    "--lease-duration",
    type=click.IntRange(4, 40),
    default=40,
    show_default=True,
    metavar="SECONDS",
    help="How long it may be silent until it counts as dead; it renews its Lease four times as often.",
)
@click.option(
    "--memory-share",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="How much of the machine's memory jobs' snapshots may take, with copies of peers'; 0 keeps none.",
)
@kernel_log_option
@click.option(
    "--simulate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="NODES.yaml",
    help="Be the simulated nodes of this file instead.",
)
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path.cwd,
    show_default="the present folder",
    help="Folder that processes of pods start in.",
)
def command(
    kubeconfig: Path | None,
    context: str,
    metrics_port: int,
    log_level: str,
    data_dir: Path,
    name: str,
    labels: tuple[str, ...],
    address_prefix: str,
    lease_duration: int,
    memory_share: float,
    kernel_log: Path,
    simulate: Path | None,
    workdir: Path,
) -> None:
    """Run this machine as a node that runs pods as processes, until Ctrl-C.

    Its pods end with it; they are reported as failed when it comes back.
    """
    settings = part_settings(
        kubeconfig, context, leader_elect=False, metrics_port=metrics_port, log_level=log_level
    )
    from springtide.node import ProcessNodeSettings
    from springtide.up import run_node

    chosen = name or machine.node().lower() or "localhost"
    process = ProcessNodeSettings(
        name=chosen,
        data_dir=data_dir.expanduser().absolute() / "nodes" / chosen,
        working_dir=workdir.absolute(),
        labels=_labels(labels),
        address_prefix=_prefix(address_prefix),
        lease_seconds=lease_duration / 4,
        lease_duration_seconds=lease_duration,
        memory_share=memory_share,
        kernel_log=kernel_log.absolute(),
        share_services=True,
    )
    run_until_signal(lambda: run_node(settings, say, process=process, simulate=simulate))


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    """Raises CliError for one that has no value."""
    pairs = [one.partition("=") for one in given]
    for key, equals, value in pairs:
        if not equals or not key:
            raise CliError(
                f"--label: {key}{equals}{value} is not of the form KEY=VALUE", "for example --label zone=a"
            )
    return {key: value for key, _, value in pairs}


def _prefix(given: str) -> str:
    """Raises CliError for one off loopback."""
    if given and (not re.fullmatch(r"127\.\d{1,3}", given) or int(given[4:]) > 255):
        raise CliError(
            f"--address-prefix: {given} is not the beginning of a loopback address", "for example 127.78"
        )
    return given
