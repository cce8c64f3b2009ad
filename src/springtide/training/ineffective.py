"""Fields that are accepted and change nothing here, so that nothing is ignored without a word.

Called by `merge`; `plan` tells the user in the condition `UnsupportedFields` and one event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from springtide.api import labels
from springtide.api.struct import unknown_paths
from springtide.api.trainer import ClusterTrainingRuntime, TrainingRuntime, TrainJob


@dataclass(frozen=True)
class Ineffective:
    """A field that is set and has no effect."""

    field: str
    """Where: `spec.initializer`, or `runtime: spec.podGroupPolicy` for a field of the runtime."""
    why: str
    """What to know or to use instead."""

    def __str__(self) -> str:
        return f"{self.field}: {self.why}"


TRAINER_GROUP = "trainer.kubeflow.org"
_UNKNOWN = "not a field of this API version"
INITIALIZER_WHY = "not supported yet; load data and models in the program itself"
POD_GROUP_WHY = "jobs are always admitted whole, by the built-in queue"
ENV_INJECTION_WHY = "only the container `node` gets the PET_* variables; set env in the others"
ELASTIC_METRICS_WHY = "a job has as many nodes as there is room for when an attempt begins"
ELASTIC_RESTARTS_WHY = "use failurePolicy.maxRestarts of the JobSet template"
FAILURE_POLICY_WHY = "only maxRestarts is supported"
OTHERWISE_WHY = "not supported"
METADATA_WHY = "only labels and annotations are carried over"
API_GROUP_WHY = "runtimes are always of trainer.kubeflow.org"
PRIORITY_CLASS_WHY = "WorkloadPriorityClass is not served: the job queues by the time of its creation"
REPLICATED_WHY = "all pods of a job start together, as one gang"
JOBSET_WHY = {
    "successPolicy": "a job is complete when all its pods have succeeded",
    "startupPolicy": "all pods of a job start together",
    "network": "pods always have host names of the form <job>-<replicatedJob>-0-<index>.<job>",
    "coordinator": "rank 0 is the coordinator",
    "suspend": "use spec.suspend of the TrainJob",
    "managedBy": "use spec.managedBy of the TrainJob",
    "volumeClaimPolicies": "mount a PersistentVolumeClaim in the pod template",
}
JOB_WHY = {
    "backoffLimit": "use failurePolicy.maxRestarts of the JobSet template: a job restarts as a whole",
    "backoffLimitPerIndex": "a job restarts as a whole",
    "activeDeadlineSeconds": "use spec.activeDeadlineSeconds of the TrainJob",
    "ttlSecondsAfterFinished": "use ttlSecondsAfterFinished of the JobSet template",
    "podFailurePolicy": "failures are judged by the health of the platform; see `kubectl get diagnoses`",
    "suspend": "use spec.suspend of the TrainJob",
    "completions": "as many pods must succeed as run at once",
    "completionMode": "pods always have an index",
}
_JOBSET_DEFAULTS = {
    "operator": ("All",),
    "startupPolicyOrder": ("AnyOrder",),
    "enableDNSHostnames": (True,),
    "publishNotReadyAddresses": (True,),
}
"""Values of fields of a JobSet that say what is done anyway."""
EFFECTIVE_JOBSET = {"replicatedJobs", "failurePolicy", "ttlSecondsAfterFinished"}
EFFECTIVE_JOB = {"template", "parallelism"}
_EFFECTIVE_METADATA = {"labels", "annotations"}
EFFECTIVE_REPLICATED = {"name", "replicas", "template"}


def ineffective_fields(
    job: TrainJob, runtime: ClusterTrainingRuntime | TrainingRuntime, template: dict[str, Any]
) -> tuple[Ineffective, ...]:
    """All of them, in the order of the documents; `template` is the patched JobSet template as JSON."""
    found = [Ineffective(path, _UNKNOWN) for path in unknown_paths(job.spec, "spec")]
    if labels.PRIORITY_CLASS in job.metadata.labels:
        found.append(Ineffective(f"metadata.labels[{labels.PRIORITY_CLASS}]", PRIORITY_CLASS_WHY))
    if job.spec.runtime_ref.api_group not in ("", TRAINER_GROUP):
        found.append(Ineffective("spec.runtimeRef.apiGroup", API_GROUP_WHY))
    if job.spec.initializer is not None:
        found.append(Ineffective("spec.initializer", INITIALIZER_WHY))
    found += [
        Ineffective(f"runtime: {path}", _UNKNOWN)
        for path in unknown_paths(runtime.spec, "spec")
        if not path.startswith("spec.mlPolicy")
    ]
    if runtime.spec.pod_group_policy is not None:
        found.append(Ineffective("runtime: spec.podGroupPolicy", POD_GROUP_WHY))
    policy = runtime.spec.ml_policy
    if policy is not None and policy.torch is not None and policy.torch.env_injection is not None:
        found.append(Ineffective("runtime: spec.mlPolicy.torch.envInjection", ENV_INJECTION_WHY))
    found += _of_elastic_policy(runtime)
    found += _of_metadata("runtime: spec.template", template)
    found += _of_jobset(template.get("spec", {}))
    return tuple(found)


def _of_elastic_policy(runtime: ClusterTrainingRuntime | TrainingRuntime) -> list[Ineffective]:
    policy = runtime.spec.ml_policy
    elastic = policy.torch.elastic_policy if policy is not None and policy.torch is not None else None
    if elastic is None:
        return []
    root = "runtime: spec.mlPolicy.torch.elasticPolicy"
    found = [Ineffective(f"{root}.metrics", ELASTIC_METRICS_WHY)] if elastic.metrics else []
    if elastic.max_restarts is not None:
        found.append(Ineffective(f"{root}.maxRestarts", ELASTIC_RESTARTS_WHY))
    return found


def _of_metadata(path: str, described: dict[str, Any]) -> list[Ineffective]:
    """Metadata of the JobSet or of a job but labels and annotations."""
    return [
        Ineffective(f"{path}.metadata.{name}", METADATA_WHY)
        for name in sorted(described.get("metadata", {}).keys() - _EFFECTIVE_METADATA)
    ]


def _of_jobset(jobset: dict[str, Any]) -> list[Ineffective]:
    root = "runtime: spec.template.spec"
    found = [
        Ineffective(f"{root}.{name}", why) for name, why in JOBSET_WHY.items() if _is_set(jobset.get(name))
    ]
    found += [
        Ineffective(f"{root}.failurePolicy.{name}", FAILURE_POLICY_WHY)
        for name, value in jobset.get("failurePolicy", {}).items()
        if name != "maxRestarts" and value not in ("Recreate", "", [])
    ]
    for replicated in jobset.get("replicatedJobs", []):
        found += _of_replicated_job(f"{root}.replicatedJobs[{replicated['name']}]", replicated)
    return found


def _of_replicated_job(path: str, replicated: dict[str, Any]) -> list[Ineffective]:
    found = [
        Ineffective(f"{path}.{name}", REPLICATED_WHY)
        for name in sorted(replicated.keys() - EFFECTIVE_REPLICATED)
        if replicated[name] not in ("default", [])
    ]
    template = replicated.get("template", {})
    spec = template.get("spec", {})
    implied = {"completions": spec.get("parallelism", 1), "completionMode": "Indexed"}
    found += _of_metadata(f"{path}.template", template)
    found += [
        Ineffective(f"{path}.template.spec.{name}", JOB_WHY.get(name, OTHERWISE_WHY))
        for name in sorted(spec.keys() - EFFECTIVE_JOB)
        if name not in implied or spec[name] != implied[name]
    ]
    return found


def _is_set(value: Any) -> bool:
    """Whether a JobSet field says more than its default."""
    if isinstance(value, dict):
        return any(
            said not in (None, "", [], *_JOBSET_DEFAULTS.get(name, ())) for name, said in value.items()
        )
    return value not in (None, [], False)
