"""What the shell offers on Tab: kinds, names, jobs, queues, namespaces of a server that answers quickly.

Called by click while the user types; so it never prints, never fails and gives up after a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import click

from springtide.cli.errors import CliError
from springtide.cli.session import Session, Wiring
from springtide.cli.target import Target
from springtide.client import ApiError

PATIENCE_SECONDS = 1.0
COMMON_KINDS = (
    "trainjobs",
    "workloads",
    "pods",
    "nodes",
    "localqueues",
    "clusterqueues",
    "events",
    "diagnoses",
)


def kinds(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """All kinds of the server; the usual ones if none answers."""

    async def ask(session: Session) -> list[str]:
        return [resource.plural for resource in await session.resources()]

    return _starting(incomplete, _ask(ctx, ask) or list(COMMON_KINDS))


def names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the kind given before."""
    kind = ctx.params.get("kind") or ""
    return _named(ctx, str(kind), incomplete) if kind and "/" not in str(kind) else []


def jobs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _named(ctx, "trainjobs", incomplete)


def queues(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _named(ctx, "localqueues", incomplete)


def runtimes(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _named(ctx, "clustertrainingruntimes", incomplete)


def namespaces(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _named(ctx, "namespaces", incomplete)


def _named(ctx: click.Context, kind: str, incomplete: str) -> list[str]:
    async def ask(session: Session) -> list[str]:
        resource = await session.find(kind)
        listing = await session.client.dynamic(resource).list(session.namespace_of(resource), limit=500)
        return [item["metadata"]["name"] for item in listing.items]

    return _starting(incomplete, _ask(ctx, ask))


def _ask(ctx: click.Context, ask: Callable[[Session], Awaitable[list[str]]]) -> list[str]:
    given = ctx.params
    target = Target(given.get("kubeconfig"), given.get("context") or "", given.get("namespace") or "")
    wiring = ctx.find_object(Wiring) or Wiring()

    async def main() -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS), wiring.open(target) as session:
            return await ask(session)

    try:
        found: list[str] = wiring.run(main())
    except (CliError, ApiError, OSError, TimeoutError):
        return []
    return found


def _starting(incomplete: str, candidates: list[str]) -> list[str]:
    return sorted({candidate for candidate in candidates if candidate.startswith(incomplete)})
