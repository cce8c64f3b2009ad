"""How long an admitted workload's pods may take to become ready, and how often it may try. Pure.

Without a bound a gang whose pods cannot start (an image that is not there, a volume that does not mount)
would keep its place for ever. Kueue's `waitForPodsReady`: field names, defaults and rules are those of its
configuration, save for the jitter of the backoff. Called by the door.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.kueue import Workload, WorkloadReason, evictions_of
from springtide.api.meta import Condition, find_condition
from springtide.scheduling.status import Ending, Verdict

TIMEOUT = WorkloadReason.PODS_READY_TIMEOUT.value
_DOUBLINGS_MAX = 32
"""So many reach any maximum there may be."""


@dataclass(frozen=True)
class Patience:
    """Kueue's waitForPodsReady with its requeuingStrategy."""

    timeout_seconds: float = 300.0
    """From the admission until all pods are ready."""
    recovery_timeout_seconds: float | None = None
    """From the moment a pod is not ready any more until all are again; None: as above, 0: for ever."""
    backoff_base_seconds: float = 60.0
    """How long it waits after the first timeout; twice as long after each further one."""
    backoff_max_seconds: float = 3600.0
    """But no longer than so."""
    backoff_limit_count: int | None = None
    """After so many timeouts in a row it is deactivated by the next one; None: it tries for ever."""

    def judge(self, workload: Workload, now: datetime) -> Ending | None:
        """The end of an attempt whose time is over; None while it is not."""
        due = overdue_at(workload, self)
        if due is None or now < due:
            return None
        ready = find_condition(workload.status.conditions, "PodsReady")
        recovers = _recovers(ready)
        cause = (WorkloadReason.WAIT_FOR_RECOVERY if recovers else WorkloadReason.WAIT_FOR_START).value
        seconds = self.recovery_seconds if recovers else self.timeout_seconds
        since = "since a pod was lost" if recovers else "since the admission"
        message = f"Exceeded the PodsReady timeout of {seconds:g} s {since}"
        if ready is not None and ready.message:
            message += f": {ready.message}"
        count = self._timeouts(workload) + 1
        if self.backoff_limit_count is not None and count > self.backoff_limit_count:
            limit = WorkloadReason.REQUEUING_LIMIT_EXCEEDED.value
            tries = f"exceeding the maximum number of re-queuing retries ({self.backoff_limit_count})"
            return Ending.deactivating(limit, f"{tries}; last: {message}")
        at = now + timedelta(seconds=self.backoff_seconds(count))
        until = f"{message}; tried again at {at:%Y-%m-%d %H:%M:%S} UTC"
        return Ending(TIMEOUT, message, cause, at, Verdict("WaitingForBackoff", until))

    def backoff_seconds(self, count: int) -> float:
        """How long to wait after this many timeouts, from 1."""
        doubled: float = self.backoff_base_seconds * 2 ** min(count - 1, _DOUBLINGS_MAX)
        return min(doubled, self.backoff_max_seconds)

    @property
    def recovery_seconds(self) -> float:
        """How long pods may take to be ready again."""
        return (
            self.timeout_seconds if self.recovery_timeout_seconds is None else self.recovery_timeout_seconds
        )

    def _timeouts(self, workload: Workload) -> int:
        """Timeouts since the last time that the limit was reached."""
        stats = evictions_of(workload)
        all_of_them = sum(count for (reason, _), count in stats.items() if reason == TIMEOUT)
        ends = stats.get((WorkloadReason.DEACTIVATED.value, WorkloadReason.REQUEUING_LIMIT_EXCEEDED.value), 0)
        return max(0, all_of_them - ends * (self.backoff_limit_count or 0))


def overdue_at(workload: Workload, patience: Patience) -> datetime | None:
    """When the pods of an admitted workload have to be ready; None if they are, or need not be."""
    ready = find_condition(workload.status.conditions, "PodsReady")
    if ready is not None and ready.status == "True":
        return None
    if _recovers(ready) and ready is not None:
        seconds, since = patience.recovery_seconds, ready.last_transition_time
        return since + timedelta(seconds=seconds) if since is not None and seconds else None
    admitted = find_condition(workload.status.conditions, "Admitted")
    if admitted is None or admitted.status != "True" or admitted.last_transition_time is None:
        return None
    return admitted.last_transition_time + timedelta(seconds=patience.timeout_seconds)


def _recovers(ready: Condition | None) -> bool:
    return ready is not None and ready.reason == WorkloadReason.WAIT_FOR_RECOVERY
