"""`springtide up`: the platform in this terminal, or with --detach in the background.

In the background the same program runs with `--ready-fd`, a pipe on which it reports once: that it answers,
or why it cannot. So the parent shows the child's error as its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import springtide
from springtide.cli import platform, warmup
from springtide.cli.errors import CliError, explain
from springtide.cli.target import data_dir_option, database_limit_option

if TYPE_CHECKING:
    from springtide.up import Ready, UpSettings

DEFAULT_PORT = 7443
PATIENCE_SECONDS = 60.0
"""How long a platform in the background may take until it answers."""
LOG_LIMIT_BYTES = 10_000_000
LOG_LINES_SHOWN = 15


@click.command(name="up")
@click.option("-d", "--detach", is_flag=True, help="Run in the background; return when it is ready.")
@data_dir_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port of the API server on 127.0.0.1; 0 picks a free one.",
)
@click.option(
    "--simulate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="NODES.yaml",
    help="Run pods on the simulated nodes of this file instead of as processes.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Also add the platform as a context to this kubeconfig, such as ~/.kube/config.",
)
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path.cwd,
    show_default="the present folder",
    help="Folder that processes of pods start in.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What the platform writes into its log.",
)
@database_limit_option
@click.option("--ready-fd", type=int, hidden=True)
def command(
    detach: bool,
    data_dir: Path,
    port: int,
    simulate: Path | None,
    kubeconfig: Path | None,
    workdir: Path,
    log_level: str,
    database_limit: int,
    ready_fd: int | None,
) -> None:
    """Start the platform: an embedded Kubernetes API, the controllers, and this machine as a node.

    Everything is kept in the data folder; the next `up` on it goes on where the last one ended. Ctrl-C (or
    `springtide down`) stops it. In a shell, `eval "$(springtide up --detach)"` also sets KUBECONFIG.
    """
    data_dir = data_dir.expanduser().absolute()
    if detach:
        refuse_second(data_dir)
        arguments = _arguments(data_dir, port, simulate, kubeconfig, workdir, log_level)
        _detach(data_dir, [*arguments, "--database-limit", str(database_limit)])
        return
    reporter = _Reporter(ready_fd)
    try:
        refuse_second(data_dir)
        check_port(port)
        warmup.begin()
        from springtide.up import UpSettings

        settings = UpSettings(
            data_dir=data_dir,
            kubeconfig=kubeconfig.expanduser().absolute() if kubeconfig is not None else None,
            port=port,
            simulate=simulate,
            workdir=workdir.absolute(),
            database_bytes=database_limit * 1024 * 1024,
            log_level=log_level,
        )
        _serve(settings, reporter)
    except BaseException as error:
        reporter.failed(explain(error))
        raise


class _Reporter:
    """Tells the parent, or the terminal, how the start went. Says only the first thing."""

    def __init__(self, ready_fd: int | None) -> None:
        self._fd = ready_fd

    def ready(self, running: platform.Running, settings: UpSettings) -> None:
        if self._fd is None:
            _print_ready(running, settings.data_dir, None)
            click.echo("Ctrl-C stops it", err=True)
        self._send({"server": running.server})

    def failed(self, error: CliError) -> None:
        self._send({"error": error.message, "hint": error.hint, "exitCode": error.exit_code})

    def _send(self, message: dict[str, Any]) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, json.dumps(message).encode() + b"\n")
                os.close(self._fd)
            self._fd = None


def _serve(settings: UpSettings, reporter: _Reporter) -> None:
    """Run the platform until a signal ends it."""
    import uvloop

    from springtide.up import serve

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)

        def ready(found: Ready) -> None:
            warmup.end()
            started_at = platform.process_started_at(os.getpid()) or 0.0
            running = platform.Running(os.getpid(), started_at, found.url, springtide.__version__)
            platform.record(settings.data_dir, running)
            reporter.ready(running, settings)

        with contextlib.suppress(asyncio.CancelledError):
            await serve(settings, ready)

    try:
        uvloop.run(main())  # twice as quick as asyncio's own loop for HTTPS
    finally:
        platform.forget(settings.data_dir, os.getpid())


def _detach(data_dir: Path, arguments: list[str]) -> None:
    """Start the same program in a session of its own and wait until it answers."""
    began = time.monotonic()
    log = _open_log(data_dir)
    reading, writing = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "springtide.cli", *arguments, "--ready-fd", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
        )
    finally:
        os.close(writing)
        os.close(log)
    message = _hear(reading, child, data_dir)
    if "error" in message:
        child.wait()
        raise CliError(message["error"], message["hint"], message["exitCode"])
    running = platform.running(data_dir)
    assert running is not None, "the platform records itself before it reports"
    _print_ready(running, data_dir, time.monotonic() - began)


def _hear(reading: int, child: subprocess.Popen[bytes], data_dir: Path) -> dict[str, Any]:
    """The child's one report. Raises CliError if it dies or stays silent."""
    with os.fdopen(reading) as pipe:
        heard, _, _ = select.select([pipe], [], [], PATIENCE_SECONDS)
        line = pipe.readline() if heard else ""
    if line:
        message: dict[str, Any] = json.loads(line)
        return message
    if not heard:
        child.terminate()
        raise CliError(
            f"the platform did not answer within {PATIENCE_SECONDS:g} s and was ended",
            f"its log is {data_dir / platform.LOG_FILE}",
        )
    code = child.wait()
    tail = "\n".join(_log_tail(data_dir))
    ended = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    raise CliError(
        f"the platform ended {ended} before it was ready\n\n{tail}",
        f"the whole log is {data_dir / platform.LOG_FILE}",
    )


