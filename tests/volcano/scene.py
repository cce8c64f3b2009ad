"""A platform with Volcano's Jobs on it, in virtual time; nodes are played by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from springtide import health, scheduling, volcano, workloads
from springtide.api.core import Pod
from springtide.api.events_v1 import Event
from springtide.api.kueue import Workload
from springtide.api.struct import decode
from springtide.api.volcano import PodGroup, Queue
from springtide.api.volcano_batch import Job
from springtide.runtime import Runtime
from tests.builders import cluster_queue, node
from tests.embedded import Platform, embedded


def _volcano(runtime: Runtime) -> None:
    volcano.register(runtime, volcano.Settings(scheduler_names=frozenset({"volcano", "springtide"})))


@asynccontextmanager
async def platform(*objects: Any, cpu: int = 8) -> AsyncIterator[Platform]:
    """One node, a ClusterQueue `default`, and all rooms that a Job needs."""
    rooms = _volcano, workloads.register, scheduling.register, health.register
    async with embedded(*rooms, without_groups=("trainer.kubeflow.org",)) as found:
        await found.create(node("n", cpu=cpu), cluster_queue(), *objects)
        yield found


def task(name: str, replicas: int = 1, *, cpu: int = 1, **more: Any) -> dict[str, Any]:
    """A task as a manifest has it."""
    container = {
        "name": name,
        "image": "busybox",
        "command": ["sh", "-c", "true"],
        "resources": {"requests": {"cpu": str(cpu)}},
    }
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"name": name, "replicas": replicas, "template": template, **more}


def job(name: str = "job", *tasks: dict[str, Any], about: dict[str, Any] | None = None, **spec: Any) -> Job:
    """A Job of Volcano; `about` is added to its metadata."""
    raw = {
        "metadata": {"name": name, "namespace": "default", **(about or {})},
        "spec": {"schedulerName": "volcano", "tasks": list(tasks) or [task("worker", 2)], **spec},
    }
    return decode(Job, raw)


def rule(action: str, event: str = "", **more: Any) -> dict[str, Any]:
    """A lifecycle policy."""
    return {"action": action, **({"event": event} if event else {}), **more}


async def the_job(found: Platform, name: str = "job") -> Job:
    return await found.get(Job, name)


async def phase(found: Platform, name: str = "job") -> str:
    return (await the_job(found, name)).status.state.phase


async def the_workload(found: Platform, name: str = "job") -> Workload:
    return await found.get(Workload, f"vcjob-{name}")


async def the_group(found: Platform) -> PodGroup:
    (group,) = (await found.client.list(PodGroup)).items
    return group


async def the_queue(found: Platform, name: str) -> Queue:
    return await found.client.get(Queue, name)


async def names(found: Platform) -> list[str]:
    return [pod.metadata.name for pod in await found.pods()]


async def uids(found: Platform) -> dict[str, str]:
    return {pod.metadata.name: pod.metadata.uid for pod in await found.pods()}


async def fail(found: Platform, name: str, code: int = 1) -> None:
    """A pod's container ends with a code."""
    ended = {"exitCode": code, "finishedAt": "2026-01-01T00:00:00Z", "reason": "Error"}
    container = {
        "name": name.split("-")[1],
        "image": "busybox",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
    }
    status = {
        "phase": "Failed",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{**container, "state": {"terminated": ended}}],
    }
    await found.client.patch(Pod, name, "default", {"status": status}, subresource="status")


async def let_go(found: Platform, rounds: int = 4) -> None:
    """Time passes; deleted pods end; new ones stay pending."""
    for _ in range(rounds):
        await found.settle(2)
        await found.end_deleted()
    await found.settle(2)


async def events(found: Platform, reason: str) -> list[str]:
    """What was said with a reason."""
    said = (await found.client.list(Event)).items
    return [one.note for one in said if one.reason == reason]
