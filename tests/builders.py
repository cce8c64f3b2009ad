"""Small builders of API objects for tests: say what matters, the rest is ordinary.

Quantities are written as in a manifest. Times count in seconds from `EPOCH`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from springtide.api import labels
from springtide.api.core import (
    Container,
    Namespace,
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    ResourceRequirements,
    Taint,
    Toleration,
)
from springtide.api.gpus import REGISTER
from springtide.api.kueue import (
    Admission,
    ClusterQueue,
    ClusterQueueSpec,
    FlavorQuotas,
    LocalQueue,
    LocalQueueSpec,
    PodSet,
    PodSetAssignment,
    PodSetTopologyRequest,
    RequeueState,
    ResourceFlavor,
    ResourceFlavorSpec,
    ResourceGroup,
    ResourceQuota,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
    assign_nodes,
)
from springtide.api.meta import Condition, LabelSelector, ObjectMeta, OwnerReference, set_condition
from springtide.api.quantity import Quantity
from springtide.api.struct import replace
from springtide.api.trainer import RuntimeRef, Trainer, TrainJob, TrainJobSpec

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
GPU = "nvidia.com/gpu"


def at(seconds: float) -> datetime:
    """A moment so many seconds after `EPOCH`."""
    return EPOCH + timedelta(seconds=seconds)


def resources(
    cpu: Quantity | None = None,
    memory: Quantity | None = None,
    gpu: Quantity | None = None,
    more: Mapping[str, Quantity] | None = None,
) -> dict[str, Quantity]:
    """A resource list of what is given."""
    named = {"cpu": cpu, "memory": memory, GPU: gpu, **(more or {})}
    return {name: value for name, value in named.items() if value is not None}


def node(
    name: str = "node-1",
    *,
    cpu: Quantity = 8,
    memory: Quantity = "32Gi",
    gpu: Quantity | None = None,
    pods: int = 110,
    ready: bool = True,
    cordoned: bool = False,
    labelled: Mapping[str, str] | None = None,
    taints: Sequence[Taint] = (),
    more: Mapping[str, Quantity] | None = None,
    annotated: Mapping[str, str] | None = None,
) -> Node:
    """A node that is ready for pods."""
    offered = {**resources(cpu, memory, gpu, more), "pods": pods}
    return Node(
        metadata=ObjectMeta(
            name=name,
            uid=f"uid-{name}",
            labels={labels.HOSTNAME: name, **(labelled or {})},
            annotations=dict(annotated or {}),
        ),
        spec=NodeSpec(unschedulable=cordoned, taints=list(taints)),
        status=NodeStatus(
            capacity=offered,
            allocatable=offered,
            conditions=[NodeCondition(type="Ready", status="True" if ready else "False")],
        ),
    )


def gpu_node(
    name: str = "node-1",
    gpus: int = 2,
    *,
    cpu: Quantity = 64,
    gpu_memory: int = 40000,
    sharers: int = 10,
    model: str = "NVIDIA-A100",
    unhealthy: Sequence[int] = (),
) -> Node:
    """A node that names its GPUs, as HAMi's device plugin does."""
    entries = [
        f"{name}-gpu{index},{sharers},{gpu_memory},100,{model},0,{str(index not in unhealthy).lower()}:"
        for index in range(gpus)
    ]
    return node(name, cpu=cpu, gpu=gpus * sharers, annotated={REGISTER: "".join(entries)})


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> Taint:
    """A taint."""
    return Taint(key=key, effect=effect, value=value)


def pod_spec(
    cpu: Quantity | None = None,
    memory: Quantity | None = None,
    gpu: Quantity | None = None,
    *,
    more: Mapping[str, Quantity] | None = None,
    selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Toleration] = (),
) -> PodSpec:
    """A pod of one container with these requests."""
    return PodSpec(
        containers=[
            Container(
                name="main",
                image="python:3.12",
                resources=ResourceRequirements(requests=resources(cpu, memory, gpu, more)),
            )
        ],
        restart_policy="Never",
        node_selector=dict(selector or {}),
        tolerations=list(tolerations),
        scheduler_name=labels.SCHEDULER_NAME,
    )


def pod(
    name: str = "pod-1",
    spec: PodSpec | None = None,
    *,
    namespace: str = "default",
    node: str = "",
    phase: str = "Pending",
    ready: bool = False,
    created: float = 0,
    priority: int | None = None,
    labelled: Mapping[str, str] | None = None,
    annotated: Mapping[str, str] | None = None,
    owner: OwnerReference | None = None,
) -> Pod:
    """A pod; without `node` it waits for one."""
    conditions = [PodCondition(type="Ready", status="True")] if ready else []
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            uid=f"uid-{namespace}-{name}",
            creation_timestamp=at(created),
            labels=dict(labelled or {}),
            annotations=dict(annotated or {}),
            owner_references=[owner] if owner is not None else [],
        ),
        spec=replace(spec or pod_spec(cpu=1), node_name=node, priority=priority),
        status=PodStatus(phase=phase, conditions=conditions),
    )


