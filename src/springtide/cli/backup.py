"""`springtide backup`: one file that holds everything the platform knows, made while it runs."""

from __future__ import annotations

from pathlib import Path

import click

import springtide
from springtide.cli.ages import now
from springtide.cli.output import JSON, YAML, output_option, print_data
from springtide.cli.target import data_dir_option


@click.command(name="backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--without-credentials",
    is_flag=True,
    help="Leave out certificates, keys and tokens; a platform restored from it makes new ones.",
)
@data_dir_option
@output_option(JSON, YAML)
def command(file: Path, without_credentials: bool, data_dir: Path, output: str) -> None:
    """Write a backup of the platform into FILE, which must not exist yet.

    The platform may run and be written to: the backup holds what was stored at one moment. It contains
    Secrets and, unless left out, the platform's keys: whoever can read it can do what the administrator can.
    Volumes and logs of pods are not in it. `springtide restore` makes a data folder of it.
    """
    import msgspec

    from springtide.store.backup import back_up

    file = file.expanduser().absolute()
    manifest = back_up(
        data_dir.expanduser().absolute(),
        file,
        now=now(),
        version=springtide.__version__,
        credentials=not without_credentials,
    )
    size = file.stat().st_size
    if output:
        print_data({"file": str(file), "bytes": size, **msgspec.to_builtins(manifest)}, output)
        return
    keys = "without credentials" if without_credentials else "with credentials: keep it safe"
    click.echo(
        f"{file}: {manifest.objects} objects at revision {manifest.revision}, {size / 1e6:.1f} MB, {keys}",
        err=True,
    )
