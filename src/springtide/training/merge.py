"""A TrainJob and its runtime become pod sets: what the job will run, resolved once and for all.

Called by `plan` while a job has not started; the result is kept in Workload.spec, so a later edit of the
runtime changes no job that has begun. Order of precedence, as Kubeflow Trainer's (pkg/runtime/core):
the runtime's template, then `spec.runtimePatches`, then `spec.trainer`, then the ML policy's environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from springtide.api import labels, quantity
from springtide.api.kueue import PodSet
from springtide.api.pods import PodTemplateSpec
from springtide.api.struct import decode, encode
from springtide.api.topologyrules import topology_request
from springtide.api.trainer import ClusterTrainingRuntime, TrainingRuntime, TrainJob
from springtide.training.elastic import elastic_policy, fewest_nodes
from springtide.training.ineffective import Ineffective, ineffective_fields
from springtide.training.patches import overlay, upsert

TrainingTemplate = ClusterTrainingRuntime | TrainingRuntime
"""Either kind of runtime: they differ in scope alone."""

TRAINER_CONTAINER = "node"
"""The container `spec.trainer` speaks of, as upstream fixes it."""
SUPPORTED_ML_POLICIES = ("numNodes", "torch")
"""Fields of a runtime's spec.mlPolicy; a job on a runtime with another waits and says so."""
RESERVED_ENV = ("PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT")
"""Variables of torchrun that the torch policy sets and a job must not (pkg/constants upstream)."""
HOSTNAME_CHARACTERS_MAX = 57
"""A host name is a DNS label of 63 characters; pods add six more for their attempt."""

_ADMITTED_NODES = {"fieldRef": {"fieldPath": f"metadata.annotations['{labels.NUM_NODES}']"}}
_COMPLETION_INDEX = {"fieldRef": {"fieldPath": f"metadata.annotations['{labels.JOB_COMPLETION_INDEX}']"}}


class UnresolvableError(Exception):
    """The job cannot start as it is written; `str()` names field, value, rule and fix."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Resolved:
    """What a TrainJob comes to."""

    pod_sets: list[PodSet]
    max_restarts: int
    """How often the job may start again after a failure of its own program (`failurePolicy.maxRestarts`)."""
    ttl_seconds: int | None
    """`ttlSecondsAfterFinished` of the runtime's JobSet template."""
    labels: dict[str, str]
    """Of the JobSet template, for the Workload that stands in the JobSet's place."""
    annotations: dict[str, str]
    """As the labels."""
    ineffective: tuple[Ineffective, ...]
    """Fields that are set and change nothing here."""


def resolve(job: TrainJob, runtime: TrainingTemplate, port: int) -> Resolved:
    """The job's pod sets, with `port` for the rendezvous of its ranks. Raises UnresolvableError."""
    _check_policy(runtime)
    _check_trainer(job)
    template = _patched(job, encode(runtime.spec.template))
    jobset, metadata = template.get("spec", {}), template.get("metadata", {})
    replicated_jobs = jobset.get("replicatedJobs", [])
    if not replicated_jobs:
        raise UnresolvableError(
            "InvalidRuntime",
            f"{runtime.kind} {runtime.metadata.name}: spec.template.spec.replicatedJobs is empty; "
            "it must describe at least the trainer",
        )
    return Resolved(
        pod_sets=[_pod_set(job, runtime, replicated, port) for replicated in replicated_jobs],
        max_restarts=int(jobset.get("failurePolicy", {}).get("maxRestarts", 0)),
        ttl_seconds=jobset.get("ttlSecondsAfterFinished"),
        labels=metadata.get("labels", {}),
        annotations=metadata.get("annotations", {}),
        ineffective=ineffective_fields(job, runtime, template),
    )


def _check_policy(runtime: TrainingTemplate) -> None:
    policy = encode(runtime.spec.ml_policy) if runtime.spec.ml_policy is not None else {}
    for name in policy:
        if name not in SUPPORTED_ML_POLICIES:
            raise UnresolvableError(
                "UnsupportedMLPolicy",
                f"{runtime.kind} {runtime.metadata.name}: spec.mlPolicy.{name} is not supported yet; "
                "use a runtime with mlPolicy.torch, or one without a framework such as `plain`",
            )


