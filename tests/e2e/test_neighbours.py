"""Two platforms on one machine, with the same names and ports in both: each keeps to itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platforms import Platform
from tests.e2e.test_faults import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.realtime]

PATIENCE_SECONDS = 60
MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: 8000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: main
    image: none
    command: [sh, -c, 'mkdir -p w && cd w && echo %s > who && exec python -m http.server 8000 --bind $(IP)']
    env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    workingDir: %s
"""
ASK = """
import urllib.request
print(urllib.request.urlopen("http://web.default.svc:8080/who", timeout=10).read().decode().strip())
"""


@pytest.fixture
def neighbours(tmp_path: Path) -> Iterator[list[Platform]]:
    made = []
    for name in ("left", "right"):
        home = tmp_path / name
        home.mkdir()
        made.append(Platform(home / "data", home))
    yield made
    for one in made:
        one.down()


def given(platform: Platform) -> None:
    text = MANIFEST % (platform.home.name, platform.home)
    applied = platform.kubectl("apply", "-f", "-", stdin=text)
    assert applied.code == 0, applied.text


def address(platform: Platform) -> str:
    return str(platform.get("service", "web")["spec"]["clusterIP"])


def serves(platform: Platform) -> bool:
    pieces = platform.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    return any(one["conditions"]["ready"] for piece in pieces for one in piece.get("endpoints") or ())


def asked(platform: Platform) -> str:
    """What a pod of the platform hears from the Service `web`."""

    def heard() -> bool:
        found = platform.kubectl("exec", "web", "--", "python", "-c", ASK)
        answers.append(found.out.strip())
        return found.code == 0

    answers: list[str] = []
    wait_for(f"{platform.home.name} answers", heard, PATIENCE_SECONDS)
    return answers[-1]


@pytest.mark.timeout(240)
def test_services_of_one_name_are_apart_and_keep_their_addresses(neighbours: list[Platform]) -> None:
    for one in neighbours:
        started = one.up()
        assert started.code == 0, started.text
        given(one)
    for one in neighbours:
        wait_for("a ready pod", lambda one=one: serves(one), PATIENCE_SECONDS)
    assert [asked(one) for one in neighbours] == ["left", "right"]
    for one in neighbours:
        assert not one.kubectl("events", "--types=Warning").out.count("ServiceNotReachable")
    blocks = {address(one).rsplit(".", 2)[0] for one in neighbours}
    prefixes = {str(one.get("pod", "web")["status"]["podIP"]).rsplit(".", 2)[0] for one in neighbours}
    assert (len(blocks), len(prefixes)) == (2, 2)

    right = neighbours[1]
    before = address(right)
    assert right.down().code == 0
    assert right.up().code == 0
    assert address(right) == before
