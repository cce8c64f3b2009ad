"""Why a gang does not fit, in words: what it asks, what is there, and what would let it start.

Called by the plan for what still waits at the end of a cycle; works on the same views as the placement,
so that the sentence and the decision cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from springtide.scheduling.classes import Constraints, PodClass
from springtide.scheduling.device_shortage import bottleneck, part_words
from springtide.scheduling.device_shortage import never as never_devices
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.filters_shortage import filtered, not_eligible
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.placement import Placement
from springtide.scheduling.requests import PODS, readable_amount, readable_pair
from springtide.scheduling.topology_shortage import topology_shortage
from springtide.scheduling.views import View


def shortage(placement: Placement, nodes: Nodes, pod_sets: Sequence[PodSetFacts]) -> str:
    """One sentence for the first pod set that does not fit by itself, or for the sets together."""
    for pod_set in pod_sets:
        view = placement.view(pod_set.pod_class)
        reason = _of_set(placement, nodes, pod_set, view)
        if reason:
            name = f"pod set {pod_set.name}: " if len(pod_sets) > 1 else ""
            return name + reason
    wanted = " and ".join(f"{s.count} × {describe(s.pod_class)}" for s in pod_sets)
    return f"needs {wanted}; each pod set fits by itself, but not all of them at once"


def describe(pod_class: PodClass) -> str:
    """What one pod asks: `{cpu: 2, nvidia.com/gpu: 1 (40% of its power, 40% of its memory)}`."""
    asked = {n: readable_amount(n, amount) for n, amount in pod_class.requests if amount and n != PODS}
    devices = pod_class.devices
    if devices is not None and devices.resource in asked:
        asked[devices.resource] += part_words(devices)
    return "{" + ", ".join(f"{name}: {amount}" for name, amount in asked.items()) + "}"


def _of_set(placement: Placement, nodes: Nodes, pod_set: PodSetFacts, view: View) -> str:
    fitting = int(np.minimum(view.fits, pod_set.count).sum()) if len(nodes) else 0
    needs = f"needs {pod_set.count} × {describe(pod_set.pod_class)}"
    never = _never(placement, nodes, pod_set, view)
    if never:
        return never
    room = placement.room_when_empty(view)
    if int(room.sum()) < pod_set.count:
        return f"the cluster can never hold it: {needs}, all eligible nodes when empty hold {int(room.sum())}"
    if fitting < pod_set.count:
        short_of = _bottleneck(placement, nodes, pod_set.pod_class, view)
        left_out = not_eligible(nodes, view)
        return f"{needs}; {short_of}; {fitting} of {pod_set.count} pods fit now{left_out}"
    filtered_out = filtered(placement, nodes, pod_set, view, needs)
    return filtered_out or topology_shortage(placement, nodes, pod_set, view, needs)


def _never(placement: Placement, nodes: Nodes, pod_set: PodSetFacts, view: View) -> str:
    """Why not even one pod could run on an empty cluster, or empty."""
    if not len(nodes):
        return "the cluster has no nodes"
    pod_class = pod_set.pod_class
    if not view.mask.any():
        return _no_eligible_node(nodes, pod_class.constraints)
    asked = [(name, amount) for name, amount in pod_class.requests if amount > 0]
    if not view.offered:
        missing = ", ".join(name for name, _ in asked if not placement.offers(name))
        return f"no node can ever hold it: asks for {missing}, which no node has"
    if placement.room_when_empty(view).any():
        return ""
    largest = placement.capacity(view)[view.mask].max(axis=0)
    for (name, amount), most in zip(asked, largest.tolist(), strict=True):
        if amount > most:
            asks, has = readable_pair(name, amount, most)
            return f"no node can ever hold it: asks {asks} {name}, largest node has {has}"
    if pod_class.devices is not None:
        rows = np.flatnonzero(view.mask)
        reason = never_devices(placement.devices_when_empty, rows, pod_class.devices, nodes.facts)
        if reason:
            return f"no node can ever hold it: {reason}"
    return f"no node can ever hold it: asks {describe(pod_class)}, and no node has all of that at once"


def _no_eligible_node(nodes: Nodes, constraints: Constraints) -> str:
    selected = [facts for facts in nodes.facts if constraints.select(facts.name, facts.labels)]
    if not selected:
        wanted = ", ".join(f"{key}={value}" for key, value in constraints.selector)
        what = f"node selector {wanted}" if wanted else "required node affinity"
        return f"none of {_count(len(nodes), 'node')} matches its {what}; label a node or change the pod"
    usable = [facts for facts in selected if facts.usable]
    if not usable:
        return f"none of {_count(len(selected), 'matching node')} is ready"
    taint = next(
        (found for facts in usable if (found := constraints.untolerated(facts.taints)) is not None), None
    )
    key = taint.key if taint is not None else ""
    tainted = f"every one of {_count(len(usable), 'matching node')} is tainted, e.g. with {key}"
    return f"{tainted}; tolerate the taint or remove it"


def _bottleneck(placement: Placement, nodes: Nodes, pod_class: PodClass, view: View) -> str:
    """The resource of which the fewest pods' worth is free, and where most of it is."""
    free = np.maximum(placement.free(view)[view.mask], 0)
    capacity = placement.capacity(view)[view.mask]
    pods = (free // view.amounts).sum(axis=0)
    column = int(pods.argmin())
    if pod_class.devices is not None:
        rows = np.flatnonzero(view.mask)
        if int(placement.devices.fits(rows, pod_class.devices).sum()) < int(pods[column]):
            return bottleneck(placement.devices, rows, pod_class.devices, nodes.facts)
    name = [name for name, amount in pod_class.requests if amount > 0][column]
    row = int(free[:, column].argmax())
    most, of = int(free[row, column]), int(capacity[row, column])
    return f"the node with most {name} has {readable_amount(name, most)} free of {readable_amount(name, of)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
