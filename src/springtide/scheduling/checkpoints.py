"""When workloads last saved their work, as the progress reports of their pods say.

Owned by `ClusterState`; `victims` asks what is lost with a workload. A report without a mark costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from springtide.api.labels import PROGRESS
from springtide.scheduling.facts import PodFacts

_MARK = "checkpointTime"


class _Report(msgspec.Struct, rename="camel"):
    """What is read of a report."""

    checkpoint_time: datetime | None = None


class Checkpoints:
    """The newest mark of each pod, by workload."""

    def __init__(self) -> None:
        self._marks: dict[str, dict[str, datetime]] = {}

    def count_pod(self, pod: PodFacts, sign: int) -> None:
        """A pod came (+1) or went (-1). Marks of earlier attempts are older than what is lost now."""
        if not pod.workload:
            return
        known = self._marks.get(pod.workload)
        if sign < 0:
            if known is not None and known.pop(pod.key, None) is not None and not known:
                del self._marks[pod.workload]
            return
        found = saved_at(pod.obj.metadata.annotations)
        if found is not None:
            self._marks.setdefault(pod.workload, {})[pod.key] = found

    def newest(self) -> Mapping[str, datetime]:
        """When each workload that said so last saved its work."""
        return {workload: max(marks.values()) for workload, marks in self._marks.items()}


def saved_at(annotations: Mapping[str, str]) -> datetime | None:
    """When the work of a pod was last saved; None if its report does not say so or cannot be read."""
    text = annotations.get(PROGRESS)
    if text is None or _MARK not in text:
        return None
    try:
        found = msgspec.json.decode(text, type=_Report).checkpoint_time
    except msgspec.MsgspecError:
        return None
    return found if found is not None and found.tzinfo is not None else None
