"""Hangs and slow ranks through the whole room: NodeHealths in; Diagnoses, evictions and lessons out."""

from __future__ import annotations

from dataclasses import replace as changed
from datetime import datetime

import pytest

from springtide import health
from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import NodeHealth, PodActivity
from springtide.api.springtide import Diagnosis, of_failures
from springtide.api.struct import encode, replace
from tests.builders import EPOCH
from tests.health.ganghealth import IN_BACKWARD, IN_READ, IN_SLEEP, Rank, activity
from tests.health.test_controller import running
from tests.training.control_plane import ControlPlane, condition_of, control_plane


def seconds(plane: ControlPlane) -> float:
    """Now, as ranks count."""
    return (plane.clock.now() - EPOCH).total_seconds()


async def seen(plane: ControlPlane, *ranks: Rank) -> None:
    """The nodes write how the ranks are at this moment."""
    pods = sorted((await plane.client.list(Pod, "default")).items, key=lambda pod: pod.metadata.name)
    for index, (one, pod) in enumerate(zip(ranks, pods, strict=True)):
        made = _of(activity(one, index, plane.clock.now()), pod)
        meta = ObjectMeta(name=f"n{index}")
        await plane.put(NodeHealth(metadata=meta))
        await plane.status(NodeHealth(metadata=meta), {"pods": [encode(made)]})
    await plane.settle(0.2)


def _of(made: PodActivity, pod: Pod) -> PodActivity:
    return replace(made, name=pod.key, uid=pod.metadata.uid)


async def diagnoses(plane: ControlPlane) -> list[Diagnosis]:
    return list((await plane.client.list(Diagnosis, "default")).items)


async def workload_now(plane: ControlPlane) -> Workload:
    return await plane.client.get(Workload, "trainjob-job", "default")


def quiet_from(moment: float, **more: object) -> Rank:
    return changed(Rank(quiet_from=moment, sampled=moment + 3), **more)  # type: ignore[arg-type]


async def test_a_stopped_rank_is_named_and_its_workload_starts_again() -> None:
    async with control_plane(health.register) as plane:
        await running(plane)
        began = seconds(plane)
        stopped = quiet_from(began, state="T", frames=IN_READ)
        for _ in range(4):
            await plane.settle(2)
            await seen(plane, quiet_from(began, frames=IN_BACKWARD), stopped)
        assert await diagnoses(plane) == [], "not within eight seconds"
        await plane.settle(6)
        (found,) = await diagnoses(plane)
        assert (found.spec.fault_class, found.spec.action) == ("Hang", "restart_in_place")
        assert (found.spec.global_rank, found.spec.node, found.spec.stack) == (1, "n1", list(IN_READ))
        assert found.spec.detected_at is not None
        assert found.spec.happened_at is not None
        assert (found.spec.detected_at - found.spec.happened_at).total_seconds() < 15
        evicted = condition_of(await workload_now(plane), "Evicted")
        assert evicted is not None
        assert evicted.status == "True"


async def test_an_evaluation_that_sleeps_raises_no_alarm_and_teaches() -> None:
    async with control_plane(health.register) as plane:
        await running(plane)
        began = seconds(plane)
        await seen(plane, Rank(quiet_from=began), Rank(quiet_from=began))
        sleeping = quiet_from(began, frames=IN_SLEEP)
        for _ in range(9):
            await plane.settle(5)
            await seen(plane, sleeping, sleeping)
        woken = Rank(quiet_from=seconds(plane))
        await seen(plane, woken, woken)
        assert await diagnoses(plane) == []
        learned = float((await workload_now(plane)).metadata.annotations[labels.QUIET_SECONDS])
        assert learned == pytest.approx(46, abs=3)


async def test_without_news_of_the_nodes_nothing_is_said() -> None:
    async with control_plane(health.register) as plane:
        await running(plane)
        began = seconds(plane)
        await plane.settle(2)
        await seen(plane, quiet_from(began), quiet_from(began, state="T", frames=IN_READ))
        before = await plane.revision()
        await plane.settle(7)
        assert await diagnoses(plane) == []
        assert await plane.revision() == before, "looking writes nothing"


def steps(moment: datetime, number: int, busy: float, best: float) -> Rank:
    now = (moment - EPOCH).total_seconds()
    return Rank(
        quiet_from=now,
        step=number,
        busy_seconds=busy,
        best_seconds=best,
        step_seconds=max(busy, 0.9),
        best_step_seconds=best,
        collective=1,
    )


async def test_a_slow_rank_is_written_down_once_and_its_attempt_goes_on() -> None:
    async with control_plane(health.register) as plane:
        await running(plane)
        for number in range(100, 130, 3):
            now = plane.clock.now()
            await seen(plane, steps(now, number, 0.3, 0.3), steps(now, number, 0.9, 0.3))
            await plane.settle(3)
        (found,) = await diagnoses(plane)
        assert (found.spec.fault_class, found.spec.global_rank, found.spec.action) == (
            "Straggler",
            1,
            "ignore",
        )
        assert of_failures([found]) == []
        evicted = condition_of(await workload_now(plane), "Evicted")
        assert evicted is None or evicted.status != "True"
        history = (await plane.client.get(NodeHealth, "n1")).status.history
        assert [(one.fault, one.workload) for one in history] == [("Straggler", "default/trainjob-job")]
        began = seconds(plane)
        await plane.settle(1)
        for _ in range(3):
            await plane.settle(6)
            await seen(
                plane, quiet_from(began, frames=IN_BACKWARD), quiet_from(began, state="T", frames=IN_READ)
            )
        assert [one.spec.fault_class for one in of_failures(await diagnoses(plane))] == ["Hang"]


async def test_stacks_are_asked_for_where_ranks_spin_in_silence() -> None:
    async with control_plane(health.register) as plane:
        await running(plane)
        began = seconds(plane)
        for _ in range(4):
            await plane.settle(6)
            spinning = Rank(quiet_from=began, busy=seconds(plane))
            await seen(plane, spinning, spinning)
        asked = [
            pod.metadata.annotations.get(labels.SAMPLE_STACKS, "")
            for pod in (await plane.client.list(Pod, "default")).items
        ]
        assert all(datetime.fromisoformat(one) <= plane.clock.now() for one in asked)
