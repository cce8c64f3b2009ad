"""Every reason that conditions and events of this program carry: what it means, and what to do next.

A reason is API: scripts and alerts match on it. `docs/generate.py` makes `docs/reference/reasons.md` of
this table, and `tests/repository/test_docs.py` compares it with what the rooms say, in both directions.
Reasons of a Diagnosis are its fault classes; they have their own table, `health/faults.py`.
"""

from __future__ import annotations

from typing import Final

from springtide.api.builtinreasons import APPS, BATCH
from springtide.api.healthreasons import HEALTH
from springtide.api.reasonentries import Group as Group
from springtide.api.reasonentries import Reason as Reason
from springtide.api.workloadreasons import WORKLOAD

_STARTS_BY_ITSELF = "Nothing: it starts by itself."

TRAIN_JOB: Final = (
    Group(
        "TrainJob",
        "Pending",
        "The job does not run yet. While it waits, the reason is that of its Workload (QuotaReserved).",
        (
            Reason("Queued", "It waits to be looked at by the scheduler.", _STARTS_BY_ITSELF),
            Reason("Starting", "It is admitted; not all of its pods run yet.", "`springtide logs -f NAME`"),
            Reason(
                "TrainingRuntimeNotSupported",
                "There is no runtime of the kind and name in spec.runtimeRef.",
                "`kubectl get clustertrainingruntimes`; name one of them.",
            ),
            Reason(
                "PriorityClassNotFound",
                "The label kueue.x-k8s.io/priority-class names no WorkloadPriorityClass.",
                "`kubectl get workloadpriorityclasses`; name one of them, or create it.",
            ),
            Reason(
                "InvalidSpec",
                "The spec cannot be made into pods; the message names the field.",
                "Correct the field and apply the job again.",
            ),
            Reason(
                "InvalidRuntime",
                "The runtime cannot be made into pods; the message names the field.",
                "Correct the runtime; its jobs are tried again by themselves.",
            ),
            Reason(
                "UnsupportedMLPolicy",
                "The runtime wants a framework that is not supported yet.",
                "Use a runtime with mlPolicy.torch, or `plain`.",
            ),
            Reason(
                "UnsupportedReplicas",
                "A replicatedJob of the runtime has replicas other than 1.",
                "Use spec.trainer.numNodes for more pods.",
            ),
        ),
    ),
    Group(
        "TrainJob",
        "Running",
        "All pods run.",
        (
            Reason("PodsRunning", "All pods run, or have ended well."),
            Reason(
                "PodsFailed", "A pod failed and its cause is being looked for.", "Wait a moment; it is told."
            ),
        ),
    ),
    Group(
        "TrainJob",
        "Restarting",
        "An attempt ended and the next one is on its way. The reason is the fault class of the Diagnosis.",
        (
            Reason(
                "Evicted",
                "The attempt was evicted, and there is no Diagnosis of it (a stopped queue, for example).",
                "The message says what the next attempt waits for.",
            ),
        ),
    ),
    Group(
        "TrainJob",
        "Suspended",
        "Whether the job is held back by spec.suspend.",
        (
            Reason("Suspended", "spec.suspend is true; nothing of it runs.", "Set spec.suspend to false."),
            Reason("Resumed", "It was suspended before and is not any more."),
        ),
    ),
    Group(
        "TrainJob",
        "Complete",
        "The job is done, for good.",
        (Reason("AllJobsCompleted", "All pods succeeded."),),
    ),
    Group(
        "TrainJob",
        "Failed",
        "The job has failed, for good. The message is that of its last Diagnosis.",
        (
            Reason(
                "JobsFailed", "Its first attempt failed and no other was made.", "`springtide explain NAME`"
            ),
            Reason("ReachedMaxRestarts", "A later attempt failed too.", "`springtide explain NAME`"),
            Reason(
                "DeadlineExceeded",
                "It ran for longer than spec.activeDeadlineSeconds.",
                "Raise it, or leave it out.",
            ),
        ),
    ),
    Group(
        "TrainJob",
        "UnsupportedFields",
        "Fields are set that have no effect.",
        (
            Reason(
                "NoEffect", "The message names each field and what to use instead.", "Remove or replace them."
            ),
        ),
    ),
    Group(
        "TrainJob",
        "ChangeIgnored",
        "The spec changed and the running job did not.",
        (
            Reason(
                "AlreadyStarted",
                "The job was admitted before the change.",
                "Set spec.suspend to true and then to false to start it anew with the change.",
            ),
        ),
    ),
)

