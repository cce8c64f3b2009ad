"""trainer.kubeflow.org/v1alpha1: TrainJob and the runtimes it runs on.

A user writes a TrainJob; an administrator writes runtimes; `training` brings both together. Source of
names and meaning: Kubeflow Trainer v2. `TrainJobSpec.ttlSecondsAfterFinished` is an addition of ours.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import field

from springtide.api.affinity import Affinity, Toleration
from springtide.api.containers import EnvVar, ResourceRequirements, SecurityContext
from springtide.api.jobset import (
    JobSetFailurePolicy as JobSetFailurePolicy,
)
from springtide.api.jobset import (
    JobSetSpec as JobSetSpec,
)
from springtide.api.jobset import (
    JobSetTemplateSpec as JobSetTemplateSpec,
)
from springtide.api.jobset import (
    ReplicatedJob as ReplicatedJob,
)
from springtide.api.listtypes import Default, Limits, ListMap, ListSet, Required, Rule
from springtide.api.meta import Condition, Object, ObjectMeta
from springtide.api.pods import PodSchedulingGate, PodSecurityContext
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
from springtide.api.volumes import LocalObjectReference, Volume, VolumeMount

DEFINITION_PREFIX = "org.kubeflow.trainer.v1alpha1"

IMMUTABLE = Rule("self == oldSelf", "field is immutable")
STORAGE_URI = Limits(max_length=2048)


class TrainJobCondition(StrEnum):
    """Types of conditions of a TrainJob. The latter two are final."""

    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"
    PENDING = "Pending"
    """Ours: it does not run yet; reason and message say what it waits for."""
    RUNNING = "Running"
    """Ours: all pods run."""
    RESTARTING = "Restarting"
    """Ours: an attempt failed and the next one is on its way."""
    UNSUPPORTED_FIELDS = "UnsupportedFields"
    """Ours: fields that are set and have no effect, each named."""
    CHANGE_IGNORED = "ChangeIgnored"
    """Ours: the spec changed after the job was admitted."""


class TrainJobReason(StrEnum):
    """Reasons of conditions of a TrainJob."""

    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    RUNTIME_NOT_SUPPORTED = "TrainingRuntimeNotSupported"
    PRIORITY_CLASS_NOT_FOUND = "PriorityClassNotFound"
    """Ours: the label names a WorkloadPriorityClass that does not exist."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    JOBS_COMPLETED = "AllJobsCompleted"
    JOBS_FAILED = "JobsFailed"


class RuntimeRef(Struct):
    """The runtime a job runs on."""

    name: Annotated[str, Limits(min_length=1, max_length=253)]
    """Name of the runtime; a TrainingRuntime must be in the namespace of the job."""
    api_group: Annotated[str, Limits(max_length=253)] = "trainer.kubeflow.org"
    """API group of the runtime."""
    kind: Annotated[str, Limits(max_length=253)] = "ClusterTrainingRuntime"
    """`ClusterTrainingRuntime` or `TrainingRuntime`."""


class DatasetInitializer(Struct):
    """How the dataset is brought in; overrides the runtime's job of step `dataset-initializer`."""

    storage_uri: Annotated[str | None, STORAGE_URI] = None
    """Where the dataset is, such as `s3://bucket/path`."""
    env: Annotated[list[EnvVar], ListMap("name", merge=False), Limits(max_items=128)] = []
    """Variables, merged by name with those of the runtime."""
    secret_ref: LocalObjectReference | None = None
    """Secret with credentials, in the namespace of the job."""


class ModelInitializer(Struct):
    """How a pre-trained model is brought in; overrides the runtime's job of step `model-initializer`."""

    storage_uri: Annotated[str | None, STORAGE_URI] = None
    """Where the model is, such as `hf://owner/model`."""
    env: Annotated[list[EnvVar], ListMap("name", merge=False), Limits(max_items=128)] = []
    """Variables, merged by name with those of the runtime."""
    secret_ref: LocalObjectReference | None = None
    """Secret with credentials, in the namespace of the job."""


class Initializer(Struct):
    """What is brought in before training starts."""

    dataset: DatasetInitializer | None = None
    """The dataset."""
    model: ModelInitializer | None = None
    """The model to start from."""


