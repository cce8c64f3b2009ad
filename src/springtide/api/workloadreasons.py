"""Reasons of Workloads' conditions. Part of `springtide.api.reasons`."""

from __future__ import annotations

from typing import Final

from springtide.api.reasonentries import Group, Reason

_STARTS_BY_ITSELF = "Nothing: it starts by itself."

WORKLOAD: Final = (
    Group(
        "Workload",
        "QuotaReserved",
        "Whether quota and nodes are set aside for it. False says what it waits for.",
        (
            Reason("QuotaReserved", "It holds quota in the ClusterQueue the message names."),
            Reason(
                "WaitingForQuota",
                "Others use the quota it needs.",
                "Wait, ask for less, or raise nominalQuota of the ClusterQueue.",
            ),
            Reason(
                "ExceedsMaxQuota",
                "It asks for more than the whole quota: it can never start in this queue.",
                "Ask for less, or raise nominalQuota.",
            ),
            Reason(
                "NoMatchingFlavor",
                "The ClusterQueue has no quota for a resource it asks for.",
                "Add the resource to spec.resourceGroups of the ClusterQueue, or do not ask for it.",
            ),
            Reason(
                "TopologyPlacementFailed",
                "Its pods do not all fit on the nodes at once; the message says what is short.",
                "Wait; or, if the message says it can never fit, ask for less or add a node of that size.",
            ),
            Reason(
                "WaitingForPreemptedWorkloads",
                "It fits once others have ended: those it preempted, or that end anyway. Its place is held.",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "PendingEvaluation",
                "Pods of its earlier attempt are still ending, or it was not looked at yet.",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "Misconfigured",
                "Its queue does not exist or does not take it, or its pods ask for what cannot be honoured.",
                "The message names what to create, choose or remove.",
            ),
            Reason(
                "Suspended",
                "spec.active is false, or its queue is stopped.",
                "Resume the job (spec.suspend: false), or set the queue's stopPolicy to None.",
            ),
            Reason(
                "Evicted",
                "Its attempt has just ended; what is left of it is being removed.",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "WaitingForPods",
                "Others make its pods, and not all that it needs are there; it holds nothing until they are.",
                "The message says how many are missing; look at whoever makes them.",
            ),
            Reason(
                "AdmissionCheckNotFound",
                "Its ClusterQueue names an AdmissionCheck that does not exist.",
                "Create it, or take it out of spec.admissionChecksStrategy.",
            ),
            Reason(
                "AdmissionCheckInactive",
                "An AdmissionCheck of its ClusterQueue cannot be made.",
                "`kubectl describe admissionchecks`: the condition Active says why.",
            ),
            Reason(
                "WaitingForBackoff",
                "It was put back for a time; status.requeueState.requeueAt says until when.",
                "Nothing, or mend what the condition Evicted says.",
            ),
            Reason(
                "Deactivated",
                "The scheduler has given it up: the condition DeactivationTarget says why.",
                "Mend the cause; then set spec.active to false and to true again, or change the spec.",
            ),
        ),
    ),
    Group(
        "Workload",
        "Admitted",
        "Whether its pods may be made.",
        (
            Reason("Admitted", "Yes; the message says on which nodes."),
            Reason("NoReservation", "No: QuotaReserved says why."),
            Reason(
                "NodeFailed",
                "A node of it failed. It keeps its quota and its other places while a node is sought.",
                "Mend a node of status.unhealthyNodes, or add one; else it gives its places back in time.",
            ),
            Reason(
                "UnsatisfiedChecks",
                "It has its quota and places, and waits for admission checks; the message names them.",
                "Where a check waits for a person: `springtide approve NAME`.",
            ),
        ),
    ),
    Group(
        "Workload",
        "PodsReady",
        "Whether all pods of the attempt run and are ready.",
        (
            Reason("NotAdmitted", "There is no attempt: it has no admission and no pods."),
            Reason("WaitForStart", "The pods are made; not all have been ready yet.", "`kubectl get pods`"),
            Reason("Started", "All pods were ready at once, for the first time."),
            Reason("WaitForRecovery", "A pod that was ready is not any more.", "`kubectl describe pod NAME`"),
            Reason("Recovered", "All pods are ready again."),
        ),
    ),
    Group(
        "Workload",
        "Evicted",
        "Whether the attempt is ended from outside. False again when the Workload may be admitted anew.",
        (
            Reason(
                "NodeFailures", "The node or the platform is to blame.", "Nothing: the next attempt follows."
            ),
            Reason(
                "ProgramFailed",
                "The program failed and has restarts left (failurePolicy.maxRestarts of the runtime).",
                "`kubectl get diagnoses`",
            ),
            Reason("Requeued", "The eviction is over: the Workload is in its queue again."),
            Reason(
                "Preempted",
                "Another Workload goes first: the condition Preempted says by which rule, and which it is.",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "Consolidated",
                "It is moved, so that another Workload fits into what is free: the message says for whom, and"
                " what that gains. Its new place is held.",
                _STARTS_BY_ITSELF + ' `springtide.dev/movable: "false"` keeps it where it is.',
            ),
            Reason("QuotaReserved", "It was evicted before by the scheduler, and runs again."),
            Reason(
                "PodsReadyTimeout",
                "Its pods were not ready in time (waitForPodsReady); it is tried again after a while.",
                "`kubectl describe pod NAME`: mend what keeps the pods from becoming ready.",
            ),
            Reason(
                "AdmissionCheck",
                "An admission check wants another try; it is queued again when that says.",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "DeactivatedDueToAdmissionCheck",
                "An admission check was rejected; the message says by which.",
                "Change what was objected to; then set spec.active to false and to true again.",
            ),
            Reason("ClusterQueueStopped", "Its ClusterQueue has stopPolicy HoldAndDrain.", "Set it to None."),
            Reason("LocalQueueStopped", "Its LocalQueue has stopPolicy HoldAndDrain.", "Set it to None."),
            Reason("Deactivated", "spec.active was set to false.", "Set it to true."),
            Reason(
                "DeactivatedDueToRequeuingLimitExceeded",
                "Its pods were not ready in time more often than backoffLimitCount allows.",
                "Mend the cause; then set spec.active to false and to true again.",
            ),
        ),
    ),
    Group(
        "Workload",
        "Requeued",
        "Whether it may be considered again after it was put back for a time.",
        (
            Reason("PodsReadyTimeout", "No: not before status.requeueState.requeueAt.", _STARTS_BY_ITSELF),
            Reason("AdmissionCheck", "No: not before status.requeueState.requeueAt.", _STARTS_BY_ITSELF),
            Reason("BackoffFinished", "Yes: the time is over."),
        ),
    ),
    Group(
        "Workload",
        "DeactivationTarget",
        "The scheduler has given the Workload up; it stays out until its spec changes.",
        (
            Reason(
                "AdmissionCheck",
                "An admission check was rejected; the message says by which.",
                "Change what was objected to; then set spec.active to false and to true again.",
            ),
            Reason(
                "RequeuingLimitExceeded",
                "Its pods were not ready in time more often than backoffLimitCount allows.",
                "Mend the cause; then set spec.active to false and to true again.",
            ),
        ),
    ),
    Group(
        "Workload",
        "Consolidated",
        "Whether it is on its way to another place, and when it was last.",
        (
            Reason("Moved", "It makes room for the Workload that the message names.", _STARTS_BY_ITSELF),
            Reason("QuotaReserved", "It was moved before, and runs again."),
        ),
    ),
    Group(
        "Workload",
        "Preempted",
        "Whether another Workload took its place. The rule is `spec.preemption` of that one's ClusterQueue.",
        (
            Reason(
                "InClusterQueue",
                "One of higher priority in the same ClusterQueue (`withinClusterQueue`).",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "InCohortReclamation",
                "Its ClusterQueue had borrowed quota that another takes back (`reclaimWithinCohort`).",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "InCohortFairSharing",
                "Its ClusterQueue had borrowed more than its fair share.",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "InCohortReclaimWhileBorrowing",
                "One of higher priority borrows what it had borrowed (`borrowWithinCohort`).",
                _STARTS_BY_ITSELF,
            ),
            Reason(
                "HigherPriorityPod",
                "A plain pod whose PriorityClass is above that of its pods needed room on one of its nodes.",
                _STARTS_BY_ITSELF,
            ),
            Reason("QuotaReserved", "It was preempted before, and runs again."),
        ),
    ),
    Group(
        "Workload",
        "Finished",
        "The Workload has ended, for good.",
        (
            Reason("Succeeded", "All pods succeeded."),
            Reason("Failed", "The message is that of the Diagnosis.", "`springtide explain JOB`"),
        ),
    ),
)
