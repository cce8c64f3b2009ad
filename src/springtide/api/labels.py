"""Keys of labels, annotations, taints and finalizers, each spelled once.

Every room imports them from here. Sources: Kubernetes well-known labels, JobSet, Kueue and Kubeflow
Trainer; those under `springtide.dev/` are ours.
"""

from __future__ import annotations

from typing import Final

# Ours.
WORKLOAD: Final = "springtide.dev/workload"
"""Label on pods: the name of the Workload they run for."""
ATTEMPT: Final = "springtide.dev/attempt"
"""Label on pods: which attempt of the Workload they belong to, counted from 0."""
DEVICES: Final = "springtide.dev/devices"
"""Annotation on pods: the devices of the node the scheduler gave them."""
PROGRESS: Final = "springtide.dev/progress"
"""Annotation on pods, written by the node: the newest progress report as JSON."""
MAX_RESTARTS: Final = "springtide.dev/max-restarts"
"""Annotation on Workloads: how often the job may start again after a failure of its own program."""
RENDEZVOUS_PORT: Final = "springtide.dev/rendezvous-port"
"""Annotation on Workloads: the port its ranks meet at, unique among live workloads."""
TTL_SECONDS: Final = "springtide.dev/ttl-seconds-after-finished"
"""Annotation on Workloads: when the runtime's template says its jobs are to be deleted once finished."""
STARTED_AT: Final = "springtide.dev/started-at"
"""Annotation on Workloads: when the job was first admitted since it was last suspended (RFC 3339)."""
REQUEST_DIGEST: Final = "springtide.dev/request-digest"
"""Annotation on Workloads: digest of the parts of the job's spec they were made from."""
TEMPLATE_DIGEST: Final = "springtide.dev/template-digest"
"""Annotation on Workloads: digest of the pod sets the job and its runtime came to."""
SIMULATED: Final = "springtide.dev/simulated"
"""Annotation on pods of simulated nodes: the behaviour to play, as JSON."""
NODE_KIND: Final = "springtide.dev/node-kind"
"""Label on nodes of the embedded control plane: `process` or `simulated`."""
SCHEDULER_NAME: Final = "springtide"
"""`spec.schedulerName` of pods that this scheduler places."""

# Kueue.
QUEUE_NAME: Final = "kueue.x-k8s.io/queue-name"
PRIORITY_CLASS: Final = "kueue.x-k8s.io/priority-class"
PODSET: Final = "kueue.x-k8s.io/podset"
TOPOLOGY_SCHEDULING_GATE: Final = "kueue.x-k8s.io/topology"
ADMISSION_SCHEDULING_GATE: Final = "kueue.x-k8s.io/admission"
PODSET_REQUIRED_TOPOLOGY: Final = "kueue.x-k8s.io/podset-required-topology"
PODSET_PREFERRED_TOPOLOGY: Final = "kueue.x-k8s.io/podset-preferred-topology"
PODSET_UNCONSTRAINED_TOPOLOGY: Final = "kueue.x-k8s.io/podset-unconstrained-topology"
PODSET_SLICE_REQUIRED_TOPOLOGY: Final = "kueue.x-k8s.io/podset-slice-required-topology"
PODSET_SLICE_SIZE: Final = "kueue.x-k8s.io/podset-slice-size"
PODSET_GROUP_NAME: Final = "kueue.x-k8s.io/podset-group-name"
RESOURCE_IN_USE: Final = "kueue.x-k8s.io/resource-in-use"

# JobSet and batch.
JOBSET_NAME: Final = "jobset.sigs.k8s.io/jobset-name"
REPLICATED_JOB_NAME: Final = "jobset.sigs.k8s.io/replicatedjob-name"
JOB_COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""Label and annotation on pods: the index of the pod within its job (the node rank)."""
JOB_NAME: Final = "batch.kubernetes.io/job-name"

# Kubeflow Trainer.
TRAINJOB_ANCESTOR_STEP: Final = "trainer.kubeflow.org/trainjob-ancestor-step"
"""Label on pod templates of a runtime: the step they are (`trainer`, `dataset-initializer` …)."""
ANCESTOR_TRAINER: Final = "trainer"
ANCESTOR_DATASET_INITIALIZER: Final = "dataset-initializer"
ANCESTOR_MODEL_INITIALIZER: Final = "model-initializer"
FRAMEWORK: Final = "trainer.kubeflow.org/framework"
TRAINJOB_CONTROLLER: Final = "trainer.kubeflow.org/trainjob-controller"
"""`spec.managedBy` of TrainJobs this controller works on."""

# Kubernetes.
HOSTNAME: Final = "kubernetes.io/hostname"
OS: Final = "kubernetes.io/os"
ARCH: Final = "kubernetes.io/arch"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
ZONE: Final = "topology.kubernetes.io/zone"
REGION: Final = "topology.kubernetes.io/region"
TAINT_NOT_READY: Final = "node.kubernetes.io/not-ready"
TAINT_UNREACHABLE: Final = "node.kubernetes.io/unreachable"
TAINT_UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
TAINT_OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
FINALIZER_FOREGROUND: Final = "foregroundDeletion"
FINALIZER_ORPHAN: Final = "orphan"
FINALIZER_KUBERNETES: Final = "kubernetes"
"""The finalizer in `spec.finalizers` of namespaces."""
