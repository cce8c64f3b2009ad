"""Field errors: what is wrong, where, and the rule, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api import decode
from springtide.api.core import ConfigMap, Namespace, Pod
from springtide.api.kueue import ClusterQueue, LocalQueue, Workload
from springtide.api.meta import Object
from springtide.api.trainer import ClusterTrainingRuntime, TrainJob
from springtide.api.validation import validate, validate_update

Json = dict[str, Any]


def pod(**spec: Any) -> Pod:
    containers = [{"name": "main", "image": "python"}]
    return decode(Pod, {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}})


def container(**fields: Any) -> Pod:
    return pod(containers=[{"name": "main", "image": "python", **fields}])


def job(**spec: Any) -> TrainJob:
    return decode(TrainJob, {"metadata": {"name": "job"}, "spec": {"runtimeRef": {"name": "plain"}, **spec}})


def runtime(*jobs: Json, **spec: Any) -> ClusterTrainingRuntime:
    template = {"spec": {"replicatedJobs": list(jobs)}}
    return decode(ClusterTrainingRuntime, {"metadata": {"name": "r"}, "spec": {"template": template, **spec}})


def step(name: str = "node", container: str = "node", step: str = "trainer", **fields: Any) -> Json:
    metadata = {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": step}}
    pods = {"spec": {"containers": [{"name": container}]}}
    return {"name": name, "template": {"metadata": metadata, "spec": {"template": pods}}, **fields}


def workload(*pod_sets: Json, status: Json | None = None, **spec: Any) -> Workload:
    sets = list(pod_sets) or [pod_set()]
    raw = {"metadata": {"name": "w"}, "spec": {"podSets": sets, **spec}, "status": status or {}}
    return decode(Workload, raw)


def pod_set(name: str = "node", **fields: Any) -> Json:
    return {"name": name, "template": {"spec": {"containers": [{"name": "node"}]}}, **fields}


def cluster_queue(cohort: str = "", **quota: Any) -> ClusterQueue:
    flavor = {"name": "default", "resources": [{"name": "cpu", "nominalQuota": "4", **quota}]}
    groups = [{"coveredResources": ["cpu"], "flavors": [flavor]}]
    return decode(
        ClusterQueue, {"metadata": {"name": "q"}, "spec": {"cohortName": cohort, "resourceGroups": groups}}
    )


FAULTY: dict[str, tuple[Object, str]] = {
    "object without a name": (ConfigMap(), "metadata.name: Required value: name or generateName is required"),
    "upper case in a name": (
        decode(ConfigMap, {"metadata": {"name": "Bad_Name"}}),
        'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of',
    ),
    "dot in a namespace's name": (
        decode(Namespace, {"metadata": {"name": "a.b"}}),
        'metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label must consist of',
    ),
    "name of a job starts with a digit": (
        decode(TrainJob, {"metadata": {"name": "1a"}, "spec": {"runtimeRef": {"name": "plain"}}}),
        'metadata.name: Invalid value: "1a": a DNS-1035 label must consist of',
    ),
    "name of a job is too long": (
        decode(TrainJob, {"metadata": {"name": "a" * 64}, "spec": {"runtimeRef": {"name": "plain"}}}),
        f'metadata.name: Invalid value: "{"a" * 64}": must be no more than 63 characters',
    ),
    "label value with a space": (
        decode(ConfigMap, {"metadata": {"name": "a", "labels": {"k": "a b"}}}),
        'metadata.labels: Invalid value: "a b": a valid label must be an empty string or',
    ),
    "label key with an empty prefix": (
        decode(ConfigMap, {"metadata": {"name": "a", "labels": {"/k": "v"}}}),
        'metadata.labels: Invalid value: "/k": prefix part must be non-empty',
    ),
    "huge annotations": (
        decode(ConfigMap, {"metadata": {"name": "a", "annotations": {"k": "x" * 300_000}}}),
        'metadata.annotations: Invalid value: "300001 bytes": must have at most 262144 bytes in total',
    ),
    "pod without containers": (
        pod(containers=[]),
        "spec.containers: Required value: a pod has at least one container",
    ),
    "container without an image": (container(image=""), "spec.containers[0].image: Required value"),
    "two containers of one name": (
        pod(containers=[{"name": "a", "image": "x"}], initContainers=[{"name": "a", "image": "x"}]),
        'spec.containers[0].name: Duplicate value: "a"',
    ),
    "mount of an undeclared volume": (
        container(volumeMounts=[{"name": "data", "mountPath": "/data"}]),
        'spec.containers[0].volumeMounts[0].name: Not found: "data"',
    ),
    "unknown restart policy": (
        pod(restartPolicy="Sometimes"),
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure"',
    ),
    "request above the limit": (
        container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}),
        (
            'spec.containers[0].resources.requests[cpu]: Invalid value: "2": '
            "must be less than or equal to cpu limit of 1500m"
        ),
    ),
    "misspelt quantity": (
        container(resources={"limits": {"memory": "4GB"}}),
        "spec.containers[0].resources.limits[memory]: Invalid value: \"4GB\": '4GB' is not a quantity",
    ),
    "negative quantity": (
        container(resources={"limits": {"memory": "-1"}}),
        'spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than',
    ),
    "half a GPU": (
        container(resources={"limits": {"nvidia.com/gpu": "500m"}}),
        'spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be an integer',
    ),
    "GPU request without a limit": (
        container(resources={"requests": {"nvidia.com/gpu": 1}}),
        "spec.containers[0].resources.limits[nvidia.com/gpu]: Required value",
    ),
    "value and valueFrom": (
        container(
            env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
        ),
        'spec.containers[0].env[0].valueFrom: Invalid value: "A": may not be specified when',
    ),
    "port out of range": (
        container(ports=[{"containerPort": 70000}]),
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535",
    ),
    "probe without an action": (
        container(readinessProbe={"periodSeconds": 1}),
        "spec.containers[0].readinessProbe: Required value: must specify a handler type",
    ),
    "volume of two kinds": (
        pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
        "spec.volumes[0]: Forbidden: may not specify more than 1 volume type",
    ),
    "toleration of everything without Exists": (
        pod(tolerations=[{"effect": "NoSchedule"}]),
        'spec.tolerations[0].operator: Invalid value: "": must be Exists when `key` is empty',
    ),
    "job without nodes": (
        job(trainer={"numNodes": 0}),
        "spec.trainer.numNodes: Invalid value: 0: must be at least 1",
    ),
    "job without a runtime": (job(runtimeRef={"name": ""}), "spec.runtimeRef.name: Required value"),
    "job on a runtime of another kind": (
        job(runtimeRef={"name": "x", "kind": "Runtime"}),
        'spec.runtimeRef.kind: Unsupported value: "Runtime": supported values: "ClusterTrainingRuntime"',
    ),
    "job with a negative time to live": (
        job(ttlSecondsAfterFinished=-1),
        "spec.ttlSecondsAfterFinished: Invalid value: -1: must be at least 0",
    ),
    "job managed by a stranger": (job(managedBy="me"), 'spec.managedBy: Unsupported value: "me"'),
    "dataset that is no URI": (
        job(initializer={"dataset": {"storageUri": "/data"}}),
        'spec.initializer.dataset.storageUri: Invalid value: "/data": must be empty or a URI',
    ),
    "two patches of one manager": (
        job(runtimePatches=[{"manager": "m"}, {"manager": "m"}]),
        'spec.runtimePatches[1].manager: Duplicate value: "m"',
    ),
    "runtime without jobs": (runtime(), "spec.template.spec.replicatedJobs: Required value"),
    "trainer step without its container": (
        runtime(step(container="main")),
        (
            "spec.template.spec.replicatedJobs[0].template.spec.template.spec.containers: "
            "Invalid value: [\"main\"]: must have a container named 'node'"
        ),
    ),
    "job that waits for a later one": (
        runtime(step(dependsOn=[{"name": "later", "status": "Ready"}])),
        'spec.template.spec.replicatedJobs[0].dependsOn[0].name: Invalid value: "later": must name',
    ),
    "two frameworks": (
        runtime(step(), mlPolicy={"torch": {}, "jax": {}}),
        'spec.mlPolicy: Invalid value: ["torch", "jax"]: only one framework can be configured',
    ),
    "two pod sets of one name": (
        workload(pod_set(), pod_set()),
        'spec.podSets[1].name: Duplicate value: "node"',
    ),
    "more pods at least than at most": (
        workload(pod_set(count=2, minCount=3)),
        "spec.podSets[0].minCount: Invalid value: 3: must be at least 1 and at most count",
    ),
    "admission that forgets a pod set": (
        workload(pod_set("a"), pod_set("b"), status={"admission": {"podSetAssignments": [{"name": "a"}]}}),
        'status.admission.podSetAssignments: Invalid value: ["a"]: must assign every pod set once: a, b',
    ),
    "local queue that leads nowhere": (
        decode(LocalQueue, {"metadata": {"name": "q"}}),
        "spec.clusterQueue: Required value",
    ),
    "borrowing without a cohort": (
        cluster_queue(borrowingLimit="1"),
        (
            "spec.resourceGroups[0].flavors[0].resources[0].borrowingLimit: "
            'Invalid value: "1": must be nil when cohort is empty'
        ),
    ),
    "negative quota": (
        cluster_queue(nominalQuota="-4"),
        'spec.resourceGroups[0].flavors[0].resources[0].nominalQuota: Invalid value: "-4": must be greater',
    ),
}


@pytest.mark.parametrize(("obj", "message"), FAULTY.values(), ids=FAULTY)
def test_what_is_wrong_is_said(obj: Object, message: str) -> None:
    errors = [str(error) for error in validate(obj)]
    assert any(error.startswith(message) for error in errors), errors


SOUND: dict[str, Object] = {
    "pod": pod(
        containers=[
            {
                "name": "main",
                "image": "python",
                "env": [{"name": "A.B-C", "value": "x"}],
                "resources": {"limits": {"nvidia.com/gpu": 2, "cpu": "1.5"}, "requests": {"cpu": "100m"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                "readinessProbe": {"exec": {"command": ["true"]}},
            }
        ],
        volumes=[{"name": "v", "emptyDir": {}}],
        tolerations=[{"operator": "Exists"}],
        terminationGracePeriodSeconds=0,
    ),
    "job": job(
        trainer={"numNodes": 2, "numProcPerNode": 4, "env": [{"name": "LR", "value": "0.1"}]},
        initializer={"dataset": {"storageUri": "hf://owner/data"}},
        runtimePatches=[{"manager": "a"}, {"manager": "b"}],
    ),
    "runtime": runtime(
        step("data", "dataset-initializer", "dataset-initializer"),
        step("node", dependsOn=[{"name": "data", "status": "Complete"}]),
        mlPolicy={"numNodes": 1, "torch": {}},
    ),
    "workload": workload(pod_set("a"), pod_set("b", count=0), queueName="team-a"),
    "cluster queue in a cohort": cluster_queue(cohort="all", borrowingLimit="1", lendingLimit=2),
    "generated name": decode(ConfigMap, {"metadata": {"generateName": "a-"}}),
}


@pytest.mark.parametrize("obj", SOUND.values(), ids=SOUND)
def test_nothing_is_wrong(obj: Object) -> None:
    assert [str(error) for error in validate(obj)] == []


RESERVED = {"conditions": [{"type": "QuotaReserved", "status": "True", "reason": "QuotaReserved"}]}

CHANGES: dict[str, tuple[Object, Object, list[str]]] = {
    "runtime of a job": (
        job(),
        job(runtimeRef={"name": "other"}),
        ['spec.runtimeRef: Invalid value: "RuntimeRef": field is immutable'],
    ),
    "number of nodes": (
        job(trainer={"numNodes": 1}),
        job(trainer={"numNodes": 2}),
        ['spec.trainer: Invalid value: "Trainer": field is immutable'],
    ),
    "suspension of a job": (job(), job(suspend=True), []),
    "patch of a running job": (
        job(),
        job(runtimePatches=[{"manager": "m"}]),
        [
            (
                "spec.runtimePatches: Forbidden: can only be modified while the TrainJob is suspended; "
                "set spec.suspend to true first"
            )
        ],
    ),
    "patch of a suspended job": (job(suspend=True), job(runtimePatches=[{"manager": "m"}]), []),
    "time of a patch": (
        job(runtimePatches=[{"manager": "m", "time": "2026-01-01T00:00:00Z"}]),
        job(runtimePatches=[{"manager": "m", "time": "2026-01-02T00:00:00Z"}]),
        [],
    ),
    "pod sets of a waiting workload": (workload(), workload(pod_set(count=3)), []),
    "pod sets of an admitted workload": (
        workload(status=RESERVED),
        workload(pod_set(count=3), status=RESERVED),
        ['spec.podSets: Invalid value: ["node"]: field is immutable while quota is reserved'],
    ),
    "queue of an admitted workload": (
        workload(status=RESERVED),
        workload(status=RESERVED, queueName="other"),
        ['spec.queueName: Invalid value: "other": field is immutable while quota is reserved'],
    ),
}


@pytest.mark.parametrize(("old", "new", "errors"), CHANGES.values(), ids=CHANGES)
def test_change(old: Object, new: Object, errors: list[str]) -> None:
    assert [str(error) for error in validate_update(new, old)] == errors


def test_a_fault_deep_in_a_patch_is_found_by_manager() -> None:
    def patched(account: str, first: str) -> TrainJob:
        spec = {"serviceAccountName": account}
        template = {
            "spec": {"replicatedJobs": [{"name": "node", "template": {"spec": {"template": {"spec": spec}}}}]}
        }
        mine = {"manager": "mine", "trainingRuntimeSpec": {"template": template}}
        return job(suspend=True, runtimePatches=[{"manager": first}, mine])

    errors = validate_update(patched("b", "x"), patched("a", "y"))
    assert [error.field for error in errors] == [
        (
            "spec.runtimePatches[1].trainingRuntimeSpec.template.spec.replicatedJobs[0]"
            ".template.spec.template.spec.serviceAccountName"
        )
    ]