def pod_set(
    count: int = 1,
    spec: PodSpec | None = None,
    *,
    name: str = "node",
    within: str = "",
    preferably_within: str = "",
    annotated: Mapping[str, str] | None = None,
) -> PodSet:
    """A pod set, perhaps within one domain of a topology label."""
    topology = None
    if within or preferably_within:
        topology = PodSetTopologyRequest(required=within or None, preferred=preferably_within or None)
    return PodSet(
        name=name,
        count=count,
        template=PodTemplateSpec(
            metadata=ObjectMeta(annotations=dict(annotated or {})), spec=spec or pod_spec(cpu=1)
        ),
        topology_request=topology,
    )


def workload(
    name: str = "trainjob-job",
    *pod_sets: PodSet,
    namespace: str = "default",
    queue: str = "",
    created: float = 0,
    priority: int | None = None,
    active: bool = True,
    job: str = "job",
) -> Workload:
    """A workload that waits; one pod of one CPU unless pod sets are given."""
    return Workload(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            uid=f"uid-{namespace}-{name}",
            creation_timestamp=at(created),
            owner_references=[
                OwnerReference(
                    api_version="trainer.kubeflow.org/v1alpha1",
                    kind="TrainJob",
                    name=job,
                    uid=f"uid-{namespace}-{job}",
                    controller=True,
                )
            ],
        ),
        spec=WorkloadSpec(
            pod_sets=list(pod_sets) or [pod_set()], queue_name=queue, priority=priority, active=active
        ),
    )


def admitted(obj: Workload, *nodes: Mapping[str, int], attempt: int = 0) -> Workload:
    """The workload with an admission: per pod set, pods per node."""
    assignments = [
        PodSetAssignment(
            name=pod_set.name, count=pod_set.count, topology_assignment=assign_nodes(places.items())
        )
        for pod_set, places in zip(obj.spec.pod_sets, nodes, strict=True)
    ]
    status = WorkloadStatus(
        conditions=obj.status.conditions,
        admission=Admission(cluster_queue="default", pod_set_assignments=assignments),
        requeue_state=RequeueState(count=attempt) if attempt else None,
    )
    return with_condition(with_condition(replace(obj, status=status), "QuotaReserved"), "Admitted")


def with_condition(
    obj: Workload, type_: str, status: str = "True", *, reason: str = "", message: str = "", since: float = 0
) -> Workload:
    """The workload with one more condition, or another state of it."""
    condition = Condition(type=type_, status=status, reason=reason or type_, message=message)
    conditions = set_condition(obj.status.conditions, condition, at(since))
    return replace(obj, status=replace(obj.status, conditions=conditions))


def evicted(obj: Workload, reason: str = "NodeFailures", message: str = "node-1 is lost") -> Workload:
    """The workload as `health` leaves it when its attempt has failed."""
    return with_condition(obj, "Evicted", reason=reason, message=message)


def cluster_queue(
    name: str = "default",
    quota: Mapping[str, Quantity] | None = None,
    *,
    strict: bool = False,
    stop: str | None = None,
    namespaces: LabelSelector | None = None,
) -> ClusterQueue:
    """A ClusterQueue open to all namespaces; with `quota`, of one flavor."""
    groups = []
    if quota is not None:
        flavor = FlavorQuotas(
            name="default",
            resources=[ResourceQuota(name=name, nominal_quota=value) for name, value in quota.items()],
        )
        groups = [ResourceGroup(covered_resources=list(quota), flavors=[flavor])]
    return ClusterQueue(
        metadata=ObjectMeta(name=name),
        spec=ClusterQueueSpec(
            resource_groups=groups,
            queueing_strategy="StrictFIFO" if strict else "BestEffortFIFO",
            namespace_selector=namespaces or LabelSelector(),
            stop_policy=stop,
        ),
    )


def resource_flavor(name: str = "default", labelled: Mapping[str, str] | None = None) -> ResourceFlavor:
    """A ResourceFlavor of nodes with these labels; of all nodes without any."""
    return ResourceFlavor(
        metadata=ObjectMeta(name=name), spec=ResourceFlavorSpec(node_labels=dict(labelled or {}))
    )


def local_queue(
    name: str = "default",
    cluster_queue: str = "default",
    *,
    namespace: str = "default",
    stop: str | None = None,
) -> LocalQueue:
    """A LocalQueue."""
    return LocalQueue(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=LocalQueueSpec(cluster_queue=cluster_queue, stop_policy=stop),
    )


def namespace(name: str = "default", labelled: Mapping[str, str] | None = None) -> Namespace:
    """A namespace."""
    return Namespace(metadata=ObjectMeta(name=name, labels={labels.NAMESPACE_NAME: name, **(labelled or {})}))


def train_job(name: str = "job", *, nodes: int = 1, runtime: str = "torch-distributed") -> TrainJob:
    """A TrainJob."""
    return TrainJob(
        metadata=ObjectMeta(
            name=name, namespace="default", uid=f"uid-default-{name}", creation_timestamp=EPOCH
        ),
        spec=TrainJobSpec(runtime_ref=RuntimeRef(name=runtime), trainer=Trainer(num_nodes=nodes)),
    )
