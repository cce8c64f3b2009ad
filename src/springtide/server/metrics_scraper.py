"""What nodes and their containers use, read from the nodes' own summaries.

Nothing is measured until somebody asks. Nodes tell CPU time since a start, so a rate needs two readings: the
last one is kept, and where it is too old the node is read twice, half a second apart. Called by
`metrics_api`. Source of the summary: the kubelet's `stats/v1alpha1`; of the arithmetic: metrics-server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from springtide.runtime.log import logger
from springtide.server.context import Context
from springtide.server.nodes import NodeUnreachable, whole
from springtide.server.request import Request

PAUSE_SECONDS = 0.5
FRESH_SECONDS = 5.0
"""A reading this young is answered again."""
STALE_SECONDS = 60.0
"""A reading this old says nothing about now."""
NODES_AT_ONCE = 64

Json = dict[str, Any]
log = logger("server.metrics_scraper")


class _Cpu(msgspec.Struct, rename="camel"):
    usage_core_nano_seconds: int = msgspec.field(default=0, name="usageCoreNanoSeconds")
    usage_nano_cores: int | None = msgspec.field(default=None, name="usageNanoCores")


class _Memory(msgspec.Struct, rename="camel"):
    working_set_bytes: int = 0


class _Container(msgspec.Struct, rename="camel"):
    name: str
    start_time: str = ""
    cpu: _Cpu = msgspec.field(default_factory=_Cpu)
    memory: _Memory = msgspec.field(default_factory=_Memory)


class _PodRef(msgspec.Struct):
    name: str
    namespace: str
    uid: str = ""


class _Pod(msgspec.Struct, rename="camel"):
    pod_ref: _PodRef
    containers: list[_Container] = []


class _Node(msgspec.Struct, rename="camel"):
    cpu: _Cpu = msgspec.field(default_factory=_Cpu)
    memory: _Memory = msgspec.field(default_factory=_Memory)


class _Summary(msgspec.Struct, rename="camel"):
    """What is read of a kubelet's `/stats/summary`."""

    node: _Node
    pods: list[_Pod] = []


_decode: Callable[[bytes], _Summary] = msgspec.json.Decoder(_Summary).decode


@dataclass(frozen=True)
class _Reading:
    """One answer of a node, and when it came (monotonic seconds)."""

    at: float
    summary: _Summary

    def cpu_of(self, uid: str, container: str, start_time: str) -> int | None:
        """CPU time of the same run of a container in this reading."""
        for pod in self.summary.pods:
            if pod.pod_ref.uid == uid:
                for one in pod.containers:
                    if one.name == container and one.start_time == start_time:
                        return one.cpu.usage_core_nano_seconds
        return None


@dataclass(frozen=True)
class Usage:
    """Of one node and its pods, averaged between two readings."""

    at: float
    moment: datetime
    window_seconds: float
    node: Json
    pods: Mapping[str, list[Json]]
    """Containers by `namespace/name` of the pod."""


@dataclass
class Scraper:
    """The last readings of every node somebody asked about."""

    readings: dict[str, _Reading] = field(default_factory=dict)
    usages: dict[str, Usage] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(NODES_AT_ONCE))

    async def usage(self, context: Context, node: str) -> Usage | None:
        """What the node and its pods use; None if it does not answer."""
        async with self._slots:
            known = self.usages.get(node)
            if known is not None and context.clock.monotonic() - known.at < FRESH_SECONDS:
                return known
            try:
                self.usages[node] = found = await self._measure(context, node)
            except (NodeUnreachable, msgspec.MsgspecError, ValueError) as error:
                log.info("node has no figures", node=node, cause=str(error))
                self.readings.pop(node, None)
                self.usages.pop(node, None)
                return None
            return found

    async def _measure(self, context: Context, node: str) -> Usage:
        before = self.readings.get(node)
        if before is None or context.clock.monotonic() - before.at > STALE_SECONDS:
            before = await _read(context, node)
            if before.summary.node.cpu.usage_nano_cores is None:
                await asyncio.sleep(PAUSE_SECONDS)
        after = await _read(context, node)
        self.readings[node] = after
        return _between(before, after, context.now())


async def _read(context: Context, node: str) -> _Reading:
    """Raises NodeUnreachable, ValueError, or MsgspecError for an answer that is no summary."""
    if context.nodes is None:
        raise NodeUnreachable("no node of this server can be reached")
    answer = await whole(await context.nodes.ask(node, Request("GET", "/stats/summary")))
    if answer.status != 200:
        raise ValueError(f"status {answer.status}")
    return _Reading(context.clock.monotonic(), _decode(answer.body))


def _between(before: _Reading, after: _Reading, moment: datetime) -> Usage:
    seconds = max(after.at - before.at, 1e-3)
    node = after.summary.node
    started = before.summary.node.cpu.usage_core_nano_seconds
    pods = {
        f"{pod.pod_ref.namespace}/{pod.pod_ref.name}": [
            {
                "name": one.name,
                "usage": _amounts(
                    one.cpu, before.cpu_of(pod.pod_ref.uid, one.name, one.start_time), one.memory, seconds
                ),
            }
            for one in pod.containers
        ]
        for pod in after.summary.pods
    }
    return Usage(after.at, moment, seconds, _amounts(node.cpu, started, node.memory, seconds), pods)


def _amounts(cpu: _Cpu, before: int | None, memory: _Memory, seconds: float) -> Json:
    """As quantities. A container that has started since the first reading used all its time since."""
    rate = cpu.usage_nano_cores
    if rate is None:
        rate = max(0, round((cpu.usage_core_nano_seconds - (before or 0)) / seconds))
    return {"cpu": f"{rate}n", "memory": f"{memory.working_set_bytes // 1024}Ki"}
