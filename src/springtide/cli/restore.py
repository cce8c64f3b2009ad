"""`springtide restore`: makes a data folder of a backup."""

from __future__ import annotations

from pathlib import Path

import click

from springtide.cli.ages import now
from springtide.cli.output import JSON, YAML, output_option, print_data
from springtide.cli.target import data_dir_option


@click.command(name="restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_dir_option
@output_option(JSON, YAML)
def command(file: Path, data_dir: Path, output: str) -> None:
    """Make a data folder of the backup FILE. The folder must be empty or not exist: nothing is overwritten.

    Every byte is checked first. Objects keep their resourceVersions, but new ones go on far above all that
    the old platform can have given, so that clients which knew it list anew (410) instead of mixing the two.
    """
    import msgspec

    from springtide.store.backup import restore

    restored = restore(file.expanduser().absolute(), data_dir.expanduser().absolute(), now=now())
    if output:
        print_data(msgspec.to_builtins(restored), output)
        return
    manifest = restored.manifest
    click.echo(
        f"{restored.folder}: {manifest.objects} objects of {manifest.created:%Y-%m-%d %H:%M:%S} UTC, "
        f"revisions go on at {restored.revision}",
        err=True,
    )
    click.echo(f"next: springtide up --data-dir {restored.folder}", err=True)
