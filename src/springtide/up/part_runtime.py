"""What every part that runs against an API server starts with: settings, connection, runtime.

Called by `parts` and `collect_part`; imports no room, so that a small part stays small.
"""

from __future__ import annotations

import platform as machine
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import start_http_server

from springtide.api.version import is_embedded
from springtide.client import Connection, connect
from springtide.runtime import LeaderSettings, Runtime, RuntimeSettings, SystemClock, configure_logging

Begun = Callable[[str], None]
"""Called once with a sentence that says what runs where."""


@dataclass(frozen=True)
class PartSettings:
    """A part that works against an API server."""

    connection: Connection
    """The server, and who this part is there."""
    leader_elect: bool = True
    """Work only while holding a Lease in kube-system, so that several may be started and one works."""
    identity: str = field(default_factory=lambda: f"{machine.node()}_{uuid.uuid4()}")
    """Who this process is among the candidates for the Lease."""
    metrics_port: int = 0
    """Port on 127.0.0.1 for Prometheus' `/metrics`; 0: none."""
    log_level: str = "info"
    """What it logs: debug, info, warning or error."""


@asynccontextmanager
async def part_runtime(settings: PartSettings, lease: str) -> AsyncIterator[tuple[Runtime, bool]]:
    """A runtime over the connection, and whether its server is embedded. `lease` empty: no election."""
    configure_logging(level=settings.log_level)
    client = connect(settings.connection)
    try:
        elected = (
            LeaderSettings(identity=settings.identity, name=lease)
            if lease and settings.leader_elect
            else None
        )
        runtime = Runtime(client, SystemClock(), RuntimeSettings(leader=elected))
        embedded = is_embedded((await client.request("GET", "/version")).body)
        if settings.metrics_port:
            listening, _ = start_http_server(
                settings.metrics_port, addr="127.0.0.1", registry=runtime.metrics()
            )
            try:
                yield runtime, embedded
            finally:
                listening.shutdown()
        else:
            yield runtime, embedded
    finally:
        await client.close()
