"""What the collectors of simulated nodes see, as a script tells: `SimulatedNodes.evidence`.

    nodes.evidence.see("node-3", "NVRM: Xid (PCI:0000:a1:00): 79, pid=1, GPU has fallen off the bus.")
    nodes.evidence.activity("default/job-0", log_time=now, busy_time=now, step=12)
    nodes.evidence.collector("node-3", "nvidia", CollectorState.SILENT, "no answer within 20 s")

The NodeHealth that follows is the one real collectors would write: the same again within a minute counts up,
the newest 64 stay, moments of pods move forward, what is new is written at once and the object is refreshed
twice a minute. Nodes nobody said anything about write nothing and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from springtide.api.commands import Apply
from springtide.api.core import Pod
from springtide.api.nodehealth import (
    Collector,
    CollectorState,
    NodeHealth,
    NodeHealthStatus,
    Observation,
    PodActivity,
)
from springtide.api.observing import observe
from springtide.api.struct import encode, replace
from springtide.client import NotFound
from springtide.node.registration import ROOM
from springtide.runtime import Runtime

REFRESH_SECONDS = 25.0
"""An object older than half a minute means that its collectors are gone."""


@dataclass
class _Said:
    """All that was said of one node."""

    observations: list[Observation] = field(default_factory=list)
    collectors: dict[str, Collector] = field(default_factory=dict)
    pods: dict[str, PodActivity] = field(default_factory=dict)
    """By `namespace/name`."""
    taken_over: bool = False


class SimulatedEvidence:
    """The evidence of all simulated nodes of one platform."""

    def __init__(
        self, runtime: Runtime, *, pod: Callable[[str], Pod | None], dead: Callable[[], frozenset[str]]
    ) -> None:
        """Adds a controller to the runtime. `pod` finds a pod by its key; `dead` nodes write nothing."""
        self._runtime = runtime
        self._pod = pod
        self._dead = dead
        self._said: dict[str, _Said] = {}
        self._controller = runtime.controller(f"{ROOM}.evidence", self._write, [])

    def see(
        self,
        node: str,
        line: str,
        *,
        collector: str = "kernel",
        source: str = "kernel",
        context: Sequence[str] = (),
        signature: str = "",
        device: str = "",
        pod: str = "",
        time: datetime | None = None,
    ) -> None:
        """A collector of the node saw this line. `pod` is `namespace/name`; its uid is looked up."""
        now = self._runtime.clock.now()
        said = self._of(node)
        found = self._pod(pod) if pod else None
        seen = Observation(
            id="",
            collector=collector,
            source=source,
            line=line,
            context=list(context),
            signature=signature,
            time=time or now,
            device=device,
            pod=pod,
            pod_uid=found.metadata.uid if found is not None else "",
        )
        said.observations = observe(said.observations, [seen])
        self._working(said, collector, now)
        self._controller.queue.add(node)

    def activity(self, pod: str, **fields: Any) -> None:
        """How a pod lives: fields of `PodActivity`, which stay until they are said anew.

        Raises LookupError where there is no such pod on a node.
        """
        found = self._pod(pod)
        if found is None or not found.spec.node_name:
            raise LookupError(f"activity of pod {pod}: no node has such a pod")
        now = self._runtime.clock.now()
        said = self._of(found.spec.node_name)
        uid = found.metadata.uid
        known = said.pods.get(pod)
        if known is None or known.uid != uid:
            known = PodActivity(name=pod, uid=uid)
        said.pods[pod] = replace(known, **{"sample_time": now, **fields})
        self._working(said, "activity", now)
        self._controller.queue.add(found.spec.node_name)

    def collector(self, node: str, name: str, state: CollectorState, message: str = "") -> None:
        """How a collector of the node does."""
        now = self._runtime.clock.now()
        said = self._of(node)
        said.collectors[name] = Collector(name=name, state=state.value, message=message, time=now)
        self._controller.queue.add(node)

    def quiet(self, node: str) -> None:
        """The collectors of this node are gone: its object is not written any more."""
        self._said.pop(node, None)

    def _of(self, node: str) -> _Said:
        return self._said.setdefault(node, _Said())

    def _working(self, said: _Said, collector: str, now: datetime) -> None:
        state = CollectorState.WORKING.value
        said.collectors[collector] = Collector(name=collector, state=state, time=now)

    async def _write(self, node: str) -> float | None:
        said = self._said.get(node)
        if said is None or node in self._dead():
            return None
        if not said.taken_over:
            await self._take_over(node, said)
        now = self._runtime.clock.now()
        said.pods = {key: pod for key, pod in said.pods.items() if self._lives(key, pod)}
        status = NodeHealthStatus(
            collectors=[replace(one, time=now) for one in said.collectors.values()],
            observations=said.observations,
            pods=[said.pods[key] for key in sorted(said.pods)],
        )
        body = Apply(NodeHealth, "", node, {"status": encode(status)}, "status")
        if not await self._runtime.apply(ROOM, [body]):  # there is no such object yet, or none any more
            await self._runtime.apply(ROOM, [Apply(NodeHealth, "", node, {}), body])
        return REFRESH_SECONDS

    def _lives(self, key: str, activity: PodActivity) -> bool:
        pod = self._pod(key)
        ended = pod is None or pod.status.phase in ("Succeeded", "Failed")
        return not ended and pod is not None and pod.metadata.uid == activity.uid

    async def _take_over(self, node: str, said: _Said) -> None:
        """Numbers go on where an earlier life of this process left off."""
        said.taken_over = True
        try:
            known = await self._runtime.client.get(NodeHealth, node)
        except NotFound:
            return
        said.observations = observe(known.status.observations, said.observations)
