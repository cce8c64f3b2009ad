"""The health controller against the real server, in virtual time; the test plays the other rooms."""

from __future__ import annotations

import pytest

from springtide import health
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import owner_reference
from springtide.api.springtide import Diagnosis
from springtide.api.struct import encode, replace
from springtide.client import NotFound
from tests import builders
from tests.health import outputs
from tests.health.outputs import raw, stamped, torchrun
from tests.health.scene import failed, rank
from tests.training.control_plane import ControlPlane, condition_of, control_plane

LOGS = {
    "job-node-0-0-abcde": raw(stamped(torchrun(outputs.PEER_COMPLAINS, rank=0), 10.4)),
    "job-node-0-1-abcde": raw(stamped(torchrun(outputs.RAISED, rank=1), 10.2)),
}


async def running(plane: ControlPlane) -> Workload:
    """A gang of two that runs."""
    made = builders.workload("trainjob-job", builders.pod_set(2))
    made = replace(made, metadata=replace(made.metadata, uid="", owner_references=[]))
    workload = await plane.client.create(made)
    await plane.admit(workload, "n0", "n1")
    for index in (0, 1):
        await plane.put(owned(rank(index), workload))
    await plane.tell(workload, "PodsReady", reason="Started")
    await plane.settle()
    return workload


def owned(pod: Pod, workload: Workload) -> Pod:
    metadata = replace(pod.metadata, uid="", owner_references=[owner_reference(workload)])
    return replace(pod, metadata=metadata)


async def fail(plane: ControlPlane, index: int, code: int = 1) -> None:
    ended = failed(index, 10, code)
    await plane.status(ended, encode(ended)["status"])


async def test_an_exception_is_diagnosed_from_the_logs_within_seconds() -> None:
    async with control_plane(health.register, logs=LOGS) as plane:
        await running(plane)
        await fail(plane, 0)
        await fail(plane, 1)
        await plane.settle(0.5)
        found = await plane.client.get(Diagnosis, "trainjob-job-0", "default")
        assert found.spec.message == (
            "rank 1 (trainjob-job-node-0-1 on n1) exited with code 1: ValueError: bad shape at train.py:5"
        )
        assert found.spec.action == "fail_fast"


async def test_a_rank_that_hangs_on_does_not_hold_up_the_verdict() -> None:
    async with control_plane(health.register, logs=LOGS) as plane:
        await running(plane)
        await fail(plane, 1)
        await plane.settle(0.3)
        assert not (await plane.client.list(Diagnosis, "default")).items, "its peers get a moment"
        await plane.settle(1)
        assert (await plane.client.get(Diagnosis, "trainjob-job-0", "default")).spec.rank == 1


async def test_a_log_that_cannot_be_read_does_not_prevent_the_verdict() -> None:
    async with control_plane(health.register) as plane:
        await running(plane)
        await fail(plane, 1, code=7)
        await plane.settle(5)  # without a word of it, its peers and their nodes get longer to say why
        found = await plane.client.get(Diagnosis, "trainjob-job-0", "default")
        assert found.spec.message.endswith("exited with code 7")


async def test_a_deleted_pod_is_missed_and_the_workload_evicted_and_requeued() -> None:
    async with control_plane(health.register) as plane:
        workload = await running(plane)
        await plane.client.delete(Pod, "job-node-0-1-abcde", "default", grace_period_seconds=0)
        await plane.settle(2)
        evicted = condition_of(await plane.client.get(Workload, "trainjob-job", "default"), "Evicted")
        assert evicted is not None
        assert (evicted.status, evicted.reason) == ("True", "NodeFailures")
        await plane.tell(workload, "QuotaReserved", "False", reason="Pending")
        await plane.settle()
        over = condition_of(await plane.client.get(Workload, "trainjob-job", "default"), "Evicted")
        assert over is not None
        assert (over.status, over.reason) == ("False", "Requeued")
        before = await plane.revision()
        await plane.settle(60)
        assert await plane.revision() == before, "a controller at rest writes nothing"


async def test_a_node_that_goes_silent_takes_its_ranks_with_it() -> None:
    async with control_plane(health.register) as plane:
        await running(plane)
        silent = [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]
        await plane.status(builders.node("n1"), {"conditions": silent})
        await plane.settle(2)
        found = await plane.client.get(Diagnosis, "trainjob-job-0", "default")
        assert (found.spec.fault_class, found.spec.blame, found.spec.node) == ("NodeLost", "node", "n1")


async def test_a_healthy_gang_is_left_alone() -> None:
    async with control_plane(health.register) as plane:
        await running(plane)
        await plane.settle(300)
        with pytest.raises(NotFound):
            await plane.client.get(Diagnosis, "trainjob-job-0", "default")
