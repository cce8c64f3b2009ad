"""CronJobs make jobs when their time comes, in their zone, once a time, over months of virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api import cron
from springtide.builtin.cron_plan import MANY_MISSED, most_recent
from springtide.runtime.clock import EPOCH
from springtide.server import watch
from tests.builtin.batch_scene import (
    CRON_JOBS,
    JOBS,
    BatchScene,
    batch_scene,
    job,
    running,
    template,
)

Json = dict[str, Any]
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


@pytest.fixture(autouse=True)
def without_bookmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bookmark every half minute of every month would be all that these tests do; so would new watches."""
    monkeypatch.setattr(watch, "BOOKMARK_SECONDS", 1e9)
    monkeypatch.setattr(watch, "_LONGEST_SECONDS", 10**9)


def cron_job(name: str, schedule: str, **spec: Any) -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "schedule": schedule,
            "jobTemplate": {"metadata": {"labels": {"app": name}}, "spec": {"template": template()}},
            **spec,
        },
    }


async def _status(scene: BatchScene, name: str) -> Json:
    status: Json = (await scene.ask("GET", f"{CRON_JOBS}/{name}"))["status"]
    return status


async def _names(scene: BatchScene) -> list[str]:
    return [one["metadata"]["name"] for one in await scene.jobs()]


def _minutes(moment: datetime) -> int:
    return int(moment.timestamp()) // 60


async def test_a_job_is_made_when_its_time_comes_and_remembered() -> None:
    async with batch_scene() as scene:
        made = await scene.create(cron_job("c", "*/10 * * * *"))
        await asyncio.sleep(590)
        assert await scene.jobs() == []
        await asyncio.sleep(15)
        due = EPOCH + timedelta(minutes=10)
        (found,) = await scene.jobs()
        assert found["metadata"]["name"] == f"c-{_minutes(due)}"
        assert found["metadata"]["labels"] == {"app": "c"}
        assert found["metadata"]["annotations"] == {SCHEDULED: "2026-01-01T00:10:00Z"}
        (owner,) = found["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == (
            "CronJob",
            made["metadata"]["uid"],
            True,
        )
        status = await _status(scene, "c")
        assert [one["name"] for one in status["active"]] == [found["metadata"]["name"]]
        assert status["lastScheduleTime"] == "2026-01-01T00:10:00Z"
        await scene.end("Succeeded")
        status = await _status(scene, "c")
        assert "active" not in status
        assert status["lastSuccessfulTime"]
        events = await scene.events("CronJob")
        assert [reason for reason, _ in events] == ["SuccessfulCreate", "SawCompletedJob"]


async def test_only_so_many_finished_jobs_are_kept() -> None:
    async with batch_scene() as scene:
        spec = {"successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 1}
        await scene.create(cron_job("c", "* * * * *", **spec))
        await scene.patch(f"{CRON_JOBS}/c", {"spec": {"jobTemplate": {"spec": {"backoffLimit": 0}}}})
        for minute in range(1, 8):
            await asyncio.sleep(60)
            await scene.end("Failed" if minute % 2 else "Succeeded", exit_code=minute % 2)
        kept = [
            (name, {kind for kind in ("Complete", "Failed") if kind in await scene.conditions(name)})
            for name in await _names(scene)
        ]
        minutes = [int(name.partition("-")[2]) - _minutes(EPOCH) for name, _ in kept]
        assert list(zip(minutes, (kind for _, kind in kept), strict=True)) == [
            (4, {"Complete"}),
            (6, {"Complete"}),
            (7, {"Failed"}),
        ]


@pytest.mark.parametrize(
    ("policy", "running_jobs", "made"),
    [("Allow", 3, 3), ("Forbid", 1, 1), ("Replace", 1, 3)],
)
async def test_what_happens_while_the_last_job_still_runs(policy: str, running_jobs: int, made: int) -> None:
    async with batch_scene() as scene:
        await scene.create(cron_job("c", "* * * * *", concurrencyPolicy=policy))
        await asyncio.sleep(185)
        assert len(await scene.jobs()) == running_jobs
        assert len((await _status(scene, "c"))["active"]) == running_jobs
        events = [reason for reason, _ in await scene.events("CronJob")]
        assert events.count("SuccessfulCreate") == made
        assert ("JobAlreadyActive" in events) == (policy == "Forbid")
        assert events.count("SuccessfulDelete") == (made - 1 if policy == "Replace" else 0)


async def test_what_was_forbidden_is_made_up_for_when_the_last_job_ends() -> None:
    async with batch_scene() as scene:
        await scene.create(cron_job("c", "0 * * * *", concurrencyPolicy="Forbid"))
        await asyncio.sleep(2 * 3600 + 10)
        assert len(await scene.jobs()) == 1
        await scene.end("Succeeded")
        assert [int(name.partition("-")[2]) - _minutes(EPOCH) for name in await _names(scene)] == [60, 120]


async def test_a_suspended_one_makes_nothing_and_starts_only_the_newest_afterwards() -> None:
    async with batch_scene() as scene:
        await scene.create(cron_job("c", "0 * * * *", suspend=True))
        await asyncio.sleep(5 * 3600 + 60)
        assert await scene.jobs() == []
        await scene.patch(f"{CRON_JOBS}/c", {"spec": {"suspend": False}})
        assert [int(name.partition("-")[2]) - _minutes(EPOCH) for name in await _names(scene)] == [300]


async def test_too_late_is_too_late() -> None:
    async with batch_scene() as scene:
        await scene.create(cron_job("c", "0 * * * *", suspend=True, startingDeadlineSeconds=30))
        await asyncio.sleep(3600 + 60)
        await scene.patch(f"{CRON_JOBS}/c", {"spec": {"suspend": False}})
        assert await scene.jobs() == []
        assert "MissSchedule" in dict(await scene.events("CronJob"))
        await asyncio.sleep(3600)
        assert len(await scene.jobs()) == 1


async def test_many_missed_times_are_told_and_the_newest_is_made_up_for() -> None:
    async with batch_scene() as scene:
        await scene.create(cron_job("c", "* * * * *", suspend=True))
        await asyncio.sleep(60 * (MANY_MISSED + 5))
        await scene.patch(f"{CRON_JOBS}/c", {"spec": {"suspend": False}})
        assert len(await scene.jobs()) == 1
        assert "TooManyMissedTimes" in dict(await scene.events("CronJob"))


async def test_a_stop_between_making_a_job_and_writing_it_down_does_no_harm() -> None:
    async with batch_scene(controllers=False) as scene:
        await scene.ask("POST", CRON_JOBS, cron_job("c", "*/10 * * * *"))
        async with running(scene.client, scene.clock):
            await asyncio.sleep(605)
        body = {"status": {"active": None, "lastScheduleTime": None}}
        await scene.ask("PATCH", f"{CRON_JOBS}/c/status", body, "application/merge-patch+json")
        async with running(scene.client, scene.clock):
            await asyncio.sleep(5)
            assert len(await scene.jobs()) == 1
            status = await _status(scene, "c")
            assert len(status["active"]) == 1
            assert status["lastScheduleTime"] == "2026-01-01T00:10:00Z"


async def test_jobs_made_by_hand_are_seen_and_not_taken_in() -> None:
    async with batch_scene() as scene:
        owner = await scene.create(cron_job("c", "0 0 1 6 *"))
        reference = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": "c",
            "uid": owner["metadata"]["uid"],
            "controller": True,
        }
        manual = {"annotations": {"cronjob.kubernetes.io/instantiate": "manual"}}
        await scene.create(job("by-hand", metadata={**manual, "ownerReferences": [reference]}))
        assert "active" not in await _status(scene, "c")
        assert "UnexpectedJob" in dict(await scene.events("CronJob"))
        await scene.end("Succeeded")
        assert (await _status(scene, "c"))["lastSuccessfulTime"]


