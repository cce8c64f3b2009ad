"""The embedded API server alone, for parts and clients in other processes: `springtide server`.

It imports nothing of controllers, scheduler or nodes, so that it stays small.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from springtide.client import Client, write_context
from springtide.runtime import SystemClock, configure_logging, logger
from springtide.server import InProcessTransport
from springtide.up.bootstrap import bootstrap, publish_server
from springtide.up.control_plane import admin_connection, open_https, open_server
from springtide.up.identities import write_identities
from springtide.up.node_api import reach_nodes
from springtide.up.settings import DATABASE_BYTES, DEFAULT_PORT, Ready

log = logger("up.api_part")


@dataclass(frozen=True)
class ServerSettings:
    """The embedded API server alone."""

    data_dir: Path
    """Database, certificates and kubeconfig. Created if missing; one server a folder."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine's."""
    port: int = DEFAULT_PORT
    """Port to listen on; 0 picks a free one."""
    names: tuple[str, ...] = ()
    """Further host names and addresses that clients reach it by; they are put into its certificate."""
    kubeconfig: Path | None = None
    """A kubeconfig to merge the context into, beside `<data_dir>/kubeconfig`; None: only that one."""
    database_bytes: int = DATABASE_BYTES
    """Size of the database in use from which on only deleting is accepted; 0: no limit."""
    log_level: str = "info"
    """What it logs: debug, info, warning or error."""


async def serve_api(settings: ServerSettings, ready: Callable[[Ready], None]) -> None:
    """Serve the embedded API until cancelled; `ready` is called once.

    Raises StoreError for an unusable data folder, KubeconfigError, and OSError for an address that is taken.
    """
    clock = SystemClock()
    began = clock.monotonic()
    configure_logging(level=settings.log_level)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            open_server(settings.data_dir, clock, settings.database_bytes)
        )
        https, credentials = await stack.enter_async_context(
            open_https(
                server, settings.data_dir, clock, host=settings.host, port=settings.port, names=settings.names
            )
        )
        await stack.enter_async_context(reach_nodes(server, credentials, clock))
        client = Client(InProcessTransport(server)).with_manager("bootstrap")
        await bootstrap(client)
        await publish_server(client, https.url)
        connection = admin_connection(https.url, credentials)
        write_context(settings.data_dir / "kubeconfig", connection, shared=False)
        write_identities(settings.data_dir, connection, credentials, clock.now())
        if settings.kubeconfig is not None:
            write_context(settings.kubeconfig, connection)
        seconds = clock.monotonic() - began
        log.info("serving", address=https.url, seconds=round(seconds, 3))
        ready(
            Ready(
                url=https.url,
                kubeconfig=settings.data_dir / "kubeconfig",
                data_dir=settings.data_dir,
                pid=os.getpid(),
                start_seconds=seconds,
                resident_bytes=psutil.Process().memory_info().rss,
                nodes=0,
            )
        )
        stack.callback(server.shut_down)  # the first thing at the end
        await asyncio.Event().wait()
