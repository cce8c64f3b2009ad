"""`springtide down`: ends the platform of a data folder and every process it started."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from springtide.cli import platform
from springtide.cli.errors import CliError
from springtide.cli.target import data_dir_option

if TYPE_CHECKING:
    import psutil

POD_UID = "SPRINGTIDE_POD_UID"
"""What the node puts into the environment of every process of a pod."""
KILL_SECONDS = 5.0
"""How long processes get to vanish after SIGKILL."""


@click.command(name="down")
@data_dir_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=45.0,
    show_default=True,
    help="Seconds to end by itself; then it is killed.",
)
def command(data_dir: Path, timeout: float) -> None:
    """Stop the platform. Its data stay; the next `springtide up` goes on with them.

    Stopping one that does not run is fine.
    """
    data_dir = data_dir.expanduser().absolute()
    found = platform.running(data_dir)
    pid = found.pid if found is not None else platform.holder(data_dir)
    if pid is None:
        click.echo(f"nothing is running on {data_dir}", err=True)
        return
    click.echo(stop(pid, timeout), err=True)
    platform.forget(data_dir, pid)


def stop(pid: int, timeout: float) -> str:
    """End a process and all its descendants; returns what happened. Raises CliError if one stays."""
    import psutil

    began = time.monotonic()
    try:
        main = psutil.Process(pid)
        family = main.children(recursive=True)
        jobs = _of_jobs(family)
        main.terminate()
    except psutil.NoSuchProcess:
        return f"process {pid} had ended already"
    except psutil.AccessDenied:
        raise CliError(
            f"process {pid} belongs to another user and cannot be stopped",
            "stop it as the user who started it",
        ) from None
    _, alive = psutil.wait_procs([main], timeout=timeout)
    killed = bool(alive)
    if killed:
        family = _union(family, main)
        main.kill()
    left = _end(family + alive)
    if left:
        raise CliError(f"processes that could not be ended: {', '.join(str(p.pid) for p in left)}")
    how = f"killed after {timeout:g} s" if killed else f"stopped in {time.monotonic() - began:.1f} s"
    others = f", with {jobs} process{'es' if jobs > 1 else ''} of jobs" if jobs else ""
    return f"springtide (process {pid}) {how}{others}"


def _of_jobs(family: list[psutil.Process]) -> int:
    """How many of them belong to pods; the platform starts a few small ones for itself too."""
    return sum(_in_pod(process) for process in family)


def _in_pod(process: psutil.Process) -> bool:
    import psutil

    try:
        return POD_UID in process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _union(family: list[psutil.Process], main: psutil.Process) -> list[psutil.Process]:
    """Descendants seen before, and those that have come since."""
    import psutil

    try:
        return list({*family, *main.children(recursive=True)})
    except psutil.NoSuchProcess:
        return family


def _end(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Kill what is left; returns what would not die. psutil never signals a reused process number."""
    import psutil

    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=KILL_SECONDS)
    return list(alive)
