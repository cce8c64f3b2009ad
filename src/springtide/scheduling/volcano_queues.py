"""Volcano's Queues as parts of the one tree of quota: the same facts that ClusterQueues and Cohorts come to.

A Queue without children is a queue of the tree, one with children a cohort; `root`, above all, has what the
cluster has. `deserved` becomes nominal quota, `guarantee` what of it is never lent, `capability` the bound of
borrowing. Of resources that `deserved` does not name a Queue has its part by weight: what its siblings leave
is filled up like water, to each no more than it asks for. Borrowing, lending and reclaim are then the
engine's own. Pure; called by the cluster state through `volcano_ledger`. Source of names and rules: Volcano's
plugins `capacity` and `proportion`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from springtide.api.kueue import ClusterQueuePreemption
from springtide.api.meta import LabelSelector
from springtide.api.selectors import from_label_selector
from springtide.api.struct import encode
from springtide.api.volcano import Queue, QueueState
from springtide.scheduling.cohorts import CellQuota, QuotaNode
from springtide.scheduling.queues import Closed, ClusterQueueFacts, FlavorQuota, StopPolicy
from springtide.scheduling.requests import PODS, Amounts, amounts

FLAVOR = "volcano"
"""The flavor that admissions of Queues are charged to: Volcano knows no flavors, its pods go anywhere."""
ROOT = "root"
_PREFIX = "volcano."
_EVERYBODY = from_label_selector(LabelSelector())
_FIFO = "fifo"
_PREEMPTION = ClusterQueuePreemption(reclaim_within_cohort="Any", within_cluster_queue="LowerPriority")
"""Volcano's `reclaim` takes back whatever the priority; `preempt` goes by priority within a Queue."""


QUEUE_WHY = {
    "affinity": "pods of a queue run on all nodes; use node selectors",
    "extendClusters": "there is one cluster",
    "dra": "claims for devices are not counted",
}
"""Fields that are kept and change nothing. An event says so when the Queue is first seen."""


def ineffective_fields(obj: Queue) -> list[str]:
    """`path: what to know`, of fields that the Queue sets in vain."""
    said = encode(obj.spec)
    return [f"spec.{name}: {why}" for name, why in QUEUE_WHY.items() if said.get(name)]


@dataclass(frozen=True)
class VolcanoQueue:
    """A Queue, parsed."""

    name: str
    parent: str = ROOT
    weight: int = 1
    priority: int = 0
    strict: bool = False
    reclaimable: bool = True
    open: bool = True
    capability: Amounts = field(default_factory=dict)
    deserved: Amounts = field(default_factory=dict)
    guarantee: Amounts = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Dialect:
    """What all Queues come to in the tree."""

    cluster_queues: Mapping[str, ClusterQueueFacts] = field(default_factory=dict)
    cohorts: Mapping[str, QuotaNode] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    """Queues that are not in the tree."""
    direct: Mapping[str, str | Closed] = field(default_factory=dict)
    """By name of the Queue: its name among ClusterQueues, or why nothing can be admitted through it."""


def admitted_as(name: str) -> str:
    """What admissions call a Queue, so that no ClusterQueue is meant."""
    return f"{_PREFIX}{name}"


def queue_facts(obj: Queue) -> VolcanoQueue:
    """Parse a Queue; a quantity that does not parse closes it with the error."""
    spec, error = obj.spec, ""
    lists = {"capability": spec.capability, "deserved": spec.deserved, "guarantee": spec.guarantee.resource}
    parsed: dict[str, Amounts] = {name: {} for name in lists}
    for name, given in lists.items():
        try:
            parsed[name] = {key: amount for key, amount in amounts(given).items() if key != PODS}
        except ValueError as problem:
            error = f"spec.{name}: {problem}"
    return VolcanoQueue(
        name=obj.metadata.name,
        parent=spec.parent or ROOT,
        weight=max(1, spec.weight),
        priority=spec.priority,
        strict=spec.dequeue_strategy == _FIFO,
        reclaimable=spec.reclaimable is not False,
        open=obj.status.state not in (QueueState.CLOSED, QueueState.CLOSING),
        capability=parsed["capability"],
        deserved=parsed["deserved"],
        guarantee=parsed["guarantee"],
        error=error,
    )


