"""What a group asks for: pods sorted into pod sets, how few will do, and what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api import volcano
from springtide.api.core import Pod, PodSchedulingGate
from springtide.api.membership import Dialect, Group
from springtide.api.meta import ObjectMeta
from springtide.api.struct import replace
from springtide.podgroups.assembly import Asked, GroupObject, assemble
from tests.podgroups.test_served import gang, of_kubernetes, of_kueue, of_volcano


def asked(dialect: Dialect, pods: list[Pod], obj: GroupObject | None = None) -> Asked:
    group = Group(dialect, "default", "g")
    return assemble(group, obj, pods, lambda _: None)


def test_pods_that_ask_for_the_same_are_one_pod_set_whatever_their_names() -> None:
    pods = [of_kubernetes("a"), of_kubernetes("b"), of_kubernetes("c", cpu=2)]
    found = asked(Dialect.KUBERNETES, pods, gang("g", 3))
    assert sorted(one.count for one in found.pod_sets) == [1, 2]
    assert not found.missing


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(0, 6), st.integers(1, 12))
def test_as_few_pods_as_will_do_are_always_enough(ones: int, twos: int, minimum: int) -> None:
    pods = [of_kubernetes(f"a{i}") for i in range(ones)] + [
        of_kubernetes(f"b{i}", cpu=2) for i in range(twos)
    ]
    found = asked(Dialect.KUBERNETES, pods, gang("g", minimum))
    fewest = sum(one.count if one.min_count is None else one.min_count for one in found.pod_sets)
    if len(pods) < minimum:
        assert found.missing.startswith(f"{len(pods)} of {minimum} pods exist")
    else:
        assert not found.missing
        assert minimum <= fewest <= len(pods)


def test_volcano_says_how_many_of_each_task() -> None:
    def of_task(name: str, task: str) -> Pod:
        made = of_volcano(name)
        return replace(made, metadata=replace(made.metadata, labels={"volcano.sh/task-spec": task}))

    pods = [of_task("ps0", "ps"), *(of_task(f"w{i}", "worker") for i in range(4))]
    spec = volcano.PodGroupSpec(min_member=3, min_task_member={"ps": 1, "worker": 2}, queue="team")
    found = asked(Dialect.VOLCANO, pods, volcano.PodGroup(metadata=ObjectMeta(name="g"), spec=spec))
    assert {one.name: (one.count, one.min_count) for one in found.pod_sets} == {
        "ps": (1, None),
        "worker": (4, 2),
    }
    assert found.volcano_queue == "team"
    short = asked(Dialect.VOLCANO, pods[1:], volcano.PodGroup(metadata=ObjectMeta(name="g"), spec=spec))
    assert short.missing == "0 of 1 pods of task ps exist (spec.minTaskMember)"


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([of_kueue("a", total=2)], "1 of 2 pods exist"),
        ([of_kueue(name, total=1) for name in "ab"], "2 pods exist, and the group has 1"),
        ([of_kueue("a", total=1), of_kueue("b", total=2)], "give all the same number"),
    ],
)
def test_kueues_groups_are_as_large_as_their_pods_say(pods: list[Pod], words: str) -> None:
    assert words in asked(Dialect.KUEUE, pods).missing


def test_pods_behind_gates_keep_their_group_waiting() -> None:
    held = of_kueue("a", total=1)
    held = replace(held, spec=replace(held.spec, scheduling_gates=[PodSchedulingGate(name="mine")]))
    assert asked(Dialect.KUEUE, [held]).missing == "pods are held back by scheduling gates (mine)"
