"""The tour of the README with kubectl: every step a Kubernetes user takes with a TrainJob."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.platforms import Platform, kubectl_path

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("kubectl")]

HELLO = """
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: %s}
spec:
  runtimeRef: {name: plain}
  trainer:
    numNodes: 2
    command: ["sh", "-c", "echo rank $JOB_COMPLETION_INDEX says hello from $HOSTNAME; %s"]
    resourcesPerNode: {requests: {cpu: 100m}}
"""


def submit(platform: Platform, name: str, script: str) -> None:
    result = platform.kubectl("apply", "-f", "-", stdin=HELLO % (name, script))
    assert result.code == 0, result.text


def test_nodes_are_shown_wide(platform: Platform) -> None:
    result = platform.kubectl("get", "nodes", "-o", "wide")
    assert result.code == 0, result.text
    header, row = result.out.splitlines()[:2]
    assert header.split()[:3] == ["NAME", "STATUS", "ROLES"]
    assert "INTERNAL-IP" in header
    assert "CONTAINER-RUNTIME" in header
    assert row.split()[1] == "Ready"


def test_a_trainjob_is_applied_waited_for_and_described(platform: Platform) -> None:
    submit(platform, "hello", "sleep 1")
    waited = platform.kubectl("wait", "--for=condition=Complete", "trainjob/hello", "--timeout=40s")
    assert waited.code == 0, waited.text
    listed = platform.kubectl("get", "trainjobs")
    assert "hello" in listed.out
    assert "Complete" in listed.out
    described = platform.kubectl("describe", "trainjob", "hello")
    assert "Runtime Ref" in described.out
    assert "Complete" in described.out
    assert "Events" in described.out
    workloads = platform.kubectl("get", "workloads")
    assert "trainjob-hello" in workloads.out
    pods = platform.get("pods", "-l", "jobset.sigs.k8s.io/jobset-name=hello")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Succeeded", "Succeeded"]
    assert all(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0 for pod in pods)


def test_logs_of_a_finished_and_of_a_running_rank(platform: Platform) -> None:
    submit(platform, "talker", "for i in 1 2 3; do echo line $i; sleep 0.5; done")
    selector = "jobset.sigs.k8s.io/jobset-name=talker,batch.kubernetes.io/job-completion-index=0"
    deadline = time.monotonic() + 20
    while not platform.get("pods", "-l", selector)["items"]:
        assert time.monotonic() < deadline, "no pod within 20 s"
    pod = platform.get("pods", "-l", selector)["items"][0]["metadata"]["name"]
    waited = platform.kubectl("wait", "--for=jsonpath={.status.phase}", f"pod/{pod}", "--timeout=20s")
    assert waited.code == 0, waited.text
    followed = platform.kubectl("logs", "-f", pod)
    assert followed.code == 0, followed.text
    assert "line 1" in followed.out
    assert "line 3" in followed.out
    tail = platform.kubectl("logs", pod, "--tail=1")
    assert tail.out.strip() == "line 3"


def test_a_watch_shows_the_job_changing(platform: Platform) -> None:
    watch = platform.spawn([kubectl_path(), "get", "trainjobs", "-w", "--output-watch-events"])
    try:
        submit(platform, "watched", "sleep 0.2")
        platform.kubectl("wait", "--for=condition=Complete", "trainjob/watched", "--timeout=40s")
    finally:
        watch.terminate()
    out, _ = watch.communicate(timeout=10)
    lines = [line.split() for line in out.splitlines() if "watched" in line]
    assert lines[0][:2] == ["ADDED", "watched"], out
    assert any(line[0] == "MODIFIED" and "Complete" in line for line in lines), out


def test_deleting_a_job_takes_its_workload_and_pods_along(platform: Platform) -> None:
    submit(platform, "doomed", "sleep 600")
    selector = "jobset.sigs.k8s.io/jobset-name=doomed"
    running = "--for=jsonpath={.status.phase}=Running"
    deadline = time.monotonic() + 20
    while len(platform.get("pods", "-l", selector)["items"]) < 2:
        assert time.monotonic() < deadline
    waited = platform.kubectl("wait", running, "pod", "-l", selector, "--timeout=20s")
    assert waited.code == 0, waited.text
    deleted = platform.kubectl("delete", "trainjob", "doomed", "--timeout=30s")
    assert deleted.code == 0, deleted.text
    gone = platform.kubectl("wait", "--for=delete", "pod", "-l", selector, "--timeout=40s")
    assert gone.code == 0, gone.text
    assert platform.kubectl("get", "workload", "trainjob-doomed").code == 1


def test_explain_knows_the_fields(platform: Platform) -> None:
    result = platform.kubectl("explain", "trainjob.spec.trainer")
    assert result.code == 0, result.text
    assert "numNodes" in result.out
    assert "resourcesPerNode" in result.out
    assert "DESCRIPTION" in result.out
    core = platform.kubectl("explain", "pod.spec.containers.resources")
    assert "limits" in core.out


def test_api_resources_and_versions_are_listed(platform: Platform) -> None:
    resources = platform.kubectl("api-resources")
    assert resources.code == 0, resources.text
    for name in ("trainjobs", "clusterqueues", "workloads", "pods", "customresourcedefinitions"):
        assert name in resources.out
    assert "trainer.kubeflow.org/v1alpha1" in platform.kubectl("api-versions").out


def test_labels_annotations_and_patches(platform: Platform) -> None:
    made = platform.kubectl("create", "configmap", "settings", "--from-literal=a=1")
    assert made.code == 0, made.text
    assert platform.kubectl("label", "configmap", "settings", "team=red").code == 0
    assert platform.kubectl("annotate", "configmap", "settings", "note=x").code == 0
    assert platform.kubectl("patch", "configmap", "settings", "-p", '{"data":{"b":"2"}}').code == 0
    json_patch = json.dumps([{"op": "remove", "path": "/data/a"}])
    assert platform.kubectl("patch", "configmap", "settings", "--type=json", "-p", json_patch).code == 0
    found = platform.get("configmap", "settings")
    assert found["data"] == {"b": "2"}
    assert found["metadata"]["labels"] == {"team": "red"}


def test_server_side_apply_tells_of_conflicts(platform: Platform) -> None:
    one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {key: one}\n"
    two = one.replace("key: one", "key: two")
    assert platform.kubectl("apply", "--server-side", "--field-manager=a", "-f", "-", stdin=one).code == 0
    refused = platform.kubectl("apply", "--server-side", "--field-manager=b", "-f", "-", stdin=two)
    assert refused.code == 1
    assert ".data.key" in refused.err
    forced = platform.kubectl(
        "apply", "--server-side", "--field-manager=b", "--force-conflicts", "-f", "-", stdin=two
    )
    assert forced.code == 0, forced.text
    assert platform.get("configmap", "shared")["data"]["key"] == "two"


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kites.toys.example.com}
spec:
  group: toys.example.com
  scope: Namespaced
  names: {plural: kites, singular: kite, kind: Kite, shortNames: [kt]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              metres: {type: integer, minimum: 1}
    additionalPrinterColumns:
    - {name: Metres, type: integer, jsonPath: .spec.metres}
"""


def test_a_kind_made_at_run_time_is_served_at_once(platform: Platform) -> None:
    assert platform.kubectl("apply", "-f", "-", stdin=CRD).code == 0
    waited = platform.kubectl(
        "wait", "--for=condition=Established", "crd/kites.toys.example.com", "--timeout=10s"
    )
    assert waited.code == 0, waited.text
    kite = "apiVersion: toys.example.com/v1\nkind: Kite\nmetadata: {name: red}\nspec: {metres: %s}\n"
    assert platform.kubectl("apply", "-f", "-", stdin=kite % 12).code == 0
    assert (
        platform.kubectl("get", "kt").out.split()[-3:-1] == ["red", "12"]
        or "12" in platform.kubectl("get", "kt").out
    )
    refused = platform.kubectl("apply", "-f", "-", stdin=kite % 0)
    assert refused.code == 1
    assert "spec.metres" in refused.err
    removed = platform.kubectl("delete", "crd", "kites.toys.example.com")
    assert removed.code == 0, removed.text
