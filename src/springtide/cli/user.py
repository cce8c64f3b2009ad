"""`springtide user`: a kubeconfig for somebody, who then may do what roles say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from springtide.cli.ages import now
from springtide.cli.errors import CliError
from springtide.cli.platform import kubeconfig_of
from springtide.cli.target import data_dir_option


@click.command(name="user")
@click.argument("name")
@click.option("--group", "groups", multiple=True, help="Group the user is in; may be given several times.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it; default: NAME.kubeconfig in this folder.",
)
@data_dir_option
def command(name: str, groups: tuple[str, ...], file: Path | None, data_dir: Path) -> None:
    """Write a kubeconfig with which NAME reaches the platform of this machine.

    The certificate in it is good for a year and cannot be taken back before; what NAME may do is what roles
    say, at first nothing but to ask: see `kubectl create rolebinding`. The group `system:masters` may do
    everything.
    """
    from springtide.client import load_kubeconfig, write_context
    from springtide.server import ensure_credentials

    folder = data_dir.expanduser().absolute()
    kubeconfig = kubeconfig_of(folder)
    if not kubeconfig.exists():
        raise CliError(
            f"{folder}: no platform was ever started there",
            "start one with `springtide up`, or give --data-dir",
        )
    admin = load_kubeconfig(kubeconfig)
    certificate, key = ensure_credentials(folder / "pki", now()).issue_client(name, groups, now())
    place = (file or Path(f"{name}.kubeconfig")).expanduser().absolute()
    own = replace(admin, token="", certificate_data=certificate, key_data=key)
    write_context(place, own, shared=False)
    place.chmod(0o600)
    click.echo(f"{place}: user {name}" + (f" in {', '.join(groups)}" if groups else ""), err=True)
