"""Whether a workload may be considered now, and whether one that is admitted has to end. Pure; for the cycle.

What ends an attempt is written with Kueue's reasons; what only passes with time says until when, so that the
scheduler looks again by itself. Everything is read off the objects: a restart forgets nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from springtide.api import labels
from springtide.api.kueue import WorkloadCondition, WorkloadReason, is_own_eviction
from springtide.api.meta import find_condition
from springtide.scheduling import checks
from springtide.scheduling.facts import WorkloadFacts
from springtide.scheduling.patience import Patience, overdue_at
from springtide.scheduling.queues import Closed, ClusterQueueFacts, QueueTree
from springtide.scheduling.runs import has_limit, limit_at, out_of_time
from springtide.scheduling.status import Ending, Verdict

PODS_RESET = "NotAdmitted"
"""Reason of PodsReady with which `workloads` says that nothing of an ended attempt is left to it."""
_STOPPED = WorkloadReason.CLUSTER_QUEUE_STOPPED.value
_LOCAL_STOPPED = WorkloadReason.LOCAL_QUEUE_STOPPED.value
DEACTIVATED = WorkloadReason.DEACTIVATED.value
CHECK = WorkloadReason.ADMISSION_CHECK.value
WAITS_FOR_BACKOFF = "WaitingForBackoff"
OUT_OF_TIME = WorkloadReason.MAXIMUM_EXECUTION_TIME_EXCEEDED.value


@dataclass(frozen=True)
class Door:
    """What decides who comes in, and who has to leave."""

    queues: QueueTree
    pods_of: Mapping[str, int]
    """How many pods of a waiting workload's earlier attempts there still are."""
    now: datetime
    patience: Patience | None = None
    """How long pods may take to become ready; None: for ever."""
    _known: dict[str, ClusterQueueFacts | Verdict] = field(default_factory=dict)

    def enter(self, facts: WorkloadFacts, blocked: Mapping[str, str]) -> ClusterQueueFacts | Verdict:
        """The queue in which the workload may be considered now, or why it may not.

        `blocked`: who is first in each StrictFIFO queue and does not fit.
        """
        queue = self._known.get(facts.key)
        if queue is None:
            queue = self._known[facts.key] = self._alone(facts)
        if isinstance(queue, ClusterQueueFacts) and queue.name in blocked:
            return Verdict(
                "PendingEvaluation",
                f"waits behind {blocked[queue.name]}: ClusterQueue {queue.name} is StrictFIFO",
            )
        return queue

    def _alone(self, facts: WorkloadFacts) -> ClusterQueueFacts | Verdict:
        """The same, whoever else waits: it stays so for a cycle."""
        barred = self._barred(facts)
        if barred is not None:
            return barred
        if facts.error:
            return Verdict("Misconfigured", facts.error)
        missing = facts.obj.metadata.annotations.get(labels.INCOMPLETE)
        if missing:
            return Verdict("WaitingForPods", f"{missing}; it starts once they are there")
        queue = self.queues.resolve(facts.obj)
        if isinstance(queue, Closed):
            return Verdict(queue.reason, queue.message)
        if facts.key in self.pods_of or _not_reset(facts):
            return Verdict("PendingEvaluation", "waits until all pods of the earlier attempt are gone")
        return queue

    def leave(self, facts: WorkloadFacts) -> Ending | None:
        """Why an admitted workload has to give its admission back; None if it need not."""
        if not facts.active:
            return Ending(
                DEACTIVATED, "The workload is deactivated (spec.active: false)", verdict=_inactive()
            )
        if facts.evicted is not None:
            return Ending("", "", verdict=_evicted(facts))
        queue = self.queues.resolve(facts.obj)
        if isinstance(queue, Closed) and queue.drains:
            stopped = _LOCAL_STOPPED if queue.local else _STOPPED
            return Ending(stopped, queue.message, verdict=Verdict(queue.reason, queue.message))
        checked = self._checked(facts) if facts.obj.status.admission_checks else None
        if checked is not None:
            return checked
        if out_of_time(facts.obj, self.now):
            seconds = facts.obj.spec.maximum_execution_time_seconds
            return Ending.deactivating(OUT_OF_TIME, f"exceeding the maximum execution time ({seconds} s)")
        patience = self._patience_with(facts)
        return patience.judge(facts.obj, self.now) if patience is not None else None

    def _checked(self, facts: WorkloadFacts) -> Ending | None:
        """The end of a workload by an admission check."""
        refused = checks.rejected(facts.obj)
        if refused:
            return Ending.deactivating(CHECK, f"Admission check(s): {refused}, were rejected")
        again = checks.retried(facts.obj, self.now)
        if again is None:
            return None
        said, at = again
        message = f"Admission check(s): {said}, want another try"
        later = Verdict(WAITS_FOR_BACKOFF, f"{message} at {at:%Y-%m-%d %H:%M:%S} UTC")
        return Ending(CHECK, message, requeue_at=at, verdict=later)

    def next_at(
        self, waiting: Iterable[WorkloadFacts], admitted: Iterable[WorkloadFacts], ended: Container[str]
    ) -> datetime | None:
        """When something of this is next decided by time alone."""
        moments = [facts.requeue_at for facts in waiting if facts.requeue_at is not None]
        limits = ((facts.key, limit_at(facts.obj)) for facts in admitted if has_limit(facts.obj))
        moments += [at for key, at in limits if at is not None and key not in ended]
        for facts in admitted:
            patience = self._patience_with(facts)
            at = overdue_at(facts.obj, patience) if patience is not None else None
            if at is not None and facts.key not in ended:
                moments.append(at)
        return min((at for at in moments if at > self.now), default=None)

    def _patience_with(self, facts: WorkloadFacts) -> Patience | None:
        """Pods that nobody makes never become ready: a place is not kept for them for ever."""
        if self.patience is None and facts.obj.metadata.annotations.get(labels.INCOMPLETE):
            return Patience()
        return self.patience

    def _barred(self, facts: WorkloadFacts) -> Verdict | None:
        if not facts.active:
            return _inactive()
        conditions, generation = facts.obj.status.conditions, facts.obj.metadata.generation
        target = find_condition(conditions, WorkloadCondition.DEACTIVATION_TARGET)
        if target is not None and target.status == "True" and target.observed_generation == generation:
            return Verdict(
                DEACTIVATED,
                f"deactivated: {target.message}; set spec.active to false and then to true to queue it again",
            )
        if facts.evicted is not None and not is_own_eviction(facts.evicted.reason):
            return _evicted(facts)
        queue = self.queues.resolve(facts.obj)
        if isinstance(queue, Closed) and (queue.drains or queue.reason == "Suspended"):
            return Verdict(queue.reason, queue.message)
        if facts.requeue_at is not None and facts.requeue_at > self.now:
            why = facts.evicted.message if facts.evicted is not None else "It was put back"
            return Verdict(
                WAITS_FOR_BACKOFF, f"{why}; tried again at {facts.requeue_at:%Y-%m-%d %H:%M:%S} UTC"
            )
        return None


def is_deleting(facts: WorkloadFacts) -> bool:
    """Whether the workload is on its way out."""
    return facts.obj.metadata.deletion_timestamp is not None


def _inactive() -> Verdict:
    return Verdict("Suspended", "the workload is not active (spec.active: false); it starts when it is true")


def _evicted(facts: WorkloadFacts) -> Verdict:
    reason, message = (facts.evicted.reason, facts.evicted.message) if facts.evicted is not None else ("", "")
    return Verdict("Evicted", f"{reason}: {message}")


def _not_reset(facts: WorkloadFacts) -> bool:
    """`workloads` has not yet taken note that the earlier attempt is over."""
    ready = find_condition(facts.obj.status.conditions, "PodsReady")
    return ready is not None and ready.reason != PODS_RESET
