"""Which queue a workload stands in, and whether that queue takes it.

A workload names a LocalQueue of its namespace; without a name it goes to the LocalQueue `default`, and
where there is none straight to the ClusterQueue `default`. One that names a Queue of Volcano goes straight
to what that is in the tree (`volcano_queues`); without a Queue `default`, to the ClusterQueue of that name.
Called by the cluster state, which keeps a `QueueTree` current, and by the plan. Names, stop policies and
strategies are Kueue's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cached_property

from springtide.api import labels
from springtide.api.affinity import Toleration
from springtide.api.kueue import (
    ClusterQueue,
    ClusterQueuePreemption,
    Cohort,
    FairSharing,
    FlavorFungibility,
    FlavorQuotas,
    LocalQueue,
    ResourceFlavor,
    ResourceGroup,
    Workload,
)
from springtide.api.nodes import Taint
from springtide.api.quantity import parse
from springtide.api.selectors import Labels, from_label_selector
from springtide.scheduling.checks import CheckRule, rules_of
from springtide.scheduling.cohorts import Cell, CellQuota, QuotaNode, Tree
from springtide.scheduling.requests import amounts

DEFAULT_QUEUE = "default"
STRICT_FIFO = "StrictFIFO"
BY_USE = "UsageBasedAdmissionFairSharing"
_CONTENT = "MayStopSearch"
DEFAULT_FLAVOR = "default"
"""The flavor written into admissions of a ClusterQueue that declares none."""


class StopPolicy(StrEnum):
    """What a stopped queue does: nothing new (Hold), or also give up what runs (HoldAndDrain)."""

    NONE = "None"
    HOLD = "Hold"
    DRAIN = "HoldAndDrain"


@dataclass(frozen=True)
class FlavorQuota:
    """Quota of one flavor, per resource in its unit."""

    name: str
    resources: Mapping[str, CellQuota]


@dataclass(frozen=True)
class Search:
    """When a workload is content with a flavor, and when it tries the next one (flavorFungibility)."""

    borrow_first: bool = True
    """Content with a flavor of which it has to borrow."""
    preempt_first: bool = False
    """Content with a flavor in which others have to go."""


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
    cohort: str = ""
    weight: float = 1.0
    search: Search = Search()
    checks: tuple[CheckRule, ...] = ()
    preemption: ClusterQueuePreemption = field(default_factory=ClusterQueuePreemption)
    by_use: bool = False
    """Whether its LocalQueues share by what they have used lately; see `usage`."""
    error: str = ""
    limit_field: str = "nominalQuota"
    """What to raise for more quota."""
    label: str = ""
    """What messages call it, if not ClusterQueue and its name: it may come from another dialect."""
    covers_all: bool = True
    """Whether resources without quota are refused; else they have no limit but the nodes."""
    reclaimable: bool = True
    """Whether others may take back what it uses beyond its own."""
    yields_late: int = 0
    """The higher, the later it gives back what it uses beyond its own."""
    shut: Closed | None = None
    """Why it admits nothing, where that is neither its stop policy nor an error."""

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.label or f"ClusterQueue {self.name}"

    @property
    def node(self) -> QuotaNode:
        """Its place in the tree of quota."""
        cells = cells_of(self.groups)
        return QuotaNode(self.name, self.cohort, cells, self.weight, self.reclaimable, self.yields_late)


@dataclass(frozen=True)
class LocalQueueFacts:
    """A LocalQueue: a namespace's door to a ClusterQueue."""

    cluster_queue: str
    stop: StopPolicy
    weight: float = 1.0
    """Its share by use, compared with other LocalQueues of the ClusterQueue."""


@dataclass(frozen=True)
class Closed:
    """Why a workload cannot be considered in any queue now: Kueue's reason and a sentence."""

    reason: str
    message: str
    drains: bool = False
    """Whether a workload that has its admission already must give it back."""
    local: bool = False
    """Whether it is the LocalQueue that is closed."""


@dataclass(frozen=True)
class FlavorFacts:
    """A ResourceFlavor: which nodes it means."""

    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    topology: str = ""
    levels: tuple[str, ...] = ()
    """Those of its topology, the widest first; none where it names none, or one that does not exist."""
    weights: Mapping[str, Fraction] = field(default_factory=dict)
    """How much its resources count in fair sharing; 1 for those not named."""
    error: str = ""
    """Why it cannot be used."""


