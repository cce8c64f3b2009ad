"""The embedded API as a process has it: the store of a data folder, the server over it, and its HTTPS door.

`platform` (everything in one process) and `parts` (the API server alone) open these in turn; each closes in
the reverse order, so that the store is the last to go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from springtide.client import Connection
from springtide.runtime import Clock, logger
from springtide.runtime.loopback import SERVICE_BLOCKS, hold
from springtide.server import ADMIN, Credentials, HttpsServer, Server, SigningKeys, ensure_credentials
from springtide.server.audit import AuditLog, AuditSettings
from springtide.server.audit_policy import Policy, load_policy
from springtide.server.rotation import keep_fresh
from springtide.server.service_block import first_address, move, stored_block
from springtide.store import Limits, SqliteLog, Store
from springtide.up.running import background

log = logger("up.control_plane")

CONTEXT = "springtide"
"""Name of the cluster, user and context in kubeconfigs."""


@asynccontextmanager
async def open_server(data_dir: Path, clock: Clock, database_bytes: int) -> AsyncIterator[Server]:
    """The API over the durable store of the data folder. Raises StoreError for an unusable folder."""
    limits = Limits(database_bytes=database_bytes)
    store = Store(SqliteLog(data_dir), monotonic=clock.monotonic, limits=limits)
    try:
        async with _service_block(store, data_dir) as block:
            keys = SigningKeys(data_dir / "pki")
            server = Server(store, clock=clock, signing_keys=keys, service_block=block)
            await server.start()
            with _audited(server, data_dir):
                yield server
    finally:
        await store.close()


@asynccontextmanager
async def _service_block(store: Store, data_dir: Path) -> AsyncIterator[IPv4Network]:
    """Addresses for Services that no other platform of this machine gives out.

    A data folder keeps its block. Only if another platform holds that one now (which runs over a copy of this
    folder, say) its Services move to a free one. Raises BlockTaken.
    """
    known = stored_block(store)
    held = hold(SERVICE_BLOCKS, user=str(data_dir), first=known)
    try:
        if known is not None and held.block != known:
            count = await move(store, known, held.block)
            log.warning(
                "another platform of this machine holds this one's addresses of Services: they have new ones",
                old=str(known),
                new=str(held.block),
                services=count,
            )
        yield held.block
    finally:
        held.close()


@contextmanager
def _audited(server: Server, data_dir: Path) -> Iterator[None]:
    """Keep an audit log, by the policy of the data folder if it has one. Raises PolicyError."""
    file = data_dir / "audit-policy.yaml"
    policy = load_policy(file) if file.exists() else Policy()
    log = AuditLog(AuditSettings(data_dir / "audit", policy))
    server.audit_to(log)
    try:
        yield
    finally:
        log.close()


@asynccontextmanager
async def open_https(
    server: Server,
    data_dir: Path,
    clock: Clock,
    *,
    host: str = "127.0.0.1",
    port: int,
    names: Sequence[str] = (),
) -> AsyncIterator[tuple[HttpsServer, Credentials]]:
    """The door. `names` are further names and addresses it is reached by, for its certificate.

    Raises OSError for an address that is taken.
    """
    covered = (host, str(first_address(server.service_block)), *names)
    credentials = ensure_credentials(data_dir / "pki", clock.now(), covered)
    await server.publish_authority(credentials.ca_data)
    authenticator = server.authenticator({credentials.admin_token: ADMIN})
    https = HttpsServer(server, authenticator, credentials, host=host, port=port, on_refused=server.refused)
    await https.start()
    try:
        async with background(keep_fresh(https, credentials, server.context.signing_keys, clock)):
            yield https, credentials
    finally:
        await https.stop()


def admin_connection(url: str, credentials: Credentials) -> Connection:
    """How the administrator gets in: what the kubeconfig of a data folder says."""
    return Connection(server=url, context=CONTEXT, ca_data=credentials.ca_data, token=credentials.admin_token)