async def test_a_job_that_went_missing_no_longer_counts_as_active() -> None:
    async with batch_scene() as scene:
        await scene.create(cron_job("c", "0 * * * *", concurrencyPolicy="Forbid"))
        await asyncio.sleep(3605)
        (name,) = await _names(scene)
        await scene.delete(f"{JOBS}/{name}")
        await asyncio.sleep(2)
        assert "active" not in await _status(scene, "c")
        assert "MissingJob" in dict(await scene.events("CronJob"))


@pytest.mark.parametrize(
    ("start", "change", "times_that_night"),
    [(EPOCH, "03-29", 0), (datetime(2026, 6, 1, tzinfo=UTC), "10-25", 2)],
)
async def test_half_a_year_in_a_zone_whose_clocks_change(
    start: datetime, change: str, times_that_night: int
) -> None:
    zone, weeks = ZoneInfo("Europe/Berlin"), 26
    async with batch_scene(epoch=start) as scene:
        keep = {"successfulJobsHistoryLimit": 100}
        await scene.create(cron_job("c", "30 2 * * sun", timeZone="Europe/Berlin", **keep))
        for _ in range(weeks):
            await asyncio.sleep(7 * 24 * 3600)
            await scene.end("Succeeded")
        written = [one["metadata"]["annotations"][SCHEDULED] for one in await scene.jobs()]
    times = [datetime.fromisoformat(one) for one in written]
    assert all((one.astimezone(zone).hour, one.astimezone(zone).minute) == (2, 30) for one in times)
    assert [one.astimezone(zone).strftime("%m-%d") for one in times].count(change) == times_that_night
    assert len(times) == weeks - 1 + times_that_night
    assert {one.utcoffset() for one in times} == {timedelta(hours=1), timedelta(hours=2)}


@pytest.mark.parametrize("schedule", ["*/7 * * * *", "@hourly", "15 3 * * *", "@every 90m"])
async def test_no_time_is_missed_and_none_comes_twice(schedule: str) -> None:
    async with batch_scene() as scene:
        made = await scene.create(cron_job("c", schedule, successfulJobsHistoryLimit=1000))
        end = scene.clock.now() + timedelta(hours=10 if schedule.startswith("*/7") else 40)
        while scene.clock.now() < end:
            await asyncio.sleep(613)
            await scene.end("Succeeded", wait=0.1)
        created = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
        expected: list[datetime] = []
        following = cron.parse(schedule).next(created)
        while following is not None and following <= scene.clock.now() - timedelta(seconds=1):
            expected.append(following)
            following = cron.parse(schedule).next(following)
        times = [
            datetime.fromisoformat(one["metadata"]["annotations"][SCHEDULED]) for one in await scene.jobs()
        ]
        assert sorted(times) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["* * * * *", "*/13 * * * *", "0 9-17 * * mon-fri", "30 4 1,15 * *", "0 0 1 1 *"]),
    st.integers(0, 400 * 24 * 60),
    st.integers(0, 60 * 24 * 60),
)
def test_the_newest_missed_time_is_the_newest(schedule: str, start: int, length: int) -> None:
    earliest = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    now = earliest + timedelta(minutes=length, seconds=17)
    parsed = cron.parse(schedule)
    assert isinstance(parsed, cron.Calendar)
    slow = next(
        (
            now.replace(second=0) - timedelta(minutes=back)
            for back in range(length)
            if parsed.matches(now.replace(second=0) - timedelta(minutes=back))
        ),
        None,
    )
    newest, missed = most_recent(parsed, earliest, None, now)
    assert newest == slow
    assert bool(missed) == (newest is not None)
