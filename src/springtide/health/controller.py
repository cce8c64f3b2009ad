"""Reads the caches and, when a verdict is due, the logs; plans; applies: the `health` controller."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from springtide.api import labels
from springtide.api.commands import Command, Create, Emit
from springtide.api.core import Node, Pod
from springtide.api.kueue import Workload
from springtide.api.meta import controller_of
from springtide.api.nodehealth import NodeHealth
from springtide.api.remediation import RemediationPolicy
from springtide.api.springtide import Diagnosis
from springtide.client import ApiError
from springtide.health import (
    checks_controller,
    history_controller,
    policies_controller,
    remediation_controller,
    spares_controller,
    stragglers,
)
from springtide.health import plan as planning
from springtide.health.ends import ended_at, first_ended_container
from springtide.health.evidence import LogEvidence, read_log
from springtide.health.hangs import HangSettings
from springtide.health.observe import rank_reports, ready_since
from springtide.health.observed import machine_records
from springtide.health.plan import Settings, Snapshot
from springtide.health.tracebacks import iterate_lines
from springtide.health.watch import GangWatch, Watched, pods_in_question
from springtide.runtime import Runtime
from springtide.runtime.log import logger

NAME = "health"
LESSONS, QUESTIONS = "health.quiet", "health.stacks"
"""Field managers of what is learned of workloads and of samples asked for: each holds one annotation."""
LOG_LINES = 400
"""How much of a log is read: a traceback and torchrun's report of it take about a hundred lines."""
LOG_BYTES = 4 * 1024 * 1024
"""How much of that is kept, from its end."""
LOG_PODS_MAX = 32
"""How many failed pods' logs are read for one verdict, those that ended first."""
LOG_TIMEOUT_SECONDS = 3.0
"""A node that does not answer must not hold up the verdict."""

_BY_WORKLOAD = "workload"
_BY_NODE = "node"

log = logger("health.controller")


def register(
    runtime: Runtime,
    settings: Settings | None = None,
    *,
    workers: int = 2,
    hangs: HangSettings | None = None,
) -> None:
    """Add the room's controllers to `runtime`; `workers` reconcile that many workloads at a time."""
    _Health(runtime, settings or Settings(), workers, hangs or HangSettings())
    remediation_controller.register(runtime)
    spares_controller.register(runtime)
    policies_controller.register(runtime)
    history_controller.register(runtime)
    checks_controller.register(runtime)


