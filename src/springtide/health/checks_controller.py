"""Runs the checks of nodes: caches -> `paired`, `preflight` -> writes. Registered by `controller`.

What a suspicion asks for is looked at by node, what an admission check asks for by workload. Nothing here
runs where no node is suspected and no ClusterQueue names the pre-flight check.
"""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api import labels
from springtide.api.commands import Apply
from springtide.api.core import Node, Pod
from springtide.api.kueue import AdmissionCheck, Workload
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.nodehealth import NodeHealth
from springtide.api.springtide import Diagnosis
from springtide.api.struct import encode
from springtide.health import checkpods, paired, preflight
from springtide.health.checkpods import CheckSettings
from springtide.health.history import incident_of
from springtide.runtime import Runtime

PAIRED, PREFLIGHT = "health.paired", "health.preflight"
_TERMINAL = ("Succeeded", "Failed")
_CHECKS = "health.checks"


def register(runtime: Runtime, settings: CheckSettings | None = None) -> None:
    """Add the controllers to a runtime."""
    _Checks(runtime, settings or CheckSettings())


class _Checks:
    def __init__(self, runtime: Runtime, settings: CheckSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._pods = runtime.informer(Pod, indexes={_CHECKS: _check_of})
        self._nodes = runtime.informer(Node)
        self._healths = runtime.informer(NodeHealth)
        self._workloads = runtime.informer(Workload)
        self._made_here = runtime.informer(AdmissionCheck)
        self._diagnoses = runtime.informer(Diagnosis)
        runtime.controller(PAIRED, self._pair, [(self._healths, self._suspected), (self._pods, _suspect_of)])
        runtime.controller(
            PREFLIGHT,
            self._fly,
            [
                (self._workloads, self._waiting),
                (self._pods, self._waiting_for),
                (self._made_here, self._all_waiting),
            ],
        )
        runtime.controller(f"{PREFLIGHT}.activity", self._activate, [(self._made_here, _name_of)])

    # -- suspected nodes ------------------------------------------------------------------------------

    async def _pair(self, name: str) -> float | None:
        node, health = self._nodes.cache.get(name), self._healths.cache.get(name)
        if node is None or health is None:
            return None
        now = self._runtime.clock.now()
        own = [pod for pod in self._pods.cache.by_index(_CHECKS, checkpods.PAIRED) if paired.is_of(pod, name)]
        if not own and paired.suspicion(health, now, self._settings) is None:
            return None
        view = paired.View(
            node=node,
            health=health,
            busy=self._busy(),
            nodes=self._nodes.cache.list(),
            suspected=frozenset(self._all_suspected()),
            pods=own,
            suspicions=self._suspicions(health),
        )
        decided = paired.plan(view, now, self._settings)
        await self._runtime.apply(PAIRED, decided.commands)
        return decided.requeue_after_seconds

    def _suspicions(self, health: NodeHealth) -> list[Diagnosis]:
        """The Diagnoses that the history tells of: these very ones, as names are used again."""
        told = paired.suspicions(health)
        known = (self._diagnoses.cache.get(one.diagnosis) for one in told)
        return [one for one in known if one is not None and incident_of(one) in told]

    def _busy(self) -> frozenset[str]:
        """Nodes on which pods of workloads, or other checks, run."""
        return frozenset(
            pod.spec.node_name
            for pod in self._pods.cache.list()
            if pod.spec.node_name
            and pod.status.phase not in _TERMINAL
            and labels.WORKLOAD in pod.metadata.labels
        )

    def _suspected(self, health: NodeHealth) -> Iterable[str]:
        now = self._runtime.clock.now()
        return [health.metadata.name] if paired.suspicion(health, now, self._settings) is not None else []

    def _all_suspected(self) -> Iterable[str]:
        for health in self._healths.cache.list():
            yield from self._suspected(health)

    # -- gangs that wait ------------------------------------------------------------------------------

    async def _fly(self, key: str) -> float | None:
        workload = self._workloads.cache.get(key)
        names = self._names()
        if workload is None or preflight.awaited(workload, names) is None:
            return None
        view = preflight.View(
            workload=workload,
            checks=names,
            nodes={node.metadata.name: node for node in self._nodes.cache.list()},
            healths={health.metadata.name: health for health in self._healths.cache.list()},
            pods={pod.metadata.name: pod for pod in self._pods.cache.by_index(_CHECKS, checkpods.PREFLIGHT)},
        )
        decided = preflight.plan(view, self._runtime.clock.now(), self._settings)
        await self._runtime.apply(PREFLIGHT, decided.commands)
        return decided.requeue_after_seconds

    async def _activate(self, name: str) -> float | None:
        """The check's condition Active: without it no workload would wait for it."""
        check = self._made_here.cache.get(name)
        if check is None or check.spec.controller_name != preflight.CONTROLLER:
            return None
        new = Condition(
            type="Active", status="True", reason="Active", message="The admission check is active"
        )
        known = find_condition(check.status.conditions, "Active")
        if known is not None and known.status == "True":
            return None
        stamped = set_condition(check.status.conditions, new, self._runtime.clock.now())
        active = [encode(one) for one in stamped if one.type == "Active"]
        meta = check.metadata
        fields = {"status": {"conditions": active}}
        await self._runtime.apply(
            PREFLIGHT, [Apply(AdmissionCheck, "", meta.name, fields, "status", meta.uid)]
        )
        return None

    def _names(self) -> frozenset[str]:
        return frozenset(
            one.metadata.name
            for one in self._made_here.cache.list()
            if one.spec.controller_name == preflight.CONTROLLER
        )

    def _waiting(self, workload: Workload) -> Iterable[str]:
        return [workload.key] if workload.status.admission_checks else []

    def _waiting_for(self, pod: Pod) -> Iterable[str]:
        """A pre-flight check has ended: whoever waits may wait for it."""
        if not preflight.is_preflight(pod) or pod.status.phase not in _TERMINAL:
            return []
        return self._all_waiting(None)

    def _all_waiting(self, _: AdmissionCheck | None) -> Iterable[str]:
        names = self._names()
        return [one.key for one in self._workloads.cache.list() if preflight.awaited(one, names) is not None]


def _check_of(pod: Pod) -> Iterable[str]:
    kind = pod.metadata.labels.get(labels.NODE_CHECK)
    return [kind] if kind else []


def _suspect_of(pod: Pod) -> Iterable[str]:
    node = pod.metadata.annotations.get(labels.NODE_CHECK_OF, "")
    return [node] if node and paired.is_of(pod, node) else []


def _name_of(check: AdmissionCheck) -> Iterable[str]:
    return [check.metadata.name]
