"""Rules of kinds adopted from Kueue and Kubeflow Trainer reject what the tests of those projects reject."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.crds import bundled
from springtide.api.struct import encode
from springtide.server.definition_schema import schema_errors, unknown_formats
from springtide.server.sound_schemas import is_shipped
from tests.server.serving import CRDS, Api, serving

Json = dict[str, Any]

_QUEUES = "/apis/kueue.x-k8s.io/v1beta2/clusterqueues"
_LOCAL = "/apis/kueue.x-k8s.io/v1beta2/namespaces/default/localqueues"
_JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/default/trainjobs"


def _cluster_queue(**spec: Any) -> Json:
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "ClusterQueue",
        "metadata": {"name": "a"},
        "spec": {"namespaceSelector": {}, **spec},
    }


def _quota(**quota: Any) -> list[Json]:
    flavor = {"name": "f", "resources": [{"name": "cpu", "nominalQuota": "1", **quota}]}
    return [{"coveredResources": ["cpu"], "flavors": [flavor]}]


def _job(name: str = "a", **spec: Any) -> Json:
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {"runtimeRef": {"name": "plain"}, **spec},
    }


async def _install(api: Api) -> None:
    for definition in bundled():
        made = await api.post(CRDS, encode(definition))
        assert (made.status, made.warnings) == (201, ()), made.json


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        (_QUEUES, _cluster_queue(resourceGroups=_quota()), ""),
        (_QUEUES, _cluster_queue(cohortName="c", resourceGroups=_quota(borrowingLimit="1")), ""),
        (
            _QUEUES,
            _cluster_queue(resourceGroups=_quota(borrowingLimit="1")),
            "spec: Invalid value: borrowingLimit must be nil when cohort is empty",
        ),
        (_QUEUES, _cluster_queue(preemption={"reclaimWithinCohort": "Any"}), ""),
        (
            _QUEUES,
            _cluster_queue(preemption={"borrowWithinCohort": {"policy": "LowerPriority"}}),
            "spec.preemption: Invalid value: reclaimWithinCohort=Never and borrowWithinCohort.Policy!=Never",
        ),
        (
            _QUEUES,
            _cluster_queue(flavorFungibility={"preference": "BorrowingOverPreemption"}),
            "preference can only be set when both whenCanBorrow and whenCanPreempt are TryNextFlavor",
        ),
        (_JOBS, _job(), ""),
        (_JOBS, _job(trainer={"numProcPerNode": 0}), "numProcPerNode must be greater than or equal to 1"),
        (_JOBS, _job(managedBy="someone.else/controller"), "must be trainer.kubeflow.org/trainjob"),
    ],
)
async def test_creations(path: str, body: Json, says: str) -> None:
    async with serving() as api:
        await _install(api)
        answer = await api.post(path, body)
    assert answer.status == (422 if says else 201), answer.json
    assert says in str(answer.json.get("message"))


@pytest.mark.parametrize(
    ("path", "body", "change", "says"),
    [
        (
            _LOCAL,
            {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "LocalQueue", "spec": {"clusterQueue": "one"}},
            {"clusterQueue": "two"},
            'spec.clusterQueue: Invalid value: "two": field is immutable',
        ),
        (
            _JOBS,
            _job(),
            {"runtimeRef": {"name": "other"}},
            "spec.runtimeRef: Invalid value: field is immutable",
        ),
        (_JOBS, _job(), {"suspend": True}, ""),
    ],
)
async def test_changes(path: str, body: Json, change: Json, says: str) -> None:
    async with serving() as api:
        await _install(api)
        made = await api.post(path, {**body, "metadata": {"name": "a"}})
        answer = await api.patch(f"{path}/a", {"spec": change})
    assert (made.status, answer.status) == (201, 422 if says else 200), answer.json
    assert says in str(answer.json.get("message"))


def test_the_shipped_definitions_are_sound_and_say_nothing_unknown() -> None:
    """The server takes them as they are at each start; here they are looked at."""
    checked = 0
    for definition in bundled():
        for version in encode(definition)["spec"]["versions"]:
            schema, status = version["schema"]["openAPIV3Schema"], "status" in version.get("subresources", {})
            assert schema_errors(schema, "schema", status=status) == []
            assert list(unknown_formats(schema)) == []
            assert is_shipped(schema, status=status)
            checked += 1
    assert checked >= 7
