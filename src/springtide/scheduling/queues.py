"""Which queue a workload stands in, and whether that queue takes it.

A workload names a LocalQueue of its namespace; without a name it goes to the LocalQueue `default`, and
where there is none straight to the ClusterQueue `default`. Called by the cluster state, which keeps a
`QueueTree` current, and by the plan. Names, stop policies and strategies are Kueue's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from springtide.api.kueue import ClusterQueue, LocalQueue, Workload
from springtide.api.selectors import Labels, from_label_selector
from springtide.scheduling.requests import amounts

DEFAULT_QUEUE = "default"
STRICT_FIFO = "StrictFIFO"
DEFAULT_FLAVOR = "default"
"""The flavor written into admissions of a ClusterQueue that declares none."""


class StopPolicy(StrEnum):
    """What a stopped queue does: nothing new (Hold), or also give up what runs (HoldAndDrain)."""

    NONE = "None"
    HOLD = "Hold"
    DRAIN = "HoldAndDrain"


@dataclass(frozen=True)
class FlavorQuota:
    """Nominal quota of one flavor, per resource in its unit."""

    name: str
    nominal: Mapping[str, int]


@dataclass(frozen=True)
class ClusterQueueFacts:
    """A ClusterQueue, parsed."""

    name: str
    strict: bool
    stop: StopPolicy
    namespaces: Labels | None
    """Which namespaces may use it, by their labels; None: none may, as in Kueue."""
    groups: tuple[tuple[FlavorQuota, ...], ...]
    """Flavors in order of preference, per group of resources. No groups: no limit but the nodes."""
    error: str = ""


@dataclass(frozen=True)
class LocalQueueFacts:
    """A LocalQueue: a namespace's door to a ClusterQueue."""

    cluster_queue: str
    stop: StopPolicy


@dataclass(frozen=True)
class Closed:
    """Why a workload cannot be considered in any queue now: Kueue's reason and a sentence."""

    reason: str
    message: str
    drains: bool = False
    """Whether a workload that has its admission already must give it back."""


@dataclass(frozen=True)
class QueueTree:
    """All queues and the labels of all namespaces."""

    cluster_queues: Mapping[str, ClusterQueueFacts] = field(default_factory=dict)
    local_queues: Mapping[str, LocalQueueFacts] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def resolve(self, workload: Workload) -> ClusterQueueFacts | Closed:
        """The ClusterQueue that takes the workload, or why none does."""
        name, local = self._local_queue(workload)
        namespace = workload.metadata.namespace
        if local is None and name != DEFAULT_QUEUE:
            return self._no_local_queue(namespace, name)
        if local is not None and local.stop is not StopPolicy.NONE:
            return _stopped(f"LocalQueue {name}", local.stop)
        return self._take(local.cluster_queue if local is not None else DEFAULT_QUEUE, namespace)

    def line(self, workload: Workload) -> tuple[str, str]:
        """The keys of the LocalQueue and ClusterQueue the workload stands in; empty where there is none."""
        name, local = self._local_queue(workload)
        if local is not None:
            return f"{workload.metadata.namespace}/{name}", local.cluster_queue
        return "", DEFAULT_QUEUE if name == DEFAULT_QUEUE else ""

    def closed(self, name: str) -> Closed | None:
        """Why a ClusterQueue admits nothing, whoever asks; None if it does."""
        queue = self.cluster_queues.get(name)
        if queue is None:
            return Closed("Misconfigured", f"ClusterQueue {name} doesn't exist; create it")
        if queue.error:
            return Closed("Misconfigured", f"ClusterQueue {name}: {queue.error}")
        return None if queue.stop is StopPolicy.NONE else _stopped(f"ClusterQueue {name}", queue.stop)

    def closed_locally(self, key: str) -> Closed | None:
        """Why a LocalQueue leads nowhere; None if it does not."""
        local = self.local_queues[key]
        if local.stop is not StopPolicy.NONE:
            return _stopped(f"LocalQueue {key.split('/')[1]}", local.stop)
        taken = self._take(local.cluster_queue, key.split("/")[0])
        return taken if isinstance(taken, Closed) else None

    def _local_queue(self, workload: Workload) -> tuple[str, LocalQueueFacts | None]:
        name = workload.spec.queue_name or DEFAULT_QUEUE
        return name, self.local_queues.get(f"{workload.metadata.namespace}/{name}")

    def _no_local_queue(self, namespace: str, name: str) -> Closed:
        known = sorted(key.split("/")[1] for key in self.local_queues if key.startswith(f"{namespace}/"))
        choice = f"use one of: {', '.join(known)}" if known else "the namespace has none"
        return Closed("Misconfigured", f"LocalQueue {name} doesn't exist in namespace {namespace}; {choice}")

    def _take(self, name: str, namespace: str) -> ClusterQueueFacts | Closed:
        closed = self.closed(name)
        if closed is not None:
            return closed
        queue = self.cluster_queues[name]
        if queue.namespaces is None or not queue.namespaces.matches(self.namespaces.get(namespace, {})):
            return Closed(
                "Misconfigured",
                f"ClusterQueue {name} takes no workloads of namespace {namespace} (namespaceSelector)",
            )
        return queue


def cluster_queue_facts(obj: ClusterQueue) -> ClusterQueueFacts:
    """Parse a ClusterQueue; a quota that does not parse closes the queue with the error."""
    spec = obj.spec
    groups: list[tuple[FlavorQuota, ...]] = []
    error = ""
    try:
        for group in spec.resource_groups:
            flavors = []
            for flavor in group.flavors:
                nominal = amounts({quota.name: quota.nominal_quota for quota in flavor.resources})
                flavors.append(FlavorQuota(flavor.name, nominal))
            groups.append(tuple(flavors))
    except ValueError as problem:
        error = f"spec.resourceGroups: {problem}"
    return ClusterQueueFacts(
        name=obj.metadata.name,
        strict=spec.queueing_strategy == STRICT_FIFO,
        stop=StopPolicy(spec.stop_policy or StopPolicy.NONE),
        namespaces=from_label_selector(spec.namespace_selector),
        groups=tuple(groups),
        error=error,
    )


def local_queue_facts(obj: LocalQueue) -> LocalQueueFacts:
    """Parse a LocalQueue."""
    return LocalQueueFacts(obj.spec.cluster_queue, StopPolicy(obj.spec.stop_policy or StopPolicy.NONE))


def _stopped(queue: str, stop: StopPolicy) -> Closed:
    return Closed(
        "Suspended",
        f"{queue} is stopped (stopPolicy: {stop}); set it to None",
        drains=stop is StopPolicy.DRAIN,
    )
