"""`springtide server`: the embedded API server alone, for parts and clients in other processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

import springtide
from springtide.cli import platform, warmup
from springtide.cli.part import log_level_option, run_until_signal
from springtide.cli.target import data_dir_option, database_limit_option
from springtide.cli.up import DEFAULT_PORT, check_port, refuse_second

if TYPE_CHECKING:
    from springtide.up import Ready


@click.command(name="server")
@data_dir_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all of them."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    help="Further name or address that clients reach it by, for its certificate; may be repeated.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Also add the server as a context to this kubeconfig.",
)
@database_limit_option
@log_level_option
def command(
    data_dir: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    kubeconfig: Path | None,
    database_limit: int,
    log_level: str,
) -> None:
    """Run the embedded Kubernetes API alone, without controllers, scheduler and nodes.

    It writes a kubeconfig into its data folder. `springtide scheduler`, `springtide controllers` and
    `springtide node` join it from processes of their own; so do controllers made for Kubernetes.
    """
    data_dir = data_dir.expanduser().absolute()
    refuse_second(data_dir)
    check_port(port, host)
    warmup.begin()
    from springtide.up import ServerSettings, serve_api

    settings = ServerSettings(
        data_dir=data_dir,
        host=host,
        port=port,
        names=names,
        kubeconfig=kubeconfig.expanduser().absolute() if kubeconfig is not None else None,
        database_bytes=database_limit * 1024 * 1024,
        log_level=log_level,
    )

    def ready(found: Ready) -> None:
        warmup.end()
        started_at = platform.process_started_at(os.getpid()) or 0.0
        running = platform.Running(os.getpid(), started_at, found.url, springtide.__version__)
        platform.record(data_dir, running)
        click.echo(f"springtide server {running.version} is ready in {found.start_seconds:.2f} s", err=True)
        click.echo(f"server: {found.url}", err=True)
        click.echo(f"export KUBECONFIG={found.kubeconfig}")

    try:
        run_until_signal(lambda: serve_api(settings, ready))
    finally:
        platform.forget(data_dir, os.getpid())