class Trainer(Struct):
    """The training itself; overrides the runtime's job of step `trainer`."""

    image: Annotated[str | None, Limits(max_length=500)] = None
    """Image of the training container; that of the runtime by default."""
    command: Annotated[list[str], Limits(max_items=128, items=Limits(max_length=1048576))] = []
    """Program and first arguments; those of the runtime by default."""
    args: Annotated[list[str], Limits(max_items=128, items=Limits(max_length=1048576))] = []
    """Arguments; those of the runtime by default."""
    env: Annotated[list[EnvVar], ListMap("name", merge=False), Limits(max_items=128)] = []
    """Variables, merged by name with those of the runtime."""
    num_nodes: Annotated[int | None, Limits(minimum=0, format="int32")] = None
    """How many training nodes (pods) there are; that of the runtime by default."""
    resources_per_node: ResourceRequirements | None = None
    """What each training node needs and may use at most."""
    num_proc_per_node: Annotated[
        int | None,
        Limits(format="int32"),
        Rule("self >= 1", "numProcPerNode must be greater than or equal to 1"),
    ] = None
    """How many processes run on each training node; for PyTorch one per GPU, else one per CPU, by default."""


class ContainerPatch(Struct):
    """What may be changed of one container of the runtime."""

    name: Annotated[str, Limits(min_length=1, max_length=253)]
    """Name of a container of the runtime."""
    env: Annotated[list[EnvVar], ListMap("name", merge=False), Limits(max_items=128)] = []
    """Variables, merged by name; not for the containers that `trainer` and `initializer` speak of."""
    volume_mounts: Annotated[list[VolumeMount], ListMap("name", merge=False), Limits(max_items=128)] = []
    """Volumes it sees in addition."""
    security_context: SecurityContext | None = None
    """Its privileges."""


class PodSpecPatch(Struct):
    """What may be changed of the pods of the runtime."""

    service_account_name: Annotated[str | None, Limits(max_length=253), IMMUTABLE] = None
    """Identity the pods act with."""
    volumes: Annotated[list[Volume], ListMap("name", merge=False), Limits(max_items=128), IMMUTABLE] = []
    """Volumes in addition."""
    init_containers: Annotated[
        list[ContainerPatch], ListMap("name", merge=False), Limits(max_items=64), IMMUTABLE
    ] = []
    """Changes of init containers."""
    containers: Annotated[
        list[ContainerPatch], ListMap("name", merge=False), Limits(max_items=64), IMMUTABLE
    ] = []
    """Changes of containers."""
    image_pull_secrets: Annotated[
        list[LocalObjectReference], ListMap("name", merge=False), Limits(max_items=64), IMMUTABLE
    ] = []
    """Secrets with credentials for registries."""
    security_context: Annotated[PodSecurityContext | None, IMMUTABLE] = None
    """Privileges of all containers."""
    node_selector: dict[str, str] = {}
    """Labels the nodes must have."""
    affinity: Affinity | None = None
    """Where the pods need or like to run."""
    tolerations: Annotated[list[Toleration], Limits(max_items=128)] = []
    """Taints the pods put up with."""
    scheduling_gates: Annotated[
        list[PodSchedulingGate], ListMap("name", merge=False), Limits(max_items=16)
    ] = []
    """Reasons not to schedule the pods yet."""
    termination_grace_period_seconds: Annotated[int | None, Limits(minimum=0), IMMUTABLE] = None
    """Seconds between asking to stop and killing."""


class PodTemplatePatch(Struct):
    """What may be changed of a pod template."""

    metadata: ObjectMeta | None = None
    """Labels and annotations in addition."""
    spec: PodSpecPatch | None = None
    """Changes of the pods."""


class JobSpecPatch(Struct):
    """What may be changed of a job."""

    template: PodTemplatePatch | None = None
    """Changes of its pod template."""


class JobTemplatePatch(Struct):
    """What may be changed of a job template."""

    metadata: ObjectMeta | None = None
    """Labels and annotations in addition."""
    spec: JobSpecPatch | None = None
    """Changes of the job."""


class ReplicatedJobPatch(Struct):
    """What may be changed of one replicated job."""

    name: Annotated[str, Limits(min_length=1, max_length=253)]
    """Name of the replicated job."""
    template: JobTemplatePatch | None = None
    """Changes of its template."""


class JobSetSpecPatch(Struct):
    """What may be changed of the set of jobs."""

    replicated_jobs: Annotated[
        list[ReplicatedJobPatch], ListMap("name", merge=False), Limits(max_items=100)
    ] = []
    """Changes by job."""


class JobSetTemplatePatch(Struct):
    """What may be changed of the runtime's template."""

    metadata: ObjectMeta | None = None
    """Labels and annotations in addition."""
    spec: JobSetSpecPatch | None = None
    """Changes of the set of jobs."""


class TrainingRuntimeSpecPatch(Struct):
    """What may be changed of a runtime."""

    template: JobSetTemplatePatch | None = None
    """Changes of its template."""


class RuntimePatch(Struct):
    """Changes of the runtime by one writer, for this job only."""

    manager: Annotated[str, Limits(min_length=1, max_length=253), IMMUTABLE]
    """Who writes this entry, such as `kueue.x-k8s.io/manager`."""
    time: datetime | None = None
    """When it was last written."""
    training_runtime_spec: TrainingRuntimeSpecPatch | None = None
    """The changes."""


