"""The Node object of the process node, its status, and the Lease that says it lives.

`agent.py` registers `Registration.reconcile` as a controller of one key; it returns after how many seconds
the lease is due again. Source of conditions and reasons: the kubelet.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from springtide import __version__
from springtide.api.commands import Apply, Command
from springtide.api.coordination import Lease
from springtide.api.labels import ARCH, HOSTNAME, NODE_KIND, OS, SERVING_AUTHORITY
from springtide.api.meta import find_condition, micro_time, whole_second
from springtide.api.nodes import (
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeStatus,
    NodeSystemInfo,
)
from springtide.api.quantity import format_bytes
from springtide.api.struct import encode
from springtide.api.version import GIT_VERSION
from springtide.node.lastword import return_to_service
from springtide.node.settings import ProcessNodeSettings
from springtide.runtime import Runtime

ROOM = "node"
LEASE_NAMESPACE = "kube-node-lease"
ANNOTATION_PREFIX = "node.springtide.dev/"
LEASE_DURATION_SECONDS = 40
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def machine_capacity(settings: ProcessNodeSettings) -> dict[str, str]:
    """What the node offers, as quantities."""
    cpus = settings.cpus if settings.cpus is not None else usable_cpus()
    memory = settings.memory_bytes if settings.memory_bytes is not None else psutil.virtual_memory().total
    capacity = {
        "cpu": str(cpus),
        "memory": format_bytes(memory // 1024 * 1024),
        "pods": str(settings.max_pods),
        "ephemeral-storage": format_bytes(shutil.disk_usage(settings.data_dir).total // 1024 * 1024),
    }
    return capacity | {name: str(amount) for name, amount in settings.extra_capacity.items()}


def usable_cpus() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Endpoint:
    """Where a node in a process of its own serves its API."""

    host: str
    port: int
    authority: bytes
    """The certificate (PEM) that signs for the one it shows."""


class Registration:
    """Keeps the Node object and its Lease."""

    def __init__(self, runtime: Runtime, settings: ProcessNodeSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._annotations: dict[str, str] = {}
        self._endpoint: Endpoint | None = None
        self._nodes = runtime.informer(Node)
        self._capacity = machine_capacity(settings)
        self._ready = True
        self._reported_at = float("-inf")
        self.registered = asyncio.Event()
        """Set once the Node object is there and Ready."""

    def annotate(self, notes: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        """Say these things on the Node object: `notes` by short name."""
        self._annotations = {ANNOTATION_PREFIX + name: text for name, text in notes.items()} | {**annotations}

    async def begin_life(self) -> None:
        """Nothing of an earlier life runs any more: what its watchdog said of the node does not hold now.

        Our life is written first, after which no last word about an earlier one is heard.
        """
        await self._runtime.apply(ROOM, [self._metadata()])
        await return_to_service(self._runtime.client.with_manager(ROOM), self._settings.name)

    def listens(self, endpoint: Endpoint) -> None:
        """Say on the Node object where its own API is."""
        self._endpoint = endpoint
        self._reported_at = float("-inf")

    @property
    def capacity(self) -> Mapping[str, str]:
        """What the node offers."""
        return self._capacity

    async def reconcile(self, _key: str) -> float | None:
        """Register, report and renew, whatever is due."""
        clock = self._runtime.clock
        known = self._nodes.cache.get(self._settings.name)
        due = clock.monotonic() - self._reported_at >= self._settings.status_seconds
        commands: list[Command] = []
        if known is None or due or not self._reports(known):
            commands += [self._metadata(), self._status(known, clock.now())]
            self._reported_at = clock.monotonic()
        renewed = lease(self._settings.name, clock.now(), self._settings.lease_duration_seconds)
        await self._runtime.apply(ROOM, [*commands, renewed])
        self.registered.set()
        return self._settings.lease_seconds if self._ready else None

    async def leave(self) -> None:
        """Report NotReady: the platform stops."""
        self._ready = False
        known = self._nodes.cache.get(self._settings.name)
        await self._runtime.apply(ROOM, [self._status(known, self._runtime.clock.now())])

    def _reports(self, node: Node) -> bool:
        """Whether the object says what we would say."""
        ready = find_condition(node.status.conditions, "Ready")
        return (
            ready is not None
            and ready.status == ("True" if self._ready else "False")
            and dict(node.status.capacity) == self._capacity
            and all(node.metadata.annotations.get(key) == text for key, text in self._annotations.items())
            and all(node.metadata.labels.get(key) == text for key, text in self._labels().items())
        )

    def _labels(self) -> dict[str, str]:
        return {
            HOSTNAME: self._settings.name,
            OS: platform.system().lower(),
            ARCH: _architecture(),
            NODE_KIND: "process",
            **self._settings.labels,
        }

    def _metadata(self) -> Apply:
        annotations = self._annotations
        if self._endpoint is not None:
            annotations = annotations | {SERVING_AUTHORITY: self._endpoint.authority.decode()}
        fields = {"metadata": {"labels": self._labels(), "annotations": annotations}}
        return Apply(Node, "", self._settings.name, fields)

    def _status(self, known: Node | None, now: datetime) -> Apply:
        status = NodeStatus(
            capacity=dict(self._capacity),
            allocatable=dict(self._capacity),
            conditions=[self._condition(known, *one, now) for one in self._observations()],
            addresses=[
                NodeAddress(type="InternalIP", address=self._address()),
                NodeAddress(type="Hostname", address=self._settings.name),
            ],
            node_info=_system_info(),
            daemon_endpoints=self._daemon_endpoints(),
        )
        return Apply(Node, "", self._settings.name, {"status": encode(status)}, subresource="status")

    def _address(self) -> str:
        return self._endpoint.host if self._endpoint is not None else "127.0.0.1"

    def _daemon_endpoints(self) -> NodeDaemonEndpoints:
        port = self._endpoint.port if self._endpoint is not None else 0
        return NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=port))

    def _observations(self) -> list[tuple[str, str, str, str]]:
        ready = ("True", "KubeletReady", "the process node is posting ready status")
        stopped = ("False", "NodeStopped", "springtide was stopped; start it again with: springtide up")
        return [
            (
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "the node has sufficient memory available",
            ),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node has no disk pressure"),
            (
                "PIDPressure",
                "False",
                "KubeletHasSufficientPID",
                "the node has sufficient process ids available",
            ),
            ("Ready", *(ready if self._ready else stopped)),
        ]

    def _condition(
        self, known: Node | None, type_: str, status: str, reason: str, message: str, now: datetime
    ) -> NodeCondition:
        old = find_condition(known.status.conditions, type_) if known is not None else None
        same = old is not None and old.status == status
        return NodeCondition(
            type=type_,
            status=status,
            reason=reason,
            message=message,
            last_heartbeat_time=whole_second(now),
            last_transition_time=old.last_transition_time if old is not None and same else whole_second(now),
        )


def lease(node: str, now: datetime, duration_seconds: int = LEASE_DURATION_SECONDS) -> Apply:
    """Renew the Lease of a node."""
    spec = {
        "holderIdentity": node,
        "leaseDurationSeconds": duration_seconds,
        "renewTime": micro_time(now).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    return Apply(Lease, LEASE_NAMESPACE, node, {"spec": spec})


def _architecture() -> str:
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def _system_info() -> NodeSystemInfo:
    return NodeSystemInfo(
        machine_id=_line("/etc/machine-id"),
        system_uuid=_line("/etc/machine-id"),
        boot_id=_line("/proc/sys/kernel/random/boot_id"),
        kernel_version=platform.release(),
        os_image=_os_image(),
        container_runtime_version=f"process://{__version__}",
        kubelet_version=GIT_VERSION,
        operating_system=platform.system().lower(),
        architecture=_architecture(),
    )


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.platform(terse=True)
