"""Reasons of the kinds that every cluster has: workloads of `apps`, jobs of `batch`. Part of `reasons`."""

from __future__ import annotations

from typing import Final

from springtide.api.reasonentries import Group, Reason

APPS: Final = (
    Group(
        "Deployment",
        "Progressing",
        "How the rollout gets on. The first cause of a stuck one is told by the events of its ReplicaSet.",
        (
            Reason("NewReplicaSetCreated", "The template changed: a replica set was made for it."),
            Reason("FoundNewReplicaSet", "A replica set of the template was there already."),
            Reason("ReplicaSetUpdated", "Pods are being replaced."),
            Reason("NewReplicaSetAvailable", "The rollout is done."),
            Reason("ReplicaSetCreateError", "The replica set was refused.", "The message says why."),
            Reason(
                "ProgressDeadlineExceeded",
                "Nothing got better for spec.progressDeadlineSeconds.",
                "`kubectl describe` its newest pods; correct the template, or `kubectl rollout undo`.",
            ),
            Reason("DeploymentPaused", "spec.paused is true: changes wait.", "`kubectl rollout resume`"),
            Reason("DeploymentResumed", "It was paused before and goes on."),
        ),
    ),
    Group(
        "Deployment",
        "Available",
        "Whether enough pods are available.",
        (
            Reason("MinimumReplicasAvailable", "No more pods are missing than maxUnavailable allows."),
            Reason("MinimumReplicasUnavailable", "More are missing.", "`kubectl get pods` shows which."),
        ),
    ),
    Group(
        "ReplicaSet, Deployment",
        "ReplicaFailure",
        "There are too few or too many pods, and that cannot be changed.",
        (
            Reason("FailedCreate", "Pods cannot be made.", "The message says why: a quota, for example."),
            Reason("FailedDelete", "Pods cannot be deleted.", "The message says why."),
        ),
    ),
    Group(
        "Deployment, ReplicaSet, StatefulSet, DaemonSet",
        "",
        "What their controllers do.",
        (
            Reason("ScalingReplicaSet", "A Deployment changed the size of one of its replica sets."),
            Reason("SuccessfulCreate", "A pod or claim was made."),
            Reason("SuccessfulDelete", "A pod was deleted."),
            Reason("FailedDaemonPod", "A pod failed; another is made, later each time.", "`kubectl logs`"),
            Reason("SucceededDaemonPod", "A pod ended, which a daemon should not; another is made."),
        ),
        what="event",
    ),
)

BATCH: Final = (
    Group(
        "Job",
        "Complete, SuccessCriteriaMet",
        "Enough pods succeeded. SuccessCriteriaMet comes first, Complete once no pod runs any more.",
        (
            Reason("CompletionsReached", "As many pods succeeded as spec.completions says."),
            Reason("SuccessPolicy", "A rule of spec.successPolicy is met; the message says which."),
        ),
    ),
    Group(
        "Job",
        "Failed, FailureTarget",
        "The job has failed, for good. FailureTarget comes first, Failed once no pod runs any more.",
        (
            Reason("BackoffLimitExceeded", "More pods failed than backoffLimit allows.", "`kubectl logs`"),
            Reason(
                "DeadlineExceeded",
                "It was active for longer than spec.activeDeadlineSeconds.",
                "Give it more time, or find out what it waits for.",
            ),
            Reason("PodFailurePolicy", "A rule of spec.podFailurePolicy says so; the message says which."),
            Reason(
                "FailedIndexes",
                "All indexes have ended, and some failed.",
                "status.failedIndexes says which.",
            ),
            Reason(
                "MaxFailedIndexesExceeded",
                "More indexes failed than spec.maxFailedIndexes allows.",
                "status.failedIndexes says which.",
            ),
        ),
    ),
    Group(
        "Job",
        "Suspended",
        "Whether the job is held back by spec.suspend.",
        (
            Reason("JobSuspended", "spec.suspend is true; nothing of it runs.", "Set spec.suspend to false."),
            Reason("JobResumed", "It was suspended before and is not any more."),
        ),
    ),
    Group(
        "Job, CronJob",
        "",
        "What their controllers do.",
        (
            Reason("Completed", "The job is complete."),
            Reason("TooManySucceededPods", "More pods succeeded than were needed."),
            Reason("SawCompletedJob", "A job of the CronJob has finished; the message says how."),
            Reason("MissingJob", "A job that ran was deleted by somebody else."),
            Reason("UnexpectedJob", "A job was made by hand; it does not count as running."),
            Reason("JobAlreadyActive", "The last job still runs and concurrencyPolicy is Forbid."),
            Reason("MissSchedule", "It was too late for a job, by spec.startingDeadlineSeconds."),
            Reason(
                "TooManyMissedTimes",
                "More than 100 times have passed without a job; only the newest is made up for.",
                "Look at the clocks, or set spec.startingDeadlineSeconds.",
            ),
            Reason("UnknownTimeZone", "spec.timeZone names no time zone known here.", "Correct it."),
            Reason("UnparseableSchedule", "spec.schedule cannot be read.", "Correct it."),
            Reason("InvalidSchedule", "The schedule names a day that never comes.", "Correct it."),
        ),
        what="event",
    ),
    Group(
        "Pod",
        "DisruptionTarget",
        "The pod is to go for a reason that is not its own.",
        (Reason("DeletionByTaintManager", "Its node has a NoExecute taint that it does not tolerate."),),
    ),
    Group(
        "Pod",
        "",
        "What the taint controller does.",
        (Reason("TaintManagerEviction", "The pod is deleted because of a taint of its node."),),
        what="event",
    ),
    Group(
        "any object",
        "",
        "What the garbage collector does.",
        (
            Reason(
                "OwnerRefInvalidNamespace",
                "The object names an owner that lives in another namespace; it is deleted as an orphan.",
                "Owners live in the same namespace, or in none.",
            ),
        ),
        what="event",
    ),
)
