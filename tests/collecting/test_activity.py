"""Activity from /proc: who is busy, who moves data, who is stopped; membership by mark or by cgroup."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from springtide.collecting.activity import Activity
from springtide.collecting.proc import TICKS_PER_SECOND
from springtide.collecting.rounds import Unavailable, WatchedPod
from springtide.runtime.clock import EPOCH
from tests.collecting.scripted import POD, UID, Proc, scene


def after(at: float) -> object:
    return EPOCH + timedelta(seconds=at)


def test_processor_time_and_bytes_become_moments_that_stay_when_nothing_happens(tmp_path: Path) -> None:
    proc, source = Proc(tmp_path), Activity(tmp_path)
    proc.process(10)
    assert source.look(scene(1000)).activity[UID] == {"stopped": False, "cpu_millis": 0}
    proc.process(10, ticks=TICKS_PER_SECOND, io=1_000_000)
    fields = source.look(scene(1002)).activity[UID]
    assert fields == {
        "stopped": False,
        "cpu_millis": 500,
        "busy_time": after(1002),
        "io_time": after(1002),
    }
    assert source.look(scene(1004)).activity[UID] == {"stopped": False, "cpu_millis": 0}


def test_housekeeping_of_a_waiting_interpreter_is_not_work(tmp_path: Path) -> None:
    proc, source = Proc(tmp_path), Activity(tmp_path)
    proc.process(10)
    source.look(scene(1000))
    proc.process(10, ticks=TICKS_PER_SECOND * 8 // 100, io=2000)  # 40 thousandths of a core
    assert "busy_time" not in source.look(scene(1002)).activity[UID]


@pytest.mark.parametrize("state", ["T", "t"])
def test_a_stopped_process_stops_its_pod_at_once(tmp_path: Path, state: str) -> None:
    proc, source = Proc(tmp_path), Activity(tmp_path)
    proc.process(10)
    proc.process(11, state=state)
    found = source.look(scene(1000))
    assert found.activity[UID]["stopped"] is True
    assert found.processes is not None
    assert {one.pid: one.state for one in found.processes[UID]} == {10: "S", 11: state}


def test_uninterruptible_sleep_counts_after_ten_seconds_only(tmp_path: Path) -> None:
    proc, source = Proc(tmp_path), Activity(tmp_path)
    proc.process(10, state="D")
    assert not source.look(scene(1000)).activity[UID]["stopped"]
    assert not source.look(scene(1008)).activity[UID]["stopped"]
    assert source.look(scene(1010)).activity[UID]["stopped"]
    proc.process(10, state="S")
    assert not source.look(scene(1012)).activity[UID]["stopped"]


@pytest.mark.parametrize(
    "cgroup",
    [
        f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-1.scope",
        f"/kubepods/burstable/pod{UID}/1",
    ],
)
def test_containers_of_a_kubelet_are_known_by_their_cgroup(tmp_path: Path, cgroup: str) -> None:
    proc = Proc(tmp_path)
    proc.process(10, uid="", cgroup=cgroup)
    proc.process(11, uid="", cgroup="/system.slice/sshd.service")
    found = Activity(tmp_path).look(scene(1000))
    assert found.processes is not None
    assert [one.pid for one in found.processes[UID]] == [10]


def test_a_process_that_shows_whose_it_is_a_moment_after_its_fork_is_found(tmp_path: Path) -> None:
    proc, source = Proc(tmp_path), Activity(tmp_path)
    proc.process(10, uid="")
    assert source.look(scene(1000)).processes == {UID: ()}
    proc.process(10)
    found = source.look(scene(1002)).processes
    assert found is not None
    assert [one.pid for one in found[UID]] == [10]


def test_processes_that_end_do_not_count_backwards_and_new_ones_count_from_their_start(
    tmp_path: Path,
) -> None:
    proc, source = Proc(tmp_path), Activity(tmp_path)
    gone = proc.process(10, ticks=100_000)
    source.look(scene(1000))
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()
    proc.process(11, ticks=TICKS_PER_SECOND)
    assert source.look(scene(1002)).activity[UID]["cpu_millis"] == 500


def test_pods_that_ended_or_are_gone_are_looked_at_no_more(tmp_path: Path) -> None:
    proc, source = Proc(tmp_path), Activity(tmp_path)
    proc.process(10)
    assert source.look(scene(1000)).activity
    ended = WatchedPod(POD.namespace, POD.name, UID, finished=True)
    assert not source.look(scene(1002, [ended])).activity


def test_a_machine_without_proc_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="only Linux"):
        Activity(tmp_path / "none").look(scene())