@dataclass(frozen=True)
class QueueTree:
    """All queues and the labels of all namespaces."""

    cluster_queues: Mapping[str, ClusterQueueFacts] = field(default_factory=dict)
    local_queues: Mapping[str, LocalQueueFacts] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    cohorts: Mapping[str, QuotaNode] = field(default_factory=dict)
    flavors: Mapping[str, FlavorFacts] = field(default_factory=dict)
    checks: Mapping[str, bool] = field(default_factory=dict)
    """AdmissionChecks, and whether each is active."""
    direct: Mapping[str, str | Closed] = field(default_factory=dict)
    """Queues that workloads name without a LocalQueue between: which of `cluster_queues` each is."""
    _closed: dict[str, Closed | None] = field(default_factory=dict, init=False, compare=False, repr=False)
    _lines: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _taken: dict[tuple[str, str], ClusterQueueFacts | Closed] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @cached_property
    def by_use(self) -> frozenset[str]:
        """The ClusterQueues whose LocalQueues share by what they have used."""
        return frozenset(name for name, queue in self.cluster_queues.items() if queue.by_use)

    @cached_property
    def quota(self) -> Tree:
        """Their quota as a tree."""
        nodes = [queue.node for queue in self.cluster_queues.values() if not self._in_circle(queue.cohort)]
        cohorts = [node for name, node in self.cohorts.items() if not self._in_circle(name)]
        return Tree(
            nodes,
            cohorts,
            {
                (flavor, name): weight
                for flavor, facts in self.flavors.items()
                for name, weight in facts.weights.items()
            },
        )

    def resolve(self, workload: Workload) -> ClusterQueueFacts | Closed:
        """The ClusterQueue that takes the workload, or why none does."""
        if labels.VOLCANO_QUEUE in workload.metadata.annotations:
            return self._resolve_direct(workload)
        name, local = self._local_queue(workload)
        namespace = workload.metadata.namespace
        if local is None and name != DEFAULT_QUEUE:
            return self._no_local_queue(namespace, name)
        if local is not None and local.stop is not StopPolicy.NONE:
            return _stopped(f"LocalQueue {name}", local.stop, local=True)
        return self._take(local.cluster_queue if local is not None else DEFAULT_QUEUE, namespace)

    def line(self, workload: Workload) -> tuple[str, str]:
        """The keys of the LocalQueue and ClusterQueue the workload stands in; empty where there is none."""
        if labels.VOLCANO_QUEUE in workload.metadata.annotations:
            direct = self._direct(workload)
            return "", direct if isinstance(direct, str) else ""
        named = workload.metadata.namespace, workload.spec.queue_name
        if named not in self._lines:
            name, local = self._local_queue(workload)
            known = "", DEFAULT_QUEUE if name == DEFAULT_QUEUE else ""
            self._lines[named] = (f"{named[0]}/{name}", local.cluster_queue) if local is not None else known
        return self._lines[named]

    def closed(self, name: str) -> Closed | None:
        """Why a ClusterQueue admits nothing, whoever asks; None if it does."""
        if name not in self._closed:
            self._closed[name] = self._why_closed(name)
        return self._closed[name]

    def _why_closed(self, name: str) -> Closed | None:
        queue = self.cluster_queues.get(name)
        if queue is None:
            return Closed("Misconfigured", f"ClusterQueue {name} doesn't exist; create it")
        if queue.shut is not None:
            return queue.shut
        if queue.error:
            return Closed("Misconfigured", f"ClusterQueue {name}: {queue.error}")
        if self._in_circle(queue.cohort):
            return Closed("Misconfigured", f"Cohort {queue.cohort} is its own ancestor; change a parentName")
        unknown = sorted(rule.name for rule in queue.checks if rule.name not in self.checks)
        if unknown:
            return Closed(
                "AdmissionCheckNotFound", f"AdmissionCheck {', '.join(unknown)} doesn't exist; create it"
            )
        idle = sorted(rule.name for rule in queue.checks if not self.checks[rule.name])
        if idle:
            message = f"AdmissionCheck {', '.join(idle)} is not active; its condition Active says why"
            return Closed("AdmissionCheckInactive", message)
        missing = sorted({f.name for group in queue.groups for f in group if f.name not in self.flavors})
        if missing:
            return Closed("FlavorNotFound", f"ResourceFlavor {', '.join(missing)} doesn't exist; create it")
        used = sorted({flavor.name for group in queue.groups for flavor in group})
        wrong = [f"ResourceFlavor {name}: {why}" for name in used if (why := self.flavors[name].error)]
        if wrong:
            return Closed("Misconfigured", "; ".join(wrong))
        flavors = (self.flavors[name] for name in used)
        flat = sorted({flavor.topology for flavor in flavors if flavor.topology and not flavor.levels})
        if flat:
            return Closed("TopologyNotFound", f"Topology {', '.join(flat)} doesn't exist; create it")
        return None if queue.stop is StopPolicy.NONE else _stopped(f"ClusterQueue {name}", queue.stop)

    def closed_locally(self, key: str) -> Closed | None:
        """Why a LocalQueue leads nowhere; None if it does not."""
        local = self.local_queues[key]
        if local.stop is not StopPolicy.NONE:
            return _stopped(f"LocalQueue {key.split('/')[1]}", local.stop, local=True)
        taken = self._take(local.cluster_queue, key.split("/")[0])
        return taken if isinstance(taken, Closed) else None

    def _in_circle(self, cohort: str) -> bool:
        """Whether going up from a cohort never ends."""
        seen: set[str] = set()
        while cohort:
            if cohort in seen:
                return True
            seen.add(cohort)
            cohort = self.cohorts[cohort].parent if cohort in self.cohorts else ""
        return False

    def _direct(self, workload: Workload) -> str | Closed:
        """Which ClusterQueue a Queue of Volcano is that the workload names."""
        name = workload.metadata.annotations[labels.VOLCANO_QUEUE] or DEFAULT_QUEUE
        if name in self.direct:
            return self.direct[name]
        if name == DEFAULT_QUEUE:
            return DEFAULT_QUEUE
        return Closed("Misconfigured", f"Queue {name} doesn't exist; create it, or name one that does")

    def _resolve_direct(self, workload: Workload) -> ClusterQueueFacts | Closed:
        direct = self._direct(workload)
        return direct if isinstance(direct, Closed) else self._take(direct, workload.metadata.namespace)

    def _local_queue(self, workload: Workload) -> tuple[str, LocalQueueFacts | None]:
        name = workload.spec.queue_name or DEFAULT_QUEUE
        return name, self.local_queues.get(f"{workload.metadata.namespace}/{name}")

    def _no_local_queue(self, namespace: str, name: str) -> Closed:
        known = sorted(key.split("/")[1] for key in self.local_queues if key.startswith(f"{namespace}/"))
        choice = f"use one of: {', '.join(known)}" if known else "the namespace has none"
        return Closed("Misconfigured", f"LocalQueue {name} doesn't exist in namespace {namespace}; {choice}")

    def _take(self, name: str, namespace: str) -> ClusterQueueFacts | Closed:
        """The ClusterQueue, if it takes workloads of the namespace; looked up once for all of them."""
        found = self._taken.get((name, namespace))
        if found is None:
            found = self._taken[name, namespace] = self._takes(name, namespace)
        return found

    def _takes(self, name: str, namespace: str) -> ClusterQueueFacts | Closed:
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
    groups: tuple[tuple[FlavorQuota, ...], ...] = ()
    weight, error = 1.0, ""
    try:
        groups = groups_of(spec.resource_groups)
        weight = weight_of(spec.fair_sharing)
    except ValueError as problem:
        error = f"spec.{problem}"
    fungibility = spec.flavor_fungibility or FlavorFungibility()
    return ClusterQueueFacts(
        name=obj.metadata.name,
        strict=spec.queueing_strategy == STRICT_FIFO,
        stop=StopPolicy(spec.stop_policy or StopPolicy.NONE),
        namespaces=from_label_selector(spec.namespace_selector),
        groups=groups,
        cohort=spec.cohort_name,
        weight=weight,
        checks=rules_of(spec.admission_checks_strategy),
        search=Search(
            borrow_first=fungibility.when_can_borrow == _CONTENT,
            preempt_first=fungibility.when_can_preempt == _CONTENT,
        ),
        preemption=spec.preemption or ClusterQueuePreemption(),
        by_use=spec.admission_scope is not None and spec.admission_scope.admission_mode == BY_USE,
        error=error,
    )


