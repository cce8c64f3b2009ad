"""The two API servers that are compared: `springtide server`, and kube-apiserver with etcd."""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests import kube_apiserver as real
from tests.programs import says_ready, started, wait_until

from load.exchange import Door

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
    log = folder.with_suffix(".log")
    began = time.perf_counter()
    with started([*command, "--log-level", "error"], log) as process:
        record = folder / "platform.json"
        wait_until(record.exists, process, log)
        port = int(json.loads(record.read_text())["server"].rpartition(":")[2])
        token = (folder / "pki" / "admin.token").read_text().strip()
        trust = ssl.create_default_context(cafile=str(folder / "pki" / "ca.crt"))
        wait_until(lambda: says_ready(port, token, trust), process, log)
        seconds = time.perf_counter() - began
        yield Peer("springtide", Door(port, token, trust), (psutil.Process(process.pid),), seconds)


@contextmanager
def kube_apiserver(assets: Path, folder: Path) -> Iterator[Peer]:
    """The real one, durable as by default: etcd syncs every commit. `assets` holds both binaries."""
    admin = real.Account(TOKEN, "admin", ("system:masters",))
    with real.kube_apiserver(assets, folder, [admin], durable=True) as running:
        door = Door(running.port, TOKEN, ssl.create_default_context(cafile=str(running.ca_file)))
        processes = tuple(psutil.Process(pid) for pid in running.pids)
        yield Peer("kube-apiserver + etcd", door, processes, running.start_seconds)
