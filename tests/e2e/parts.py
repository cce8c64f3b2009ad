"""The platform taken apart, for end-to-end tests: each part a process of its own over one data folder."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from pathlib import Path
from typing import IO

import pytest

from tests.e2e.platforms import ROOT, SPRINGTIDE, Platform
from tests.e2e.test_faults import wait_for

PATIENCE_SECONDS = 60


class Parts:
    """Processes of `springtide <part>` over one data folder; their output goes to files."""

    def __init__(self, platform: Platform, logs: Path) -> None:
        self.platform = platform
        self._logs = logs
        self._running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def start(self, name: str, part: str, *arguments: str) -> None:
        """A part with the kubeconfig that the server wrote for it: it may do no more than it must."""
        identity = self.platform.data_dir / "kubeconfigs" / part
        arguments = (part, *arguments, *(("--kubeconfig", str(identity)) if part != "server" else ()))
        log = (self._logs / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [*SPRINGTIDE, *arguments], cwd=ROOT, env=self.platform.environment, stdout=log, stderr=log
        )
        self._running[name] = (process, log)

    def output(self, name: str) -> str:
        return (self._logs / f"{name}.log").read_text()

    def wait_output(self, name: str, text: str) -> None:
        """Until the part has said this."""
        process = self._running[name][0]

        def said() -> bool:
            if text in self.output(name):
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"{name} ended with {process.wait(0.05)}: {self.output(name)}")
            return False

        wait_for(f"{name} says {text!r}", said, PATIENCE_SECONDS)

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """Send the signal, wait for the end; the exit code."""
        process, log = self._running.pop(name)
        process.send_signal(number)
        code = process.wait(timeout=PATIENCE_SECONDS)
        log.close()
        return code

    def end_all(self) -> None:
        for name in reversed(list(self._running)):
            self.end(name)

    def server(self, port: str = "0") -> str:
        """Start the API server; the port it serves on."""
        (self._logs / "server.log").unlink(missing_ok=True)
        self.start("server", "server", "--data-dir", str(self.platform.data_dir), "--port", port)
        self.wait_output("server", "export KUBECONFIG=")
        record = json.loads((self.platform.data_dir / "platform.json").read_text())
        return str(record["server"]).rpartition(":")[2]

    def node(self, name: str) -> None:
        self.start(name, "node", "--name", name, "--data-dir", str(self.platform.data_dir))
        self.wait_output(name, f"node {name} of ")
