"""kubectl, a test for each command that people use every day; what it prints is what is looked at."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.platforms import Platform, Result, kubectl_path

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("clients")]

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: none
        command: [sh, -c, "echo started; exec python3 -m http.server 8000 --bind $POD_IP"]
        env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
        readinessProbe: {httpGet: {port: 8000}, periodSeconds: 1}
"""
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {color: blue}\n"


class Kubectl:
    """kubectl in one namespace; a command that fails fails the test."""

    def __init__(self, platform: Platform, namespace: str) -> None:
        self.platform, self.namespace = platform, namespace

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        result = self.attempt(*arguments, stdin=stdin)
        assert result.code == 0, result.text
        return result.out

    def attempt(self, *arguments: str, stdin: str | None = None) -> Result:
        return self.platform.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def web(self) -> str:
        """The Deployment `web`, ready; the name of its pod."""
        self("apply", "-f", "-", stdin=WEB)
        self("rollout", "status", "deployment/web", "--timeout=60s")
        return self("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")


@pytest.fixture
def kubectl(platform: Platform, namespace: str) -> Kubectl:
    return Kubectl(platform, namespace)


def test_get_in_every_form(kubectl: Kubectl) -> None:
    pod = kubectl.web()
    assert "1/1" in kubectl("get", "deployment,replicaset,pod", "-o", "wide")
    assert kubectl("get", "all", "--no-headers").count("web") >= 3
    assert kubectl("get", "pods", "-o", "name").strip() == f"pod/{pod}"
    assert kubectl("get", "pods", "-o", "custom-columns=N:.metadata.name", "--no-headers").strip() == pod
    assert kubectl("get", "pods", "--sort-by=.metadata.name", "--show-labels").count("app=web") == 1
    assert kubectl("get", "pods", "--field-selector=status.phase=Running", "-o", "name").strip()
    assert not kubectl("get", "pods", "-l", "app notin (web)", "-o", "name").strip()


def test_describe_tells_the_story(kubectl: Kubectl) -> None:
    pod = kubectl.web()
    told = kubectl("describe", "pod", pod)
    for word in ("Controlled By:  ReplicaSet/web-", "Readiness:", "Scheduled", "QoS Class:", "Started"):
        assert word in told
    assert "NewReplicaSet:" in kubectl("describe", "deployment", "web")
    assert "Allocated resources:" in kubectl("describe", "nodes")


