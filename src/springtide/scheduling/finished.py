"""What finished workloads teach of durations. Kept by the cluster state, read through the snapshot.

Each is learned from once: when it finishes, or when it is first seen if it had finished already, so that the
same is known after a restart, of those that still exist. Nothing is kept of a workload but its duration.
"""

from __future__ import annotations

from springtide.api.kueue import Workload
from springtide.api.meta import is_true
from springtide.scheduling.durations import History
from springtide.scheduling.facts import WorkloadFacts, pod_sets_of
from springtide.scheduling.runs import ran, sort_of


class Finished:
    """Durations by sort."""

    def __init__(self) -> None:
        self._history = History()
        self._given = False

    def change_workload(
        self, known: WorkloadFacts | None, old: Workload | None, new: Workload | None
    ) -> None:
        """A workload came, changed or went; `known`: what it was while it had not finished."""
        if new is None or not is_true(new.status.conditions, "Finished"):
            return
        seconds = ran(new)
        if seconds is None or (known is None and old is not None):
            return
        pod_sets = known.pod_sets if known is not None else pod_sets_of(new)[0]
        if self._given:  # who has a snapshot keeps what it knew
            self._history, self._given = self._history.copy(), False
        self._history.record(sort_of(new, pod_sets), seconds)

    def history(self) -> History:
        """What is known now; it does not change any more."""
        self._given = True
        return self._history
