"""The platform taken apart: server, scheduler, controllers and node in processes of their own."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.e2e.platforms import ROOT, SPRINGTIDE, Platform
from tests.e2e.test_faults import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("parts")]

PATIENCE_SECONDS = 60

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  restartPolicy: Never
  containers: [{name: main, image: none, command: [sh, -c, "echo done"]}]
"""


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


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    home = tmp_path / "home"
    home.mkdir()
    made = Parts(Platform(tmp_path / "data", home), tmp_path)
    yield made
    made.end_all()


@pytest.mark.timeout(300)
def test_a_gang_trains_on_two_nodes_while_each_part_is_killed_once(parts: Parts) -> None:
    port = parts.server()
    parts.start("first-scheduler", "scheduler")
    parts.start("controllers", "controllers")
    parts.wait_output("first-scheduler", "event=leading")
    parts.start("second-scheduler", "scheduler")
    parts.node("one")
    parts.node("two")
    run = ["run", "examples/hello/hello.py", "--nodes", "2", "--name"]
    trained = parts.platform.springtide(*run, "whole")
    assert trained.code == 0, trained.text
    assert "event=leading" not in parts.output("second-scheduler")

    assert parts.end("first-scheduler", signal.SIGKILL) == -signal.SIGKILL
    parts.wait_output("second-scheduler", "event=leading")
    assert parts.end("server", signal.SIGKILL) == -signal.SIGKILL
    assert parts.server(port) == port
    assert parts.end("controllers", signal.SIGKILL) == -signal.SIGKILL
    parts.start("controllers", "controllers")
    again = parts.platform.springtide(*run, "again")
    assert again.code == 0, again.text


def test_on_the_embedded_server_plain_pods_run_without_a_scheduler_name(parts: Parts) -> None:
    parts.server()
    parts.start("scheduler", "scheduler")
    parts.start("controllers", "controllers")
    parts.node("one")
    created = parts.platform.kubectl("create", "-f", "-", stdin=POD % "plain")
    assert created.code == 0, created.text
    waited = parts.platform.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/plain")
    assert waited.code == 0, waited.text
    assert parts.platform.kubectl("logs", "plain").out == "done\n"
    assert parts.end("one") == 0
    assert parts.end("scheduler") == 0
    assert parts.end("server") == 0


def test_a_part_without_a_server_says_what_to_do(parts: Parts) -> None:
    for part in ("scheduler", "controllers", "node"):
        result = parts.platform.springtide(part)
        assert result.code != 0
        assert "KUBECONFIG" in result.err
        assert "springtide up" in result.err
