"""How long a job may expect to run before something breaks under it, from what its nodes have seen. Pure.

`SPRINGTIDE_MTBF_SECONDS` tells the SDK, which saves as often as pays (Young, Daly). Rates are counted in
interruptions a GPU and second (a pod without GPUs counts as one) and drawn towards what is known before
anything was measured: a Gamma prior worth one interruption, with the mean of Llama 3's training (419 of
16,384 GPUs in 54 days, arXiv 2407.21783). The fleet's rate is that prior and all nodes' histories; a node's
own is the fleet's and its history: a lemon counts as one, a new node as the fleet. Called by `plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from springtide.api.containers import EnvVar
from springtide.api.core import Node, Pod
from springtide.api.nodehealth import NodeHealth
from springtide.api.quantity import to_int
from springtide.api.springtide import Blame
from springtide.api.struct import replace
from springtide.workloads.pods import Slot

VARIABLE = "SPRINGTIDE_MTBF_SECONDS"
PRIOR_RATE = 419 / (16384 * 54 * 86400)
"""Interruptions a GPU and second."""
PRIOR_INTERRUPTIONS = 1.0
"""How much the prior weighs: as one interruption and the time it takes to come."""
HISTORY_MAX = 32
"""Incidents a NodeHealth keeps; where that many are there, older ones have been forgotten."""
DIGITS = 3


def mtbf_seconds(
    units: Mapping[str, int],
    healths: Iterable[NodeHealth],
    node_named: Callable[[str], Node | None],
    now: datetime,
) -> float | None:
    """Of a job that uses so many GPUs (or pods) of these nodes; None while nothing is known of any node."""
    seen: dict[str, tuple[int, float]] = {}
    for health in healths:
        node = node_named(health.metadata.name)
        seen[health.metadata.name] = _seen(health, gpus_of(node) if node is not None else 1, now)
    if not seen or not units:
        return None
    interruptions = PRIOR_INTERRUPTIONS + sum(count for count, _ in seen.values())
    exposed = PRIOR_INTERRUPTIONS / PRIOR_RATE + sum(time for _, time in seen.values())
    fleet = interruptions / exposed
    rate = 0.0
    for name, count in units.items():
        own, time = seen.get(name, (0, 0.0))
        rate += count * (PRIOR_INTERRUPTIONS + own) / (PRIOR_INTERRUPTIONS / fleet + time)
    return float(f"{1 / rate:.{DIGITS}g}")


def _seen(health: NodeHealth, gpus: int, now: datetime) -> tuple[int, float]:
    """Interruptions that were not a program's doing, and the GPU-seconds in which they came."""
    history = health.status.history
    times = [one.time for one in history if one.time is not None]
    since = min(times) if times and len(history) >= HISTORY_MAX else health.metadata.creation_timestamp
    since = min([since or now, *times])
    count = sum(1 for one in history if one.blame != Blame.PROGRAM)
    return count, max(0.0, (now - since).total_seconds()) * gpus


def gpus_of(node: Node) -> int:
    """Whole GPUs of a node; 1 where it has none, so that its time counts."""
    amounts = (to_int(amount) for name, amount in node.status.capacity.items() if name.endswith("/gpu"))
    return max(1, sum(amounts))


def units_of(slots: Iterable[Slot]) -> dict[str, int]:
    """By node, the GPUs that the job's pods ask for there, at least one a pod."""
    found: dict[str, int] = {}
    for slot in slots:
        wanted = [one.resources for one in slot.pod_set.template.spec.containers]
        amounts = [{**one.limits, **one.requests} for one in wanted]
        gpus = sum(to_int(text) for one in amounts for name, text in one.items() if name.endswith("/gpu"))
        found[slot.node] = found.get(slot.node, 0) + max(1, gpus)
    return found


def with_mtbf(pod: Pod, seconds: float | None) -> Pod:
    """The pod, its containers told; what their author says of it stands."""
    if seconds is None:
        return pod
    told = EnvVar(name=VARIABLE, value=f"{seconds:g}")
    containers = [
        one if any(variable.name == VARIABLE for variable in one.env) else replace(one, env=[*one.env, told])
        for one in pod.spec.containers
    ]
    return replace(pod, spec=replace(pod.spec, containers=containers))
