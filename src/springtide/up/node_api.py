"""The node's own API behind HTTPS, and the way to it: what lets a node be a process of its own.

`parts.run_node` opens the door of its node; a server reaches every node through `reach_nodes`. Both sides
show certificates: the node one that its own authority signed, which it publishes on its Node object; the API
server one that the platform's authority signed, and nobody without such a one is heard.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from springtide.node import Endpoint
from springtide.runtime import Clock
from springtide.runtime.exchange import Service
from springtide.server import Authenticator, Credentials, HttpsServer, Server, User, ensure_credentials
from springtide.server.remote_nodes import KUBELET_CLIENT, LocalNodes, Nodes
from springtide.server.status import Unauthorized

MASTERS = "system:masters"


class ApiServers(Authenticator):
    """Hears API servers and administrators, by their certificates; a node trusts whom it hears."""

    def __init__(self) -> None:
        super().__init__({})

    def identify(self, authorization: str, peer_certificate: Mapping[str, Any] | None) -> User:  # noqa: ARG002
        if not peer_certificate:
            raise Unauthorized("Unauthorized: a node hears those with a client certificate only")
        user = super().identify("", peer_certificate)
        if MASTERS not in user.groups:
            raise Unauthorized(
                f"Unauthorized: a node hears the API server, not {user.name!r}: ask the API server instead"
            )
        return user


@asynccontextmanager
async def open_node_api(
    service: Service, folder: Path, clock: Clock, *, clients: bytes, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Endpoint]:
    """Serve the node's API. `clients` is the authority (PEM) of those who may ask; port 0 picks one.

    Raises OSError for an address that is taken.
    """
    own = ensure_credentials(folder, clock.now(), (host,))
    trusted = folder / "clients-ca.crt"
    trusted.write_bytes(clients)
    credentials = Credentials(trusted, own.server_certificate, own.server_key, admin_token="")
    https = HttpsServer(service, ApiServers(), credentials, host=host, port=port)
    await https.start()
    try:
        yield Endpoint(host, int(https.url.rpartition(":")[2]), own.ca_data)
    finally:
        await https.stop()


@asynccontextmanager
async def reach_nodes(
    server: Server, credentials: Credentials, clock: Clock, local: LocalNodes | None = None
) -> AsyncIterator[None]:
    """The server asks nodes: `local` ones in this process, all others over HTTPS."""

    def identity() -> tuple[bytes, bytes]:
        return credentials.issue_client(KUBELET_CLIENT, [MASTERS], clock.now())

    nodes = Nodes(server.context.store, identity, local)
    server.reach_nodes_through(nodes)
    try:
        yield
    finally:
        await nodes.close()
