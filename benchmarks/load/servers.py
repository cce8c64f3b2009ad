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
    ca_file: Path

    def resident_mb(self) -> int:
        return round(sum(one.memory_info().rss for one in self.processes) / 1e6)

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(one) for one in self.processes)

    def write_kubeconfig(self, file: Path) -> Path:
        """An administrator's way in, for programs that are started beside the benchmark."""
        cluster = {
            "server": f"https://127.0.0.1:{self.door.port}",
            "certificate-authority": str(self.ca_file),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bench", "cluster": cluster}],
            "users": [{"name": "bench", "user": {"token": self.door.token}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
            "current-context": "bench",
        }
        file.write_text(json.dumps(config))
        return file


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time that a process has taken so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


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
        ca_file = folder / "pki" / "ca.crt"
        yield Peer("springtide", Door(port, token, trust), (psutil.Process(process.pid),), seconds, ca_file)


@contextmanager
def kube_apiserver(assets: Path, folder: Path) -> Iterator[Peer]:
    """The real one, durable as by default: etcd syncs every commit. `assets` holds both binaries."""
    admin = real.Account(TOKEN, "admin", ("system:masters",))
    with real.kube_apiserver(assets, folder, [admin], durable=True) as running:
        door = Door(running.port, TOKEN, ssl.create_default_context(cafile=str(running.ca_file)))
        processes = tuple(psutil.Process(pid) for pid in running.pids)
        yield Peer("kube-apiserver + etcd", door, processes, running.start_seconds, running.ca_file)
