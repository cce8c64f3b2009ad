"""`springtide get`: any kind the server serves, in the server's own columns, once or as it changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import click
import msgspec

from springtide import client as api
from springtide.api.resources import Resource
from springtide.cli.complete import kinds, names
from springtide.cli.errors import EXIT_USAGE, CliError
from springtide.cli.output import JSON, NAME, WIDE, YAML, output_option, print_objects
from springtide.cli.session import Session, closing, connected
from springtide.cli.tables import ACCEPT, Printer, Table, event_of, table_of
from springtide.cli.target import Target, target_options
from springtide.client.watch import LineSplitter

RECONNECT_SECONDS = 1.0


@dataclass(frozen=True)
class Selection:
    """What is asked for: one kind, and all of it, some by selector, or some by name."""

    resource: Resource
    names: tuple[str, ...]
    namespace: str
    label_selector: str = ""
    field_selector: str = ""

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace)

    @property
    def query(self) -> dict[str, object]:
        return {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}


@click.command(name="get")
@click.argument("kind", shell_complete=kinds)
@click.argument("name", nargs=-1, shell_complete=names)
@click.option("-A", "--all-namespaces", is_flag=True, help="From all namespaces.")
@click.option(
    "-l", "--selector", default="", help="Only objects with these labels, such as app=web,tier!=test."
)
@click.option(
    "--field-selector", default="", help="Only objects with these fields, such as status.phase=Running."
)
@click.option("-w", "--watch", is_flag=True, help="Go on and print every change.")
@click.option("--no-headers", is_flag=True, help="Leave out the line of column names.")
@output_option(JSON, YAML, WIDE, NAME)
@target_options
def command(
    kind: str,
    name: tuple[str, ...],
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    watch: bool,
    no_headers: bool,
    output: str,
    namespace: str,
    kubeconfig: Any,
    context: str,
) -> None:
    """List objects of any kind: `get pods`, `get trainjobs -A`, `get trainjob/digits -o yaml`."""
    kind, names_ = split_reference(kind, name)
    if watch and "," in kind:
        raise CliError(f"--watch follows one kind, not {kind}", "", EXIT_USAGE)

    async def work(session: Session) -> None:
        for position, each in enumerate(kind.split(",")):
            resource = await session.find(each)
            where = "" if all_namespaces and not names_ else session.namespace_of(resource)
            if position and output in ("", WIDE):
                click.echo()
            await show(session, Selection(resource, names_, where, selector, field_selector))

    async def show(session: Session, selection: Selection) -> None:
        if output in ("", WIDE):
            namespaced = selection.resource.namespaced
            printer = Printer(wide=output == WIDE, namespaces=all_namespaces and namespaced)
            version = await _print_table(session, selection, printer, no_headers)
            if watch:
                await _watch_table(session, selection, printer, version)
        else:
            version = await _print_objects(session, selection, output)
            if watch:
                await _watch_objects(session, selection, output, version)

    connected(Target(kubeconfig, context, namespace), work)


def split_reference(kind: str, names_: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """`trainjob/digits` is `trainjob digits`. Raises CliError for both forms at once."""
    head, slash, name = kind.partition("/")
    if not slash:
        return kind, names_
    if names_ or not name:
        raise CliError(f"{kind!r}: give KIND/NAME alone or KIND NAME…", "", EXIT_USAGE)
    return head, (name,)


async def _print_table(session: Session, selection: Selection, printer: Printer, no_headers: bool) -> str:
    """Print the present state; returns the version a watch continues from."""
    if not selection.names:
        response = await session.client.request("GET", selection.path, query=selection.query, accept=ACCEPT)
        table = table_of(response.body)
        _echo_table(table, printer, no_headers, selection)
        return table.metadata.resource_version
    version = ""
    for position, name in enumerate(selection.names):
        path = selection.resource.path(selection.namespace, name)
        table = table_of((await session.client.request("GET", path, accept=ACCEPT)).body)
        _echo_table(table, printer, no_headers or position > 0, selection)
        version = table.metadata.resource_version or _newest(table)
    return version


def _echo_table(table: Table, printer: Printer, no_headers: bool, selection: Selection) -> None:
    text = printer.format(table, with_header=not no_headers)
    if text:
        click.echo(text)
    else:
        where = f" in namespace {selection.namespace}" if selection.namespace else ""
        click.echo(f"no {selection.resource.plural} found{where}", err=True)


async def _print_objects(session: Session, selection: Selection, output: str) -> str:
    collection = session.client.dynamic(selection.resource)
    if selection.names:
        found = [await collection.get(name, selection.namespace) for name in selection.names]
        print_objects(found, output, as_list=len(found) > 1)
        return str(found[-1]["metadata"].get("resourceVersion", ""))
    listing = await collection.list(
        selection.namespace, label_selector=selection.label_selector, field_selector=selection.field_selector
    )
    print_objects(listing.items, output, as_list=True)
    return listing.resource_version


async def _watch_table(session: Session, selection: Selection, printer: Printer, version: str) -> None:
    """Print each change as a row, for ever; a stream that ends is taken up where it ended."""
    while True:
        query = {**_watched(selection), "watch": True, "resourceVersion": version, "timeoutSeconds": 300}
        lines = LineSplitter()
        try:
            async with closing(session.client.stream(selection.path, query=query, accept=ACCEPT)) as chunks:
                async for chunk in chunks:
                    for line in lines.feed(chunk):
                        version = _echo_event(line, printer, selection) or version
        except api.Gone:
            version = await _print_table(session, selection, printer, no_headers=True)
        except api.Unreachable as error:
            click.echo(f"watch interrupted, trying again: {error}", err=True)
            await asyncio.sleep(RECONNECT_SECONDS)


def _echo_event(line: bytes, printer: Printer, selection: Selection) -> str:
    """Print one event of a Table watch; returns the version after it. Raises the error of an ERROR event."""
    event = event_of(line)
    if event.type == "ERROR":
        raise api.error_from_response(410, bytes(event.object))
    table = msgspec.json.decode(event.object, type=Table)
    if event.type != "BOOKMARK" and _wanted(table, selection):
        text = printer.format(table, with_header=False)
        if text:
            click.echo(text)
    return _newest(table)


async def _watch_objects(session: Session, selection: Selection, output: str, version: str) -> None:
    collection = session.client.dynamic(selection.resource)
    watched = _watched(selection)
    while True:
        events = collection.watch(
            selection.namespace,
            resource_version=version,
            label_selector=str(watched["labelSelector"]),
            field_selector=str(watched["fieldSelector"]),
        )
        try:
            async with closing(events):
                async for event in events:
                    if isinstance(event, api.Bookmark):
                        version = event.resource_version
                        continue
                    version = event.object["metadata"].get("resourceVersion", version)
                    print_objects([event.object], output, as_list=False)
        except api.Gone:
            version = await _print_objects(session, selection, output)
        except api.Unreachable as error:
            click.echo(f"watch interrupted, trying again: {error}", err=True)
            await asyncio.sleep(RECONNECT_SECONDS)


def _watched(selection: Selection) -> dict[str, object]:
    """A single named object is watched by its name; several are watched together and filtered here."""
    if len(selection.names) == 1:
        return {**selection.query, "fieldSelector": f"metadata.name={selection.names[0]}"}
    return selection.query


def _wanted(table: Table, selection: Selection) -> bool:
    return not selection.names or any(row.object.metadata.name in selection.names for row in table.rows or [])


def _newest(table: Table) -> str:
    return table.rows[-1].object.metadata.resource_version if table.rows else table.metadata.resource_version