class TrainJobSpec(Struct):
    """What is to be trained, and on what."""

    runtime_ref: Annotated[RuntimeRef, IMMUTABLE]
    """The runtime it runs on."""
    initializer: Annotated[Initializer | None, IMMUTABLE] = None
    """What is brought in before training starts."""
    trainer: Annotated[Trainer | None, IMMUTABLE] = None
    """The training itself."""
    runtime_patches: Annotated[list[RuntimePatch], ListMap("manager", merge=False), Limits(max_items=16)] = []
    """Changes of the runtime, one entry per writer."""
    suspend: Annotated[bool | None, Default(False)] = None
    """Whether it must not run for now; running pods are stopped."""
    active_deadline_seconds: Annotated[int, Limits(minimum=1), IMMUTABLE] = 0
    """Seconds it may run, counted anew after a suspension; then it fails with reason DeadlineExceeded."""
    managed_by: Annotated[
        str,
        Limits(max_length=253),
        IMMUTABLE,
        Rule(
            "self in ['trainer.kubeflow.org/trainjob-controller', 'kueue.x-k8s.io/multikueue']",
            "must be trainer.kubeflow.org/trainjob-controller or kueue.x-k8s.io/multikueue",
        ),
    ] = "trainer.kubeflow.org/trainjob-controller"
    """Controller that works on it; any other than the default keeps this program's hands off."""
    ttl_seconds_after_finished: Annotated[int | None, Limits(minimum=0, format="int32")] = None
    """Seconds after its end at which it is deleted; never by default. An addition of Springtide."""


class JobStatus(Struct):
    """Where one replicated job stands."""

    name: Annotated[str, Limits(min_length=1, max_length=253)]
    """Name of the replicated job."""
    ready: Annotated[int, Limits(minimum=0, format="int32")] = always(0)
    """Jobs all of whose pods are ready or done."""
    succeeded: Annotated[int, Limits(minimum=0, format="int32")] = always(0)
    """Jobs that succeeded."""
    failed: Annotated[int, Limits(minimum=0, format="int32")] = always(0)
    """Jobs that failed."""
    active: Annotated[int, Limits(minimum=0, format="int32")] = always(0)
    """Jobs with a pod that waits or runs."""
    suspended: Annotated[int, Limits(minimum=0, format="int32")] = always(0)
    """Jobs that are suspended."""


class Metric(Struct):
    """A value the program reports."""

    name: Annotated[str, Limits(min_length=1, max_length=64)]
    """Name of the metric, such as `loss`."""
    value: Annotated[str, Limits(min_length=1, max_length=64)]
    """Its newest value, as text."""


class TrainerStatus(Struct):
    """How far the training is, as the program itself reports."""

    progress_percentage: Annotated[int | None, Limits(minimum=0, maximum=100, format="int32")] = None
    """How much is done, from 0 to 100."""
    estimated_remaining_seconds: Annotated[int | None, Limits(minimum=0, format="int32")] = None
    """Seconds it will take still."""
    metrics: Annotated[list[Metric], Limits(max_items=256)] = []
    """Newest values of metrics."""
    last_updated_time: Annotated[datetime | None, Required()] = None
    """When the program last reported."""


class TrainJobStatus(Struct):
    """Where a TrainJob stands; written by `training`."""

    conditions: Annotated[list[Condition], ListMap("type"), Limits(max_items=8)] = []
    """Observations, the newest per type; the last one is what `kubectl get` shows."""
    jobs_status: Annotated[list[JobStatus], ListMap("name", merge=False), Limits(max_items=100)] = []
    """Where each replicated job stands."""
    trainer_status: TrainerStatus | None = None
    """How far the training is."""


