"""From a connection to a client. The HTTP machinery is loaded here and not before."""

from __future__ import annotations

from collections.abc import Callable

from springtide.client.client import Client
from springtide.client.kubeconfig import Connection


def connect(
    connection: Connection,
    *,
    manager: str = "springtide",
    on_warning: Callable[[str], None] | None = None,
) -> Client:
    """A client of this server; close it when done. Must be called where an event loop runs."""
    from springtide.client.http import HttpTransport

    return Client(HttpTransport(connection), manager=manager, on_warning=on_warning)