def flavor_facts(obj: ResourceFlavor) -> FlavorFacts:
    """Parse a ResourceFlavor; weights that cannot be used close the queues that have the flavor."""
    spec = obj.spec
    weights: dict[str, Fraction] = {}
    error = ""
    for name, value in sorted(spec.resource_weights.items()):
        try:
            weights[name] = parse(value)
        except ValueError as problem:
            error = f"spec.resourceWeights[{name}]: {problem}"
        else:
            if weights[name] <= 0:
                error = f"spec.resourceWeights[{name}]: {value} is not greater than 0; leave it out for 1"
    return FlavorFacts(
        spec.node_labels,
        tuple(spec.node_taints),
        tuple(spec.tolerations),
        spec.topology_name or "",
        weights={} if error else weights,
        error=error,
    )


def cohort_node(obj: Cohort) -> QuotaNode:
    """A Cohort's place in the tree of quota. Raises ValueError for a quantity that does not parse."""
    spec = obj.spec
    cells = cells_of(groups_of(spec.resource_groups))
    return QuotaNode(obj.metadata.name, spec.parent_name, cells, weight_of(spec.fair_sharing))


def groups_of(groups: Sequence[ResourceGroup]) -> tuple[tuple[FlavorQuota, ...], ...]:
    """Parse resource groups. Raises ValueError naming the group and the resource."""
    found = []
    for index, group in enumerate(groups):
        try:
            found.append(tuple(_flavor_quota(flavor) for flavor in group.flavors))
        except ValueError as problem:
            raise ValueError(f"resourceGroups[{index}]: {problem}") from None
    return tuple(found)


