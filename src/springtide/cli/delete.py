"""`springtide delete`: objects by kind and name, by label, or those of a file; waits until they are gone."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

import click

from springtide import client as api
from springtide.api.resources import Resource
from springtide.cli.complete import kinds, names
from springtide.cli.errors import EXIT_USAGE, CliError
from springtide.cli.get import split_reference
from springtide.cli.manifests import read
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Doomed:
    resource: Resource
    name: str
    namespace: str

    def __str__(self) -> str:
        group = f".{self.resource.group}" if self.resource.group else ""
        return f"{self.resource.singular}{group}/{self.name}"


@click.command(name="delete")
@click.argument("kind", required=False, shell_complete=kinds)
@click.argument("name", nargs=-1, shell_complete=names)
@click.option(
    "-f",
    "--filename",
    "sources",
    multiple=True,
    metavar="FILE|FOLDER|-",
    help="Delete the objects of these manifests.",
)
@click.option("-l", "--selector", default="", help="Delete the objects with these labels.")
@click.option("--all", "everything", is_flag=True, help="Delete all objects of the kind in the namespace.")
@click.option("--grace-period", type=click.IntRange(min=0), help="Seconds pods get to end by themselves.")
@click.option("--ignore-not-found", is_flag=True, help="Objects that are gone already are fine.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the objects are gone.")
@click.option("--timeout", type=float, default=120.0, show_default=True, help="Seconds to wait.")
@target_options
def command(
    kind: str | None,
    name: tuple[str, ...],
    sources: tuple[str, ...],
    selector: str,
    everything: bool,
    grace_period: int | None,
    ignore_not_found: bool,
    wait: bool,
    timeout: float,
    namespace: str,
    kubeconfig: Any,
    context: str,
) -> None:
    """Delete objects, and with them what they own: deleting a TrainJob ends its processes."""
    manifests = [manifest for source in sources for manifest in read(source, sys.stdin)]
    kind, names_ = split_reference(kind or "", name)
    _check(kind, names_, bool(manifests), bool(selector) or everything)

    async def choose(session: Session) -> list[Doomed]:
        chosen: list[Doomed] = []
        for manifest in manifests:
            resource = await session.find_kind(manifest.api_version, manifest.kind)
            where = (manifest.namespace or session.namespace) if resource.namespaced else ""
            chosen.append(Doomed(resource, manifest.name, where))
        if kind:
            resource = await session.find(kind)
            where = session.namespace_of(resource)
            found = list(names_)
            if not found:
                listing = await session.client.dynamic(resource).list(where, label_selector=selector)
                found = [item["metadata"]["name"] for item in listing.items]
            chosen += [Doomed(resource, each, where) for each in found]
        return chosen

    async def work(session: Session) -> None:
        missing: list[CliError] = []
        chosen = await choose(session)
        uids: dict[Doomed, str] = {}
        for doomed in chosen:
            try:
                uids[doomed] = await _delete(session, doomed, grace_period)
                click.echo(f"{doomed} deleted")
            except api.NotFound as error:
                if not ignore_not_found:
                    missing.append(CliError(error.message, "--ignore-not-found accepts that"))
        if wait:
            await _wait(session, uids, timeout)
        if not chosen:
            click.echo(f"no {kind} found", err=True)
        if missing:
            raise missing[0]

    connected(Target(kubeconfig, context, namespace), work)


def _check(kind: str, names_: tuple[str, ...], from_files: bool, many: bool) -> None:
    if bool(kind) == from_files:
        raise CliError(
            "give either KIND NAME or -f FILE", "for example `springtide delete trainjob digits`", EXIT_USAGE
        )
    if kind and bool(names_) == many:
        raise CliError(
            "give names, or -l SELECTOR, or --all", "`springtide get` lists what there is", EXIT_USAGE
        )


async def _delete(session: Session, doomed: Doomed, grace_period: int | None) -> str:
    """Ask for deletion; returns the uid of what is deleted. Raises NotFound."""
    collection = session.client.dynamic(doomed.resource)
    uid = str((await collection.get(doomed.name, doomed.namespace))["metadata"].get("uid", ""))
    await collection.delete(doomed.name, doomed.namespace, uid=uid, grace_period_seconds=grace_period)
    return uid


async def _wait(session: Session, uids: dict[Doomed, str], timeout: float) -> None:
    """Wait until each object is gone or replaced by another of its name."""
    left = dict(uids)
    try:
        async with asyncio.timeout(timeout):
            while left:
                for doomed, uid in list(left.items()):
                    if not await _exists(session, doomed, uid):
                        del left[doomed]
                if left:
                    await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        still = ", ".join(map(str, left))
        raise CliError(
            f"still there after {timeout:g} s: {still}",
            "a finalizer or a grace period may hold it: `springtide get … -o yaml` shows metadata.finalizers",
        ) from None


async def _exists(session: Session, doomed: Doomed, uid: str) -> bool:
    try:
        found = await session.client.dynamic(doomed.resource).get(doomed.name, doomed.namespace)
    except api.NotFound:
        return False
    return bool(found["metadata"].get("uid", "") == uid)
