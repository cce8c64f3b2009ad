"""A real kube-apiserver with etcd, for as long as a block lasts: what ours is compared with.

Started by `conformance.targets` and by the benchmarks, which measure it beside `springtide server`.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.programs import free_ports, says_ready, started, wait_until


@dataclass(frozen=True)
class Account:
    """A user whom the server knows by a static token."""

    token: str
    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class KubeApiserver:
    """Where it listens on 127.0.0.1, whose word to take for it, its two processes, and how long it took."""

    port: int
    ca_file: Path
    pids: tuple[int, int]
    start_seconds: float


@contextmanager
def kube_apiserver(
    assets: Path, folder: Path, accounts: list[Account], *, durable: bool
) -> Iterator[KubeApiserver]:
    """Ready for `accounts`, of which the first must be an administrator. `assets` holds both binaries.

    With `durable`, etcd syncs every commit, as it does by default; tests have no need of that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = _signing_keys(folder)
    tokens = folder / "tokens.csv"
    tokens.write_text("".join(map(_row, accounts)))
    client_port, peer_port, port = free_ports(3)
    etcd_url = f"http://127.0.0.1:{client_port}"
    etcd_command = [
        str(assets / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={etcd_url}",
        f"--advertise-client-urls={etcd_url}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        *([] if durable else ["--unsafe-no-fsync"]),
    ]
    certificates, log = folder / "certificates", folder / "kube-apiserver.log"
    command = [
        str(assets / "kube-apiserver"),
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={certificates}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={keys}",
        f"--service-account-key-file={keys}",
    ]
    began = time.perf_counter()
    with started(etcd_command, folder / "etcd.log") as etcd, started(command, log) as apiserver:
        certificate = certificates / "apiserver.crt"
        wait_until(certificate.exists, apiserver, log)
        trust = ssl.create_default_context(cafile=str(certificate))
        wait_until(lambda: says_ready(port, accounts[0].token, trust), apiserver, log)
        seconds = time.perf_counter() - began
        yield KubeApiserver(port, certificate, (apiserver.pid, etcd.pid), seconds)


def _signing_keys(folder: Path) -> Path:
    file = folder / "service-accounts.key"
    file.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return file


def _row(account: Account) -> str:
    return f'{account.token},{account.name},{account.name},"{",".join(account.groups)}"\n'
