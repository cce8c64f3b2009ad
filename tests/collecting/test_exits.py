"""Ends of containers and kills for memory, as observations of their pods."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from springtide.collecting.bookmarks import Bookmarks
from springtide.collecting.exits import Exits, describe
from springtide.collecting.rounds import Ended, Process, WatchedPod
from springtide.runtime.clock import EPOCH
from tests.collecting.scripted import POD, UID, Proc, keep, scene

AT = EPOCH + timedelta(seconds=990)


def ended(code: int = 1, restarts: int = 0, **fields: object) -> Ended:
    values = {"signal": 0, "reason": "Error", "message": "", "time": AT} | fields
    return Ended("main", restarts, code, **values)  # type: ignore[arg-type]


def pod(*ends: Ended) -> WatchedPod:
    return WatchedPod("default", "job-0", UID, ended=ends)


def source(folder: Path) -> Exits:
    return Exits(folder / "proc", folder / "sys", Bookmarks(folder / "exits.json"), keep)


def test_each_bad_end_is_told_once_over_restarts_of_the_collectors(tmp_path: Path) -> None:
    first = source(tmp_path)
    (one,) = first.look(scene(1000, [pod(ended(137, signal=9, reason="OOMKilled"))])).seen
    assert one.line == "container main (start 0) ended with exit code 137 (SIGKILL), reason OOMKilled"
    assert (one.time, one.pod_uid, one.source) == (AT, UID, "exit:default/job-0/main")
    both = pod(ended(137, signal=9, reason="OOMKilled"), ended(1, restarts=1))
    assert [o.line for o in first.look(scene(1002, [both])).seen] == [
        "container main (start 1) ended with exit code 1, reason Error"
    ]
    assert source(tmp_path).look(scene(1004, [both])).seen == ()


def test_good_ends_and_those_of_long_ago_are_not_told(tmp_path: Path) -> None:
    old = ended(1, time=EPOCH)
    assert source(tmp_path).look(scene(1000, [pod(ended(0), old)])).seen == ()


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (ended(139, signal=11), "exit code 139 (SIGSEGV), reason Error"),
        (ended(190, signal=62), "exit code 190 (signal 62), reason Error"),
        (ended(2, message="usage:\n  train"), "exit code 2, reason Error: usage: train"),
    ],
)
def test_how_an_end_reads(end: Ended, text: str) -> None:
    assert describe(end) == f"container main (start 0) ended with {text}"


@pytest.mark.parametrize(
    ("line", "file", "text"),
    [
        (f"0::/kubepods/pod{UID}/c1", f"kubepods/pod{UID}/c1/memory.events", "low 0\noom 2\noom_kill {}\n"),
        (
            f"4:memory:/springtide/{UID}-main-0",
            f"memory/springtide/{UID}-main-0/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n",
        ),
    ],
    ids=["v2", "v1"],
)
def test_a_child_that_the_kernel_killed_is_seen_though_its_container_lives(
    tmp_path: Path, line: str, file: str, text: str
) -> None:
    proc = Proc(tmp_path / "proc")
    (proc.process(10) / "cgroup").write_text(f"{line}\n")
    counts = tmp_path / "sys" / "fs" / "cgroup" / file
    counts.parent.mkdir(parents=True)
    counts.write_text(text.format(1))
    exits = source(tmp_path)
    processes = {UID: (Process(10, 100),)}
    assert exits.look(scene(1000, [POD], processes)).seen == (), "before the collectors began"
    counts.write_text(text.format(3))
    (one,) = exits.look(scene(1002, [POD], processes)).seen
    assert one.line == "oom_kill 3 (+2 in 2 s): the kernel killed a process of the container for memory"
    assert one.pod_uid == UID


def test_groups_that_others_share_are_not_counted(tmp_path: Path) -> None:
    proc = Proc(tmp_path / "proc")
    (proc.process(10) / "cgroup").write_text("0::/user.slice\n")
    counts = tmp_path / "sys" / "fs" / "cgroup" / "user.slice" / "memory.events"
    counts.parent.mkdir(parents=True)
    exits = source(tmp_path)
    for kills in (0, 5):
        counts.write_text(f"oom_kill {kills}\n")
        assert exits.look(scene(1000 + kills, [POD], {UID: (Process(10, 100),)})).seen == ()
