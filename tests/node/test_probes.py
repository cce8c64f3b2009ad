"""Probes against real programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from springtide.api.meta import is_true
from tests.node.scene import container, node_alone, python, shell

pytestmark = pytest.mark.realtime

SERVER = (
    "import http.server, os, socket\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        good = self.path == '/ok' and self.headers['X-A'] == 'b'\n"
    "        self.send_response(200 if good else 503); self.end_headers()\n"
    "    def log_message(self, *a): pass\n"
    "http.server.ThreadingHTTPServer((os.environ['IP'], 18080), H).serve_forever()\n"
)
IP = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]


def http(path: str, **more: Any) -> dict[str, Any]:
    headers = [{"name": "X-A", "value": "b"}]
    return {"httpGet": {"path": path, "port": "web", "httpHeaders": headers}, "periodSeconds": 1, **more}


async def test_ready_when_the_server_answers(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        ports = [{"containerPort": 18080, "name": "web"}]
        await scene.create("web", python(SERVER, env=IP, ports=ports, readinessProbe=http("/ok")))
        await scene.create(
            "tcp", python(SERVER, env=IP, readinessProbe={"tcpSocket": {"port": 18080}, "periodSeconds": 1})
        )
        await scene.create(
            "bad", python(SERVER, env=IP, ports=ports, readinessProbe=http("/bad", failureThreshold=1))
        )
        for name in ("web", "tcp"):
            pod = await scene.until(name, lambda pod: is_true(pod.status.conditions, "Ready"))
            assert container(pod).ready
        assert await scene.events("Unhealthy", "readiness probe failed: HTTP status 503")
        bad = await scene.pod("bad")
        assert not is_true(bad.status.conditions, "Ready")
        assert bad.status.phase == "Running"


async def test_liveness_restarts_and_startup_holds_it_back(tmp_path: Path) -> None:
    exec_probe = {"exec": {"command": ["test", "-e", "alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with node_alone(tmp_path) as scene:
        spec = shell(
            "touch alive; sleep 300",
            startupProbe={**exec_probe, "failureThreshold": 20},
            livenessProbe=exec_probe,
        )
        await scene.create("sick", spec, restartPolicy="Always", terminationGracePeriodSeconds=1)
        await scene.until("sick", lambda pod: container(pod).started)
        (scene.settings.working_dir / "alive").unlink()
        pod = await scene.until(
            "sick", lambda pod: container(pod).restart_count == 1 and container(pod).started
        )
        last = container(pod).last_state.terminated
        assert last is not None
        assert last.exit_code == 143
        assert "liveness probe failed: command exited with 1" in (await scene.events("Unhealthy"))[0]


async def test_a_startup_probe_that_never_passes_ends_the_container(tmp_path: Path) -> None:
    async with node_alone(tmp_path) as scene:
        probe = {
            "exec": {"command": ["sleep", "9"]},
            "periodSeconds": 1,
            "timeoutSeconds": 1,
            "failureThreshold": 1,
        }
        await scene.create("never", shell("sleep 300", startupProbe=probe))
        pod = await scene.finished("never")
        assert pod.status.phase == "Failed"
        assert await scene.events("Unhealthy") == ["startup probe failed: command did not end within 1 s"]
