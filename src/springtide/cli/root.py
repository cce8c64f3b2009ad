"""The command tree: names, one-line summaries, and where each command's module is.

A command's module is imported when the command is used, its help is shown or its shell completion runs;
`springtide --help` needs only the table below (a test checks it against the modules).
"""

# ruff: noqa: ARG002 - the signatures are click's

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import springtide
from springtide.cli.errors import EXIT_CODES, EXIT_INTERRUPTED, CliError, explain

COMMANDS: dict[str, str] = {
    "up": "Start the platform on this machine",
    "down": "Stop the platform on this machine",
    "status": "Show the platform, its nodes, queues and jobs",
    "run": "Run a Python script as a training job and follow it",
    "apply": "Create or change objects from YAML files",
    "get": "List objects of any kind",
    "describe": "Show one object with its events",
    "logs": "Print what a job or a pod wrote",
    "delete": "Delete objects",
    "queue": "Show queues and who waits in which order",
    "explain": "Say why a job waits or failed, and what to do",
    "diagnose": "Say why a job failed, whose fault it is and on what evidence; judge lines of logs",
    "remediation": "Show which nodes are out of service, why, and what brings them back",
    "approve": "Say yes or no to a job that waits for an admission check",
    "plan": "Show what the scheduler would decide about a job that does not exist yet",
    "defragment": "Show whom moving others would let start, and move them",
    "simulate": "Replay a trace with the scheduler's own code and compare policies",
    "server": "Run the embedded API server alone",
    "scheduler": "Run the scheduler alone, against any cluster",
    "controllers": "Run the controllers alone, against any cluster",
    "node": "Run this machine as a node, or simulated nodes, of any cluster",
    "collect": "Run the collectors of a node's health beside its kubelet",
    "backup": "Write a backup of the platform, also while it runs",
    "restore": "Make a data folder of a backup",
    "user": "Write a kubeconfig for somebody else, with a client certificate",
    "rotate": "Renew the platform's certificate and the key that signs tokens",
    "version": "Print the version",
    "completion": "Print the shell completion script",
}
"""Command name to summary, in the order a newcomer meets them; the module has the command's name."""


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"springtide.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(_with_suggestion(error.message, args[0]), ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> NoReturn:
        """Run and end the process; no error leaves here as a stack trace."""
        options["standalone_mode"] = False
        try:
            code = super().main(args, *rest, **options)
        except BrokenPipeError:
            _silence_stdout()
            code = 0
        except (KeyboardInterrupt, click.Abort):
            click.echo(err=True)
            code = EXIT_INTERRUPTED
        except Exception as error:  # noqa: BLE001 - the boundary of the program
            code = report(error)
        sys.exit(code if isinstance(code, int) else 0)


def report(error: BaseException) -> int:
    """Print an error the way all of them look, and return the exit code."""
    if os.environ.get("SPRINGTIDE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    found: CliError = explain(error)
    label = click.style("error", fg="red", bold=True)
    click.echo(f"{label}: {found.message}", err=True, color=_color())
    if found.hint:
        click.echo(f"\n{click.style('hint', fg='cyan')}: {found.hint}", err=True, color=_color())
    return found.exit_code


def _color() -> bool | None:
    """click strips colours off a terminal by itself; NO_COLOR (no-color.org) strips them on one too."""
    return False if os.environ.get("NO_COLOR") else None


def _with_suggestion(message: str, given: str) -> str:
    import difflib

    near = difflib.get_close_matches(given, COMMANDS, n=1)
    return f"{message.rstrip('.')}; did you mean `{near[0]}`?" if near else message


def _silence_stdout() -> None:
    """The reader of our output went away (`| head`); nothing more can be written, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(springtide.__version__, message="springtide %(version)s")
@click.option("--kubeconfig", help="Kubeconfig file of the cluster; also after the command.")
@click.option("--context", "kube_context", help="Context of the kubeconfig; also after the command.")
@click.option("-n", "--namespace", help="Namespace; also after the command.")
@click.pass_context
def root(ctx: click.Context, kubeconfig: str | None, kube_context: str | None, namespace: str | None) -> None:
    """Springtide runs AI workloads: on this laptop, or on a Kubernetes cluster.

    Begin with `springtide up --detach`, then `springtide run train.py --nodes 2`.
    """
    given = {"kubeconfig": kubeconfig, "context": kube_context, "namespace": namespace}
    defaults = {name: value for name, value in given.items() if value is not None}
    ctx.default_map = dict.fromkeys(COMMANDS, defaults)
