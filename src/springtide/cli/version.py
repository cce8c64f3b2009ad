"""`springtide version`: ours, and the server's if asked."""

from __future__ import annotations

from typing import Any

import click

import springtide
from springtide.cli.output import JSON, YAML, output_option, print_data
from springtide.cli.target import Target, target_options


@click.command(name="version")
@click.option("--server", is_flag=True, help="Ask the API server for its version too.")
@output_option(JSON, YAML)
@target_options
def command(server: bool, output: str, namespace: str, kubeconfig: Any, context: str) -> None:
    """Print the version of this program, and with --server that of the API server."""
    versions = {"client": springtide.__version__}
    if server:
        versions["server"] = _server_version(Target(kubeconfig, context, namespace))
    if output:
        print_data(versions, output)
        return
    click.echo(f"springtide {versions['client']}")
    if server:
        click.echo(f"server {versions['server']}")


def _server_version(target: Target) -> str:
    import msgspec

    from springtide.cli.session import Session, connected

    async def work(session: Session) -> str:
        response = await session.client.request("GET", "/version")
        return str(msgspec.json.decode(response.body)["gitVersion"])

    return connected(target, work)
