"""What the cases are played on: the embedded server over HTTPS, or a real kube-apiserver with etcd.

The real one is taken if `KUBEBUILDER_ASSETS` names a folder with both binaries (the convention of envtest).
Both listen on free ports of 127.0.0.1, keep their data in a temporary folder, and know `users.USERS`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.users import USERS
from tests.kube_apiserver import Account, kube_apiserver

_READY_SECONDS = 90.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Target:
    """An API server that runs."""

    name: str
    url: str
    ca_file: str


@contextmanager
def running() -> Iterator[Target]:
    """The target that the environment asks for, for as long as it is needed."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as folder,
        _real(Path(assets), Path(folder)) if assets else _embedded(Path(folder)) as target,
    ):
        yield target


def asked_for() -> str:
    """The name of the target that `running` will start."""
    return "kube-apiserver" if os.environ.get("KUBEBUILDER_ASSETS") else "embedded"


@contextmanager
def _embedded(folder: Path) -> Iterator[Target]:
    """Our server in a thread with an event loop of its own."""
    from springtide.runtime.clock import SystemClock
    from springtide.server import HttpsServer, Server, SigningKeys, User, ensure_credentials
    from springtide.store import MemoryLog, Store

    started: list[Target | BaseException] = []
    said, done = threading.Event(), threading.Event()

    async def serve() -> None:
        clock = SystemClock()
        store = Store(MemoryLog(), monotonic=clock.monotonic)
        server = Server(store, clock=clock, signing_keys=SigningKeys())
        await server.start()
        credentials = ensure_credentials(folder / "pki", clock.now())
        tokens = {
            person.token: User(person.name, (*person.groups, "system:authenticated"))
            for person in USERS.values()
        }
        https = HttpsServer(server, server.authenticator(tokens), credentials)
        await https.start()
        try:
            started.append(Target("embedded", https.url, str(credentials.ca_certificate)))
            said.set()
            await asyncio.to_thread(done.wait)
        finally:
            await https.stop()
            await store.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            started.append(error)
            raise
        finally:
            said.set()

    thread = threading.Thread(target=run, name="embedded-server")
    thread.start()
    said.wait(_READY_SECONDS)
    try:
        target = started[0]
        if isinstance(target, BaseException):
            raise target
        yield target
    finally:
        done.set()
        thread.join(_STOP_SECONDS)


@contextmanager
def _real(assets: Path, folder: Path) -> Iterator[Target]:
    """etcd and kube-apiserver, with tokens, RBAC and all default admission plug-ins."""
    accounts = [Account(person.token, person.name, person.groups) for person in USERS.values()]
    with kube_apiserver(assets, folder, accounts, durable=False) as real:
        yield Target("kube-apiserver", f"https://127.0.0.1:{real.port}", str(real.ca_file))
