"""From cached objects to one report a rank of the current attempt. Pure; called by the controller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from springtide.api import labels
from springtide.api.core import Node, Pod
from springtide.api.gangpods import admitted_count
from springtide.api.kueue import PodSet, Workload, nodes_of
from springtide.api.meta import controller_of, find_condition
from springtide.health.diagnosis import RankReport
from springtide.health.evidence import LogEvidence
from springtide.health.plan import Settings, attempt_of
from springtide.health.remediation_node import cordoned_for


def rank_reports(
    workload: Workload,
    pods: Iterable[Pod],
    node_named: Callable[[str], Node | None],
    logs: Mapping[str, LogEvidence],
    now: datetime,
    settings: Settings,
) -> list[RankReport]:
    """All ranks of the current attempt; `logs` is by pod name.

    A pod that is not there is reported only once the attempt was created whole (PodsReady has another
    reason than NotAdmitted): before that it is still to come.
    """
    attempt = str(attempt_of(workload))
    current = {
        (
            pod.metadata.labels.get(labels.PODSET, ""),
            pod.metadata.labels.get(labels.JOB_COMPLETION_INDEX, ""),
        ): pod
        for pod in pods
        if pod.metadata.labels.get(labels.ATTEMPT) == attempt
    }
    created = is_created(workload)
    owner = controller_of(workload)
    job = owner.name if owner is not None else workload.metadata.name
    reports: list[RankReport] = []
    for pod_set in workload.spec.pod_sets:
        places = _places(workload, pod_set)
        for index in range(admitted_count(workload, pod_set)):
            pod = current.get((pod_set.name, str(index)))
            if pod is None and not created:
                continue
            node = pod.spec.node_name if pod is not None else places[index] if index < len(places) else ""
            known = node_named(node) if node else None
            reports.append(
                RankReport(
                    pod_set=pod_set.name,
                    index=index,
                    pod=pod,
                    host=f"{job}-{pod_set.name}-0-{index}",
                    node=node,
                    lost_from=_lost_from(known, now, settings) if node else None,
                    out_for=cordoned_for(known) if known is not None else "",
                    log=logs.get(pod.metadata.name, LogEvidence()) if pod is not None else LogEvidence(),
                )
            )
    return reports


def is_created(workload: Workload) -> bool:
    """Whether `workloads` has made all pods of this attempt: then PodsReady has a reason but NotAdmitted."""
    mark = find_condition(workload.status.conditions, "PodsReady")
    return mark is not None and mark.reason != "NotAdmitted"


def ready_since(node: Node) -> tuple[str, datetime | None]:
    """(status, since when) of the node's Ready condition; Unknown where it has none."""
    ready = find_condition(node.status.conditions, "Ready")
    return ("Unknown", None) if ready is None else (ready.status, ready.last_transition_time)


def _lost_from(node: Node | None, now: datetime, settings: Settings) -> datetime | None:
    if node is None:
        return now
    status, since = ready_since(node)
    if status == "True":
        return None
    since = since or now
    return since if status == "Unknown" else since + timedelta(seconds=settings.node_grace_seconds)


def _places(workload: Workload, pod_set: PodSet) -> Sequence[str]:
    """The node of each pod as admitted, in the order of their indices."""
    admission = workload.status.admission
    if admission is None:
        return []
    for assignment in admission.pod_set_assignments:
        topology = assignment.topology_assignment
        if assignment.name == pod_set.name and topology is not None:
            return [node for node, count in nodes_of(topology) for _ in range(count)]
    return []