def dialect_of(
    queues: Mapping[str, VolcanoQueue],
    total: Amounts,
    asked: Mapping[str, Amounts],
    taken: Mapping[str, object],
) -> Dialect:
    """All Queues in the tree. `total` is what the cluster has, `asked` what each Queue's workloads ask for,
    `taken` the names of ClusterQueues."""
    return _Walk(queues, total, asked, taken).dialect()


def fill(amount: int, claims: Sequence[tuple[int, int, int]]) -> list[int]:
    """Share an amount among claims of (weight, least, most): all rise by weight, within their bounds."""
    level: Fraction | None = None
    have, slope, at = Fraction(sum(least for _, least, _ in claims)), 0, Fraction(0)
    for point, change in sorted(_bends(claims)):
        if slope and have + slope * (point - at) >= amount:
            level = at + (amount - have) / Fraction(slope)
            break
        have, at, slope = have + slope * (point - at), point, slope + change
    return [
        max(least, most if level is None else min(most, int(level * weight)))
        for weight, least, most in claims
    ]


def _bends(claims: Sequence[tuple[int, int, int]]) -> Iterator[tuple[Fraction, int]]:
    """Where each claim begins to rise, and where it is full."""
    for weight, least, most in claims:
        if most > least:
            yield Fraction(least, weight), weight
            yield Fraction(most, weight), -weight


