"""The platform taken apart: server, scheduler, controllers and node in processes of their own."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.parts import Parts

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("parts")]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  restartPolicy: Never
  containers: [{name: main, image: none, command: [sh, -c, "echo done"]}]
"""


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
