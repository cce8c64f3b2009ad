"""`springtide rotate`: new certificate and signing key, which a running platform takes into use by itself."""

from __future__ import annotations

from pathlib import Path

import click

from springtide.cli.ages import now
from springtide.cli.errors import CliError
from springtide.cli.target import data_dir_option


@click.command(name="rotate")
@data_dir_option
def command(data_dir: Path) -> None:
    """Renew the certificate of the API server and the key that signs tokens of service accounts.

    Neither needs a restart: a running platform takes both into use within a minute. Open connections go on;
    kubeconfigs stay good, because the authority stays; tokens signed before stay good until they expire.
    Without this command the certificate is renewed by itself, thirty days before its end.
    """
    from springtide.server import SigningKeys
    from springtide.server.ca import renew

    folder = data_dir.expanduser().absolute() / "pki"
    try:
        renew(folder, now())
    except FileNotFoundError as error:
        raise CliError(str(error), "start a platform with `springtide up`, or give --data-dir") from error
    key = SigningKeys(folder).rotate()
    click.echo(
        f"{folder}: new serving certificate; tokens are signed with key {key[:16]} from now on", err=True
    )
