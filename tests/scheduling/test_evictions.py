"""How an attempt ends and when the workload comes back: Kueue's reasons, by table and by story."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.kueue import Workload, evictions_of
from springtide.api.meta import Condition, find_condition
from springtide.api.struct import replace
from springtide.scheduling.patience import Patience
from tests.builders import at, cluster_queue, local_queue, node, pod_set, pod_spec, with_condition, workload
from tests.scheduling.world import World

KEY = "default/w"


def world(patience: Patience | None = None) -> World:
    found = World(node(cpu=8), workload("w", pod_set(2, pod_spec(cpu=2))))
    found.options["patience"] = patience
    found.cycle()
    assert found.is_admitted(KEY)
    return found


def ready(found: World, status: str, reason: str) -> None:
    """What `workloads` says of the pods."""
    found.add(with_condition(found.workload(KEY), "PodsReady", status, reason=reason, since=found.clock))


def wait(found: World, seconds: float) -> Workload:
    """So much later, one cycle."""
    found.clock += seconds - 1
    found.cycle()
    return found.workload(KEY)


def evicted(obj: Workload) -> Condition:
    found = find_condition(obj.status.conditions, "Evicted")
    assert found is not None
    return found


def changed(found: World, **fields: Any) -> None:
    """Change the spec as a user does, which counts a generation."""
    old = found.workload(KEY)
    metadata = replace(old.metadata, generation=old.metadata.generation + 1)
    found.add(replace(old, metadata=metadata, spec=replace(old.spec, **fields)))


@pytest.mark.parametrize(
    ("cause", "reason", "waits"),
    [
        ("deactivated", "Deactivated", "Suspended"),
        ("cluster queue drained", "ClusterQueueStopped", "Suspended"),
        ("local queue drained", "LocalQueueStopped", "Suspended"),
    ],
)
def test_every_end_has_the_reason_of_upstream(cause: str, reason: str, waits: str) -> None:
    found = world()
    if cause == "deactivated":
        changed(found, active=False)
    elif cause == "cluster queue drained":
        found.add(cluster_queue(stop="HoldAndDrain"))
    else:
        found.add(local_queue(stop="HoldAndDrain"))
    after = wait(found, 10)
    assert after.status.admission is None
    assert (evicted(after).status, evicted(after).reason) == ("True", reason)
    assert found.condition(KEY).reason == waits
    assert evictions_of(after) == {(reason, ""): 1}
    assert not found.cycle().commands  # nothing more to say


@pytest.mark.parametrize("queue", [cluster_queue(stop="Hold"), local_queue(stop="Hold")])
def test_hold_lets_what_runs_run_on(queue: Any) -> None:
    found = world()
    found.add(queue)
    assert wait(found, 10).status.admission is not None


def test_a_queue_that_goes_on_takes_the_workload_again_and_says_the_eviction_is_over() -> None:
    found = world()
    found.add(cluster_queue(stop="HoldAndDrain"))
    wait(found, 10)
    found.add(cluster_queue())
    after = wait(found, 10)
    assert after.status.admission is not None
    assert (evicted(after).status, evicted(after).reason) == ("False", "QuotaReserved")
    assert evictions_of(after) == {("ClusterQueueStopped", ""): 1}


def test_pods_that_do_not_become_ready_give_their_place_back_and_try_again_later() -> None:
    found = world(Patience(timeout_seconds=300))
    ready(found, "False", "WaitForStart")
    assert wait(found, 298).status.admission is not None
    after = wait(found, 10)
    assert after.status.admission is None
    assert evicted(after).reason == "PodsReadyTimeout"
    assert evictions_of(after) == {("PodsReadyTimeout", "WaitForStart"): 1}
    requeued = find_condition(after.status.conditions, "Requeued")
    assert requeued is not None
    assert (requeued.status, requeued.reason) == ("False", "PodsReadyTimeout")
    state = after.status.requeue_state
    assert state is not None
    assert state.requeue_at == at(found.clock + 60)
    ready(found, "False", "NotAdmitted")
    decided = found.cycle()
    assert found.condition(KEY).reason == "WaitingForBackoff"
    assert decided.requeue_after_seconds == pytest.approx(59)
    again = wait(found, 60)
    assert again.status.admission is not None
    requeued = find_condition(again.status.conditions, "Requeued")
    assert requeued is not None
    assert (requeued.status, requeued.reason) == ("True", "BackoffFinished")


def test_the_scheduler_looks_again_when_the_time_is_over_although_nothing_has_changed() -> None:
    found = world(Patience(timeout_seconds=300))
    assert found.cycle().requeue_after_seconds == pytest.approx(299)
    ready(found, "True", "Started")
    assert found.cycle().requeue_after_seconds is None


def test_the_wait_doubles_up_to_its_maximum() -> None:
    patience = Patience(backoff_base_seconds=60, backoff_max_seconds=3600)
    assert [patience.backoff_seconds(n) for n in (1, 2, 3, 6, 7, 99)] == [60, 120, 240, 1920, 3600, 3600]


def test_a_pod_that_is_lost_may_take_the_recovery_timeout() -> None:
    found = world(Patience(timeout_seconds=1000, recovery_timeout_seconds=50))
    ready(found, "True", "Started")
    assert wait(found, 5000).status.admission is not None
    ready(found, "False", "WaitForRecovery")
    assert wait(found, 49).status.admission is not None
    after = wait(found, 10)
    assert after.status.admission is None
    assert evictions_of(after) == {("PodsReadyTimeout", "WaitForRecovery"): 1}


def test_no_recovery_timeout_at_all_when_it_is_zero() -> None:
    found = world(Patience(timeout_seconds=10, recovery_timeout_seconds=0))
    ready(found, "True", "Started")
    ready(found, "False", "WaitForRecovery")
    assert wait(found, 100_000).status.admission is not None


def test_too_many_timeouts_deactivate_until_somebody_changes_the_workload() -> None:
    patience = Patience(timeout_seconds=100, backoff_base_seconds=10, backoff_limit_count=2)
    found = world(patience)
    for _ in range(2):
        assert found.is_admitted(KEY)
        wait(found, 101)
        assert evicted(found.workload(KEY)).reason == "PodsReadyTimeout"
        wait(found, 30)
    after = wait(found, 101)
    assert evicted(after).reason == "DeactivatedDueToRequeuingLimitExceeded"
    assert found.condition(KEY).reason == "Deactivated"
    assert wait(found, 1_000_000).status.admission is None
    changed(found, active=False)
    wait(found, 1)
    assert found.condition(KEY).reason == "Suspended"
    changed(found, active=True)
    assert wait(found, 1).status.admission is not None  # and it has its tries again
    wait(found, 101)
    assert evicted(found.workload(KEY)).reason == "PodsReadyTimeout"


def test_while_one_backs_off_others_take_its_place() -> None:
    found = world(Patience(timeout_seconds=100))
    found.add(workload("v", pod_set(2, pod_spec(cpu=4)), created=5))
    wait(found, 101)
    assert not found.is_admitted(KEY)
    found.cycle()
    assert found.is_admitted("default/v")