def cells_of(groups: Iterable[Iterable[FlavorQuota]]) -> dict[Cell, CellQuota]:
    """All quotas, by flavor and resource."""
    return {
        (flavor.name, name): quota
        for group in groups
        for flavor in group
        for name, quota in flavor.resources.items()
    }


def weight_of(sharing: FairSharing | None) -> float:
    """The weight in fair sharing. Raises ValueError for one that does not parse."""
    if sharing is None or sharing.weight is None:
        return 1.0
    try:
        weight = parse(sharing.weight)
    except ValueError as problem:
        raise ValueError(f"fairSharing.weight: {problem}") from None
    if weight < 0:
        raise ValueError(f"fairSharing.weight: {sharing.weight} is less than 0; set 0 or more")
    return float(weight)


def _flavor_quota(flavor: FlavorQuotas) -> FlavorQuota:
    nominal = amounts({quota.name: quota.nominal_quota for quota in flavor.resources})
    borrowing = _limits(flavor, "borrowing_limit")
    lending = _limits(flavor, "lending_limit")
    return FlavorQuota(
        flavor.name,
        {name: CellQuota(amount, borrowing.get(name), lending.get(name)) for name, amount in nominal.items()},
    )


def _limits(flavor: FlavorQuotas, field_name: str) -> dict[str, int]:
    given = {quota.name: getattr(quota, field_name) for quota in flavor.resources}
    return amounts({name: value for name, value in given.items() if value is not None})


def local_queue_facts(obj: LocalQueue) -> LocalQueueFacts:
    """Parse a LocalQueue."""
    try:
        weight = weight_of(obj.spec.fair_sharing)
    except ValueError:
        weight = 1.0
    stop = StopPolicy(obj.spec.stop_policy or StopPolicy.NONE)
    return LocalQueueFacts(obj.spec.cluster_queue, stop, weight)


def _stopped(queue: str, stop: StopPolicy, *, local: bool = False) -> Closed:
    return Closed(
        "Suspended",
        f"{queue} is stopped (stopPolicy: {stop}); set it to None",
        drains=stop is StopPolicy.DRAIN,
        local=local,
    )
