"""A gang in trouble: a workload and its pods as the rooms around `health` leave them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from springtide.api import labels
from springtide.api.core import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Node,
    NodeCondition,
    Pod,
)
from springtide.api.kueue import Workload
from springtide.api.meta import owner_reference
from springtide.api.springtide import Diagnosis
from springtide.api.struct import replace
from springtide.health.diagnosis import RankReport
from springtide.health.evidence import LogEvidence, read_log
from springtide.health.observe import rank_reports
from springtide.health.plan import Settings, Snapshot
from springtide.health.tracebacks import LogLine
from tests import builders
from tests.builders import at

SETTINGS = Settings()


def gang(size: int = 2, *, attempt: int = 0, max_restarts: int = 0) -> Workload:
    """An admitted workload `trainjob-job`, rank n on node `n<n>`, all its pods created."""
    made = builders.workload("trainjob-job", builders.pod_set(size))
    annotations = {labels.MAX_RESTARTS: str(max_restarts)}
    made = replace(made, metadata=replace(made.metadata, annotations=annotations))
    made = builders.admitted(made, {f"n{index}": 1 for index in range(size)}, attempt=attempt)
    return builders.with_condition(made, "PodsReady", reason="Started")


def rank(
    index: int, phase: str = "Running", *, of: Workload | None = None, attempt: int = 0, **more: Any
) -> Pod:
    """The pod of one rank; `more` goes into its container's termination."""
    reason = more.pop("pod_reason", "")
    message = more.pop("pod_message", "")
    labelled = {
        labels.WORKLOAD: "trainjob-job",
        labels.ATTEMPT: str(attempt),
        labels.PODSET: "node",
        labels.JOB_COMPLETION_INDEX: str(index),
    }
    pod = builders.pod(
        f"job-node-0-{index}-abcde",
        node=f"n{index}",
        phase=phase,
        ready=phase == "Running",
        labelled=labelled,
        owner=owner_reference(of) if of is not None else None,
    )
    statuses = []
    if phase == "Failed" and more:
        ended = ContainerStateTerminated(**{"exit_code": 1, "reason": "Error", **more})
        statuses = [ContainerStatus(name="main", state=ContainerState(terminated=ended))]
    return replace(
        pod, status=replace(pod.status, reason=reason, message=message, container_statuses=statuses)
    )


def failed(index: int, second: float = 10, code: int = 1, **more: Any) -> Pod:
    """A rank that exited with this code at this second."""
    return rank(index, "Failed", exit_code=code, finished_at=at(int(second)), **more)


def node_that_is(name: str, ready: str, since: float = 0) -> Node:
    """A node whose Ready condition has this status."""
    made = builders.node(name)
    condition = NodeCondition(type="Ready", status=ready, last_transition_time=at(since))
    return replace(made, status=replace(made.status, conditions=[condition]))


@dataclass
class Scene:
    """Pods, their logs and nodes; the snapshot a plan sees."""

    workload: Workload = field(default_factory=gang)
    pods: Sequence[Pod] = ()
    logs: Mapping[int, Sequence[LogLine]] = field(default_factory=dict)
    """By rank."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    """Those that differ from a healthy node; None in place of a node: there is none."""
    absent: Sequence[str] = ()
    diagnoses: Sequence[Diagnosis] = ()
    failing_since: float | None = None

    def reports(self, now: datetime) -> list[RankReport]:
        """What is known of each rank."""
        evidence: dict[str, LogEvidence] = {
            f"job-node-0-{index}-abcde": read_log(list(lines)) for index, lines in self.logs.items()
        }
        return rank_reports(self.workload, self.pods, self._node_named(), evidence, now, SETTINGS)

    def snapshot(self, now: datetime) -> Snapshot:
        """What the plan sees."""
        since = at(self.failing_since) if self.failing_since is not None else None
        return Snapshot(self.workload, self.reports(now), self.diagnoses, since)

    def _node_named(self) -> Callable[[str], Node | None]:
        def named(name: str) -> Node | None:
            return None if name in self.absent else self.nodes.get(name, builders.node(name))

        return named
