"""What the cases are played on: the embedded server over HTTPS, or a real kube-apiserver with etcd.

The real one is taken if `KUBEBUILDER_ASSETS` names a folder with both binaries (the convention of envtest).
Both listen on free ports of 127.0.0.1, keep their data in a temporary folder, and know `users.USERS`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.conformance.users import USERS

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
    etcd_port, peer_port, port = _free_ports(3)
    with ExitStack() as stack:
        etcd = [
            str(assets / "etcd"),
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd_port}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd_port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
            "--unsafe-no-fsync",
        ]
        stack.enter_context(_process(etcd, folder / "etcd.log"))
        apiserver = _apiserver_command(assets, folder, etcd_port, port)
        process = stack.enter_context(_process(apiserver, folder / "kube-apiserver.log"))
        url, certificate = f"https://127.0.0.1:{port}", folder / "certificates" / "apiserver.crt"
        _wait_ready(process, url, certificate, folder / "kube-apiserver.log")
        yield Target("kube-apiserver", url, str(certificate))


def _apiserver_command(assets: Path, folder: Path, etcd_port: int, port: int) -> list[str]:
    tokens, keys = folder / "tokens.csv", folder / "service-accounts.key"
    rows = [
        ",".join([person.token, person.name, person.name, f'"{",".join(person.groups)}"']) + "\n"
        for person in USERS.values()
    ]
    tokens.write_text("".join(rows))
    keys.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return [
        str(assets / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={keys}",
        f"--service-account-key-file={keys}",
    ]


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[bytes], url: str, certificate: Path, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    why = "it never answered"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            tls = ssl.create_default_context(cafile=str(certificate))
            request = urllib.request.Request(
                f"{url}/readyz", headers={"Authorization": f"Bearer {USERS['admin'].token}"}
            )
            with urllib.request.urlopen(request, timeout=5, context=tls) as answer:
                if answer.status == 200:
                    return
        except OSError as error:
            why = str(error)
        time.sleep(0.2)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise RuntimeError(f"kube-apiserver is not ready: {why}\n{tail}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
