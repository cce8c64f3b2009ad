"""Pods whose binding the API server refused: each waits a while before it is tried again, nobody else does.

A webhook, a policy or a full etcd may refuse one pod for ever; without this every cycle would fail for it.
Owned by `controller`; what waits is left out of snapshots.
"""

from __future__ import annotations

from collections.abc import Set

from springtide.runtime.queue import Backoff

_FORGOTTEN_SECONDS = 60.0
"""So long after its wait a pod that was not refused again starts from the shortest wait."""


class Refusals:
    """Who is put off, and until when."""

    def __init__(self, put_off: set[str], backoff: Backoff | None = None) -> None:
        """`put_off` is the set of keys that snapshots leave out; kept current here."""
        self._put_off = put_off
        self._backoff = backoff or Backoff(base_seconds=1.0, limit_seconds=10.0)  # kube-scheduler's
        self._until: dict[str, float] = {}
        self._times: dict[str, int] = {}

    @property
    def put_off(self) -> Set[str]:
        """Keys of those who wait."""
        return self._put_off

    def refuse(self, key: str, now: float) -> float:
        """Put a pod off; for how many seconds."""
        self._times[key] = self._times.get(key, 0) + 1
        wait = self._backoff.delay_seconds(self._times[key])
        self._until[key] = now + wait
        self._put_off.add(key)
        return wait

    def take_up(self, now: float) -> bool:
        """Let those try again whose wait is over; whether there are any."""
        due = [key for key in self._put_off if self._until[key] <= now]
        self._put_off.difference_update(due)
        for key in [key for key, until in self._until.items() if until + _FORGOTTEN_SECONDS <= now]:
            del self._until[key], self._times[key]
        return bool(due)

    def next_at(self) -> float:
        """When the next wait is over; `inf` if nobody waits."""
        return min((self._until[key] for key in self._put_off), default=float("inf"))
