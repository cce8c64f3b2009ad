"""`springtide collect`: what a node of a cluster shows of trouble, collected beside its kubelet.

`deploy/collect/daemonset.yaml` runs it on every node. Process nodes collect by themselves.
"""

from __future__ import annotations

import os
import platform as machine
from pathlib import Path

import click

from springtide.cli.part import kernel_log_option, part_options, part_settings, run_until_signal, say

NODE_VARIABLE = "NODE_NAME"


@click.command(name="collect")
@part_options
@click.option(
    "--node",
    default="",
    show_default=f"${NODE_VARIABLE}, else this machine's name",
    help="Name of the Node that this machine is.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/springtide/collect"),
    show_default=True,
    help="Folder that remembers how far logs were read.",
)
@click.option(
    "--logs-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/log/pods"),
    show_default=True,
    help="The kubelet's folder of containers' logs.",
)
@click.option(
    "--host-root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    show_default=True,
    help="Where the host's root is mounted; its file systems are looked at below it.",
)
@kernel_log_option
@click.option(
    "--dcgm-url",
    default="",
    metavar="URL",
    help="Metrics of a dcgm-exporter, asked instead of NVML, such as http://127.0.0.1:9400/metrics.",
)
def command(
    kubeconfig: Path | None,
    context: str,
    metrics_port: int,
    log_level: str,
    node: str,
    state_dir: Path,
    logs_dir: Path,
    host_root: Path,
    kernel_log: Path,
    dcgm_url: str,
) -> None:
    """Collect what this node shows of trouble into its NodeHealth, until Ctrl-C.

    Reads containers' and the kernel's logs, processes, GPUs, network cards and disks of this machine. What
    cannot be read is said in the object, with what would help.
    """
    settings = part_settings(
        kubeconfig, context, leader_elect=False, metrics_port=metrics_port, log_level=log_level
    )
    from springtide.collecting import CollectSettings
    from springtide.up import run_collect

    collect = CollectSettings(
        node=node or os.environ.get(NODE_VARIABLE) or machine.node().lower(),
        data_dir=state_dir.absolute(),
        logs_dir=logs_dir,
        kernel_log=kernel_log,
        host_root=host_root,
        dcgm_url=dcgm_url,
        watches_node_only=True,
    )
    run_until_signal(lambda: run_collect(settings, say, collect=collect))
