"""A server over HTTPS on a port of its own, durable in a folder: what kubectl and other clients drive."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from springtide import client
from springtide.runtime.clock import SystemClock
from springtide.server import (
    ADMIN,
    Credentials,
    HttpsServer,
    LogSource,
    Server,
    SigningKeys,
    User,
    ensure_credentials,
)
from springtide.store import SqliteLog, Store


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait, ten seconds at most, until something in this process is so."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


@dataclass(frozen=True)
class Served:
    """One running server, and how to reach it."""

    url: str
    folder: Path
    credentials: Credentials
    server: Server
    store: Store
    https: HttpsServer

    @property
    def connection(self) -> client.Connection:
        return client.Connection(
            server=self.url,
            context="springtide",
            ca_data=self.credentials.ca_data,
            token=self.credentials.admin_token,
        )

    @property
    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        if not path.exists():
            client.write_context(path, self.connection)
        return path

    async def kubectl(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """What kubectl printed, both streams; it must exit with `code`."""
        binary = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert binary is not None
        process = await asyncio.create_subprocess_exec(
            binary,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder), "PATH": os.environ["PATH"]},
        )
        output, _ = await process.communicate(stdin.encode())
        text = output.decode()
        assert process.returncode == code, (
            f"kubectl {' '.join(arguments)} exited {process.returncode}:\n{text}"
        )
        return text


@asynccontextmanager
async def serving_https(
    folder: Path, log_source: LogSource | None = None, *, tokens: Mapping[str, User] | None = None
) -> AsyncIterator[Served]:
    """`tokens` are of users beside the administrator."""
    clock = SystemClock()
    store = Store(SqliteLog(folder), monotonic=clock.monotonic)
    server = Server(store, clock=clock, log_source=log_source, signing_keys=SigningKeys(folder / "pki"))
    await server.start()
    credentials = ensure_credentials(folder / "pki", clock.now())
    authenticator = server.authenticator({credentials.admin_token: ADMIN, **(tokens or {})})
    https = HttpsServer(server, authenticator, credentials)
    await https.start()
    try:
        yield Served(https.url, folder, credentials, server, store, https)
    finally:
        await https.stop()
        await store.close()
