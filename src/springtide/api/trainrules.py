"""Rules of TrainJobs and training runtimes that no schema says. Part of `springtide.api.validation`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from springtide.api import labels
from springtide.api.fielderrors import FieldError, duplicate, forbidden, invalid, required, unsupported
from springtide.api.jobset import ReplicatedJob
from springtide.api.names import label_1035_fault, label_fault, subdomain_fault
from springtide.api.podrules import env_errors, pod_spec_errors, resource_errors
from springtide.api.trainer import (
    Initializer,
    MLPolicy,
    RuntimePatch,
    RuntimeRef,
    Trainer,
    TrainingRuntimeSpec,
    TrainJob,
)

MANAGERS = (labels.TRAINJOB_CONTROLLER, "kueue.x-k8s.io/multikueue")
RUNTIME_KINDS = ("ClusterTrainingRuntime", "TrainingRuntime")
STEP_CONTAINERS = {
    labels.ANCESTOR_TRAINER: "node",
    labels.ANCESTOR_DATASET_INITIALIZER: "dataset-initializer",
    labels.ANCESTOR_MODEL_INITIALIZER: "model-initializer",
}
"""The container a TrainJob's trainer or initializer speaks of, by step; Kubeflow Trainer's convention."""

_FRAMEWORKS = ("torch", "mpi", "flux", "jax", "xgboost")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+")


def train_job_errors(job: TrainJob) -> list[FieldError]:
    """What is wrong with a TrainJob, looked at alone."""
    spec = job.spec
    errors: list[FieldError] = []
    name = job.metadata.name
    if name and (fault := label_1035_fault(name)):
        errors.append(invalid("metadata.name", name, fault))
    errors += _runtime_ref_errors(spec.runtime_ref, "spec.runtimeRef")
    if spec.initializer is not None:
        errors += _initializer_errors(spec.initializer, "spec.initializer")
    if spec.trainer is not None:
        errors += _trainer_errors(spec.trainer, "spec.trainer")
    errors += _patch_errors(spec.runtime_patches, "spec.runtimePatches")
    if spec.active_deadline_seconds < 0:
        errors.append(
            invalid("spec.activeDeadlineSeconds", spec.active_deadline_seconds, "must be at least 1")
        )
    if spec.managed_by and spec.managed_by not in MANAGERS:
        errors.append(unsupported("spec.managedBy", spec.managed_by, MANAGERS))
    if spec.ttl_seconds_after_finished is not None and spec.ttl_seconds_after_finished < 0:
        errors.append(
            invalid("spec.ttlSecondsAfterFinished", spec.ttl_seconds_after_finished, "must be at least 0")
        )
    return errors


def train_job_update_errors(new: TrainJob, old: TrainJob) -> list[FieldError]:
    """What may not change so: patches of the runtime move only while the job is suspended."""
    without_time = [_timeless(job.spec.runtime_patches) for job in (new, old)]
    if without_time[0] == without_time[1] or new.spec.suspend or old.spec.suspend:
        return []
    return [
        forbidden(
            "spec.runtimePatches",
            "can only be modified while the TrainJob is suspended; set spec.suspend to true first",
        )
    ]


def runtime_errors(spec: TrainingRuntimeSpec) -> list[FieldError]:
    """What is wrong with a TrainingRuntime or ClusterTrainingRuntime."""
    errors: list[FieldError] = []
    if spec.ml_policy is not None:
        errors += _ml_policy_errors(spec.ml_policy, "spec.mlPolicy")
    errors += _replicated_job_errors(spec.template.spec.replicated_jobs, "spec.template.spec.replicatedJobs")
    failure_policy = spec.template.spec.failure_policy
    if failure_policy is not None and failure_policy.max_restarts < 0:
        place = "spec.template.spec.failurePolicy.maxRestarts"
        errors.append(invalid(place, failure_policy.max_restarts, "must be at least 0"))
    return errors


def _runtime_ref_errors(ref: RuntimeRef, field: str) -> Iterator[FieldError]:
    if not ref.name:
        yield required(f"{field}.name", "name a runtime; `kubectl get clustertrainingruntimes` lists them")
    elif fault := subdomain_fault(ref.name):
        yield invalid(f"{field}.name", ref.name, fault)
    if ref.api_group != "trainer.kubeflow.org":
        yield unsupported(f"{field}.apiGroup", ref.api_group, ("trainer.kubeflow.org",))
    if ref.kind not in RUNTIME_KINDS:
        yield unsupported(f"{field}.kind", ref.kind, RUNTIME_KINDS)


def _initializer_errors(initializer: Initializer, field: str) -> Iterator[FieldError]:
    for name, part in (("dataset", initializer.dataset), ("model", initializer.model)):
        if part is None:
            continue
        if part.storage_uri and not _URI.fullmatch(part.storage_uri):
            yield invalid(
                f"{field}.{name}.storageUri", part.storage_uri, "must be empty or a URI (scheme://…)"
            )
        yield from env_errors(part.env, f"{field}.{name}.env")


def _trainer_errors(trainer: Trainer, field: str) -> Iterator[FieldError]:
    if trainer.num_nodes is not None and trainer.num_nodes < 1:
        yield invalid(f"{field}.numNodes", trainer.num_nodes, "must be at least 1")
    if trainer.num_proc_per_node is not None and trainer.num_proc_per_node < 1:
        yield invalid(f"{field}.numProcPerNode", trainer.num_proc_per_node, "must be at least 1")
    yield from env_errors(trainer.env, f"{field}.env")
    if trainer.resources_per_node is not None:
        yield from resource_errors(trainer.resources_per_node, f"{field}.resourcesPerNode")


def _patch_errors(patches: Sequence[RuntimePatch], field: str) -> Iterator[FieldError]:
    managers: set[str] = set()
    for index, patch in enumerate(patches):
        place = f"{field}[{index}]"
        if not patch.manager:
            yield required(f"{place}.manager", "say who writes this patch")
        if patch.manager in managers:
            yield duplicate(f"{place}.manager", patch.manager)
        managers.add(patch.manager)
        yield from _env_patch_errors(patch, place)


def _env_patch_errors(patch: RuntimePatch, field: str) -> Iterator[FieldError]:
    """Variables of the step containers are set by `trainer` and `initializer` alone."""
    template = patch.training_runtime_spec and patch.training_runtime_spec.template
    jobs = template.spec.replicated_jobs if template and template.spec else []
    for index, job in enumerate(jobs):
        pod = job.template and job.template.spec and job.template.spec.template
        if not pod or not pod.spec:
            continue
        place = (
            f"{field}.trainingRuntimeSpec.template.spec.replicatedJobs[{index}].template.spec.template.spec"
        )
        for part, containers in (
            ("initContainers", pod.spec.init_containers),
            ("containers", pod.spec.containers),
        ):
            for number, container in enumerate(containers):
                if container.env and container.name in STEP_CONTAINERS.values():
                    yield forbidden(
                        f"{place}.{part}[{number}].env",
                        f"set the variables of {container.name!r} in spec.trainer or spec.initializer",
                    )


def _ml_policy_errors(policy: MLPolicy, field: str) -> Iterator[FieldError]:
    if policy.num_nodes is not None and policy.num_nodes < 1:
        yield invalid(f"{field}.numNodes", policy.num_nodes, "must be at least 1")
    chosen = [name for name in _FRAMEWORKS if getattr(policy, name) is not None]
    if len(chosen) > 1:
        yield invalid(field, chosen, "only one framework can be configured")
    for name, part in (("mpi", policy.mpi), ("flux", policy.flux)):
        if part is not None and part.num_proc_per_node is not None and part.num_proc_per_node < 1:
            yield invalid(f"{field}.{name}.numProcPerNode", part.num_proc_per_node, "must be at least 1")


def _replicated_job_errors(jobs: Sequence[ReplicatedJob], field: str) -> Iterator[FieldError]:
    if not jobs:
        yield required(field, "a runtime has at least one replicated job")
    names: set[str] = set()
    for index, job in enumerate(jobs):
        place = f"{field}[{index}]"
        if fault := label_fault(job.name):
            yield invalid(f"{place}.name", job.name, fault)
        if job.name in names:
            yield duplicate(f"{place}.name", job.name)
        for number, before in enumerate(job.depends_on):
            if before.name not in names:
                yield invalid(
                    f"{place}.dependsOn[{number}].name", before.name, "must name a replicated job further up"
                )
        names.add(job.name)
        yield from _step_errors(job, place)


def _step_errors(job: ReplicatedJob, field: str) -> Iterator[FieldError]:
    pod_spec = job.template.spec.template.spec
    place = f"{field}.template.spec.template.spec"
    step = job.template.metadata.labels.get(labels.TRAINJOB_ANCESTOR_STEP, "")
    container = STEP_CONTAINERS.get(step)
    if container is not None:
        if job.replicas != 1:
            yield invalid(f"{field}.replicas", job.replicas, f"must be 1 for a job of step {step!r}")
        if container not in [found.name for found in pod_spec.containers]:
            yield invalid(
                f"{place}.containers",
                [found.name for found in pod_spec.containers],
                f"must have a container named {container!r}, which a TrainJob's {step} speaks of",
            )
    yield from pod_spec_errors(pod_spec, place, image_required=False)


def _timeless(patches: Sequence[RuntimePatch]) -> list[tuple[str, object]]:
    return [(patch.manager, patch.training_runtime_spec) for patch in patches]