def _check_trainer(job: TrainJob) -> None:
    trainer = job.spec.trainer
    if trainer is None:
        return
    if trainer.num_nodes is not None and trainer.num_nodes < 1:
        raise UnresolvableError(
            "InvalidSpec", f"spec.trainer.numNodes is {trainer.num_nodes}; it must be at least 1"
        )
    if trainer.num_proc_per_node is not None and trainer.num_proc_per_node < 1:
        raise UnresolvableError(
            "InvalidSpec",
            f"spec.trainer.numProcPerNode is {trainer.num_proc_per_node}; it must be at least 1, "
            "or left out to follow the GPUs or CPUs of a node",
        )


def _patched(job: TrainJob, template: dict[str, Any]) -> dict[str, Any]:
    """The JobSet template with `spec.runtimePatches` over it, in their order, metadata included."""
    known = {replicated["name"] for replicated in template.get("spec", {}).get("replicatedJobs", [])}
    for place, entry in enumerate(job.spec.runtime_patches):
        raw = encode(entry).get("trainingRuntimeSpec", {}).get("template", {})
        for replicated in raw.get("spec", {}).get("replicatedJobs", []):
            if replicated["name"] not in known:
                raise UnresolvableError(
                    "InvalidSpec",
                    f"spec.runtimePatches[{place}] ({entry.manager}) patches replicatedJob "
                    f"{replicated['name']!r}, which the runtime lacks; it has: {', '.join(sorted(known))}",
                )
        template = overlay(template, raw)
    return template


def _pod_set(job: TrainJob, runtime: TrainingTemplate, replicated: dict[str, Any], port: int) -> PodSet:
    name = replicated["name"]
    job_template = replicated.get("template", {})
    job_metadata = job_template.get("metadata", {})
    job_labels = job_metadata.get("labels", {})
    template = job_template.get("spec", {}).get("template", {})
    pod = template.get("spec", {})
    if replicated.get("replicas", 1) != 1:
        raise UnresolvableError(
            "UnsupportedReplicas",
            f"replicatedJob {name!r} of the runtime has replicas {replicated['replicas']}; only 1 is "
            "supported: use spec.trainer.numNodes for more pods",
        )
    count = int(job_template.get("spec", {}).get("parallelism", 1))
    fewest: int | None = None
    if job_labels.get(labels.TRAINJOB_ANCESTOR_STEP) == labels.ANCESTOR_TRAINER:
        count = _nodes(job, runtime)
        try:
            fewest = fewest_nodes(runtime, count)
        except ValueError as error:
            raise UnresolvableError("InvalidRuntime", str(error)) from None
        pod = _trainer_pod(job, runtime, name, pod, _told(count, fewest), port)
    _check_names(job, name, count)
    pod = _completed_pod(pod, _told(count, fewest))
    metadata: dict[str, Any] = overlay(
        {"labels": job_labels, "annotations": job_metadata.get("annotations", {})},
        template.get("metadata", {}),
    )
    decoded = decode(PodTemplateSpec, {"metadata": metadata, "spec": pod})
    try:
        asked = topology_request(metadata.get("annotations", {}), count)
    except ValueError as error:
        raise UnresolvableError("InvalidSpec", f"pod set {name}: annotation {error}") from None
    return PodSet(name=name, count=count, min_count=fewest, template=decoded, topology_request=asked)


def _nodes(job: TrainJob, runtime: TrainingTemplate) -> int:
    if job.spec.trainer is not None and job.spec.trainer.num_nodes is not None:
        return job.spec.trainer.num_nodes
    policy = runtime.spec.ml_policy
    elastic = elastic_policy(runtime)
    if elastic is not None and elastic.max_nodes is not None:
        return elastic.max_nodes
    return policy.num_nodes if policy is not None and policy.num_nodes is not None else 1


def _trainer_pod(
    job: TrainJob,
    runtime: TrainingTemplate,
    pod_set: str,
    pod: dict[str, Any],
    count: dict[str, Any],
    port: int,
) -> dict[str, Any]:
    """The trainer's pod with `spec.trainer` and the ML policy laid over its container `node`."""
    containers = pod.get("containers", [])
    place = next((i for i, one in enumerate(containers) if one.get("name") == TRAINER_CONTAINER), None)
    if place is None:
        raise UnresolvableError(
            "InvalidRuntime",
            f"{runtime.kind} {runtime.metadata.name}: replicatedJob {pod_set!r} has no container named "
            f"{TRAINER_CONTAINER!r}, which spec.trainer and the ML policy apply to",
        )
    container = _trainer_container(job, containers[place])
    if runtime.spec.ml_policy is not None and runtime.spec.ml_policy.torch is not None:
        _check_reserved_env(job)
        container = {
            **container,
            "env": _with_env(container, _torch_env(job, container, pod_set, count, port)),
        }
    return {**pod, "containers": [*containers[:place], container, *containers[place + 1 :]]}


