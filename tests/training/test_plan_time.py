"""The plan of a TrainJob under suspension and deadlines."""

from __future__ import annotations

from springtide.training.plan import plan
from tests.builders import at, train_job
from tests.training.world import World, made, running


def test_a_job_made_suspended_waits_inactive() -> None:
    world = World(train_job())
    world.spec(suspend=True)
    world.step()
    assert not world.is_active()
    assert world.states() == ["Suspended"]


def test_suspend_and_resume() -> None:
    world = running()
    world.spec(suspend=True)
    world.step(20)
    assert not world.is_active()
    assert world.states() == ["Suspended"]
    world.spec(suspend=False)
    world.tell("QuotaReserved", "False", reason="Suspended", message="")
    world.step(30)
    assert world.is_active()
    assert world.states() == ["(Suspended)", "Pending"]
    suspended = world.condition("Suspended")
    assert suspended is not None
    assert (suspended.reason, suspended.last_transition_time) == ("Resumed", at(30))


def test_a_deadline_counts_from_the_first_admission_not_from_creation() -> None:
    world = made(activeDeadlineSeconds=60)
    assert world.step(500).requeue_after_seconds is None, "waiting in the queue costs nothing"
    world.admit(since=500)
    world.pods("Running", "Running")
    world.step(500)
    assert plan(world.snapshot, at(510)).requeue_after_seconds == 50


def test_a_restart_does_not_move_the_deadline() -> None:
    world = running(activeDeadlineSeconds=60)
    world.admit(since=50, attempt=1)
    world.step(50)
    world.step(70)
    failed = world.condition("Failed")
    assert failed is not None
    assert failed.reason == "DeadlineExceeded"
    assert "spec.activeDeadlineSeconds is 60" in failed.message
    assert not world.is_active()


def test_suspension_stops_the_deadline_and_resuming_starts_it_anew() -> None:
    world = running(activeDeadlineSeconds=60)
    world.spec(suspend=True)
    world.step(40)
    world.tell("QuotaReserved", "False", reason="Suspended")
    world.tell("Admitted", "False", reason="NoReservation")
    assert world.step(400).requeue_after_seconds is None
    world.spec(suspend=False)
    world.step(400)
    world.admit(since=410)
    world.step(410)
    assert plan(world.snapshot, at(420)).requeue_after_seconds == 50
    assert world.condition("Failed") is None


def test_a_job_that_ends_in_time_is_not_failed_by_its_deadline() -> None:
    world = running(activeDeadlineSeconds=60)
    world.tell("Finished", reason="Succeeded")
    world.step(100)
    assert world.states() == ["Complete"]


def test_a_crash_between_the_two_writes_of_a_deadline_is_made_good() -> None:
    world = running(activeDeadlineSeconds=60)
    before = world.workload
    world.step(70)
    world.set_workload(before)
    world.step(71)
    assert not world.is_active()
