"""`springtide queue`: each ClusterQueue with what it runs and what waits, in the order of admission."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import click

from springtide.api import labels
from springtide.api.kueue import ClusterQueue, LocalQueue, Workload
from springtide.api.meta import controller_of, find_condition, is_true
from springtide.cli.ages import age
from springtide.cli.complete import queues
from springtide.cli.errors import CliError
from springtide.cli.job_gpus import JobGpus, gpus_by_workload
from springtide.cli.output import JSON, YAML, columns, output_option, print_data
from springtide.cli.session import Session, connected
from springtide.cli.target import Target, target_options

DEFAULT = "default"
"""The LocalQueue and the ClusterQueue of workloads that name none."""
_EPOCH = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """One workload in a queue. `position` counts from 1 among those that wait, 0 if it runs."""

    position: int
    job: str
    namespace: str
    queue: str
    state: str
    pods: int
    since: str
    reason: str
    gpus: JobGpus | None = None
    """What its pods ask for and use, where they are on nodes and ask for GPUs."""


@dataclass(frozen=True)
class QueueScore:
    """What part of what they ask for the pods of a LocalQueue use; of those with a resource score."""

    queue: str
    """Namespace and name."""
    score: float
    gpus: float | str | None
    """Of their GPUs; `not measured`, or nothing where none are asked for."""


@dataclass(frozen=True)
class QueueView:
    """One ClusterQueue with its entries: first what runs, then who waits."""

    name: str
    running: int
    waiting: int
    entries: list[Entry]
    scores: list[QueueScore]


@click.command(name="queue")
@click.argument("name", required=False, metavar="[QUEUE]", shell_complete=queues)
@output_option(JSON, YAML)
@target_options
def command(name: str | None, output: str, namespace: str, kubeconfig: Any, context: str) -> None:
    """Show the queues: who runs, who waits in which order, for what and since when.

    QUEUE is a ClusterQueue, or a LocalQueue of the namespace.
    """

    async def work(session: Session) -> list[QueueView]:
        return await queue_views(session, session.now(), measure=True)

    views = connected(Target(kubeconfig, context, namespace), work)
    if name:
        views = _only(views, name)
    if output:
        print_data([asdict(view) for view in views], output)
        return
    click.echo("\n\n".join(map(render, views)) if views else "no queues")


async def queue_views(session: Session, at: datetime, *, measure: bool = False) -> list[QueueView]:
    """All ClusterQueues, also ones that workloads lead to but that do not exist.

    With what jobs use of their GPUs if it is to be measured.
    """
    client = session.client
    cluster_queues = (await client.list(ClusterQueue)).items
    local_queues = (await client.list(LocalQueue)).items
    workloads = (await client.list(Workload)).items
    gpus = await gpus_by_workload(session, filter(admitted, workloads)) if measure else {}
    return arrange(cluster_queues, local_queues, workloads, at, gpus)


def arrange(
    cluster_queues: Sequence[ClusterQueue],
    local_queues: Sequence[LocalQueue],
    workloads: Sequence[Workload],
    at: datetime,
    gpus: Mapping[str, JobGpus] = MappingProxyType({}),
) -> list[QueueView]:
    """Sort unfinished workloads into their ClusterQueues. Pure."""
    leads_to = {(q.metadata.namespace, q.metadata.name): q.spec.cluster_queue for q in local_queues}
    members: dict[str, list[Workload]] = {q.metadata.name: [] for q in cluster_queues}
    for workload in workloads:
        if not is_true(workload.status.conditions, "Finished"):
            members.setdefault(_stands_in(workload, leads_to), []).append(workload)
    scores: dict[str, list[QueueScore]] = {}
    for queue in sorted(local_queues, key=lambda one: one.key):
        scores.setdefault(queue.spec.cluster_queue, []).extend(_score(queue))
    return [_view(name, found, scores.get(name, []), at, gpus) for name, found in sorted(members.items())]


def _score(queue: LocalQueue) -> list[QueueScore]:
    """The score in its annotation; none where there is none that can be read."""
    try:
        said = json.loads(queue.metadata.annotations.get(labels.RESOURCE_SCORE, ""))
        return [QueueScore(queue.key, float(said["score"]), said.get("gpus"))]
    except (ValueError, KeyError, TypeError):
        return []


def _in_words(score: QueueScore) -> str:
    gpus = f"{score.gpus:.0%}" if isinstance(score.gpus, int | float) else score.gpus
    told = f", GPUs: {gpus}" if gpus else ""
    return f"  LocalQueue {score.queue} uses {score.score:.0%} of what it asks for{told}"


def _stands_in(workload: Workload, leads_to: Mapping[tuple[str, str], str]) -> str:
    """Name of its ClusterQueue, or of its Queue of Volcano as admissions call it."""
    direct = workload.metadata.annotations.get(labels.VOLCANO_QUEUE)
    if direct is None:
        return leads_to.get((workload.metadata.namespace, workload.spec.queue_name or DEFAULT), DEFAULT)
    if workload.status.admission is not None:
        return workload.status.admission.cluster_queue
    return DEFAULT if direct in ("", DEFAULT) else f"volcano.{direct}"


def render(view: QueueView) -> str:
    """One queue as text."""
    head = f"{view.name}: {view.running} running, {view.waiting} waiting"
    head = "\n".join([head, *map(_in_words, view.scores)])
    if not view.entries:
        return head
    rows = [
        [str(e.position or "-"), e.job, e.namespace, e.queue or "-", e.state, str(e.pods), e.since, e.reason]
        for e in view.entries
    ]
    heads = ["#", "JOB", "NAMESPACE", "QUEUE", "STATE", "PODS", "SINCE", "REASON"]
    if any(e.gpus is not None and e.gpus.measured for e in view.entries):
        heads.insert(-1, "GPUS USED")
        for row, entry in zip(rows, view.entries, strict=True):
            row.insert(-1, str(entry.gpus or "-"))
    table = columns(heads, rows)
    return head + "\n" + "\n".join(f"  {line}" for line in table.splitlines())


def _view(
    name: str,
    workloads: Sequence[Workload],
    scores: list[QueueScore],
    at: datetime,
    gpus: Mapping[str, JobGpus],
) -> QueueView:
    running = sorted((w for w in workloads if admitted(w)), key=_created)
    waiting = sorted((w for w in workloads if not admitted(w)), key=_order)
    entries = [replace(_entry(w, 0, at), gpus=gpus.get(w.key)) for w in running]
    entries += [_entry(w, position, at) for position, w in enumerate(waiting, start=1)]
    return QueueView(name, len(running), len(waiting), entries, scores)


def _entry(workload: Workload, position: int, at: datetime) -> Entry:
    owner = controller_of(workload)
    condition = find_condition(workload.status.conditions, "QuotaReserved")
    moment = condition.last_transition_time if condition is not None else None
    return Entry(
        position=position,
        job=owner.name if owner is not None else workload.metadata.name,
        namespace=workload.metadata.namespace,
        queue=workload.metadata.annotations.get(labels.VOLCANO_QUEUE, workload.spec.queue_name),
        state=_state(workload),
        pods=sum(pod_set.count for pod_set in workload.spec.pod_sets),
        since=age(moment or workload.metadata.creation_timestamp, at),
        reason=condition.message if position and condition is not None else "",
    )


def admitted(workload: Workload) -> bool:
    return is_true(workload.status.conditions, "QuotaReserved")


def _state(workload: Workload) -> str:
    if workload.spec.active is False:
        return "Suspended"
    if is_true(workload.status.conditions, "Evicted"):
        return "Restarting"
    if not admitted(workload):
        return "Waiting"
    return "Running" if is_true(workload.status.conditions, "PodsReady") else "Starting"


def _order(workload: Workload) -> tuple[int, datetime, str]:
    """Priority first, then age: the order in which the scheduler looks at them."""
    return (-(workload.spec.priority or 0), _created(workload), workload.metadata.name)


def _created(workload: Workload) -> datetime:
    return workload.metadata.creation_timestamp or _EPOCH


def _only(views: list[QueueView], name: str) -> list[QueueView]:
    named = [view for view in views if view.name == name]
    if named:
        return named
    local = [
        replace(v, entries=entries, scores=[s for s in v.scores if s.queue.endswith(f"/{name}")])
        for v in views
        if (entries := [entry for entry in v.entries if entry.queue == name])
    ]
    if not local:
        known = ", ".join(view.name for view in views)
        raise CliError(f"no queue named {name!r} has workloads", f"there are: {known}" if known else "")
    return local
