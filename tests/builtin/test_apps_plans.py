"""The decisions of the apps controllers, as tables: what follows from which state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from springtide.api.apps import (
    ControllerRevision,
    DaemonSet,
    Deployment,
    DeploymentCondition,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdateDeployment,
)
from springtide.api.core import ContainerStatus, Pod, PodStatus
from springtide.api.meta import LabelSelector, ObjectMeta
from springtide.api.pods import PodSpec, PodTemplateSpec
from springtide.api.podstatus import PodCondition
from springtide.api.struct import replace
from springtide.builtin.daemonset_nodes import new_pod as daemon_pod
from springtide.builtin.daemonset_nodes import node_of
from springtide.builtin.deployment_plan import DeploymentPlan, plan
from springtide.builtin.deployment_sets import (
    REVISION,
    new_set,
    resized,
    same_template,
    scale_notes,
    size,
    template_hash,
)
from springtide.builtin.deployment_status import Seen, look_again, status_of
from springtide.builtin.pod_names import PodNames
from springtide.builtin.replicaset_plan import DELETION_COST, by_deletion, deletion_cost
from springtide.builtin.revisions import history, superfluous
from springtide.builtin.rollout_amounts import max_surge, max_unavailable, resolve

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(
    name: str, *, ready_for: float | None = None, phase: str = "Running", node: str = "n", **more: Any
) -> Pod:
    conditions = []
    if ready_for is not None:
        since = NOW - timedelta(seconds=ready_for)
        conditions = [PodCondition(type="Ready", status="True", last_transition_time=since)]
    restarts = [ContainerStatus(name="c", restart_count=more.pop("restarts", 0), image="", image_id="")]
    age = timedelta(seconds=more.pop("age", 100))
    metadata = ObjectMeta(
        name=name, uid=name, creation_timestamp=NOW - age, annotations=more.pop("notes", {})
    )
    status = PodStatus(phase=phase, conditions=conditions, container_statuses=restarts)
    return Pod(metadata=metadata, spec=PodSpec(node_name=node), status=status)


def template(tag: str = "1") -> PodTemplateSpec:
    return PodTemplateSpec(metadata=ObjectMeta(labels={"app": "a"}), spec=PodSpec(priority_class_name=tag))


def deployment(
    replicas: int = 4, surge: int | str = 1, unavailable: int | str = 1, **spec: Any
) -> Deployment:
    limits = RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable)
    return Deployment(
        metadata=ObjectMeta(name="web", namespace="default", uid="d", generation=2),
        spec=DeploymentSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels={"app": "a"}),
            template=spec.pop("template", template("2")),
            strategy=DeploymentStrategy(type=spec.pop("type", "RollingUpdate"), rolling_update=limits),
            progress_deadline_seconds=spec.pop("deadline", 600),
            revision_history_limit=spec.pop("history", 10),
            **spec,
        ),
    )


def replica_set(
    owner: Deployment,
    tag: str,
    replicas: int,
    available: int | None = None,
    *,
    there: int | None = None,
    day: int = 1,
) -> ReplicaSet:
    there = replicas if there is None else there
    notes = {**scale_notes(owner), REVISION: str(day)}
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"web-{tag}",
            namespace="default",
            uid=tag,
            annotations=notes,
            creation_timestamp=NOW + timedelta(days=day),
        ),
        spec=ReplicaSetSpec(replicas=replicas, template=template(tag)),
        status=ReplicaSetStatus(replicas=there, available_replicas=there if available is None else available),
    )


def sizes(decided: DeploymentPlan) -> dict[str, int]:
    return {change.after.metadata.name: size(change.after) for change in decided.changes}


@pytest.mark.parametrize(
    ("value", "total", "up", "expected"),
    [(3, 10, True, 3), ("25%", 10, True, 3), ("25%", 10, False, 2), ("0%", 10, True, 0), (None, 10, True, 7)],
)
def test_counts_and_percentages(value: Any, total: int, up: bool, expected: int) -> None:
    assert resolve(value, total, round_up=up, default=7) == expected


def test_a_rollout_that_may_neither_add_nor_miss_a_pod_may_miss_one() -> None:
    owner = deployment(3, surge="1%", unavailable="1%")
    assert (max_surge(owner), max_unavailable(owner)) == (1, 0)
    owner = deployment(3, surge=0, unavailable="1%")
    assert (max_surge(owner), max_unavailable(owner)) == (0, 1)


def test_the_first_set_is_made_whole() -> None:
    owner = deployment(3)
    decided = plan(owner, [], old_pods_run=False)
    assert decided.create is not None
    assert size(decided.create) == 3
    assert decided.create.metadata.annotations[REVISION] == "1"
    assert decided.rolls


def test_the_new_set_starts_with_the_surge_and_names_its_revision() -> None:
    owner = deployment(4)
    decided = plan(owner, [replica_set(owner, "1", 4, day=7)], old_pods_run=False)
    assert decided.create is not None
    assert size(decided.create) == 1
    assert decided.create.metadata.annotations[REVISION] == "8"


@pytest.mark.parametrize(
    ("what", "old", "new", "expected"),
    [
        ("nothing is spared while new pods are not available", (3, 3), (2, 0), {}),
        ("an old pod goes for each new one that is available", (4, 4), (1, 1), {"web-1": 2}),
        ("unhealthy old pods go first", (4, 2), (1, 1), {"web-1": 2}),
        ("the new one grows into the room", (2, 2), (2, 2), {"web-2": 3}),
        ("pods an old set still has take room", (2, 3, 3), (2, 2), {"web-1": 1}),
    ],
)
def test_a_rolling_update_step_by_step(
    what: str, old: tuple[int, ...], new: tuple[int, int], expected: dict[str, int]
) -> None:
    owner = deployment(4)
    there = old[2] if len(old) > 2 else None
    before = replica_set(owner, "1", old[0], old[1], there=there, day=1)
    after = replica_set(owner, "2", *new, day=2)
    assert sizes(plan(owner, [before, after], old_pods_run=True)) == expected, what


def test_a_set_that_has_not_heard_of_its_size_holds_up_the_new_one() -> None:
    owner = deployment(4, unavailable=0)
    before, new = replica_set(owner, "1", 2, day=1), replica_set(owner, "2", 2, day=2)
    assert sizes(plan(owner, [before, new], old_pods_run=True)) == {"web-2": 3}
    before = replace(before, metadata=replace(before.metadata, generation=3))
    assert sizes(plan(owner, [before, new], old_pods_run=True)) == {}


def test_recreate_waits_for_the_last_old_pod() -> None:
    owner = deployment(3, type="Recreate")
    old = replica_set(owner, "1", 3, day=1)
    assert sizes(plan(owner, [old], old_pods_run=True)) == {"web-1": 0}
    emptied = resized(owner, replace(old, status=ReplicaSetStatus()), 0)
    assert plan(owner, [emptied], old_pods_run=True).create is None
    made = plan(owner, [emptied], old_pods_run=False).create
    assert made is not None
    assert size(made) == 3


def test_scaling_in_the_middle_of_a_rollout_keeps_the_proportions() -> None:
    before = deployment(10, surge=3, unavailable=2)
    sets = [replica_set(before, "1", 8, day=1), replica_set(before, "2", 5, day=2)]
    owner = deployment(15, surge=3, unavailable=2)
    decided = plan(owner, sets, old_pods_run=True)
    assert sizes(decided) == {"web-1": 11, "web-2": 7}
    assert not decided.rolls


def test_a_paused_deployment_is_scaled_and_not_rolled() -> None:
    before = deployment(2)
    owner = deployment(5, paused=True)
    decided = plan(owner, [replica_set(before, "1", 2)], old_pods_run=True)
    assert decided.create is None
    assert sizes(decided) == {"web-1": 5}


def test_old_empty_sets_beyond_the_limit_go_oldest_first() -> None:
    owner = deployment(1, history=1)
    done = DeploymentStatus(observed_generation=2, replicas=1, updated_replicas=1, available_replicas=1)
    owner = replace(owner, status=done)
    olds = [replica_set(owner, tag, 0, day=day) for day, tag in enumerate("abc", start=1)]
    decided = plan(owner, [*olds, replica_set(owner, "2", 1, day=9)], old_pods_run=False)
    assert [one.metadata.name for one in decided.delete] == ["web-a", "web-b"]


@given(
    replicas=some.integers(0, 12),
    surge=some.integers(0, 4),
    unavailable=some.integers(0, 4),
    sets=some.lists(some.tuples(some.integers(0, 12), some.integers(0, 12)), max_size=4),
)
def test_no_step_breaks_the_limits(
    replicas: int, surge: int, unavailable: int, sets: Sequence[tuple[int, int]]
) -> None:
    owner = deployment(replicas, surge=surge, unavailable=unavailable)
    known = [
        replica_set(owner, str(index), wanted, min(wanted, available), day=index)
        for index, (wanted, available) in enumerate(sets, start=1)
    ]
    decided = plan(owner, known, old_pods_run=True)
    after = {one.metadata.name: one for one in known}
    after |= {change.after.metadata.name: change.after for change in decided.changes}
    if decided.create is not None:
        after[decided.create.metadata.name] = decided.create
    before_total, total = sum(map(size, known)), sum(map(size, after.values()))
    assert total <= max(replicas + surge, before_total)
    available_before = sum(one.status.available_replicas for one in known)
    available = sum(min(size(one), one.status.available_replicas) for one in after.values())
    least = replicas - max_unavailable(owner)
    assert available >= min(least, available_before)


def test_a_template_is_the_same_whatever_its_hash_and_another_with_each_collision() -> None:
    made = new_set(deployment(), [], 1)
    assert same_template(made.spec.template, template("2"))
    assert not same_template(made.spec.template, template("3"))
    assert len({template_hash(template(), count) for count in (None, 0, 1)}) == 3


# -- status ------------------------------------------------------------------------------------------


def progressing(owner: Deployment) -> tuple[str, str] | None:
    found = [one for one in owner.status.conditions if one.type == "Progressing"]
    return (found[0].status, found[0].reason) if found else None


def test_a_rollout_times_out_after_its_last_progress_and_recovers() -> None:
    owner = deployment(2, deadline=60)
    new = replica_set(owner, "2", 2, 0)
    owner = replace(owner, status=status_of(owner, [new], new, Seen(created=True, rolls=True), NOW))
    assert progressing(owner) == ("True", "ReplicaSetUpdated")
    assert look_again(owner, owner.status, NOW) == 61
    later = NOW + timedelta(seconds=61)
    owner = replace(owner, status=status_of(owner, [new], new, Seen(rolls=True), later))
    assert progressing(owner) == ("False", "ProgressDeadlineExceeded")
    new = replica_set(owner, "2", 2, 2)
    owner = replace(owner, status=status_of(owner, [new], new, Seen(rolls=True), later))
    assert progressing(owner) == ("True", "NewReplicaSetAvailable")
    assert look_again(owner, owner.status, later) is None


def test_a_pause_and_its_end_are_said() -> None:
    owner = deployment(1, paused=True)
    owner = replace(owner, status=status_of(owner, [], None, Seen(), NOW))
    assert progressing(owner) == ("Unknown", "DeploymentPaused")
    owner = replace(owner, spec=replace(owner.spec, paused=False))
    owner = replace(owner, status=status_of(owner, [], None, Seen(rolls=True), NOW))
    assert progressing(owner) == ("Unknown", "DeploymentResumed")


def test_a_set_that_cannot_make_pods_is_told_of() -> None:
    owner = deployment(1)
    failing = replica_set(owner, "2", 1, 0, there=0)
    condition = DeploymentCondition(
        type="ReplicaFailure", status="True", reason="FailedCreate", message="quota"
    )
    failing = replace(failing, status=replace(failing.status, conditions=[condition]))
    status = status_of(owner, [failing], failing, Seen(rolls=True), NOW)
    assert ("ReplicaFailure", "FailedCreate", "quota") in [
        (c.type, c.reason, c.message) for c in status.conditions
    ]
    healthy = replace(failing, status=replace(failing.status, conditions=[]))
    after = status_of(replace(owner, status=status), [healthy], healthy, Seen(rolls=True), NOW)
    assert "ReplicaFailure" not in [one.type for one in after.conditions]


# -- pods --------------------------------------------------------------------------------------------


def test_pods_go_in_the_order_of_what_their_loss_costs() -> None:
    pods = [
        pod("long-ready", ready_for=5000),
        pod("just-ready", ready_for=5),
        pod("cheap", ready_for=5000, notes={DELETION_COST: "-5"}),
        pod("restarting", restarts=3),
        pod("not-ready"),
        pod("pending", phase="Pending"),
        pod("unbound", phase="Pending", node=""),
    ]
    order = [one.metadata.name for one in by_deletion(pods, pods, NOW)]
    assert order == ["unbound", "pending", "restarting", "not-ready", "cheap", "just-ready", "long-ready"]


def test_of_equal_pods_that_of_the_fuller_node_goes() -> None:
    pods = [
        pod("a", ready_for=9, node="one"),
        pod("b", ready_for=9, node="two"),
        pod("c", ready_for=9, node="two"),
    ]
    assert by_deletion(pods, pods, NOW)[-1].metadata.name == "a"


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("", 0),
        ("7", 7),
        ("-7", -7),
        ("+7", 0),
        ("07", 0),
        ("x", 0),
        (str(2**31), 0),
        ("-01", -1),
        ("9" * 5000, 0),
    ],
)
def test_only_whole_numbers_are_costs(text: str, cost: int) -> None:
    assert deletion_cost(pod("a", notes={DELETION_COST: text})) == cost


@given(uid=some.uuids(), numbers=some.sets(some.integers(0, 10**6), min_size=1, max_size=50))
def test_names_are_distinct_and_tell_their_number(uid: Any, numbers: set[int]) -> None:
    names = PodNames("web", str(uid))
    made = {names.name(number): number for number in numbers}
    assert len(made) == len(numbers)
    assert all(names.number(name) == number for name, number in made.items())
    assert names.after(made) == max(numbers) + 1


def test_long_owners_have_names_of_63_characters() -> None:
    name = PodNames("x" * 80, "uid").name(3)
    assert len(name) == 63
    assert PodNames("x" * 80, "uid").number(name) == 3
    assert PodNames("web", "uid").number("web-aeiou") is None


# -- revisions ---------------------------------------------------------------------------------------


def daemon(
    tag: str = "1", revisions: Sequence[ControllerRevision] = ()
) -> tuple[DaemonSet, list[ControllerRevision]]:
    owner = DaemonSet(metadata=ObjectMeta(name="agent", namespace="default", uid="ds"))
    return replace(owner, spec=replace(owner.spec, template=template(tag))), list(revisions)


def test_a_template_that_comes_back_is_the_newest_again() -> None:
    owner, known = daemon("1")
    first = history(owner, known, "hash")
    assert first.create
    assert first.current.revision == 1
    changed, _ = daemon("2")
    second = history(changed, [first.current], "hash")
    assert second.create
    assert second.current.revision == 2
    back = history(owner, [first.current, second.current], "hash")
    assert not back.create
    assert (back.current, back.renumber) == (first.current, 3)
    assert history(changed, [first.current, second.current], "hash").renumber is None


def test_revisions_in_use_are_kept() -> None:
    made = [history(daemon(str(tag))[0], [], "controller-revision-hash").current for tag in range(4)]
    live = {made[0].metadata.name}
    assert superfluous(made, live, 1) == (made[1], made[2])
    assert superfluous(made, (), None) == ()


def test_a_daemons_pod_is_meant_for_one_node() -> None:
    owner, _ = daemon()
    made = daemon_pod(owner, "node-7", "hash", "agent-x", "agent-")
    assert node_of(made) == "node-7"
    assert made.metadata.labels["controller-revision-hash"] == "hash"