def test_apply_diff_and_prune(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", stdin=MAP)
    changed = MAP.replace("blue", "red")
    differs = kubectl.attempt("diff", "-f", "-", stdin=changed)
    assert differs.code == 1
    assert "+  color: red" in differs.out
    assert "configured" in kubectl("apply", "-f", "-", stdin=changed)
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=changed)
    assert kubectl.attempt("diff", "-f", "-", stdin=changed).code == 0
    removed = kubectl("apply", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n")
    assert "configured" in removed
    assert kubectl("get", "configmap", "c", "-o", "jsonpath={.data}") == ""


def test_server_side_apply_and_its_owners(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=MAP)
    second = ("apply", "--server-side", "--field-manager=two", "-f", "-")
    refused = kubectl.attempt(*second, stdin=MAP.replace("blue", "red"))
    assert refused.code == 1
    assert 'conflict with "one"' in refused.err
    kubectl(*second, "--force-conflicts", stdin=MAP.replace("blue", "red"))
    owners = kubectl(
        "get",
        "configmap",
        "c",
        "--show-managed-fields",
        "-o",
        "jsonpath={.metadata.managedFields[*].manager}",
    )
    assert "two" in owners


def test_edit_patch_label_and_annotate(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", stdin=MAP)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/blue/green/ $1\n")
    editor.chmod(0o755)
    edited = kubectl.platform.execute(
        ["env", f"KUBE_EDITOR={editor}", kubectl_path(), "-n", kubectl.namespace, "edit", "configmap", "c"]
    )
    assert edited.code == 0, edited.text
    color = ("get", "configmap", "c", "-o", "jsonpath={.data.color}")
    assert kubectl(*color) == "green"
    kubectl(
        "patch", "configmap", "c", "--type=json", "-p", '[{"op":"replace","path":"/data/color","value":"x"}]'
    )
    kubectl("patch", "configmap", "c", "-p", '{"data":{"size":"y"}}')
    kubectl("label", "configmap", "c", "a=b")
    assert kubectl.attempt("label", "configmap", "c", "a=c").code == 1
    kubectl("label", "configmap", "c", "a=c", "--overwrite")
    kubectl("annotate", "configmap", "c", "note=hello")
    found = json.loads(kubectl("get", "configmap", "c", "-o", "json"))
    assert found["data"] == {"color": "x", "size": "y"}
    assert found["metadata"]["labels"] == {"a": "c"}
    assert found["metadata"]["annotations"]["note"] == "hello"
    kubectl("label", "configmap", "c", "a-")
    assert kubectl("get", "configmap", "-l", "a", "-o", "name") == ""


def test_scale_rollout_and_autoscale(kubectl: Kubectl) -> None:
    kubectl.web()
    kubectl("scale", "deployment/web", "--replicas=2", "--current-replicas=1")
    assert kubectl.attempt("scale", "deployment/web", "--replicas=3", "--current-replicas=1").code == 1
    kubectl("rollout", "restart", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert "2" in kubectl("rollout", "history", "deployment/web")
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("autoscale", "deployment", "web", "--max=3")
    assert "Deployment/web" in kubectl("get", "hpa")


def test_cordon_taint_and_drain(kubectl: Kubectl) -> None:
    pod = kubectl.web()
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    kubectl("cordon", node)
    assert "SchedulingDisabled" in kubectl("get", "node", node)
    budget = ("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=1")
    kubectl(*budget)
    kubectl("wait", "--for=jsonpath={.status.currentHealthy}=1", "pdb/web", "--timeout=20s")
    drain = ("drain", node, "--ignore-daemonsets", "--pod-selector=app=web", "--timeout=3s")
    held = kubectl.attempt(*drain)
    assert held.code == 1
    assert "disruption budget" in held.text
    kubectl("delete", "pdb", "web")
    assert "evicted" in kubectl(*drain[:-1], "--timeout=30s")
    assert kubectl.attempt("get", "pod", pod).code == 1
    kubectl("uncordon", node)
    kubectl("taint", "node", node, "gone=soon:PreferNoSchedule")
    assert "gone=soon:PreferNoSchedule" in kubectl("describe", "node", node)
    kubectl("taint", "node", node, "gone-")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def test_logs_exec_and_cp(kubectl: Kubectl, tmp_path: Path) -> None:
    pod = kubectl.web()
    assert "started" in kubectl("logs", "deployment/web")
    assert kubectl("exec", pod, "--", "sh", "-c", "echo $HOSTNAME").strip() == pod
    assert kubectl("exec", "-i", pod, "--", "cat", stdin="through\n") == "through\n"
    failed = kubectl.attempt("exec", pod, "--", "sh", "-c", "exit 7")
    assert failed.code == 7
    source = tmp_path / "sent"
    source.mkdir()
    (source / "a.txt").write_text("alpha")
    there = tmp_path / "there"
    kubectl("cp", str(source), f"{pod}:{there}")
    assert (there / "a.txt").read_text() == "alpha"
    kubectl("cp", f"{pod}:{there}/a.txt", str(tmp_path / "back.txt"))
    assert (tmp_path / "back.txt").read_text() == "alpha"


def test_port_forward_reaches_the_pod(kubectl: Kubectl) -> None:
    kubectl.web()
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8000")
    command = [kubectl_path(), "-n", kubectl.namespace, "port-forward", "service/web", ":80"]
    with subprocess.Popen(
        command, env=kubectl.platform.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            port = int(said.split()[2].rpartition(":")[2])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                assert answer.status == 200
        finally:
            process.terminate()


def test_top_shows_what_is_used(kubectl: Kubectl) -> None:
    pod = kubectl.web()
    deadline = time.monotonic() + 40
    while pod not in (shown := kubectl.attempt("top", "pod", "--containers")).out:
        assert time.monotonic() < deadline, shown.text
    assert "main" in shown.out
    assert "%" in kubectl("top", "node")


def test_wait_for_conditions_creation_and_deletion(kubectl: Kubectl) -> None:
    kubectl.web()
    assert "condition met" in kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")
    assert "condition met" in kubectl("wait", "--for=jsonpath={.status.readyReplicas}=1", "deployment/web")
    kubectl("delete", "deployment", "web", "--wait=false")
    kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=30s")
    late = kubectl.attempt("wait", "--for=condition=Ready", "pod/none", "--timeout=1s")
    assert late.code == 1


def test_auth_asks_who_may_what(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    nobody = ("--as=system:serviceaccount:default:nobody",)
    assert kubectl.attempt("auth", "can-i", "create", "pods", *nobody).out.strip() == "no"
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:nobody")
    assert kubectl("auth", "can-i", "list", "pods", *nobody).strip() == "yes"
    assert "pods" in kubectl("auth", "can-i", "--list", *nobody)
    assert "system:masters" in kubectl("auth", "whoami")
    refused = kubectl.attempt("get", "secrets", *nobody)
    assert 'cannot list resource "secrets" in API group ""' in refused.err


def test_explain_and_api_resources(kubectl: Kubectl) -> None:
    assert "maxSurge" in kubectl("explain", "deployment.spec.strategy.rollingUpdate")
    assert "backoffLimit" in kubectl("explain", "job.spec", "--recursive")
    listed = kubectl("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", "jobs.batch", "trainjobs.trainer.kubeflow.org"} <= set(listed)
    assert "deployments" in kubectl("api-resources", "--verbs=patch", "--api-group=apps")
    assert "apps/v1" in kubectl("api-versions").split()
    assert "Kubernetes control plane" in kubectl("cluster-info")


def test_run_create_replace_and_kustomize(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("run", "once", "--image=none", "--restart=Never", "--command", "--", "echo", "hello")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", "--timeout=30s")
    assert kubectl("logs", "once").strip() == "hello"
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "quota", "q", "--hard=pods=5")
    assert "pods: " in kubectl("get", "quota", "q")
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [map.yaml]\nnamePrefix: my-\ncommonAnnotations: {from: kustomize}\n"
    )
    (tmp_path / "map.yaml").write_text(MAP)
    kubectl("apply", "-k", str(tmp_path))
    assert kubectl("get", "configmap", "my-c", "-o", "jsonpath={.metadata.annotations.from}") == "kustomize"
    (tmp_path / "whole.yaml").write_text(MAP.replace("name: c", "name: my-c").replace("blue", "red"))
    kubectl("replace", "-f", str(tmp_path / "whole.yaml"))
    assert kubectl("get", "configmap", "my-c", "-o", "jsonpath={.data.color}") == "red"


def test_events_say_what_happened(kubectl: Kubectl) -> None:
    pod = kubectl.web()
    assert "ScalingReplicaSet" in kubectl("events", "--for=deployment/web")
    assert "Scheduled" in kubectl("get", "events", "--field-selector", f"involvedObject.name={pod}")
