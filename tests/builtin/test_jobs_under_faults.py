"""Jobs whose controller stops anywhere and whose answers get lost: each end counts, and runs, once.

The fault is a transport that, at seeded moments, loses a request before or after the server took it, and a
controller process that is stopped and started again.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from springtide.builtin.batch import register_batch
from springtide.client import Client, Unreachable
from springtide.client.transport import Request, Transport
from springtide.runtime import LoopClock, Runtime, RuntimeSettings
from springtide.server import InProcessTransport
from tests.builtin.batch_scene import JOBS, PATIENT, BatchScene, index_of, indexed, job
from tests.embedded import server_in_memory, working

Json = dict[str, Any]


class LossyTransport:
    """Loses writes, half of them after they happened."""

    def __init__(self, inner: Transport, rng: random.Random, share: float) -> None:
        self._inner, self._random, self.share = inner, rng, share

    async def send(self, request: Request) -> Any:
        lost = request.method != "GET" and self._random.random() < self.share
        if lost and self._random.random() < 0.5:
            raise Unreachable("the request was lost")
        answer = await self._inner.send(request)
        if lost:
            raise Unreachable("the answer was lost")
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def _run(seed: int, made: Json, *, failing: float) -> tuple[Json, list[Json]]:
    """Play a job to its end; returns its status and every pod there was."""
    rng, clock = random.Random(seed), LoopClock(seed=seed)
    async with server_in_memory(clock) as server:
        transport = InProcessTransport(server)
        lossy = LossyTransport(transport, rng, share=0.15)
        scene = BatchScene(Client(transport).with_manager("test"), clock)
        name = made["metadata"]["name"]
        pods: dict[str, Json] = {}
        await scene.ask("POST", JOBS, made)
        for _ in range(60):
            runtime = Runtime(Client(lossy), clock, RuntimeSettings(informer=PATIENT))
            register_batch(runtime)
            async with working(runtime):
                await asyncio.sleep(rng.choice([0.0, 0.001, 0.01, 0.5, 30.0]))
            _check_twins(await scene.active())
            for pod in await scene.active():
                if rng.random() < 0.7:
                    failed = rng.random() < failing
                    await scene.play(pod, "Failed" if failed else "Succeeded", int(failed))
            for pod in await scene.pods():
                pods[pod["metadata"]["uid"]] = pod
            if {"Complete", "Failed"} & (await scene.conditions(name)).keys():
                break
        status = (await scene.job(name)).get("status", {})
        return status, list(pods.values())


def _check_twins(active: list[Json]) -> None:
    """No index has two pods that run."""
    found = [
        index_of(pod) for pod in active if "batch.kubernetes.io/job-completion-index" in str(pod["metadata"])
    ]
    assert len(found) == len(set(found)), f"an index runs twice: {sorted(found)}"


@pytest.mark.parametrize("seed", range(3))
async def test_each_success_counts_once(seed: int) -> None:
    made = job("a", completions=7, parallelism=3, backoffLimit=100)
    status, pods = await _run(seed, made, failing=0.2)
    phases = [pod["status"]["phase"] for pod in pods]
    assert {one["type"] for one in status["conditions"]} == {"SuccessCriteriaMet", "Complete"}
    assert status["succeeded"] == phases.count("Succeeded") == 7
    assert status.get("failed", 0) == phases.count("Failed")
    assert status["uncountedTerminatedPods"] == {}


@pytest.mark.parametrize("seed", range(3))
async def test_each_index_succeeds_once(seed: int) -> None:
    made = indexed("a", completions=6, parallelism=4, backoffLimitPerIndex=50)
    status, pods = await _run(seed, made, failing=0.2)
    done = sorted(index_of(pod) for pod in pods if pod["status"]["phase"] == "Succeeded")
    assert done == list(range(6))
    assert status["completedIndexes"] == "0-5"
    assert status["succeeded"] == 6
    assert status.get("failed", 0) == sum(pod["status"]["phase"] == "Failed" for pod in pods)


@pytest.mark.parametrize("seed", range(2))
async def test_each_failure_counts_once_when_the_job_fails(seed: int) -> None:
    status, pods = await _run(seed, job("a", completions=9, parallelism=3, backoffLimit=2), failing=1.0)
    assert {one["type"] for one in status["conditions"]} == {"FailureTarget", "Failed"}
    assert status["failed"] == len(pods)
    assert "succeeded" not in status
