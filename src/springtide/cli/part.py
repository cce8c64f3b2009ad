"""What `springtide server`, `scheduler`, `controllers`, `node`, `collect` share: options, signals.

Each runs one part of the platform in this terminal until Ctrl-C or SIGTERM; `springtide up` runs all of them
in one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from springtide.cli.target import Target, choose_kubeconfig

if TYPE_CHECKING:
    from springtide.client import Connection
    from springtide.up import PartSettings

Function = TypeVar("Function", bound=Callable[..., Any])


def log_level_option(function: Function) -> Function:
    """`--log-level`."""
    return click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="What is written into the log (stderr).",
    )(function)


def part_options(function: Function) -> Function:
    """Where the API server is, and how this part behaves there; `part_settings` is made of them."""
    for option in (
        log_level_option,
        click.option(
            "--metrics-port",
            type=click.IntRange(0, 65535),
            default=0,
            help="Port on 127.0.0.1 for Prometheus' /metrics; 0 serves none.",
        ),
        click.option("--context", default="", help="Context of the kubeconfig."),
        click.option("--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig file of the cluster."),
    ):
        function = option(function)
    return function


def kernel_log_option(function: Function) -> Function:
    """`--kernel-log`."""
    return click.option(
        "--kernel-log",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("/dev/kmsg"),
        show_default=True,
        help="The kernel's log, in which failing hardware is looked for; a FIFO or a file will do too.",
    )(function)


def leader_option(function: Function) -> Function:
    """`--leader-elect`."""
    return click.option(
        "--leader-elect/--no-leader-elect",
        default=True,
        show_default=True,
        help="Work only while holding a Lease in kube-system, so that a second one can stand by.",
    )(function)


def part_settings(
    kubeconfig: Path | None, context: str, *, leader_elect: bool, metrics_port: int, log_level: str
) -> PartSettings:
    """Raises CliError and KubeconfigError if there is no such connection."""
    from springtide.up import PartSettings

    return PartSettings(
        _connection(kubeconfig, context),
        leader_elect=leader_elect,
        metrics_port=metrics_port,
        log_level=log_level,
    )


def _connection(given: Path | None, context: str) -> Connection:
    """By the kubeconfig that is named; in a pod of a cluster that names none, by its service account."""
    from springtide.client import in_cluster, kubeconfig, load_kubeconfig

    account = kubeconfig.SERVICE_ACCOUNT
    named = given is not None or context or os.environ.get("KUBECONFIG")
    if not named and os.environ.get("KUBERNETES_SERVICE_HOST") and (account / "token").exists():
        return in_cluster(folder=account)
    path = choose_kubeconfig(Target(given, context), os.environ, Path.home())
    return load_kubeconfig(path, context or None)


def run_until_signal(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work` until it ends or SIGTERM or SIGINT cancels it."""
    import uvloop

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await work()

    uvloop.run(main())  # twice as quick as asyncio's own loop for HTTPS


def say(sentence: str) -> None:
    """What a part says when it has begun."""
    click.echo(f"{sentence}; Ctrl-C stops it", err=True)
