"""What a group asks for: its pods sorted into pod sets, how few of them will do, and what is still missing.

Pure; called by the plan. The pods are the truth: a group's object adds only the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from springtide.api import labels, podgroups, volcano
from springtide.api.core import Pod, PodTemplateSpec
from springtide.api.kueue import PodSet, PodSetTopologyRequest
from springtide.api.membership import Dialect, Group, membership_of
from springtide.api.meta import ObjectMeta
from springtide.api.struct import replace

GroupObject = podgroups.PodGroup | volcano.PodGroup
DEFAULT_VOLCANO_QUEUE = "default"
_OF_ONE_POD = (labels.JOB_COMPLETION_INDEX, labels.POD_GROUP_INDEX, labels.VOLCANO_TASK_INDEX)
"""Labels that number pods: those of a pod set differ in them."""


@dataclass(frozen=True)
class Asked:
    """What a group asks for."""

    pod_sets: list[PodSet]
    missing: str = ""
    """What is missing before it can be considered; empty: nothing."""
    queue: str = ""
    """LocalQueue; empty: the namespace's default."""
    volcano_queue: str = ""
    """Queue of Volcano, instead."""
    priority: int | None = None
    priority_class: str = ""
    """WorkloadPriorityClass that gives its priority, if a label names one."""
    elastic: bool = False
    """Whether pods may come and go while it runs."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Further annotations of the Workload."""


@dataclass(frozen=True)
class Rules:
    """What a group's object, or its pods, say of all of them."""

    minimum: int
    """How many pods it takes."""
    said_in: str
    """The field that says so."""
    of_pod_set: Mapping[str, int] = field(default_factory=dict)
    """How many of each pod set, where that is said."""
    exact: bool = False
    """Whether more than that is wrong."""
    error: str = ""


def assemble(
    group: Group, obj: GroupObject | None, pods: Sequence[Pod], priority_of: Callable[[str], int | None]
) -> Asked:
    """What the group asks for. `priority_of`: the value of a PriorityClass."""
    rules = _rules(group, obj, pods)
    roles: dict[str, list[Pod]] = {}
    for pod in sorted(pods, key=lambda one: one.metadata.name):
        found = membership_of(pod)
        if found is not None:
            roles.setdefault(found.pod_set, []).append(pod)
    elastic = group.dialect in (Dialect.KUBERNETES, Dialect.VOLCANO)
    fewest = _fewest({name: len(found) for name, found in roles.items()}, rules) if elastic else {}
    within = _topology_of(obj)
    return Asked(
        pod_sets=[_pod_set(name, found, fewest.get(name), within) for name, found in sorted(roles.items())],
        missing=rules.error or _missing(pods, roles, rules),
        queue=_said(obj, pods, labels.QUEUE_NAME),
        volcano_queue=(obj.spec.queue or DEFAULT_VOLCANO_QUEUE) if isinstance(obj, volcano.PodGroup) else "",
        priority=_priority(obj, pods, priority_of),
        priority_class=_said(obj, pods, labels.PRIORITY_CLASS),
        elastic=elastic,
        notes=_notes(obj),
    )


def _rules(group: Group, obj: GroupObject | None, pods: Sequence[Pod]) -> Rules:
    if isinstance(obj, podgroups.PodGroup):
        gang = obj.spec.scheduling_policy.gang
        if gang is None:
            return Rules(1, "spec.schedulingPolicy.basic")
        return Rules(gang.min_count, "spec.schedulingPolicy.gang.minCount")
    if isinstance(obj, volcano.PodGroup):
        tasks = {name: count for name, count in obj.spec.min_task_member.items() if count > 0}
        minimum = max(obj.spec.min_member, sum(tasks.values()), 1)
        return Rules(
            minimum, "spec.minMember" if minimum == obj.spec.min_member else "spec.minTaskMember", tasks
        )
    if group.dialect is Dialect.KUEUE_POD:
        return Rules(1, "")
    key = labels.POD_GROUP_TOTAL_COUNT
    said = {pod.metadata.annotations.get(key, "") for pod in pods}
    total = next(iter(said), "")
    if len(said) != 1 or not total.isdecimal() or int(total) < 1:
        values = ", ".join(repr(one) for one in sorted(said))
        return Rules(
            1, key, error=f"annotation {key} of its pods is {values}; give all the same number from 1"
        )
    return Rules(int(total), f"annotation {key}", exact=True)


