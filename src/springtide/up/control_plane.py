"""The embedded API as a process has it: the store of a data folder, the server over it, and its HTTPS door.

`platform` (everything in one process) and `parts` (the API server alone) open these in turn; each closes in
the reverse order, so that the store is the last to go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from springtide.client import Connection
from springtide.runtime import Clock
from springtide.server import ADMIN, Credentials, HttpsServer, Server, SigningKeys, ensure_credentials
from springtide.server.audit import AuditLog, AuditSettings
from springtide.server.audit_policy import Policy, load_policy
from springtide.server.rotation import keep_fresh
from springtide.store import Limits, SqliteLog, Store
from springtide.up.running import background

CONTEXT = "springtide"
"""Name of the cluster, user and context in kubeconfigs."""


@asynccontextmanager
async def open_server(data_dir: Path, clock: Clock, database_bytes: int) -> AsyncIterator[Server]:
    """The API over the durable store of the data folder. Raises StoreError for an unusable folder."""
    limits = Limits(database_bytes=database_bytes)
    store = Store(SqliteLog(data_dir), monotonic=clock.monotonic, limits=limits)
    try:
        server = Server(store, clock=clock, signing_keys=SigningKeys(data_dir / "pki"))
        await server.start()
        with _audited(server, data_dir):
            yield server
    finally:
        await store.close()


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
    credentials = ensure_credentials(data_dir / "pki", clock.now(), (host, *names))
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