@resource(
    plural="trainjobs",
    columns=(
        Column("State", "string", ".status.conditions[-1:].type"),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
class TrainJob(Object):
    """A training job."""

    api_version: str = "trainer.kubeflow.org/v1alpha1"
    kind: str = "TrainJob"
    spec: TrainJobSpec
    """What is to be trained, and on what."""
    status: TrainJobStatus = TrainJobStatus()
    """Where it stands."""


class EnvInjectionTarget(Struct):
    """Containers of a job that get the framework's variables."""

    job_name: Annotated[str, Limits(min_length=1, max_length=253)]
    """Replicated job they are in."""
    container_names: Annotated[
        list[str], ListSet(), Limits(min_items=1, max_items=8, items=Limits(max_length=63))
    ]
    """Names of the containers; the main one always gets the variables."""


class EnvInjection(Struct):
    """Which further containers get the framework's variables."""

    targets: Annotated[list[EnvInjectionTarget], ListMap("jobName", merge=False), Limits(max_items=16)] = []
    """Containers by job."""


class TorchElasticPolicy(Struct):
    """With how many nodes a job can do; each attempt has a fixed number of them."""

    max_restarts: Annotated[int | None, Limits(format="int32")] = None
    """No effect: see `failurePolicy.maxRestarts`."""
    min_nodes: Annotated[int | None, Limits(format="int32")] = None
    """With how few nodes it can run; as many as there are by default."""
    max_nodes: Annotated[int | None, Limits(format="int32")] = None
    """With how many it runs if it gets them; `numNodes` of the job goes before."""
    metrics: list[dict[str, Any]] = []
    """No effect: a job is as large as there is room for when an attempt begins."""


class TorchMLPolicySource(Struct):
    """Run with PyTorch."""

    elastic_policy: TorchElasticPolicy | None = None
    """How many nodes it needs and how many it wants."""

    env_injection: EnvInjection | None = None
    """Which further containers get the PET_* variables."""


class MPIMLPolicySource(Struct):
    """Run with MPI."""

    num_proc_per_node: Annotated[int | None, Limits(format="int32"), Default(1)] = None
    """Processes (slots) on each node; 1 by default."""
    mpi_implementation: Annotated[str | None, Limits(enum=("OpenMPI", "")), Default("OpenMPI")] = None
    """Which implementation the host file is written for."""
    ssh_auth_mount_path: Annotated[str | None, Limits(max_length=4096), Default("/root/.ssh")] = field(
        name="sshAuthMountPath", default=None
    )
    """Folder in which SSH keys are mounted."""
    run_launcher_as_node: Annotated[bool | None, Default(False)] = None
    """Whether the launcher trains too."""


class FluxMLPolicySource(Struct):
    """Run with Flux."""

    num_proc_per_node: Annotated[int | None, Limits(format="int32"), Default(1)] = None
    """Processes on each node; 1 by default."""


class JAXMLPolicySource(Struct):
    """Run with JAX."""


class XGBoostMLPolicySource(Struct):
    """Run with XGBoost."""


class MLPolicy(Struct):
    """What the framework needs; at most one framework is set."""

    num_nodes: Annotated[int | None, Limits(format="int32")] = None
    """How many training nodes there are unless the job says so; 1 by default."""
    torch: TorchMLPolicySource | None = None
    """Run with PyTorch."""
    mpi: MPIMLPolicySource | None = None
    """Run with MPI."""
    flux: FluxMLPolicySource | None = None
    """Run with Flux."""
    jax: JAXMLPolicySource | None = None
    """Run with JAX."""
    xgboost: XGBoostMLPolicySource | None = None
    """Run with XGBoost."""


class CoschedulingPodGroupPolicySource(Struct):
    """Gang scheduling by the coscheduling plug-in."""

    schedule_timeout_seconds: Annotated[int | None, Limits(format="int32"), Default(60)] = None
    """How long a gang may wait to be complete."""


class NetworkTopologySpec(Struct):
    """How near to each other the pods must be, in Volcano's terms."""

    mode: Annotated[str, Limits(enum=("hard", "soft"))] = "hard"
    """`hard` is a condition, `soft` a wish."""
    highest_tier_allowed: Annotated[int | None, Default(1)] = None
    """Highest tier of the network the pods may span."""


class VolcanoPodGroupPolicySource(Struct):
    """Gang scheduling by Volcano."""

    network_topology: NetworkTopologySpec | None = None
    """How near to each other the pods must be."""


class PodGroupPolicy(Struct):
    """How the gang is scheduled; at most one is set. This program schedules every job as a gang."""

    coscheduling: CoschedulingPodGroupPolicySource | None = None
    """By the coscheduling plug-in."""
    volcano: VolcanoPodGroupPolicySource | None = None
    """By Volcano."""


class TrainingRuntimeSpec(Struct):
    """A blueprint for jobs."""

    ml_policy: MLPolicy | None = None
    """What the framework needs."""
    pod_group_policy: PodGroupPolicy | None = None
    """How the gang is scheduled."""
    template: JobSetTemplateSpec = JobSetTemplateSpec()
    """The set of jobs that a job becomes."""


@resource(plural="trainingruntimes")
class TrainingRuntime(Object):
    """A blueprint for the TrainJobs of one namespace."""

    api_version: str = "trainer.kubeflow.org/v1alpha1"
    kind: str = "TrainingRuntime"
    spec: TrainingRuntimeSpec = TrainingRuntimeSpec()
    """The blueprint."""


@resource(plural="clustertrainingruntimes", namespaced=False)
class ClusterTrainingRuntime(Object):
    """A blueprint for the TrainJobs of all namespaces."""

    api_version: str = "trainer.kubeflow.org/v1alpha1"
    kind: str = "ClusterTrainingRuntime"
    spec: TrainingRuntimeSpec = TrainingRuntimeSpec()
    """The blueprint."""
