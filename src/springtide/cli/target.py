"""Which API server a command speaks to, and in which namespace: the options every such command has.

The connection is chosen in this order: --kubeconfig, $KUBECONFIG, the kubeconfig of a platform that runs on
the data folder, ~/.kube/config.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from springtide.cli.errors import CliError, Unreachable
from springtide.cli.platform import kubeconfig_of, running

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Target:
    """The choice as given on the command line; empty means not given."""

    kubeconfig: Path | None = None
    context: str = ""
    namespace: str = ""
    data_dir: Path | None = None


def default_data_dir() -> Path:
    """`$SPRINGTIDE_DATA_DIR`, else `~/.springtide`."""
    return Path(os.environ.get("SPRINGTIDE_DATA_DIR") or "~/.springtide").expanduser()


def choose_kubeconfig(target: Target, environ: Mapping[str, str], home: Path) -> Path:
    """The kubeconfig to use. Raises CliError for a missing --kubeconfig, Unreachable if there is none."""
    if target.kubeconfig is not None:
        given = target.kubeconfig.expanduser()
        if not given.exists():
            raise CliError(f"--kubeconfig: {given} does not exist", "give the path of a kubeconfig file")
        return given
    named = [Path(part).expanduser() for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    existing = next((path for path in named if path.exists()), None)
    if existing is not None:
        return existing
    if named:
        raise Unreachable(
            f"KUBECONFIG: {named[0]} does not exist",
            "`springtide up` writes that of a platform; or correct KUBECONFIG",
        )
    data_dir = target.data_dir or default_data_dir()
    if running(data_dir) is not None:
        return kubeconfig_of(data_dir)
    standard = home / ".kube" / "config"
    if standard.exists():
        return standard
    raise Unreachable(
        f"no platform runs on {data_dir} and there is no kubeconfig",
        "start one with `springtide up --detach`, or name a cluster with --kubeconfig",
    )


def data_dir_option(function: Function) -> Function:
    """`--data-dir`, for commands about the local platform."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=default_data_dir,
        show_default="$SPRINGTIDE_DATA_DIR or ~/.springtide",
        help="Folder of the platform: its database, logs, keys and kubeconfig.",
    )(function)


def database_limit_option(function: Function) -> Function:
    """`--database-limit`, for commands that serve a data folder."""
    return click.option(
        "--database-limit",
        type=click.IntRange(0),
        default=2048,
        show_default=True,
        metavar="MIB",
        help="Size of the database in MiB from which on only deleting is accepted; 0: no limit.",
    )(function)


def target_options(function: Function) -> Function:
    """The options that say where to; `Target` is made of them with `target_of`."""
    for option in reversed(
        (
            click.option(
                "-n",
                "--namespace",
                default="",
                help="Namespace; default: that of the context.",
                shell_complete=_complete_namespaces,
            ),
            click.option(
                "--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig file of the cluster."
            ),
            click.option("--context", default="", help="Context of the kubeconfig."),
        )
    ):
        function = option(function)
    return function


def _complete_namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from springtide.cli.complete import namespaces

    return namespaces(ctx, param, incomplete)