def _told(count: int, fewest: int | None) -> dict[str, Any]:
    """How a container is told the number of nodes: of elastic jobs each attempt has its own."""
    return {"value": str(count)} if fewest is None else {"valueFrom": _ADMITTED_NODES}


def _trainer_container(job: TrainJob, container: dict[str, Any]) -> dict[str, Any]:
    if job.spec.trainer is None:
        return container
    trainer = encode(job.spec.trainer)
    taken: dict[str, Any] = {key: trainer[key] for key in ("image", "command", "args") if key in trainer}
    changed = {**container, **taken}
    if "env" in trainer:
        changed["env"] = _with_env(container, trainer["env"])
    if "resourcesPerNode" in trainer:
        changed["resources"] = overlay(container.get("resources", {}), trainer["resourcesPerNode"])
    return changed


def _check_reserved_env(job: TrainJob) -> None:
    for place, variable in enumerate(job.spec.trainer.env if job.spec.trainer is not None else []):
        if variable.name in RESERVED_ENV:
            raise UnresolvableError(
                "InvalidSpec",
                f"spec.trainer.env[{place}] sets {variable.name}, which the torch runtime sets itself; "
                "remove it and use spec.trainer.numNodes or numProcPerNode",
            )


def _torch_env(
    job: TrainJob, container: dict[str, Any], pod_set: str, count: dict[str, Any], port: int
) -> list[dict[str, Any]]:
    """What torchrun reads instead of flags (pkg/runtime/framework/plugins/torch upstream)."""
    name = job.metadata.name
    return [
        {"name": "PET_NNODES", **count},
        {"name": "PET_NPROC_PER_NODE", "value": str(_processes(job, container.get("resources", {})))},
        {"name": "PET_NODE_RANK", "valueFrom": _COMPLETION_INDEX},
        {"name": "PET_MASTER_ADDR", "value": f"{name}-{pod_set}-0-0.{name}"},
        {"name": "PET_MASTER_PORT", "value": str(port)},
    ]


def _processes(job: TrainJob, resources: dict[str, Any]) -> int:
    """numProcPerNode, else the GPUs of a node, else its whole CPUs, at least 1."""
    if job.spec.trainer is not None and job.spec.trainer.num_proc_per_node is not None:
        return job.spec.trainer.num_proc_per_node
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for amounts in (requests, limits):
        gpus = [quantity.to_int(amount) for name, amount in amounts.items() if "gpu" in name.lower()]
        if any(gpus):
            return max(gpus)
    cpus = requests.get("cpu", limits.get("cpu", 1))
    return max(1, quantity.to_int(cpus))


def _completed_pod(pod: dict[str, Any], count: dict[str, Any]) -> dict[str, Any]:
    """What an Indexed Job adds to its pods, and the restart policy of a gang.

    Pods end and are started anew by attempts of the whole workload, never rank by rank.
    """
    place: list[dict[str, Any]] = [
        {"name": "JOB_COMPLETION_INDEX", "valueFrom": _COMPLETION_INDEX},
        {"name": "SPRINGTIDE_NUM_NODES", **count},
    ]
    return {
        **pod,
        "restartPolicy": pod.get("restartPolicy") or "Never",
        "containers": [
            {
                **container,
                "env": upsert(place, container.get("env", []), "name"),
                **_requested(container.get("resources", {})),
            }
            for container in pod.get("containers", [])
        ],
    }


def _requested(resources: dict[str, Any]) -> dict[str, Any]:
    """Requests default to limits, as the API server defaults them on pods: admission counts requests."""
    if not resources:
        return {}
    requests = {**resources.get("limits", {}), **resources.get("requests", {})}
    return {"resources": {**resources, **({"requests": requests} if requests else {})}}


def _with_env(container: dict[str, Any], additions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return upsert(container.get("env", []), additions, "name")


def _check_names(job: TrainJob, pod_set: str, count: int) -> None:
    longest = f"{job.metadata.name}-{pod_set}-0-{count - 1}"
    if len(longest) > HOSTNAME_CHARACTERS_MAX:
        raise UnresolvableError(
            "InvalidSpec",
            f"metadata.name makes the host name {longest!r}, {len(longest)} characters long; at most "
            f"{HOSTNAME_CHARACTERS_MAX} fit: make the job anew under a shorter name",
        )
