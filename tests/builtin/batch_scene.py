"""Jobs on the embedded server in virtual time; the test plays the nodes.

async with batch_scene() as scene:
    await scene.create(job("a", completions=2))
    await scene.end("Succeeded", "a-")
    assert (await scene.job("a"))["status"]["succeeded"] == 1
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from springtide.builtin.batch import register_batch
from springtide.client import Client, NotFound
from springtide.runtime import LoopClock, Runtime, RuntimeSettings
from springtide.runtime.clock import EPOCH
from springtide.runtime.informer import InformerSettings
from springtide.server import InProcessTransport
from tests.embedded import ask, server_in_memory, working

Json = dict[str, Any]

JOBS = "/apis/batch/v1/namespaces/default/jobs"
CRON_JOBS = "/apis/batch/v1/namespaces/default/cronjobs"
PODS = "/api/v1/namespaces/default/pods"
TRACKING = "batch.kubernetes.io/job-tracking"


PATIENT = InformerSettings(watch_seconds=(10**7, 10**7), relist_seconds=float("inf"))
"""Watches that last for months of virtual time: opening them anew costs real time."""


@dataclass
class BatchScene:
    """What a test does, and asks."""

    client: Client
    clock: LoopClock

    async def create(self, obj: Json, *, wait: float = 1.0) -> Json:
        """Create a Job or CronJob and let the controllers work."""
        path = {"Job": JOBS, "CronJob": CRON_JOBS, "Pod": PODS}[obj["kind"]]
        made = await self.ask("POST", path, obj)
        await asyncio.sleep(wait)
        return made

    async def job(self, name: str) -> Json:
        return await self.ask("GET", f"{JOBS}/{name}")

    async def status(self, name: str) -> Json:
        status: Json = (await self.job(name)).get("status", {})
        return status

    async def conditions(self, name: str) -> dict[str, tuple[str, str]]:
        """By type: status and reason."""
        found = (await self.status(name)).get("conditions", [])
        return {one["type"]: (one["status"], one["reason"]) for one in found}

    async def jobs(self) -> list[Json]:
        items: list[Json] = (await self.ask("GET", JOBS))["items"]
        return sorted(items, key=lambda one: one["metadata"]["name"])

    async def pods(self, phase: str = "") -> list[Json]:
        """All pods, or those of one phase, by name."""
        items: list[Json] = (await self.ask("GET", PODS))["items"]
        chosen = [one for one in items if not phase or one["status"]["phase"] == phase]
        return sorted(chosen, key=lambda one: one["metadata"]["name"])

    async def active(self) -> list[Json]:
        """Pods that have neither ended nor been asked to."""
        return [
            one
            for one in await self.pods()
            if one["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in one["metadata"]
        ]

    async def bind(self) -> None:
        """Give every pod a node, so that deleting it takes the node's consent."""
        for pod in await self.active():
            if "nodeName" not in pod["spec"]:
                target = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "n"}}
                await self.ask("POST", f"{PODS}/{pod['metadata']['name']}/binding", target)

    async def play(self, pod: Json, phase: str, exit_code: int | None = None, **status: Any) -> None:
        """Put one pod into a phase, as its node would."""
        now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"terminated": {"exitCode": exit_code, "finishedAt": now, "reason": "x", "startedAt": now}}
        ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
        written: Json = {"phase": phase, "conditions": [{**ready, "lastTransitionTime": now}], **status}
        if exit_code is not None:
            written["containerStatuses"] = [{"name": "main", "state": ended}]
        path = f"{PODS}/{pod['metadata']['name']}/status"
        await self.ask("PATCH", path, {"status": written}, "application/merge-patch+json")

    async def end(
        self, phase: str, *prefixes: str, exit_code: int | None = None, wait: float = 1.0, **status: Any
    ) -> None:
        """End all active pods whose names begin so."""
        for pod in await self.active():
            if pod["metadata"]["name"].startswith(prefixes or ("",)):
                await self.play(pod, phase, exit_code, **status)
        await asyncio.sleep(wait)

    async def end_deleted(self, phase: str = "", wait: float = 1.0) -> None:
        """Let pods go whose deletion was asked for, as a node does once their processes are gone."""
        for pod in await self.pods():
            if "deletionTimestamp" in pod["metadata"]:
                if phase:
                    await self.play(pod, phase)
                await self.delete(f"{PODS}/{pod['metadata']['name']}", gracePeriodSeconds=0)
        await asyncio.sleep(wait)

    async def patch(self, path: str, body: Json, *, wait: float = 1.0) -> Json:
        changed = await self.ask("PATCH", path, body, "application/merge-patch+json")
        await asyncio.sleep(wait)
        return changed

    async def delete(self, path: str, **options: Any) -> None:
        body = {"kind": "DeleteOptions", "propagationPolicy": "Background", **options}
        try:
            await self.ask("DELETE", path, body)
        except NotFound:
            return

    async def events(self, kind: str = "Job") -> list[tuple[str, str]]:
        """Reason and message of all events about objects of a kind, in the order of their writing."""
        items: list[Json] = (await self.ask("GET", "/api/v1/namespaces/default/events"))["items"]
        items.sort(key=lambda one: int(one["metadata"]["resourceVersion"]))
        return [(one["reason"], one["message"]) for one in items if one["involvedObject"]["kind"] == kind]

    async def ask(
        self, method: str, path: str, body: Json | None = None, kind: str = "application/json"
    ) -> Json:
        return await ask(self.client, method, path, body, kind)


@asynccontextmanager
async def batch_scene(*, controllers: bool = True, epoch: datetime = EPOCH) -> AsyncIterator[BatchScene]:
    """A server with the batch controllers on it; its time begins at `epoch`."""
    clock = LoopClock(epoch)
    async with server_in_memory(clock) as server:
        client = Client(InProcessTransport(server))
        async with running(client, clock) if controllers else nullcontext():
            await asyncio.sleep(0.5 if controllers else 0)
            yield BatchScene(client.with_manager("test"), clock)


@asynccontextmanager
async def running(client: Client, clock: LoopClock) -> AsyncIterator[Runtime]:
    """The batch controllers, as a process that can be stopped and started again."""
    runtime = Runtime(client, clock, RuntimeSettings(informer=PATIENT))
    register_batch(runtime)
    async with working(runtime):
        yield runtime


def template(restart: str = "Never", **more: Any) -> Json:
    """A pod template of one container `main`."""
    spec = {"restartPolicy": restart, "containers": [{"name": "main", "image": "x"}], **more}
    return {"spec": spec}


def job(name: str, *, restart: str = "Never", metadata: Json | None = None, **spec: Any) -> Json:
    """A job of one pod, unless the spec says otherwise."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", **(metadata or {})},
        "spec": {"template": template(restart), **spec},
    }


def indexed(name: str, completions: int, parallelism: int | None = None, **spec: Any) -> Json:
    """An indexed job whose pods all run at once, unless said otherwise."""
    width = completions if parallelism is None else parallelism
    return job(name, completionMode="Indexed", completions=completions, parallelism=width, **spec)


def index_of(pod: Json) -> int:
    return int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])


def indexes(pods: Sequence[Json]) -> list[int]:
    return sorted(map(index_of, pods))