def _arguments(
    data_dir: Path, port: int, simulate: Path | None, kubeconfig: Path | None, workdir: Path, log_level: str
) -> list[str]:
    arguments = ["up", "--data-dir", str(data_dir), "--port", str(port)]
    arguments += ["--workdir", str(workdir.absolute()), "--log-level", log_level]
    if simulate is not None:
        arguments += ["--simulate", str(simulate.absolute())]
    if kubeconfig is not None:
        arguments += ["--kubeconfig", str(kubeconfig.expanduser().absolute())]
    return arguments


def refuse_second(data_dir: Path) -> None:
    """One platform a data folder; the lock of the store decides races, this gives the better message."""
    pid = platform.holder(data_dir)
    if pid is not None and pid != os.getpid():
        running = platform.running(data_dir)
        where = f" and answers at {running.server}" if running is not None else ""
        raise CliError(
            f"a platform runs on {data_dir} already (process {pid}{where})",
            "use it, stop it with `springtide down`, or start another with --data-dir and --port 0",
        )


def check_port(port: int, host: str = "127.0.0.1") -> None:
    """Say which port is taken before anything is written. Port 0 is never taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise CliError(
                f"port {port} on {host} {reason}",
                "choose another with --port, or let `--port 0` pick a free one",
            ) from None


def _open_log(data_dir: Path) -> int:
    """The log file, to append to; a big one is put aside. Raises CliError for an unusable folder."""
    path = data_dir / platform.LOG_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.mkdir(exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CliError(
            f"the data folder {data_dir} cannot be used: {(error.strerror or str(error)).lower()}",
            "choose another with --data-dir, or correct its permissions",
        ) from None


def _log_tail(data_dir: Path) -> list[str]:
    text = (data_dir / platform.LOG_FILE).read_text(errors="replace")
    return text.splitlines()[-LOG_LINES_SHOWN:]


def _print_ready(running: platform.Running, data_dir: Path, seconds: float | None) -> None:
    """What is ready and what to do next; on stdout only the line a shell can evaluate."""
    took = f" in {seconds:.2f} s" if seconds is not None else ""
    resident = platform.resident_bytes(running.pid) / 1e6
    click.echo(
        f"springtide {running.version} is ready{took}, {resident:.0f} MB resident (process {running.pid})",
        err=True,
    )
    click.echo(f"server: {running.server}", err=True)
    if seconds is not None:
        click.echo(f"log:    {data_dir / platform.LOG_FILE}\n", err=True)
        click.echo("next:", err=True)
        click.echo(f"export KUBECONFIG={platform.kubeconfig_of(data_dir)}")
        click.echo("springtide run train.py --nodes 2", err=True)
        click.echo("springtide down", err=True)
