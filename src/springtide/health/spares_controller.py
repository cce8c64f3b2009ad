"""Keeps as many nodes free as the policies say: the controller `health.spares`, one key for all nodes."""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api.core import Node, Pod
from springtide.api.kueue import Workload, names_nodes, nodes_of
from springtide.api.meta import controller_of, is_true
from springtide.api.remediation import RemediationPolicy
from springtide.client import Conflict, NotFound
from springtide.health.remediation_policy import effective, policy_for_node
from springtide.health.spares import is_spare, plan
from springtide.runtime import Runtime

NAME = "health.spares"
_ALL = "all"
_RETRY_SECONDS = 0.5


def register(runtime: Runtime) -> None:
    """Add the controller to `runtime`."""
    _Spares(runtime)


class _Spares:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._client = runtime.client.with_manager(NAME)
        self._nodes = runtime.informer(Node)
        self._pods = runtime.informer(Pod)
        self._workloads = runtime.informer(Workload)
        self._policies = runtime.informer(RemediationPolicy)
        runtime.controller(
            NAME,
            self._reconcile,
            [
                (self._policies, lambda _: [_ALL]),
                (self._nodes, self._where_wanted),
                (self._workloads, self._where_wanted),
                (self._pods, self._pod_changed),
            ],
        )

    async def _reconcile(self, _: str) -> float | None:
        nodes = sorted(self._nodes.cache.list(), key=lambda node: node.metadata.name)
        if not self._wanted() and not any(is_spare(node) for node in nodes):
            return None
        policies = self._policies.cache.list()
        of_node = {
            node.metadata.name: effective(policy_for_node(policies, node.metadata.labels)) for node in nodes
        }
        for patch in plan(nodes, of_node, self._used()):
            try:
                self._runtime.observe(await self._client.patch(Node, patch.node, "", patch.body))
            except (Conflict, NotFound):
                return _RETRY_SECONDS
        return None

    def _used(self) -> set[str]:
        """Nodes that somebody runs on, or is about to."""
        used = {
            pod.spec.node_name
            for pod in self._pods.cache.list()
            if pod.spec.node_name and pod.status.phase not in ("Succeeded", "Failed") and not _stays(pod)
        }
        for workload in self._workloads.cache.list():
            admission = workload.status.admission
            if admission is None or is_true(workload.status.conditions, "Finished"):
                continue
            for one in admission.pod_set_assignments:
                topology = one.topology_assignment
                if topology is not None and names_nodes(topology):
                    used.update(name for name, _ in nodes_of(topology))
        return used

    def _wanted(self) -> bool:
        return any(policy.spec.spares for policy in self._policies.cache.list())

    def _where_wanted(self, _: Node | Workload) -> Iterable[str]:
        return [_ALL] if self._wanted() else []

    def _pod_changed(self, pod: Pod) -> Iterable[str]:
        return [_ALL] if pod.spec.node_name and self._wanted() else []


def _stays(pod: Pod) -> bool:
    owner = controller_of(pod)
    return owner is not None and owner.kind in ("DaemonSet", "Node")
