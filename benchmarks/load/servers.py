"""The two API servers that are compared: `springtide server`, and kube-apiserver with etcd."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from load.exchange import Door

READY_SECONDS = 120.0
TOKEN = "benchmark"


@dataclass(frozen=True)
class Peer:
    """A server under load. Its memory and processor time are those of all its processes."""

    name: str
    door: Door
    processes: tuple[psutil.Process, ...]
    start_seconds: float

    def resident_mb(self) -> int:
        return round(sum(one.memory_info().rss for one in self.processes) / 1e6)


@contextmanager
def springtide(folder: Path) -> Iterator[Peer]:
    """The embedded API server in a process of its own, as `springtide server` runs it."""
    command = [sys.executable, "-m", "springtide.cli", "server", "--data-dir", str(folder), "--port", "0"]
    began = time.perf_counter()
    with _process([*command, "--log-level", "error"], folder.with_suffix(".log")) as process:
        record = folder / "platform.json"
        _wait(record.exists, process)
        port = int(json.loads(record.read_text())["server"].rpartition(":")[2])
        token = (folder / "pki" / "admin.token").read_text().strip()
        trust = ssl.create_default_context(cafile=str(folder / "pki" / "ca.crt"))
        door = Door(port, token, trust)
        _wait(lambda: _ready(door), process)
        yield Peer("springtide", door, (psutil.Process(process.pid),), time.perf_counter() - began)


@contextmanager
def kube_apiserver(assets: Path, folder: Path) -> Iterator[Peer]:
    """The real one, durable as by default: etcd syncs every commit. `assets` holds both binaries."""
    folder.mkdir(parents=True, exist_ok=True)
    client_port, peer_port, port = _free_ports(3)
    key = folder / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    began = time.perf_counter()
    with ExitStack() as stack:
        etcd = stack.enter_context(
            _process(
                [
                    str(assets / "etcd"),
                    f"--data-dir={folder / 'etcd'}",
                    f"--listen-client-urls=http://127.0.0.1:{client_port}",
                    f"--advertise-client-urls=http://127.0.0.1:{client_port}",
                    f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
                ],
                folder / "etcd.log",
            )
        )
        apiserver = stack.enter_context(
            _process(
                [
                    str(assets / "kube-apiserver"),
                    f"--etcd-servers=http://127.0.0.1:{client_port}",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={port}",
                    f"--cert-dir={folder / 'certificates'}",
                    f"--token-auth-file={folder / 'tokens.csv'}",
                    "--authorization-mode=Node,RBAC",
                    "--service-cluster-ip-range=10.0.0.0/16",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-signing-key-file={key}",
                    f"--service-account-key-file={key}",
                ],
                folder / "kube-apiserver.log",
            )
        )
        certificate = folder / "certificates" / "apiserver.crt"
        _wait(certificate.exists, apiserver)
        trust = ssl.create_default_context(cafile=str(certificate))
        door = Door(port, TOKEN, trust)
        _wait(lambda: _ready(door), apiserver)
        processes = (psutil.Process(apiserver.pid), psutil.Process(etcd.pid))
        yield Peer("kube-apiserver + etcd", door, processes, time.perf_counter() - began)


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(door: Door) -> bool:
    request = urllib.request.Request(
        f"https://127.0.0.1:{door.port}/readyz", headers={"Authorization": f"Bearer {door.token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5, context=door.trust) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(happened: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + READY_SECONDS
    assert callable(happened)
    while not happened():
        if process.poll() is not None or time.perf_counter() > deadline:
            raise RuntimeError(f"{process.args!r} is not ready; exit code {process.poll()}")
        time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