def _missing(pods: Sequence[Pod], roles: Mapping[str, Sequence[Pod]], rules: Rules) -> str:
    """What keeps the group from being considered."""
    held_back = sorted({gate.name for pod in pods for gate in pod.spec.scheduling_gates})
    if held_back:
        return f"pods are held back by scheduling gates ({', '.join(held_back)})"
    if len(pods) < rules.minimum:
        return f"{len(pods)} of {rules.minimum} pods exist ({rules.said_in})"
    if rules.exact and len(pods) > rules.minimum:
        return f"{len(pods)} pods exist, and the group has {rules.minimum} ({rules.said_in}): delete some"
    for name, count in sorted(rules.of_pod_set.items()):
        there = len(roles.get(name, ()))
        if there < count:
            return f"{there} of {count} pods of task {name} exist (spec.minTaskMember)"
    if len(roles) > _POD_SETS_MAX:
        return (
            f"its pods are of {len(roles)} kinds, and at most {_POD_SETS_MAX} are possible: make them alike"
        )
    return ""


_POD_SETS_MAX = 18
"""The API's limit for the pod sets of a Workload."""


def _fewest(counts: Mapping[str, int], rules: Rules) -> dict[str, int]:
    """How few of each pod set will do, so that all of them together are enough: each spares its part."""
    total = sum(counts.values())
    spare = max(0, total - rules.minimum)
    found = {}
    for name, count in counts.items():
        least = rules.of_pod_set.get(name, count - spare * count // total)
        found[name] = max(1, min(count, least))
    short = rules.minimum - sum(found.values())
    for name, count in sorted(counts.items()):
        more = max(0, min(short, count - found[name]))
        found[name] += more
        short -= more
    return found


def _pod_set(name: str, pods: Sequence[Pod], fewest: int | None, within: str) -> PodSet:
    first = pods[0]
    metadata, spec = first.metadata, first.spec
    template = PodTemplateSpec(
        metadata=ObjectMeta(
            labels={key: text for key, text in metadata.labels.items() if key not in _OF_ONE_POD},
            annotations=dict(metadata.annotations),
        ),
        spec=replace(spec, node_name="", hostname="", scheduling_gates=[]),
    )
    required = within or metadata.annotations.get(labels.PODSET_REQUIRED_TOPOLOGY, "")
    preferred = metadata.annotations.get(labels.PODSET_PREFERRED_TOPOLOGY, "")
    topology = None
    if required or preferred:
        # with several pod sets in one domain all of them are one group of pod sets
        topology = PodSetTopologyRequest(
            required=required or None,
            preferred=None if required else preferred,
            pod_set_group_name="all" if within else metadata.annotations.get(labels.PODSET_GROUP_NAME),
        )
    return PodSet(
        name=name,
        template=template,
        count=len(pods),
        min_count=fewest if fewest is not None and fewest < len(pods) else None,
        topology_request=topology,
    )


def _topology_of(obj: GroupObject | None) -> str:
    """The node label whose value all pods of the group share."""
    if isinstance(obj, podgroups.PodGroup) and obj.spec.scheduling_constraints is not None:
        return next((one.key for one in obj.spec.scheduling_constraints.topology), "")
    return ""


def _priority(
    obj: GroupObject | None, pods: Sequence[Pod], priority_of: Callable[[str], int | None]
) -> int | None:
    """The group's own, else that of its class, else the highest of its pods."""
    if isinstance(obj, podgroups.PodGroup) and obj.spec.priority is not None:
        return obj.spec.priority
    name = obj.spec.priority_class_name if obj is not None else ""
    value = priority_of(name) if name else None
    if value is not None:
        return value
    return max((pod.spec.priority for pod in pods if pod.spec.priority is not None), default=None)


def _said(obj: GroupObject | None, pods: Sequence[Pod], key: str) -> str:
    """A label of the group, or of the first of its pods that has it."""
    of_group = obj.metadata.labels.get(key, "") if obj is not None else ""
    return of_group or next((pod.metadata.labels[key] for pod in pods if key in pod.metadata.labels), "")


def _notes(obj: GroupObject | None) -> dict[str, str]:
    """What the group's object says that the engine reads off Workloads."""
    if not isinstance(obj, volcano.PodGroup):
        return {}
    carried = (labels.SLA_WAITING_TIME, labels.PREEMPTABLE, labels.COOLDOWN_TIME)
    said = {**obj.metadata.labels, **obj.metadata.annotations}
    return {key: said[key] for key in carried if key in said}
