"""Each field of TrainJob and runtimes takes effect, is refused, or is named as having no effect."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.struct import decode, encode
from springtide.api.trainer import ClusterTrainingRuntime, TrainingRuntimeSpec, TrainJob, TrainJobSpec
from springtide.training.merge import UnresolvableError, resolve
from springtide.training.patches import overlay
from tests.fields import Field, walk
from tests.training.test_merge import PORT, job, runtime

_PATCHED_JOB = "runtimePatches[].trainingRuntimeSpec.template.spec.replicatedJobs[].template"
_JOB = "template.spec.replicatedJobs[].template"

WHOLE = frozenset(
    {
        "initializer",
        "trainer.env",
        "trainer.resourcesPerNode",
        "runtimePatches[].trainingRuntimeSpec.template.metadata",
        f"{_PATCHED_JOB}.metadata",
        f"{_PATCHED_JOB}.spec.template",
        "podGroupPolicy",
        "template.metadata",
        f"{_JOB}.metadata",
        f"{_JOB}.spec.template",
        "template.spec.replicatedJobs[].dependsOn",
        f"{_JOB}.spec.podFailurePolicy",
        f"{_JOB}.spec.successPolicy",
        f"{_JOB}.spec.selector",
        "template.spec.successPolicy",
        "template.spec.startupPolicy",
        "template.spec.coordinator",
        "template.spec.volumeClaimPolicies",
        "template.spec.failurePolicy.rules",
        "mlPolicy.torch.envInjection",
    }
)
"""Taken, refused or reported as one: pod templates reach the pods with every field."""

EFFECTIVE = {
    "runtimeRef.name": "chooses the runtime",
    "runtimeRef.kind": "chooses its kind",
    "trainer.image": "container node",
    "trainer.command": "container node",
    "trainer.args": "container node",
    "trainer.env": "container node",
    "trainer.numNodes": "count of pods",
    "trainer.resourcesPerNode": "container node",
    "trainer.numProcPerNode": "PET_NPROC_PER_NODE",
    "runtimePatches[].manager": "says who writes the entry",
    "runtimePatches[].time": "says when it was written",
    "runtimePatches[].trainingRuntimeSpec.template.metadata": "metadata of the Workload",
    "runtimePatches[].trainingRuntimeSpec.template.spec.replicatedJobs[].name": "merge key",
    f"{_PATCHED_JOB}.metadata": "labels and annotations of the pods",
    f"{_PATCHED_JOB}.spec.template": "pod template",
    "suspend": "the plan",
    "activeDeadlineSeconds": "the plan",
    "managedBy": "the plan",
    "ttlSecondsAfterFinished": "the plan",
    "mlPolicy.numNodes": "count of pods",
    "template.metadata": "metadata of the Workload",
    "template.spec.ttlSecondsAfterFinished": "the plan",
    "mlPolicy.torch.elasticPolicy.maxNodes": "count of pods",
    "template.spec.failurePolicy.maxRestarts": "health's budget",
    "template.spec.replicatedJobs[].name": "name of the pod set",
    "template.spec.network.enableDNSHostnames": "true, as it always is",
    "template.spec.network.publishNotReadyAddresses": "true, as it always is",
    f"{_JOB}.metadata": "labels and annotations of the pods",
    f"{_JOB}.spec.parallelism": "count of pods",
    f"{_JOB}.spec.template": "pod template",
}
"""Fields that `merge` or `plan` work with, and what for."""

REFUSED = {"template.spec.replicatedJobs[].replicas", "mlPolicy.mpi", "mlPolicy.flux", "mlPolicy.jax"}
REFUSED |= {"mlPolicy.xgboost", "mlPolicy.torch.elasticPolicy.minNodes"}

OF_JOB = list(walk(TrainJobSpec, WHOLE))
OF_RUNTIME = list(walk(TrainingRuntimeSpec, WHOLE))


def outcome(of: TrainJob, on: ClusterTrainingRuntime) -> set[str]:
    """Names of the fields without effect; `refused` for a job that cannot start so."""
    try:
        return {one.field for one in resolve(of, on, PORT).ineffective}
    except UnresolvableError:
        return {"refused"}


def is_effective(path: str) -> bool:
    return path in EFFECTIVE


@pytest.mark.parametrize("field", OF_JOB, ids=str)
def test_a_field_of_a_job_takes_effect_or_is_named(field: Field) -> None:
    document = _with_node(field.document)
    document["runtimeRef"] = {"name": "r", **document["runtimeRef"]}
    found = outcome(decode(TrainJob, {**encode(job()), "spec": document}), runtime())
    named = any(f"spec.{field.path}".startswith(one) for one in found)
    assert named is not is_effective(field.path), (field.path, found)


@pytest.mark.parametrize("field", OF_RUNTIME, ids=str)
def test_a_field_of_a_runtime_takes_effect_is_refused_or_is_named(field: Field) -> None:
    base = encode(runtime(policy={}))
    document = _with_node(field.document)
    spec = overlay(base["spec"], document)
    found = outcome(job(), decode(ClusterTrainingRuntime, {**base, "spec": spec}))
    path = f"runtime: spec.{field.path}".replace("replicatedJobs[]", "replicatedJobs[node]")
    if any(field.path.startswith(one) for one in REFUSED):
        assert found == {"refused"}, field.path
        return
    named = any(path.startswith(one) for one in found)
    assert named is not is_effective(field.path), (field.path, found)


def test_what_is_said_of_fields_is_said_of_fields_there_are() -> None:
    paths = {field.path for field in (*OF_JOB, *OF_RUNTIME)}
    assert paths >= EFFECTIVE.keys()
    assert all(any(path.startswith(one) for path in paths) for one in REFUSED)


def _with_node(value: Any, within: str = "") -> Any:
    """The document, its replicated jobs called `node`, which the runtime has."""
    if isinstance(value, list):
        return [_with_node(child, within) for child in value]
    if not isinstance(value, dict):
        return value
    changed = {name: _with_node(child, name) for name, child in value.items()}
    return {**changed, "name": "node"} if within == "replicatedJobs" else changed
