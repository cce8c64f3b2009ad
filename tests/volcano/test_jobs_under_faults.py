"""Jobs of Volcano while every process stops anywhere and answers get lost: one retry for one failure."""

from __future__ import annotations

import asyncio
import random

import pytest

from springtide import health, scheduling, volcano, workloads
from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Pod
from springtide.api.crds import bundled
from springtide.api.struct import encode
from springtide.api.volcano_batch import Job
from springtide.client import Client
from springtide.runtime import LoopClock, Runtime
from springtide.server import InProcessTransport
from tests.builders import cluster_queue, node
from tests.builtin.test_jobs_under_faults import LossyTransport
from tests.embedded import Platform, in_memory, server_in_memory, working
from tests.volcano.scene import fail, job, rule, task, the_job, uids


def _rooms(client: Client, clock: LoopClock) -> Runtime:
    """All rooms anew, as after a crash: they know nothing but what the server tells."""
    runtime = Runtime(client, clock)
    names = frozenset({"volcano"})
    volcano.register(runtime, volcano.Settings(scheduler_names=names))
    for register in (workloads.register, scheduling.register, health.register):
        register(runtime)
    return runtime


@pytest.mark.parametrize(("seed", "action"), [(1, "RestartJob"), (2, "RestartPod")])
async def test_a_failure_is_answered_once_and_all_pods_run_again(seed: int, action: str) -> None:
    rng, clock = random.Random(seed), LoopClock(seed=seed)
    store = in_memory(clock)
    async with server_in_memory(clock, store=store) as server:
        transport = InProcessTransport(server)
        calm = Client(transport)
        for crd in bundled():
            if crd.spec.group == "trainer.kubeflow.org":
                continue
            fields = encode(crd)
            fields.pop("status", None)
            await calm.apply(CustomResourceDefinition, crd.metadata.name, "", fields)
        lossy = LossyTransport(transport, rng, share=0.2)
        found = Platform(calm, Runtime(calm, clock), store)
        await found.create(node("n", cpu=4), cluster_queue())
        await found.create(job("job", task("worker", 3), policies=[rule(action, "PodFailed")], maxRetry=9))

        async def live(rounds: int) -> None:
            for _ in range(rounds):
                async with working(_rooms(Client(lossy), clock)):
                    await asyncio.sleep(rng.choice([0.01, 0.3, 2.0, 5.0]))
                await found.end_deleted()

        await live(20)
        await found.play("Running")
        await live(4)
        before = await uids(found)
        assert sorted(before) == ["job-worker-0", "job-worker-1", "job-worker-2"]
        await fail(found, "job-worker-1")
        await live(20)
        lossy.share = 0.0
        await live(8)
        await found.play("Running")
        await live(4)
        after, made = await uids(found), await the_job(found)
        await found.play("Succeeded")
        await live(4)
        ended = await found.get(Job, "job")
        pods = (await calm.list(Pod)).items
    assert after.keys() == before.keys()
    anew = {name for name in after if after[name] != before[name]}
    assert anew == ({"job-worker-1"} if action == "RestartPod" else after.keys())
    assert made.status.state.phase == "Running"
    assert made.status.retry_count == 1
    assert ended.status.state.phase == "Completed"
    assert len(pods) == 3