QUEUES: Final = (
    Group(
        "ClusterQueue, LocalQueue, Workload",
        "UnsupportedFields",
        "Fields are set that have no effect.",
        (Reason("NoEffect", "The message names each field and what to know.", "Remove or replace them."),),
    ),
    Group(
        "ClusterQueue, LocalQueue",
        "Active",
        "Whether the queue admits workloads.",
        (
            Reason("Ready", "It does."),
            Reason("Stopped", "Its stopPolicy is set.", "Set spec.stopPolicy to None."),
            Reason(
                "FlavorNotFound",
                "A ResourceFlavor that the ClusterQueue names does not exist.",
                "Create it, or name another.",
            ),
            Reason(
                "TopologyNotFound",
                "A Topology that a ResourceFlavor of the ClusterQueue names does not exist.",
                "Create it, or take spec.topologyName out of the flavor.",
            ),
            Reason("Misconfigured", "The message names what is missing or wrong.", "Correct it."),
            Reason(
                "AdmissionCheckNotFound",
                "An AdmissionCheck that the ClusterQueue names does not exist.",
                "Create it, or name another.",
            ),
            Reason(
                "AdmissionCheckInactive",
                "An AdmissionCheck that the ClusterQueue names cannot be made.",
                "Its condition Active says why.",
            ),
        ),
    ),
    Group(
        "AdmissionCheck",
        "Active",
        "Whether a check of the controller springtide.dev/request-ceiling can be made.",
        (
            Reason("Active", "It can."),
            Reason("BadParameters", "Its RequestCeiling is missing or wrong.", "As the message says."),
        ),
    ),
    Group(
        "SchedulerConfiguration",
        "Accepted",
        "Whether the scheduler works by it; it goes on as before where it cannot.",
        (
            Reason("InEffect", "It does, save for unknown fields that the message names."),
            Reason(
                "Invalid", "A field cannot be followed; nothing of it is in effect.", "As the message says."
            ),
            Reason("NotUsed", "Only the object named default counts.", "Name it default."),
        ),
    ),
    Group(
        "HyperNode",
        "Ready",
        "Whether it counts in placement; one that does not is left out, and those below it count.",
        (
            Reason("Resolved", "It does, with all its members."),
            Reason("MembersMissing", "It does, without members that there are not.", "As the message says."),
            Reason("InvalidMember", "A member makes no sense: a pattern, or a tier not below its own."),
            Reason(
                "Overlaps",
                "It shares nodes with another that it does not hold whole, or that is of its tier.",
                "Let HyperNodes nest: each node in one of each tier.",
            ),
        ),
    ),
    Group(
        "PodGroup",
        "PodGroupScheduled",
        "Whether the group has its places (PodGroups of scheduling.k8s.io).",
        (
            Reason("Scheduled", "It has; the message says where."),
            Reason("Unschedulable", "Not yet; the message is that of its Workload.", "As the message says."),
        ),
    ),
    Group(
        "PodGroup, Pod",
        "DisruptionTarget",
        "Whether it is being ended.",
        (
            Reason("PreemptionByScheduler", "Another Workload goes first.", _STARTS_BY_ITSELF),
            Reason("TerminationByKueue", "Its Workload has lost its place: the condition Evicted says why."),
        ),
    ),
)

