"""A kopf operator in a process of its own: handlers, status, events, a timer and a finalizer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.careless import LEAVES_CONNECTIONS
from tests.e2e.platforms import Platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.realtime,
    pytest.mark.xdist_group("clients"),
    *LEAVES_CONNECTIONS,
]

PATIENCE_SECONDS = 60

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, properties: {crew: {type: integer}}}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
BOAT = """
apiVersion: example.com/v1
kind: Boat
metadata: {name: ark}
spec: {crew: 2}
"""


def wait(holds: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, log.read_text()[-3000:]


def test_an_operator_lives_with_its_objects(platform: Platform, namespace: str, tmp_path: Path) -> None:
    assert platform.kubectl("apply", "-f", "-", stdin=CRD).code == 0
    platform.kubectl("wait", "--for=condition=Established", "crd/boats.example.com")
    log = tmp_path / "operator.log"
    operator = Path(__file__).with_name("operator_boats.py")
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", namespace, str(operator)]

    def boat() -> dict[str, object]:
        found = platform.kubectl("-n", namespace, "get", "boat", "ark", "-o", "json")
        return dict(json.loads(found.out)) if found.code == 0 else {}

    def phase() -> str:
        return str(dict(boat().get("status") or {}).get("phase", ""))  # type: ignore[call-overload]

    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=platform.environment, stdout=output, stderr=output) as process,
    ):
        try:
            assert platform.kubectl("-n", namespace, "apply", "-f", "-", stdin=BOAT).code == 0
            wait(lambda: phase() == "Afloat with 2", log)
            metadata = boat()["metadata"]
            assert isinstance(metadata, dict)
            assert metadata["finalizers"] == ["example.com/boats"]
            body = '{"spec":{"crew":5}}'
            platform.kubectl("-n", namespace, "patch", "boat", "ark", "--type=merge", "-p", body)
            wait(lambda: phase() == "Crew from 2 to 5", log)
            wait(lambda: int(dict(boat()["status"])["ticks"]) >= 2, log)  # type: ignore[call-overload]
            events = platform.kubectl("-n", namespace, "get", "events", "-o", "jsonpath={.items[*].reason}")
            assert "Launched" in events.out
            assert platform.kubectl("-n", namespace, "delete", "boat", "ark", "--timeout=30s").code == 0
            assert "sunk ark" in log.read_text()
        finally:
            process.terminate()
    assert platform.kubectl("delete", "crd", "boats.example.com").code == 0
