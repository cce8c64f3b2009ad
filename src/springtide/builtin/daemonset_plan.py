"""On which nodes a DaemonSet's pods are made, which are removed, and its status. Pure.

Called by `daemonsets`. First every node gets its one pod and loses what is too much; only when nothing of
that is left to do, pods of old templates are replaced, within maxUnavailable or maxSurge.
Source of the rules: kube-controller-manager's daemonset controller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from springtide.api.apps import DaemonSet, DaemonSetStatus
from springtide.api.core import Pod
from springtide.api.nodes import Node
from springtide.api.struct import replace
from springtide.builtin.daemonset_nodes import Eligibility, by_node, is_updated
from springtide.builtin.pod_state import is_available, is_ready, until_available
from springtide.builtin.rollout_amounts import resolve

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class DaemonSetPlan:
    """What to do."""

    create: list[str] = field(default_factory=list)
    """Nodes that get a pod."""
    delete: list[Pod] = field(default_factory=list)
    ended: list[tuple[Pod, str]] = field(default_factory=list)
    """Those of `delete` that ended by themselves, and their nodes."""


@dataclass(frozen=True)
class View:
    """A DaemonSet and all it depends on."""

    owner: DaemonSet
    nodes: Sequence[Node]
    pods: Sequence[Pod]
    digest: str
    """Hash of the present template's revision."""
    waits: Callable[[str], bool] = lambda _: False
    """Whether a pod that failed on this node is not to be replaced yet."""


def plan(view: View, now: datetime) -> DaemonSetPlan:
    """What brings the set one step further."""
    if view.owner.metadata.deletion_timestamp is not None:
        return DaemonSetPlan()
    eligibility, placed = Eligibility(view.owner), by_node(view.pods)
    verdicts = {node.metadata.name: eligibility.of(node) for node in view.nodes}
    decided = DaemonSetPlan()
    for name, (should, may) in verdicts.items():
        _settle_node(view, name, placed.get(name), should, may, decided, now)
    for name, pods in placed.items():
        if name not in verdicts:
            decided.delete += [pod for pod in pods if not pod.spec.node_name and not _ends(pod)]
    if not decided.create and not decided.delete and view.owner.spec.update_strategy.type == "RollingUpdate":
        _roll(view, placed, verdicts, decided, now)
    return decided


def _settle_node(
    view: View,
    node: str,
    pods: list[Pod] | None,
    should: bool,
    may: bool,
    decided: DaemonSetPlan,
    now: datetime,
) -> None:
    """One pod where one should be, none where none may be."""
    if should and pods is None:
        decided.create.append(node)
        return
    staying = [pod for pod in pods or () if not _ends(pod)]
    if not may:
        decided.delete += staying
        return
    running: list[Pod] = []
    for pod in staying:
        if pod.status.phase not in ("Failed", "Succeeded"):
            running.append(pod)
        elif pod.status.phase == "Succeeded" or not view.waits(node):
            decided.delete.append(pod)
            decided.ended.append((pod, node))
    if not _allows_surge(view.owner):
        decided.delete += _oldest_first(running)[1:]
    elif not running:
        if should:
            decided.create.append(node)
    elif len(running) > 1:
        _settle_surge(view, _oldest_first(running), decided, now)


def _settle_surge(view: View, running: list[Pod], decided: DaemonSetPlan, now: datetime) -> None:
    """With surge an old and a new pod may be side by side, until the new one is available."""
    new = [pod for pod in running if is_updated(view.owner, pod, view.digest)]
    old = [pod for pod in running if pod not in new]
    decided.delete += [*new[1:], *old[1:]]
    if new and old and (not is_ready(old[0]) or _available(view, new[0], now)):
        decided.delete.append(old[0])


def _roll(
    view: View,
    placed: Mapping[str, list[Pod]],
    verdicts: Mapping[str, tuple[bool, bool]],
    decided: DaemonSetPlan,
    now: datetime,
) -> None:
    """Replace pods of old templates on as many nodes as allowed."""
    eligible = [name for name, (should, _) in verdicts.items() if should]
    surge, unavailable = _limits(view.owner, len(eligible))
    pairs = {name: _pair(view, placed.get(name, [])) for name in dict.fromkeys((*placed, *eligible))}
    if surge == 0:
        _roll_by_deletion(view, pairs, unavailable, decided, now)
    else:
        _roll_by_surge(view, pairs, verdicts, surge, decided, now)


_Pair = tuple[Pod | None, Pod | None]
"""The new and the old pod of a node."""