class _Health:
    def __init__(self, runtime: Runtime, settings: Settings, workers: int, hangs: HangSettings) -> None:
        self._runtime = runtime
        self._hangs = hangs
        self._settings = settings
        self._failing_since: dict[str, tuple[int, datetime]] = {}
        self._workloads = runtime.informer(Workload)
        self._pods = runtime.informer(Pod, indexes={_BY_WORKLOAD: _workload_of_pod, _BY_NODE: _node_of})
        self._nodes = runtime.informer(Node)
        self._diagnoses = runtime.informer(Diagnosis, indexes={_BY_WORKLOAD: _workload_of_diagnosis})
        self._policies = runtime.informer(RemediationPolicy)
        healths = self._healths = runtime.informer(NodeHealth)
        self._watch = GangWatch(healths, self._workloads, hangs)
        runtime.controller(
            NAME,
            self._reconcile,
            [
                (self._workloads, lambda workload: [workload.key]),
                (self._pods, _workload_of_pod),
                (self._nodes, self._workloads_on),
                (self._diagnoses, _workload_of_diagnosis),
                (healths, self._workloads_in_question),
            ],
            workers=workers,
        )

    async def _reconcile(self, key: str) -> float | None:
        workload = self._workloads.cache.get(key)
        if workload is None or workload.metadata.annotations.get(labels.PODS_BY) == labels.OTHERS:
            self._failing_since.pop(key, None)
            self._watch.forget(key)
            return None
        now = self._runtime.clock.now()
        snapshot = self._snapshot(workload, now)
        watched = self._watch.watched(workload, snapshot.reports, planning.attempt_of(workload), now)
        snapshot = replace(snapshot, hang=watched.look.hang)
        decided = planning.plan(snapshot, now, self._settings)
        if any(isinstance(command, Create) for command in decided.commands):
            snapshot = self._with_records(await self._with_logs(snapshot))
            decided = planning.plan(snapshot, now, self._settings)
        await self._runtime.apply(NAME, decided.commands)
        await self._runtime.apply(LESSONS, watched.lessons)
        await self._runtime.apply(QUESTIONS, watched.questions)
        await self._runtime.apply(NAME, self._slow_ranks(snapshot, watched, now))
        ahead = (decided.requeue_after_seconds, watched.again_seconds)
        return min((seconds for seconds in ahead if seconds is not None), default=None)

    def _snapshot(self, workload: Workload, now: datetime) -> Snapshot:
        pods = [pod for pod in self._pods.cache.by_index(_BY_WORKLOAD, workload.key) if _owns(workload, pod)]
        reports = rank_reports(workload, pods, self._nodes.cache.get, {}, now, self._settings)
        return Snapshot(
            workload=workload,
            reports=reports,
            diagnoses=[
                diagnosis
                for diagnosis in self._diagnoses.cache.by_index(_BY_WORKLOAD, workload.key)
                if _owns(workload, diagnosis)
            ],
            failing_since=self._since(workload, planning.is_failing(reports, now), now),
            policies=self._policies.cache.list(),
        )

    def _slow_ranks(self, snapshot: Snapshot, watched: Watched, now: datetime) -> Iterable[Command]:
        """A Diagnosis for each rank that is slow and was not written down in this attempt."""
        workload, attempt = snapshot.workload, planning.attempt_of(snapshot.workload)
        known = {diagnosis.metadata.name for diagnosis in snapshot.diagnoses}
        for slow in watched.slow:
            if stragglers.diagnosis_name(workload, attempt, slow) in known:
                continue
            health = self._healths.cache.get(slow.rank.report.node)
            found = stragglers.diagnose(workload, attempt, slow, health, snapshot.diagnoses, now)
            yield Create(found)
            yield Emit(workload, found.spec.fault_class, found.spec.message, "Warning", "Diagnose")

    def _since(self, workload: Workload, failing: bool, now: datetime) -> datetime | None:
        """When the failure of this attempt was first seen; forgotten once nothing fails any more."""
        if not failing:
            self._failing_since.pop(workload.key, None)
            return None
        attempt = planning.attempt_of(workload)
        known = self._failing_since.get(workload.key)
        if known is None or known[0] != attempt:
            known = self._failing_since[workload.key] = (attempt, now)
        return known[1]

    async def _with_logs(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the logs of the failed pods interpreted."""
        failed = [
            report.pod
            for report in snapshot.reports
            if report.pod is not None and report.pod.status.phase == "Failed"
        ]
        logs = await self._read_logs(failed)
        reports = [
            replace(report, log=logs[report.pod.metadata.name])
            if report.pod is not None and report.pod.metadata.name in logs
            else report
            for report in snapshot.reports
        ]
        return replace(snapshot, reports=reports, logs_read=True)

    def _with_records(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what the machines under the ranks recorded, and what all had a part in."""
        seen = self._healths.cache.get
        reports = [replace(one, records=machine_records(seen(one.node))) for one in snapshot.reports]
        histories = {one.metadata.name: one.status.history for one in self._healths.cache.list()}
        return replace(snapshot, reports=reports, histories=histories)

    async def _read_logs(self, pods: Sequence[Pod]) -> dict[str, LogEvidence]:
        ended = sorted(pods, key=ended_at)[:LOG_PODS_MAX]
        found = await asyncio.gather(*(self._read(pod) for pod in ended))
        return {pod.metadata.name: evidence for pod, evidence in zip(ended, found, strict=True)}

    async def _read(self, pod: Pod) -> LogEvidence:
        """The end of a pod's log, interpreted; nothing where it cannot be read."""
        chunks: deque[bytes] = deque()
        size = 0
        try:
            async with asyncio.timeout(LOG_TIMEOUT_SECONDS):
                stream = self._runtime.client.with_manager(NAME).logs(
                    pod.metadata.namespace,
                    pod.metadata.name,
                    container=first_ended_container(pod),
                    tail_lines=LOG_LINES,
                    timestamps=True,
                )
                async for chunk in stream:
                    chunks.append(chunk)
                    size += len(chunk)
                    while size - len(chunks[0]) > LOG_BYTES:  # lines may have any length
                        size -= len(chunks.popleft())
        except (ApiError, TimeoutError) as error:
            log.warning("log not readable", key=pod.key, error=str(error) or "timed out")
        return read_log(list(iterate_lines(chunks)))

    def _workloads_in_question(self, health: NodeHealth) -> Iterable[str]:
        """Workloads whose pods on a node fell quiet, stopped or slow; who is well concerns nobody."""
        pods = (self._pods.cache.get(key) for key in pods_in_question(health, self._hangs))
        return {key for pod in pods if pod is not None for key in _workload_of_pod(pod)}

    def _workloads_on(self, node: Node) -> Iterable[str]:
        """Workloads with pods on a node that is in trouble; a healthy node's heartbeat concerns nobody."""
        if ready_since(node)[0] == "True" and node.key in self._nodes.cache:
            return []
        pods = self._pods.cache.by_index(_BY_NODE, node.metadata.name)
        return {key for pod in pods for key in _workload_of_pod(pod)}


def _owns(workload: Workload, dependent: Pod | Diagnosis) -> bool:
    owner = controller_of(dependent)
    return owner is not None and owner.uid == workload.metadata.uid


def _workload_of_pod(pod: Pod) -> Iterable[str]:
    name = pod.metadata.labels.get(labels.WORKLOAD)
    return [f"{pod.metadata.namespace}/{name}"] if name else []


def _node_of(pod: Pod) -> Iterable[str]:
    return [pod.spec.node_name] if pod.spec.node_name else []


def _workload_of_diagnosis(diagnosis: Diagnosis) -> Iterable[str]:
    return [f"{diagnosis.metadata.namespace}/{diagnosis.spec.workload}"]
