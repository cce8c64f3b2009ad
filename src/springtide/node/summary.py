"""The node's figures as the kubelet gives them: `/stats/summary` (JSON) and `/metrics/resource` (Prometheus).

Only what a process node knows is there: CPU time and working set of the machine, the pods and their
containers. Made by `agent.py` and `simulated.py`, served by `kubelet.py`. Source of the formats: the
kubelet's `stats/v1alpha1` API and its resource metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from springtide.node.usage import Used


@dataclass(frozen=True)
class ContainerFigures:
    """Of one running container."""

    name: str
    started_at: datetime
    used: Used


@dataclass(frozen=True)
class PodFigures:
    """Of one pod with running containers."""

    namespace: str
    name: str
    uid: str
    containers: Sequence[ContainerFigures]


@dataclass(frozen=True)
class NodeFigures:
    """Of one node at one moment."""

    name: str
    at: datetime
    used: Used
    pods: Sequence[PodFigures]


def summary(node: NodeFigures) -> dict[str, Any]:
    """The `Summary` object."""
    return {
        "node": {"nodeName": node.name, **_usage(node.used, node.at)},
        "pods": [
            {
                "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
                "startTime": _time(min(one.started_at for one in pod.containers)),
                "containers": [
                    {"name": one.name, "startTime": _time(one.started_at), **_usage(one.used, node.at)}
                    for one in pod.containers
                ],
                **_usage(total(one.used for one in pod.containers), node.at),
            }
            for pod in node.pods
        ],
    }


def _usage(used: Used, at: datetime) -> dict[str, Any]:
    rate = {} if used.cpu_cores is None else {"usageNanoCores": round(used.cpu_cores * 1e9)}
    return {
        "cpu": {"time": _time(at), "usageCoreNanoSeconds": round(used.cpu_seconds * 1e9), **rate},
        "memory": {"time": _time(at), "workingSetBytes": used.memory_bytes},
    }


def total(parts: Iterable[Used]) -> Used:
    """All together; the rate is known if all are."""
    listed = list(parts)
    rates = [one.cpu_cores for one in listed if one.cpu_cores is not None]
    return Used(
        sum(one.cpu_seconds for one in listed),
        sum(one.memory_bytes for one in listed),
        sum(rates) if len(rates) == len(listed) else None,
    )


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def exposition(node: NodeFigures) -> str:
    """Prometheus' text format."""
    cpu, memory = [("", node.used.cpu_seconds)], [("", float(node.used.memory_bytes))]
    lines = [
        *_family("node_cpu_usage_seconds_total", "counter", "CPU time of the node", cpu),
        *_family("node_memory_working_set_bytes", "gauge", "Working set of the node", memory),
    ]
    parts = [
        (f'{{container="{one.name}",namespace="{pod.namespace}",pod="{pod.name}"}}', one)
        for pod in node.pods
        for one in pod.containers
    ]
    cpu = [(labels, one.used.cpu_seconds) for labels, one in parts]
    memory = [(labels, float(one.used.memory_bytes)) for labels, one in parts]
    starts = [(labels, one.started_at.timestamp()) for labels, one in parts]
    lines += _family("container_cpu_usage_seconds_total", "counter", "CPU time of the container", cpu)
    lines += _family("container_memory_working_set_bytes", "gauge", "Working set of the container", memory)
    lines += _family("container_start_time_seconds", "gauge", "Start of the container, since 1970", starts)
    return "".join(f"{line}\n" for line in lines)


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value:.10g}"
