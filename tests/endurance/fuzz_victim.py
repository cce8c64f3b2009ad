"""The attacked server: a real `springtide server` process, what it uses, and a calm client beside the attack.

Called by `fuzz` and `hostile`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.endurance.fuzz_wire import Sent, Wire

Json = dict[str, Any]
CALM = "calm"
"""The namespace of the calm client; attackers stay away from it."""
_CALM_SECONDS = 0.02


class Victim:
    """One server process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self._process: subprocess.Popen[bytes] | None = None
        self.said = folder.with_suffix(".log")

    def start(self) -> None:
        """Returns when it is ready."""
        options = ["--data-dir", str(self.folder), "--port", str(self.port), "--log-level", "error"]
        with self.said.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "springtide.cli", "server", *options],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # `export KUBECONFIG=…`: it is ready
        found = re.findall(r"server: https://127\.0\.0\.1:(\d+)", self.said.read_text())
        self.port = int(found[-1])

    def kill(self) -> None:
        """As the power fails."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ended_with(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def resident_mib(self) -> float:
        assert self._process is not None
        with contextlib.suppress(FileNotFoundError):
            text = Path(f"/proc/{self._process.pid}/status").read_text()
            return round(int((re.findall(r"VmRSS:\s+(\d+)", text) or ["0"])[0]) / 1024, 1)
        return 0.0

    def cpu_seconds(self) -> float:
        assert self._process is not None
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / 100
        return 0.0

    def wire(self, token: str | None = None) -> Wire:
        trust = ssl.create_default_context(cafile=self.folder / "pki" / "ca.crt")
        trust.check_hostname = False
        admin = (self.folder / "pki" / "admin.token").read_text().strip()
        return Wire(self.port, trust, admin if token is None else token)

    def faults_said(self) -> list[str]:
        """Each error that its log tells of: what was raised, where, and by which request."""
        found = []
        for line in self.said.read_text(errors="replace").splitlines():
            if "level=error" not in line and "Traceback" not in line and "never retrieved" not in line:
                continue
            places = re.findall(r"springtide/(\S+?)\\\\?\", line (\d+), in (\S+?)\\n", line)
            place = ":".join(places[-1]) if places else line[:300]
            request = "".join(re.findall(r"method=\S+ path=\S+", line)[:1])
            found.append(f"{place} {line.rstrip().rpartition(chr(92) + 'n')[2][:200]} {request}".strip())
        return found


class Watch:
    """The calm client and the memory of the server, over the time of one attack."""

    def __init__(self, victim: Victim) -> None:
        self._victim = victim
        self.latencies: list[float] = []
        self.wrong: list[str] = []
        self.peak = self.before = victim.resident_mib()
        self.acknowledged: dict[str, str] = {}
        self._cpu = victim.cpu_seconds()
        self._began = time.monotonic()

    async def keep_asking(self) -> None:
        """Write an object and read it, again and again, until cancelled."""
        wire, number = self._victim.wire(), 0
        path = b"/api/v1/namespaces/%s/configmaps" % CALM.encode()
        while True:
            number += 1
            name = f"calm-{int(self._began * 1000)}-{number}"
            body = json.dumps({"metadata": {"name": name}, "data": {"number": str(number)}}).encode()
            requests = [
                Sent(b"POST", path, body, ((b"content-type", b"application/json"),)),
                Sent(b"GET", b"%s/%s" % (path, name.encode())),
            ]
            for request, wanted in zip(requests, (201, 200), strict=True):
                began = time.perf_counter()
                try:
                    answer = await wire.ask(request)
                except (OSError, TimeoutError) as error:
                    self.wrong.append(f"the calm client's request failed: {error!r}")
                    break
                self.latencies.append(time.perf_counter() - began)
                if answer.status != wanted:
                    self.wrong.append(f"the calm client was answered {answer.status}: {answer.body[:200]!r}")
                    break
                self.acknowledged[name] = str(number)
            self.peak = max(self.peak, self._victim.resident_mib())
            await asyncio.sleep(_CALM_SECONDS)

    def row(self) -> Json:
        ordered = sorted(self.latencies) or [0.0]
        return {
            "calm_requests": len(self.latencies),
            "calm_p50_ms": round(ordered[len(ordered) // 2] * 1000, 1),
            "calm_p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
            "calm_max_ms": round(ordered[-1] * 1000, 1),
            "rss_before_mib": self.before,
            "rss_peak_mib": max(self.peak, self._victim.resident_mib()),
            "rss_after_mib": self._victim.resident_mib(),
            "server_cpu_seconds": round(self._victim.cpu_seconds() - self._cpu, 2),
            "seconds": round(time.monotonic() - self._began, 2),
        }


@asynccontextmanager
async def watched(victim: Victim) -> AsyncIterator[Watch]:
    """A calm client runs beside the body of this."""
    watch = Watch(victim)
    asking = asyncio.create_task(watch.keep_asking())
    try:
        yield watch
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def settle(victim: Victim) -> None:
    """The namespace of the calm client."""
    wire = victim.wire()
    for name in (CALM, "hostile"):
        await wire.ask(
            Sent(
                b"POST",
                b"/api/v1/namespaces",
                json.dumps({"metadata": {"name": name}}).encode(),
                ((b"content-type", b"application/json"),),
            )
        )
    wire.close()


async def everything(victim: Victim) -> dict[str, str]:
    """Every stored object's uid and version, by path of its collection and name."""
    wire, found = victim.wire(), {}
    groups = json.loads((await wire.ask(Sent(b"GET", b"/apis"))).body)["groups"]
    roots = [
        "/api/v1",
        *(f"/apis/{one['groupVersion']}" for group in groups for one in group["versions"][:1]),
    ]
    for root in roots:
        listed = json.loads((await wire.ask(Sent(b"GET", root.encode()))).body).get("resources", [])
        for resource in listed:
            if "list" not in resource["verbs"] or "create" not in resource["verbs"]:
                continue
            answer = json.loads((await wire.ask(Sent(b"GET", f"{root}/{resource['name']}".encode()))).body)
            for item in answer["items"]:
                meta = item["metadata"]
                key = f"{root}/{resource['name']}/{meta.get('namespace', '')}/{meta['name']}"
                found[key] = f"{meta['uid']}@{meta['resourceVersion']}"
    wire.close()
    return found
