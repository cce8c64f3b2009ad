"""Pod sets of workloads, parsed once for each template: equal workloads share their facts.

Thousands of workloads are often made from few templates, and each changes its status many times. What is
shared is compared by identity everywhere behind. Owned by the cluster state.
"""

from __future__ import annotations

import msgspec

from springtide.api.kueue import Workload
from springtide.scheduling.facts import PodSetFacts, pod_sets_of

Parsed = tuple[tuple[PodSetFacts, ...], str]
"""Pod sets, and why they cannot be understood."""

_KEPT_MAX = 4096


class Templates:
    """What is known of templates already, the oldest forgotten first."""

    def __init__(self) -> None:
        self._known: dict[bytes, Parsed] = {}

    def pod_sets_of(self, obj: Workload) -> Parsed:
        """The workload's pod sets; or none, and why they cannot be understood."""
        key = msgspec.msgpack.encode(obj.spec.pod_sets)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _KEPT_MAX:
                del self._known[next(iter(self._known))]
            found = self._known[key] = pod_sets_of(obj)
        return found