PODS: Final = (
    Group(
        "Pod",
        "PodScheduled",
        "Whether it has a node (pods that name `schedulerName: springtide` themselves).",
        (
            Reason("Unschedulable", "No node can take it now; the message says why.", "As the message says."),
            Reason("SchedulingGated", "spec.schedulingGates hold it back.", "Remove the gates."),
            Reason(
                "SchedulerError", "Its spec cannot be understood.", "Correct the field the message names."
            ),
        ),
    ),
    Group(
        "Pod",
        "Ready, ContainersReady, Initialized",
        "As the kubelet sets them.",
        (
            Reason("ContainersNotInitialized", "Init containers have not all succeeded."),
            Reason("ContainersNotReady", "Containers are not ready; the message names them."),
            Reason("ReadinessGatesNotReady", "Conditions named in spec.readinessGates are not True."),
            Reason("PodCompleted", "The pod has ended well."),
            Reason("PodFailed", "The pod has failed."),
        ),
    ),
    Group(
        "Pod",
        "DisruptionTarget",
        "It is about to be removed by the control plane.",
        (Reason("DeletionByPodGC", "Its node is gone or out of service.", "Nothing: its job starts again."),),
    ),
    Group(
        "Pod",
        "",
        "Why a pod as a whole failed without its program's doing.",
        (
            Reason("NodeRestarted", "The node was restarted while it ran.", "Nothing: its job starts again."),
            Reason("NodeLost", "Its node is not heard from.", "Nothing: its job starts again elsewhere."),
            Reason(
                "UnsupportedVolume",
                "It has a volume that process nodes cannot provide.",
                "Use emptyDir, hostPath, configMap, secret, downwardAPI or projected volumes.",
            ),
            Reason("DeadlineExceeded", "It ran for longer than its activeDeadlineSeconds.", "Raise it."),
            Reason("BadSimulation", "Its simulated behaviour cannot be read.", "Correct the annotation."),
        ),
        what="status.reason",
    ),
    Group(
        "Pod",
        "",
        "What a container waits for, or how it ended.",
        (
            Reason(
                "ContainerCreating",
                "Its volumes are being made.",
                "If it stays: `kubectl describe pod NAME`.",
            ),
            Reason("PodInitializing", "Init containers run first."),
            Reason(
                "CreateContainerConfigError",
                "A ConfigMap, Secret or field it refers to is missing.",
                "Create it; the container is tried again by itself.",
            ),
            Reason(
                "CrashLoopBackOff",
                "It ended again and again; the next start waits.",
                "`kubectl logs NAME -p`",
            ),
            Reason("Completed", "It exited with code 0."),
            Reason("Error", "It exited with another code or died of a signal.", "`kubectl logs NAME`"),
            Reason("OOMKilled", "It wanted more memory than its limit.", "Raise the limit, or use less."),
            Reason("StartError", "Its command could not be run.", "Check command, args and workingDir."),
            Reason("ContainerStatusUnknown", "Its node was restarted while it ran.", "Nothing."),
        ),
        what="container state",
    ),
)

NODES: Final = (
    Group(
        "Node",
        "Ready",
        "Whether it takes pods.",
        (
            Reason("KubeletReady", "It does."),
            Reason("NodeStopped", "The platform was stopped in order.", "`springtide up`"),
            Reason("NodeStatusUnknown", "Its Lease ran out: it is not heard from.", "Look at the machine."),
            Reason(
                "NodeProcessDied",
                "Its process died; its watchdog ended all processes of its pods and vouches for it.",
                "Start it again: `springtide node`.",
            ),
            Reason("NodeStatusNeverUpdated", "It has never reported a status.", "Look at the machine."),
        ),
    ),
    Group(
        "Node",
        "MemoryPressure, DiskPressure, PIDPressure",
        "Always False on process nodes.",
        (
            Reason("KubeletHasSufficientMemory", "No memory pressure."),
            Reason("KubeletHasNoDiskPressure", "No disk pressure."),
            Reason("KubeletHasSufficientPID", "No shortage of process numbers."),
        ),
    ),
    Group(
        "Namespace",
        "NamespaceContentRemaining, NamespaceFinalizersRemaining",
        "What holds up the deletion of a namespace.",
        (
            Reason("SomeResourcesRemain", "Objects are left; the message counts them.", "Wait."),
            Reason(
                "SomeFinalizersRemain",
                "Objects have finalizers that nobody has removed.",
                "Have the owner of the finalizer remove it.",
            ),
            Reason("ContentHasNoFinalizers", "No finalizers hold it up."),
        ),
    ),
)

