"""A pod that is a client of its own platform: the official Python client finds everything it needs."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.platforms import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("kubectl")]

PROGRAM = """
import kubernetes
kubernetes.config.load_incluster_config()
core = kubernetes.client.CoreV1Api()
who = kubernetes.client.AuthenticationV1Api().create_self_subject_review({})
print("I am", who.status.user_info.username)
print("pods", [pod.metadata.name for pod in core.list_namespaced_pod("default").items])
try:
    core.list_namespaced_secret("default")
except kubernetes.client.ApiException as error:
    print("secrets", error.status)
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: in-cluster}
spec:
  serviceAccountName: looker
  restartPolicy: Never
  containers:
  - name: main
    image: python
    command: [python, -c, %s]
"""


def test_a_program_in_a_pod_is_its_service_account_and_no_more(platform: Platform) -> None:
    for arguments in (
        ("create", "serviceaccount", "looker"),
        ("create", "rolebinding", "looker", "--clusterrole=view", "--serviceaccount=default:looker"),
    ):
        made = platform.kubectl(*arguments)
        assert made.code == 0, made.text
    applied = platform.kubectl("apply", "-f", "-", stdin=POD % json.dumps(PROGRAM))
    assert applied.code == 0, applied.text
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        phase = platform.get("pod", "in-cluster")["status"].get("phase")
        if phase in ("Succeeded", "Failed"):
            break
        time.sleep(0.2)
    said = platform.kubectl("logs", "in-cluster").out
    assert "I am system:serviceaccount:default:looker" in said
    assert "'in-cluster'" in said
    assert "secrets 403" in said
