"""Field names of the upstream CRDs (Kueue v1beta2, Kubeflow Trainer v1alpha1, Volcano): kind, path, names."""

from __future__ import annotations

from springtide.api.kueue import ClusterQueue, LocalQueue, Workload
from springtide.api.meta import Object
from springtide.api.trainer import ClusterTrainingRuntime, TrainingRuntime, TrainJob
from springtide.api.volcano import PodGroup, Queue
from springtide.api.volcano_batch import Job

JOB = ".spec.template.spec.replicatedJobs[]"
POD = f"{JOB}.template.spec.template.spec"
PATCHED_JOB = f".spec.runtimePatches[].trainingRuntimeSpec.template{JOB.removeprefix('.spec.template')}"

UPSTREAM: list[tuple[type[Object], str, str]] = [
    (
        Workload,
        ".spec",
        """
        active maximumExecutionTimeSeconds podSets preemptionGates priority priorityClassRef queueName
        """,
    ),
    (Workload, ".spec.podSets[]", "count minCount name template topologyRequest"),
    (
        Workload,
        ".spec.podSets[].topologyRequest",
        """
        podIndexLabel podSetGroupName podSetSliceRequiredTopology podSetSliceSize
        podsetSliceRequiredTopologyConstraints preferred required subGroupCount subGroupIndexLabel
        unconstrained
        """,
    ),
    (
        Workload,
        ".status",
        """
        accumulatedPastExecutionTimeSeconds admission admissionChecks clusterName conditions
        nominatedClusterNames preemptionGates reclaimablePods requeueState resourceRequests
        schedulingStats unhealthyNodes
        """,
    ),
    (
        Workload,
        ".status.admission.podSetAssignments[]",
        """
        count delayedTopologyRequest flavors name resourceUsage topologyAssignment
        """,
    ),
    (
        Workload,
        ".status.admission.podSetAssignments[].topologyAssignment.slices[]",
        """
        domainCount podCounts valuesPerLevel
        """,
    ),
    (LocalQueue, ".spec", "clusterQueue fairSharing stopPolicy"),
    (
        LocalQueue,
        ".status",
        """
        admittedWorkloads conditions fairSharing flavorsReservation flavorsUsage pendingWorkloads
        reservingWorkloads
        """,
    ),
    (
        ClusterQueue,
        ".spec",
        """
        admissionChecksStrategy admissionScope cohortName concurrentAdmissionPolicy fairSharing
        flavorFungibility namespaceSelector preemption queueingStrategy resourceGroups stopPolicy
        """,
    ),
    (
        ClusterQueue,
        ".spec.resourceGroups[].flavors[].resources[]",
        """
        borrowingLimit lendingLimit name nominalQuota
        """,
    ),
    (
        TrainJob,
        ".spec",
        """
        activeDeadlineSeconds initializer managedBy runtimePatches runtimeRef suspend trainer
        ttlSecondsAfterFinished
        """,
    ),
    (TrainJob, ".spec.trainer", "args command env image numNodes numProcPerNode resourcesPerNode"),
    (TrainJob, ".spec.initializer.dataset", "env secretRef storageUri"),
    (
        TrainJob,
        f"{PATCHED_JOB}.template.spec.template.spec",
        """
        affinity containers imagePullSecrets initContainers nodeSelector schedulingGates securityContext
        serviceAccountName terminationGracePeriodSeconds tolerations volumes
        """,
    ),
    (TrainJob, ".status", "conditions jobsStatus trainerStatus"),
    (TrainJob, ".status.jobsStatus[]", "active failed name ready succeeded suspended"),
    (
        TrainJob,
        ".status.trainerStatus",
        """
        estimatedRemainingSeconds lastUpdatedTime metrics progressPercentage
        """,
    ),
    (ClusterTrainingRuntime, ".spec", "mlPolicy podGroupPolicy template"),
    (ClusterTrainingRuntime, ".spec.mlPolicy", "flux jax mpi numNodes torch xgboost"),
    (
        TrainingRuntime,
        ".spec.template.spec",
        """
        coordinator failurePolicy managedBy network replicatedJobs startupPolicy successPolicy suspend
        ttlSecondsAfterFinished volumeClaimPolicies
        """,
    ),
    (TrainingRuntime, JOB, "dependsOn groupName name replicas template"),
    (
        TrainingRuntime,
        f"{POD}.containers[]",
        """
        args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe
        resizePolicy resources restartPolicy restartPolicyRules securityContext startupProbe stdin
        stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts
        workingDir
        """,
    ),
    (
        TrainingRuntime,
        POD,
        """
        activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy
        enableServiceLinks ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers
        hostname hostnameOverride imagePullSecrets initContainers nodeName nodeSelector os overhead
        preemptionPolicy priority priorityClassName readinessGates resourceClaims resources
        restartPolicy runtimeClassName schedulerName schedulingGates schedulingGroup securityContext
        serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain
        terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes
        """,
    ),
    (
        Job,
        ".spec",
        """
        maxRetry minAvailable minSuccess networkTopology plugins policies priorityClassName queue
        runningEstimate schedulerName tasks ttlSecondsAfterFinished volumes
        """,
    ),
    (
        Job,
        ".spec.tasks[]",
        """
        dependsOn maxRetry minAvailable name partitionPolicy policies replicas template topologyPolicy
        """,
    ),
    (
        Job,
        ".spec.tasks[].partitionPolicy",
        "minPartitions networkTopology partitionSize totalPartitions",
    ),
    (Job, ".spec.tasks[].dependsOn", "iteration name"),
    (Job, ".spec.policies[]", "action event events exitCode timeout"),
    (Job, ".spec.volumes[]", "mountPath volumeClaim volumeClaimName"),
    (
        Job,
        ".status",
        """
        conditions controlledResources failed minAvailable pending retryCount running runningDuration
        state succeeded taskStatusCount terminating unknown version
        """,
    ),
    (Job, ".status.state", "lastTransitionTime message phase reason"),
    (
        PodGroup,
        ".spec",
        """
        minMember minResources minTaskMember networkTopology priorityClassName queue subGroupPolicy
        """,
    ),
    (
        PodGroup,
        ".spec.subGroupPolicy[]",
        "labelSelector matchLabelKeys minSubGroups name networkTopology subGroupSize",
    ),
    (PodGroup, ".spec.networkTopology", "highestTierAllowed highestTierName mode"),
    (PodGroup, ".status", "conditions failed phase running succeeded"),
    (
        PodGroup,
        ".status.conditions[]",
        "lastTransitionTime message reason status transitionID type",
    ),
    (
        Queue,
        ".spec",
        """
        affinity capability deserved dequeueStrategy dra extendClusters guarantee parent priority
        reclaimable type weight
        """,
    ),
    (
        Queue,
        ".status",
        "allocated completed inqueue pending reservation running state unknown",
    ),
]