EVENTS: Final = (
    Group(
        "Workload",
        "",
        "Besides one event for every Diagnosis, whose reason is the fault class.",
        (
            Reason("Resized", "It goes on with more or fewer pods; the message says where they are."),
            Reason(
                "ApprovalNeeded",
                "It asks for more than a RequestCeiling allows.",
                "`springtide approve NAME`, or ask for less.",
            ),
            Reason(
                "PreflightFailed",
                "A node it was given did badly in the check before the start; it is given others.",
                "Look at the node the message names.",
            ),
            Reason("FailedCreate", "A pod could not be made; the message is the server's.", "As it says."),
            Reason(
                "IncompleteAdmission",
                "The admission does not say where all pods go, so none are made.",
                "Only a foreign scheduler writes such an admission: correct it there.",
            ),
        ),
        what="event",
    ),
    Group(
        "Pod",
        "",
        "From the scheduler and the node.",
        (
            Reason("Scheduled", "It was given a node."),
            Reason(
                "FailedScheduling", "No node can take it now; the message says why.", "As the message says."
            ),
            Reason("Started", "A container's process was started; the message has its number."),
            Reason("Killing", "A container is being stopped."),
            Reason("Failed", "A container could not be started.", "The message says why."),
            Reason("FailedMount", "A volume could not be made.", "Create what the message names."),
            Reason("Unhealthy", "A probe failed.", "The message has the probe's answer."),
            Reason("FailedPostStartHook", "The hook failed; the container is ended.", "Correct the hook."),
            Reason(
                "FailedPreStopHook", "The hook failed; the container is stopped anyway.", "Correct the hook."
            ),
            Reason("ImageIgnored", "Process nodes pull no images."),
            Reason("FieldsIgnored", "Fields without effect on process nodes; each is named.", "Remove them."),
            Reason(
                "LimitsNotEnforced", "The machine permits no cgroups: limits are not enforced.", "As it says."
            ),
            Reason(
                "ProgressUnreadable",
                "The progress file is no progress report.",
                "Use `springtide.sdk.report`.",
            ),
            Reason("SnapshotFetched", "The newest whole snapshot came from a peer's memory."),
            Reason(
                "SnapshotNotFetched",
                "Peers did not deliver a snapshot; the program restores from storage.",
                "As the message says.",
            ),
            Reason(
                "SnapshotsToStorage",
                "The node has no memory for the job's snapshots.",
                "Free what the message names, or raise the node's `memory_share`.",
            ),
        ),
        what="event",
    ),
    Group(
        "Service",
        "",
        "From the node's proxy.",
        (
            Reason(
                "ServiceNotReachable",
                "An address or port of it cannot be served on the node.",
                "The message says why: another program listens there, or the protocol is not proxied.",
            ),
        ),
        what="event",
    ),
)

GROUPS: Final = (*TRAIN_JOB, *WORKLOAD, *QUEUES, *PODS, *NODES, *EVENTS, *HEALTH, *APPS, *BATCH)
"""All of them, in the order in which a job meets them."""


def next_step_of(kind: str, reason: str) -> str:
    """What to do about a reason on a kind of object; empty where that is nothing, or not known."""
    of_kind = (group.reasons for group in GROUPS if group.kind == kind)
    return next((one.next_step for found in of_kind for one in found if one.name == reason), "")
