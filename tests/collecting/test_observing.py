"""Which observations are kept: the same again counts up, a flood pushes out its own."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from springtide.api.nodehealth import Observation, PodActivity
from springtide.api.observing import OBSERVATIONS_MAX, is_quiet, observe, quiet_since
from springtide.runtime.clock import EPOCH

XID = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def seen(line: str = XID, at: float = 0.0, source: str = "kernel", device: str = "") -> Observation:
    return Observation(
        id="", collector="kernel", source=source, line=line, device=device, time=EPOCH + timedelta(seconds=at)
    )


def test_the_same_within_a_minute_counts_up_and_keeps_when_it_began() -> None:
    kept = observe(observe([], [seen(at=0)]), [seen(at=30), seen(at=59)])
    assert [(one.count, one.time, one.last_time) for one in kept] == [
        (3, EPOCH, EPOCH + timedelta(seconds=59))
    ]


def test_the_same_after_a_minute_of_rest_is_another() -> None:
    kept = observe(observe([], [seen(at=0)]), [seen(at=61)])
    assert [one.count for one in kept] == [1, 1]
    assert [one.id for one in kept] == ["00000001", "00000002"]


def test_lines_that_differ_only_in_their_own_time_are_the_same() -> None:
    line = "[rank3]:[E1122 13:00:0{}.123456 ProcessGroupNCCL.cpp:616] Watchdog caught a timeout"
    assert len(observe([], [seen(line.format(1)), seen(line.format(7), at=6)])) == 1


def test_lines_about_another_device_are_not_the_same() -> None:
    other = XID.replace("a1", "b1")
    assert [one.line for one in observe([], [seen(), seen(other)])] == [XID, other]


def test_a_flood_of_one_log_never_pushes_out_a_kernel_record() -> None:
    flood = [seen(f"NCCL WARN nr {'x' * n}", at=n * 0.01, source="log:default/a/main") for n in range(500)]
    kept = observe([], [seen(), *flood])
    assert len(kept) == OBSERVATIONS_MAX
    assert kept[0].line == XID
    assert kept[-1].line == flood[-1].line


def test_long_lines_and_contexts_are_cut() -> None:
    one = Observation(id="", line="x" * 5000, context=[str(n) for n in range(20)], time=EPOCH)
    kept = observe([], [one])[0]
    assert len(kept.line) == 1024
    assert kept.context == [str(n) for n in range(12, 20)]


@given(
    st.lists(st.tuples(st.integers(0, 100), st.sampled_from("abc"), st.text("xyz", max_size=4)), max_size=200)
)
def test_ids_rise_and_are_never_used_again(entries: list[tuple[int, str, str]]) -> None:
    kept: list[Observation] = []
    given_out: set[str] = set()
    newest = ""
    for seconds, source, line in entries:
        before = {one.id for one in kept}
        kept = observe(kept, [seen(line, at=seconds * 40, source=source)])
        fresh = {one.id for one in kept} - before
        assert all(one > newest and one not in given_out for one in fresh)
        given_out |= fresh
        newest = max([newest, *fresh])
        assert [one.id for one in kept] == sorted(one.id for one in kept)
        assert len(kept) <= OBSERVATIONS_MAX


def test_a_pod_is_quiet_once_none_of_its_moments_moved_for_five_seconds() -> None:
    pod = PodActivity(name="a/b", log_time=EPOCH, busy_time=EPOCH + timedelta(seconds=3))
    assert quiet_since(pod) == EPOCH + timedelta(seconds=3)
    assert not is_quiet(pod, EPOCH + timedelta(seconds=7))
    assert is_quiet(pod, EPOCH + timedelta(seconds=8))
    assert not is_quiet(PodActivity(name="a/new"), EPOCH + timedelta(days=1))
