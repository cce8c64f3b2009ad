"""`springtide apply`: server-side apply of manifests, with the server's strict field validation."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from springtide import client as api
from springtide.api.resources import Resource
from springtide.cli.errors import CliError
from springtide.cli.manifests import Manifest, read
from springtide.cli.output import JSON, NAME, YAML, object_name, output_option, print_objects
from springtide.cli.session import MANAGER, Session, connected
from springtide.cli.target import Target, target_options

APPLY = "application/apply-patch+yaml"


@click.command(name="apply")
@click.option(
    "-f",
    "--filename",
    "sources",
    multiple=True,
    required=True,
    metavar="FILE|FOLDER|-",
    help="What to apply; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Let the server check and answer, but change nothing.")
@click.option("--force-conflicts", is_flag=True, help="Take over fields that others have set.")
@output_option(JSON, YAML, NAME)
@target_options
def command(
    sources: tuple[str, ...],
    dry_run: bool,
    force_conflicts: bool,
    output: str,
    namespace: str,
    kubeconfig: Any,
    context: str,
) -> None:
    """Create objects from YAML, or change them to what it says.

    Fields that an earlier apply set and that are no longer in the file are removed.
    Every document is tried; the exit code is 1 if one of them was refused.
    """
    manifests = [manifest for source in sources for manifest in read(source, sys.stdin)]

    async def work(session: Session) -> tuple[list[dict[str, Any]], list[CliError]]:
        applied: list[dict[str, Any]] = []
        refused: list[CliError] = []
        for manifest in manifests:
            try:
                stored, outcome = await apply_manifest(
                    session, manifest, dry_run=dry_run, force=force_conflicts
                )
            except CliError as error:
                refused.append(error)
                continue
            applied.append(stored)
            if not output:
                click.echo(f"{object_name(stored)} {outcome}{' (dry run)' if dry_run else ''}")
        return applied, refused

    applied, refused = connected(Target(kubeconfig, context, namespace), work)
    if output and applied:
        print_objects(applied, output, as_list=len(applied) > 1)
    _raise(refused)


async def apply_manifest(
    session: Session, manifest: Manifest, *, dry_run: bool, force: bool
) -> tuple[dict[str, Any], str]:
    """Apply one object; returns it as stored and `created`, `configured` or `unchanged`.

    Raises CliError that begins with the place of the object in its file.
    """
    if not manifest.name:
        raise CliError(
            f"{manifest.place}: field metadata.name is missing",
            "apply needs a name; with metadata.generateName use `springtide run -f` or `kubectl create`",
        )
    try:
        resource = await session.find_kind(manifest.api_version, manifest.kind)
        namespace = _namespace(session, resource, manifest)
        before = await _version(session, resource, manifest.name, namespace)
        query = {
            "fieldManager": MANAGER,
            "fieldValidation": "Strict",
            "force": force,
            "dryRun": "All" if dry_run else "",
        }
        path = resource.path(namespace, manifest.name)
        body = msgspec.json.encode(_placed(manifest.raw, namespace))
        response = await session.client.request("PATCH", path, query=query, body=body, content_type=APPLY)
    except api.Unreachable:
        raise
    except api.ApiError as error:
        raise refusal(manifest, error) from error
    stored: dict[str, Any] = msgspec.json.decode(response.body)
    after = stored.get("metadata", {}).get("resourceVersion", "")
    return stored, "created" if not before else "unchanged" if before == after else "configured"


def refusal(manifest: Manifest, error: api.ApiError) -> CliError:
    """The server's refusal of one object of a file, with the place and the way out."""
    hint = ""
    if isinstance(error, api.Conflict):
        hint = "another manager set these fields: leave them out, or take them over with --force-conflicts"
    elif isinstance(error, api.BadRequest | api.Invalid):
        hint = f"`kubectl explain {manifest.kind.lower()}.spec` lists the fields"
    elif isinstance(error, api.NotFound) and manifest.namespace:
        hint = f"does namespace {manifest.namespace} exist? `springtide get namespaces`"
    elif isinstance(error, api.NotFound):
        hint = "`kubectl api-resources` lists the kinds, `springtide get crds` the installed definitions"
    return CliError(f"{manifest.place}: {manifest.kind} {manifest.name}: {error.message}", hint)


def _namespace(session: Session, resource: Resource, manifest: Manifest) -> str:
    return (manifest.namespace or session.namespace) if resource.namespaced else ""


def _placed(raw: dict[str, Any], namespace: str) -> dict[str, Any]:
    if not namespace:
        return raw
    return {**raw, "metadata": {**raw["metadata"], "namespace": namespace}}


async def _version(session: Session, resource: Resource, name: str, namespace: str) -> str:
    """The present resourceVersion, "" if the object does not exist."""
    try:
        found = await session.client.dynamic(resource).get(name, namespace)
    except api.NotFound:
        return ""
    return str(found["metadata"].get("resourceVersion", ""))


def _raise(refused: list[CliError]) -> None:
    if len(refused) == 1:
        raise refused[0]
    if refused:
        hints = list(dict.fromkeys(error.hint for error in refused if error.hint))
        message = "\n".join(error.message for error in refused)
        raise CliError(f"{len(refused)} objects were refused\n{message}", "; ".join(hints))
