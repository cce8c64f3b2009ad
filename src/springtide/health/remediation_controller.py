"""Takes nodes out of service and brings them back: the controller `health.remediation`; its keys are nodes.

Reads the caches, has `remediation_plan` decide, and executes one step after the other. One worker: nodes are
few that anything is done about, and what one step writes the next one sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from springtide.api import labels
from springtide.api.batch import Job
from springtide.api.commands import Command, Create
from springtide.api.core import ConfigMap, Node, Pod
from springtide.api.nodehealth import NodeHealth
from springtide.api.remediation import IncidentPhase, RemediationPolicy
from springtide.api.springtide import Diagnosis, DiagnosisSpec
from springtide.client import ApiError, Conflict, NotFound, TooManyRequests
from springtide.health import remediation_ledger as ledgers
from springtide.health.incidents import NAMESPACE, asks_for_node, is_incident, is_over, moved
from springtide.health.remediation_node import PatchNode, cordoned_for
from springtide.health.remediation_plan import plan
from springtide.health.remediation_policy import Effective, effective, policy_for_node
from springtide.health.remediation_seen import (
    is_recent,
    is_silence,
    next_silence,
    seen_on,
    silence,
    silent_collectors,
)
from springtide.health.remediation_view import Act, Claim, Evict, NodeView, Restore, Steps, Strike
from springtide.runtime import Runtime
from springtide.runtime.log import logger

NAME = "health.remediation"
_BY_NODE, _OF_NODE, _ASKING, _SYSTEM = "pods-of-node", "diagnosis-of-node", "asking-for-node", "system"
_RETRY_SECONDS = 0.5

log = logger("health.remediation")


def register(runtime: Runtime) -> None:
    """Add the controller to `runtime`."""
    _Remediation(runtime)


class _Remediation:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._client = runtime.client.with_manager(NAME)
        self._nodes = runtime.informer(Node)
        self._pods = runtime.informer(Pod, indexes={_BY_NODE: _node_of})
        self._health = runtime.informer(NodeHealth)
        self._policies = runtime.informer(RemediationPolicy)
        self._diagnoses = runtime.informer(
            Diagnosis, indexes={_OF_NODE: _incidents_of, _ASKING: _asked_of, _SYSTEM: _of_system}
        )
        self._matched: dict[str, tuple[object, list[DiagnosisSpec]]] = {}
        self._jobs = runtime.informer(Job, namespace=NAMESPACE, label_selector=labels.INCIDENT)
        self._ledger = runtime.informer(
            ConfigMap, namespace=NAMESPACE, field_selector=f"metadata.name={ledgers.NAME}"
        )
        runtime.controller(
            NAME,
            self._reconcile,
            [
                (self._nodes, self._node_changed),
                (self._pods, self._pod_changed),
                (self._health, lambda health: [health.metadata.name]),
                (self._diagnoses, self._diagnosis_changed),
                (self._jobs, lambda _: self._in_trouble()),
                (self._ledger, lambda _: self._in_trouble()),
                (self._policies, lambda _: [node.metadata.name for node in self._nodes.cache.list()]),
            ],
        )

    async def _reconcile(self, name: str) -> float | None:
        now = self._runtime.clock.now()
        view = self._view(name, now)
        steps = plan(view, now)
        if not await self._execute(steps):
            return _RETRY_SECONDS
        if steps.again_seconds == 0.0:
            return 0.0
        waits = [steps.again_seconds, await self._hear(name, now)]
        return min((one for one in waits if one is not None), default=None)

    def _view(self, name: str, now: datetime) -> NodeView:
        """What is known of the node; of nodes at rest little is looked at."""
        node = self._nodes.cache.get(name)
        policies = self._policies.cache.list()
        policy = effective(policy_for_node(policies, node.metadata.labels if node is not None else {}))
        system = self._diagnoses.cache.by_index(_SYSTEM, NAMESPACE)
        incidents = [one for one in system if is_incident(one)]
        asking = self._diagnoses.cache.by_index(_ASKING, name)
        seen = self._seen(name, policy, now)
        busy = bool(asking or seen) or any(one.spec.node == name and not is_over(one) for one in incidents)
        kept = self._ledger.cache.get(f"{NAMESPACE}/{ledgers.NAME}")
        return NodeView(
            name=name,
            node=node,
            policy=policy,
            incidents=incidents,
            others=system,
            asking=asking,
            seen=seen,
            pods=self._pods.cache.by_index(_BY_NODE, name) if busy else (),
            jobs={one.metadata.name: one for one in self._jobs.cache.list()} if busy else {},
            ledger=kept.data if kept is not None else {},
            peers=self._peers(policy, policies) if busy else frozenset(),
        )

    def _seen(self, name: str, policy: Effective, now: datetime) -> list[DiagnosisSpec]:
        """What the node's collectors saw; matched again only when that, or the policy, has changed."""
        health = self._health.cache.get(name)
        if health is None:
            self._matched.pop(name, None)
            return []
        shape = (policy.name, policy.spec, health.status.observations)
        known = self._matched.get(name)
        if known is None or known[0] != shape:
            known = self._matched[name] = (shape, seen_on(name, health, policy))
        return [one for one in known[1] if is_recent(one, now)]

    def _peers(self, policy: Effective, policies: list[RemediationPolicy]) -> frozenset[str]:
        """Nodes that the same policy is for."""
        return frozenset(
            node.metadata.name
            for node in self._nodes.cache.list()
            if effective(policy_for_node(policies, node.metadata.labels)).name == policy.name
        )

    # -- doing -------------------------------------------------------------------------------------

    async def _execute(self, steps: Steps) -> bool:
        """Whether all of it was done; what was not is thought over again."""
        for act in steps.acts:
            if not await self._do(act):
                return False
        return True

    async def _do(self, act: Act) -> bool:
        match act:
            case PatchNode():
                return await self._patch(act)
            case Claim():
                return self._observed(await ledgers.claim(self._client, act))
            case Strike():
                back = await self._is_in_service(act.node) and await self._is_over_for_good(act.incident)
                return back and self._observed(await ledgers.strike(self._client, act.node))
            case Restore():
                return await self._is_over_for_good(act.incident) and await self._patch(act.patch)
            case Evict():
                await self._evict(act.pod)
                return True
            case _:
                await self._runtime.apply(NAME, [act])
                return True

    async def _patch(self, patch: PatchNode) -> bool:
        try:
            self._runtime.observe(await self._client.patch(Node, patch.node, "", patch.body))
        except (Conflict, NotFound):
            return False
        return True

    def _observed(self, ledger: ConfigMap | None) -> bool:
        if ledger is not None:
            self._runtime.observe(ledger)
        return ledger is not None

    async def _is_over_for_good(self, incident: str) -> bool:
        """Asked of the server: an old cache must not put a node that is out back into service."""
        try:
            found = await self._client.get(Diagnosis, incident, NAMESPACE)
        except NotFound:
            return True
        self._runtime.observe(found)
        return is_over(found)

    async def _is_in_service(self, name: str) -> bool:
        """Asked of the server: whether nothing of ours is on the node, or there is no such node."""
        try:
            found = await self._client.get(Node, name)
        except NotFound:
            return True
        self._runtime.observe(found)
        return not cordoned_for(found)

    async def _evict(self, pod: Pod) -> None:
        try:
            await self._client.evict(pod.metadata.namespace, pod.metadata.name, uid=pod.metadata.uid)
        except TooManyRequests as error:
            log.info("a disruption budget holds a pod back", key=pod.key, error=str(error))
        except (NotFound, Conflict):
            return  # gone, or another of its name: what is there is thought over when it is seen
        except ApiError as error:
            log.warning("pod not evicted", key=pod.key, error=str(error))

    async def _hear(self, name: str, now: datetime) -> float | None:
        """Say which collectors of the node are silent, and that they are back; when to listen again."""
        node, health = self._nodes.cache.get(name), self._health.cache.get(name)
        if node is None or health is None:
            return None
        known = [one for one in self._diagnoses.cache.by_index(_OF_NODE, name) if is_silence(one)]
        said = [
            silence(name, which, since, health, now) for which, since in silent_collectors(node, health, now)
        ]
        names = {one.metadata.name for one in said}
        there = {one.metadata.name for one in known}
        back, message = IncidentPhase.RETURNED, "heard from again"
        commands: list[Command] = [Create(one) for one in said if one.metadata.name not in there]
        commands += [
            moved(one, back, message, now, (back.value, "Heard"))
            for one in known
            if one.metadata.name not in names and one.status.phase != back
        ]
        await self._runtime.apply(NAME, commands)
        return next_silence(health, now)

    # -- triggers ----------------------------------------------------------------------------------

    def _in_trouble(self) -> list[str]:
        """Nodes with an incident that is not over."""
        system = self._diagnoses.cache.by_index(_SYSTEM, NAMESPACE)
        return sorted({one.spec.node for one in system if is_incident(one) and not is_over(one)})

    def _node_changed(self, node: Node) -> Iterable[str]:
        """Nodes that something is, or is to be, done about; a healthy node's heartbeat concerns nobody."""
        name = node.metadata.name
        marked = labels.CORDONED_FOR in node.metadata.annotations
        known = any(True for _ in self._diagnoses.cache.by_index(_OF_NODE, name))
        asked = any(True for _ in self._diagnoses.cache.by_index(_ASKING, name))
        return [name] if marked or known or asked else []

    def _pod_changed(self, pod: Pod) -> Iterable[str]:
        name = pod.spec.node_name
        node = self._nodes.cache.get(name) if name else None
        return [name] if node is not None and labels.CORDONED_FOR in node.metadata.annotations else []

    def _diagnosis_changed(self, diagnosis: Diagnosis) -> Iterable[str]:
        """Its node; and, since many with the same symptom drop each other, all that are worked on."""
        if not diagnosis.spec.node:
            return []
        others = self._in_trouble() if is_incident(diagnosis) else []
        return {diagnosis.spec.node, *others}


def _node_of(pod: Pod) -> Iterable[str]:
    return [pod.spec.node_name] if pod.spec.node_name else []


def _incidents_of(diagnosis: Diagnosis) -> Iterable[str]:
    own = diagnosis.metadata.namespace == NAMESPACE and not diagnosis.spec.workload
    return [diagnosis.spec.node] if own and diagnosis.spec.node else []


def _of_system(diagnosis: Diagnosis) -> Iterable[str]:
    return [NAMESPACE] if diagnosis.metadata.namespace == NAMESPACE else []


def _asked_of(diagnosis: Diagnosis) -> Iterable[str]:
    return [diagnosis.spec.node] if asks_for_node(diagnosis) else []