class _Walk:
    """From the root down: what each Queue has, of what its parent has."""

    def __init__(
        self,
        queues: Mapping[str, VolcanoQueue],
        total: Amounts,
        asked: Mapping[str, Amounts],
        taken: Mapping[str, object],
    ) -> None:
        self._queues = queues
        self._taken = taken
        self._children: dict[str, list[VolcanoQueue]] = {}
        for name in sorted(queues):
            if name != ROOT:
                self._children.setdefault(queues[name].parent, []).append(queues[name])
        self._asked: dict[str, Counter[str]] = {}
        self._given = asked
        named = {
            name for q in queues.values() for of in (q.deserved, q.capability, q.guarantee) for name in of
        }
        self._resources = sorted({*total, *named} - {PODS})
        self._total = total
        self._leaves: dict[str, ClusterQueueFacts] = {}
        self._cohorts: dict[str, QuotaNode] = {}
        self._direct: dict[str, str | Closed] = {}
        self._lost: set[str] = set()

    def dialect(self) -> Dialect:
        root = self._queues.get(ROOT, VolcanoQueue(ROOT))
        share = {name: self._total.get(name, 0) for name in self._resources}
        self._ask(ROOT)
        self._enter(
            root, {name: min(have, root.capability.get(name, have)) for name, have in share.items()}, ""
        )
        for name, queue in self._queues.items():
            if name not in self._direct:
                self._lose(name, self._why_lost(queue))
        return Dialect(self._leaves, self._cohorts, frozenset(self._lost), self._direct)

    def _enter(self, queue: VolcanoQueue, share: Amounts, parent: str, shut: Closed | None = None) -> None:
        """Put a Queue with this share into the tree, and all below it."""
        shut = shut or _shut(queue)
        children = self._children.get(queue.name, [])
        if not children and queue.name != ROOT:
            self._leaf(queue, share, parent, shut)
            return
        shares = self._shares(children, share)
        cells = {}
        for name in self._resources:
            below = sum(of[name] for of in shares.values())
            cells[FLAVOR, name] = _cell(queue, name, max(0, share[name] - below), max(share[name], below))
        cohort = f"volcano:{queue.name}"
        self._cohorts[cohort] = QuotaNode(cohort, parent, cells, float(queue.weight))
        self._direct[queue.name] = Closed(
            "Misconfigured",
            f"Queue {queue.name} has child queues, so that no work is put into itself; name one of them"
            if children
            else f"Queue {queue.name} is above all others and takes no work itself; name another",
        )
        for child in children:
            self._enter(child, shares[child.name], cohort, shut)

    def _leaf(self, queue: VolcanoQueue, share: Amounts, parent: str, shut: Closed | None) -> None:
        name = admitted_as(queue.name)
        if name in self._taken:
            why = f"its admissions could not be told from those of ClusterQueue {name}; rename one"
            self._lose(queue.name, why)
            return
        quotas = {resource: _cell(queue, resource, share[resource], share[resource]) for resource in share}
        self._direct[queue.name] = name
        self._leaves[name] = ClusterQueueFacts(
            name=name,
            strict=queue.strict,
            stop=StopPolicy.NONE,
            namespaces=_EVERYBODY,
            groups=((FlavorQuota(FLAVOR, quotas),),),
            cohort=parent,
            weight=float(queue.weight),
            preemption=_PREEMPTION,
            limit_field="its capability, or add nodes",
            label=f"Queue {queue.name}",
            covers_all=False,
            reclaimable=queue.reclaimable,
            yields_late=queue.priority,
            shut=shut,
        )

    def _shares(self, children: Sequence[VolcanoQueue], share: Amounts) -> dict[str, dict[str, int]]:
        """What belongs to each child of what their parent has."""
        found: dict[str, dict[str, int]] = {child.name: {} for child in children}
        for name in self._resources:
            fixed = {child.name: _fixed(child, name) for child in children if name in child.deserved}
            rest = [child for child in children if child.name not in fixed]
            left = max(0, share[name] - sum(fixed.values()))
            claims = [self._claim(child, name) for child in rest]
            filled = zip((child.name for child in rest), fill(left, claims), strict=True)
            for child, amount in (*fixed.items(), *filled):
                found[child][name] = amount
        return found

    def _claim(self, child: VolcanoQueue, name: str) -> tuple[int, int, int]:
        least = child.guarantee.get(name, 0)
        wanted = max(least, self._asked[child.name][name])
        return child.weight, least, max(least, min(wanted, child.capability.get(name, wanted)))

    def _ask(self, name: str) -> Counter[str]:
        """What a Queue and all below it ask for."""
        found = Counter(self._given.get(name, {}))
        for child in self._children.get(name, ()):
            found.update(self._ask(child.name))
        self._asked[name] = found
        return found

    def _lose(self, name: str, why: str) -> None:
        self._lost.add(name)
        self._direct[name] = Closed("Misconfigured", f"Queue {name} is not in the tree of queues: {why}")

    def _why_lost(self, queue: VolcanoQueue) -> str:
        """Why a Queue is not below the root."""
        seen = {queue.name}
        at = queue
        while at.parent in self._queues and at.parent not in seen:
            at = self._queues[at.parent]
            seen.add(at.name)
        if at.parent in seen:
            return f"Queue {at.parent} is its own ancestor; change a spec.parent"
        return f"spec.parent of Queue {at.name} names Queue {at.parent}, which doesn't exist; create it"


def _fixed(queue: VolcanoQueue, name: str) -> int:
    """What `deserved` gives it, within `capability` and not below `guarantee`."""
    deserved = min(queue.deserved[name], queue.capability.get(name, queue.deserved[name]))
    return max(deserved, queue.guarantee.get(name, 0))


def _cell(queue: VolcanoQueue, name: str, own: int, subtree: int) -> CellQuota:
    """Quota of a node of the tree that has `own` itself and `subtree` with all below it."""
    capability, guarantee = queue.capability.get(name), queue.guarantee.get(name, 0)
    return CellQuota(
        nominal=own,
        borrowing_limit=None if capability is None else capability - subtree,
        lending_limit=max(0, subtree - guarantee) if guarantee else None,
    )


def _shut(queue: VolcanoQueue) -> Closed | None:
    if queue.error:
        return Closed("Misconfigured", f"Queue {queue.name}: {queue.error}")
    if not queue.open:
        return Closed("Suspended", f"Queue {queue.name} is closed; set its status.state to Open")
    return None