def _roll_by_deletion(
    view: View, pairs: Mapping[str, _Pair | None], allowed: int, decided: DaemonSetPlan, now: datetime
) -> None:
    missing, candidates = 0, []
    for pair in pairs.values():
        new, old = pair if pair is not None else (None, None)
        if (new is None) == (old is None):
            missing += 1
        elif new is not None:
            missing += not _available(view, new, now)
        elif old is not None and not _available(view, old, now):
            decided.delete.append(old)  # nobody misses it
            missing += 1
        elif old is not None:
            candidates.append(old)
    decided.delete += candidates[: max(allowed - missing, 0)]


def _roll_by_surge(
    view: View,
    pairs: Mapping[str, _Pair | None],
    verdicts: Mapping[str, tuple[bool, bool]],
    allowed: int,
    decided: DaemonSetPlan,
    now: datetime,
) -> None:
    surging, available, candidates, leaving = 0, 0, [], []
    desired = sum(should for should, _ in verdicts.values())
    for name, pair in pairs.items():
        if pair is None:
            surging += 1
            continue
        new, old = pair
        older = old if old is not None else new
        available += older is not None and _available(view, older, now)
        if old is None:
            continue
        should = verdicts.get(name, (False, False))[0]
        if new is not None:
            if _available(view, new, now):
                decided.delete.append(old)
            else:
                surging += 1
        elif not _available(view, old, now):
            if should:
                decided.create.append(name)
            else:
                decided.delete.append(old)
        elif should:
            candidates.append(name)
        else:
            leaving.append(old)
    decided.delete += leaving[: max(available - desired, 0)]
    decided.create += candidates[: max(allowed - surging, 0)]


def _pair(view: View, pods: Sequence[Pod]) -> _Pair | None:
    """The node's new and old pod; None if there are several of either."""
    staying = [pod for pod in pods if not _ends(pod)]
    new = [pod for pod in staying if is_updated(view.owner, pod, view.digest)]
    old = [pod for pod in staying if pod not in new]
    if len(new) > 1 or len(old) > 1:
        return None
    return (new[0] if new else None, old[0] if old else None)


def _limits(owner: DaemonSet, desired: int) -> tuple[int, int]:
    """(pods beyond one a node, nodes without an available pod) that a rollout may cause."""
    limits = owner.spec.update_strategy.rolling_update
    if limits is None:
        return 0, 1
    surge = resolve(limits.max_surge, desired, round_up=True)
    unavailable = resolve(limits.max_unavailable, desired, round_up=True, default=1)
    return (0, 1) if desired and not surge and not unavailable else (surge, unavailable)


def _allows_surge(owner: DaemonSet) -> bool:
    strategy = owner.spec.update_strategy
    limits = strategy.rolling_update
    if strategy.type != "RollingUpdate" or limits is None:
        return False
    return resolve(limits.max_surge, 1, round_up=True) > 0


def status_of(view: View, now: datetime) -> DaemonSetStatus:
    """The status for these nodes and pods."""
    eligibility, placed = Eligibility(view.owner), by_node(view.pods)
    eligible = [node.metadata.name for node in view.nodes if eligibility.of(node)[0]]
    first = [_oldest_first(placed[name])[0] for name in eligible if name in placed]
    elsewhere = {node.metadata.name for node in view.nodes}.difference(eligible)
    available = sum(_available(view, pod, now) for pod in first)
    return replace(
        view.owner.status,
        observed_generation=view.owner.metadata.generation,
        desired_number_scheduled=len(eligible),
        current_number_scheduled=len(first),
        number_misscheduled=sum(name in placed for name in elsewhere),
        number_ready=sum(map(is_ready, first)),
        updated_number_scheduled=sum(is_updated(view.owner, pod, view.digest) for pod in first),
        number_available=available,
        number_unavailable=len(eligible) - available,
    )


def look_again(view: View, now: datetime) -> float | None:
    """Seconds until a pod that is ready becomes available."""
    return until_available(view.pods, view.owner.spec.min_ready_seconds, now)


def _available(view: View, pod: Pod, now: datetime) -> bool:
    return is_available(pod, view.owner.spec.min_ready_seconds, now)


def _ends(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None


def _oldest_first(pods: Sequence[Pod]) -> list[Pod]:
    """Bound ones first, then by age."""
    return sorted(
        pods,
        key=lambda pod: (
            not pod.spec.node_name,
            pod.metadata.creation_timestamp or _EPOCH,
            pod.metadata.name,
        ),
    )
