"""A command's connection: the client, the namespace and what the server serves.

Every command that speaks to an API server is written as a coroutine over a `Session` and run with
`connected`. Tests pass a `Wiring` as click's context object, to speak to a server in the same process
under virtual time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from springtide import client as api
from springtide.api.resources import Resource
from springtide.cli.ages import now
from springtide.cli.errors import CliError
from springtide.cli.target import Target, choose_kubeconfig

T = TypeVar("T")

MANAGER = "springtide-cli"


class Session:
    """One command's view of the server."""

    def __init__(
        self,
        client: api.Client,
        namespace: str = "default",
        now: Callable[[], datetime] = now,
        server: str = "",
    ) -> None:
        self.client = client
        self.server = server
        self.namespace = namespace
        self.now = now
        self._resources: list[Resource] = []

    async def resources(self, *, refresh: bool = False) -> list[Resource]:
        """All kinds of the server; asked once."""
        if refresh or not self._resources:
            self._resources = await self.client.discover()
        return self._resources

    async def find(self, name: str) -> Resource:
        """The kind a person typed. Raises CliError with the nearest names."""
        try:
            return api.find(await self.resources(), name)
        except api.NotFound as error:
            raise CliError(
                error.message, "kinds are given as in kubectl: pods, po, trainjobs, workloads …"
            ) from None

    async def find_kind(self, api_version: str, kind: str) -> Resource:
        """The kind of a manifest, asking again in case its CRD was created a moment ago."""
        try:
            return api.find_kind(await self.resources(), api_version, kind)
        except api.NotFound:
            return api.find_kind(await self.resources(refresh=True), api_version, kind)

    def namespace_of(self, resource: Resource) -> str:
        """The namespace to address a kind in; cluster-scoped kinds have none."""
        return self.namespace if resource.namespaced else ""


@asynccontextmanager
async def open_session(target: Target) -> AsyncIterator[Session]:
    """Connect as the command line and the environment say; warnings of the server go to stderr."""
    path = choose_kubeconfig(target, os.environ, Path.home())
    try:
        connection = api.load_kubeconfig(path, target.context or None)
    except api.KubeconfigError as error:
        raise CliError(str(error), "choose another with --kubeconfig or --context") from None
    client = api.connect(connection, manager=MANAGER, on_warning=_warn)
    try:
        yield Session(client, target.namespace or connection.namespace or "default", server=connection.server)
    finally:
        await client.close()


@asynccontextmanager
async def closing(source: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """`contextlib.aclosing` for what is declared as an iterator: a watch or a log, left early."""
    try:
        yield source
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


@dataclass(frozen=True)
class Wiring:
    """How commands connect and run; replaced in tests."""

    open: Callable[[Target], AbstractAsyncContextManager[Session]] = open_session
    run: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run


def connected(target: Target, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
    """Run a command's coroutine over a session, to its end."""
    wiring = click.get_current_context().find_object(Wiring) or Wiring()

    async def main() -> T:
        async with wiring.open(target) as session:
            return await work(session)

    result: T = wiring.run(main())
    return result


def _warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)
