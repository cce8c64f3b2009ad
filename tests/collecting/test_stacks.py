"""Stacks: which process of a rank, when, and of real processes, stopped ones too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from springtide.collecting.rounds import Process, WatchedPod
from springtide.collecting.stacks import Stacks
from springtide.node import stackdump
from springtide.node.stackdump import Dump
from tests.collecting.scripted import POD, UID, Proc, scene

TRAIN = """
import time
def all_reduce():
    time.sleep(60)
def train():
    all_reduce()
print("ready", flush=True)
train()
"""


def processes(*entries: tuple[int, int, dict[str, str]], proc: Proc) -> dict[str, tuple[Process, ...]]:
    """(pid, parent, environment) of a pod's processes."""
    found = []
    for pid, parent, variables in entries:
        folder = proc.process(pid)
        (folder / "environ").write_bytes(b"".join(f"{k}={v}\0".encode() for k, v in variables.items()))
        found.append(Process(pid, pid * 10, parent, "python", "S"))
    return {UID: tuple(found)}


class Dumped:
    """Remembers whose stacks were asked for."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    def __call__(self, pid: int) -> Dump:
        self.pids.append(pid)
        return Dump((f"f{pid} (x.py:1)",))


def test_torchruns_workers_are_sampled_not_the_launcher_nor_the_loaders(tmp_path: Path) -> None:
    dumped = Dumped()
    source = Stacks(tmp_path, 10.0, dumped)
    found = processes(
        (10, 1, {"RANK": "1"}),  # torchrun, told its node's rank
        (11, 10, {"RANK": "2", "LOCAL_RANK": "0"}),
        (12, 10, {"RANK": "3", "LOCAL_RANK": "1"}),
        (13, 11, {"RANK": "2", "LOCAL_RANK": "0"}),  # a data loader's worker
        proc=Proc(tmp_path),
    )
    asked = WatchedPod("default", "job-0", UID, sample="2026-01-01T00:00:00Z")
    samples = source.look(scene(1000, [asked], found)).activity[UID]["stacks"]
    assert [(one.rank, one.process, one.frames) for one in samples] == [
        (2, 11, ["f11 (x.py:1)"]),
        (3, 12, ["f12 (x.py:1)"]),
    ]


def test_an_annotation_asks_once_for_each_value(tmp_path: Path) -> None:
    dumped = Dumped()
    source = Stacks(tmp_path, 0.0, dumped)
    found = processes((10, 1, {"RANK": "0"}), proc=Proc(tmp_path))
    for at, value in ((1000, "a"), (1002, "a"), (1004, "b")):
        source.look(scene(at, [WatchedPod("default", "job-0", UID, sample=value)], found))
    assert dumped.pids == [10, 10]


def test_a_quiet_pod_is_sampled_after_ten_seconds_and_then_seldom(tmp_path: Path) -> None:
    dumped = Dumped()
    source = Stacks(tmp_path, 10.0, dumped)
    found = processes((10, 1, {"RANK": "0"}), proc=Proc(tmp_path))
    moments: list[int] = []
    quiet = scene(1000).now
    for at in range(1000, 1200, 2):
        now = scene(at, [POD], found)
        source.look(type(now)(now.now, now.monotonic, now.pods, now.processes, {UID: quiet}))
        if len(dumped.pids) > len(moments):
            moments.append(at)
    assert moments == [1010, 1030, 1090, 1150]


def test_a_stopped_process_is_sampled_at_once(tmp_path: Path) -> None:
    dumped = Dumped()
    found = processes((10, 1, {"RANK": "0"}), proc=Proc(tmp_path))
    stopped = {UID: tuple(Process(one.pid, one.start, 1, "python", "T") for one in found[UID])}
    samples = Stacks(tmp_path, 10.0, dumped).look(scene(1000, [POD], stopped)).activity[UID]["stacks"]
    assert [(one.process, one.state) for one in samples] == [(10, "T")]


def test_a_pod_that_works_is_left_alone(tmp_path: Path) -> None:
    dumped = Dumped()
    found = processes((10, 1, {"RANK": "0"}), proc=Proc(tmp_path))
    assert Stacks(tmp_path, 10.0, dumped).look(scene(1000, [POD], found)).activity == {}
    assert dumped.pids == []


@contextmanager
def program(text: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.realtime
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_the_stack_of_a_real_process_innermost_first(stopped: bool) -> None:
    with program(TRAIN) as process:
        time.sleep(0.1)
        if stopped:
            os.kill(process.pid, signal.SIGSTOP)
            while state(process.pid) != "T":
                time.sleep(0.01)
        found = stackdump.dump(process.pid)
        assert found.why_not == ""
        assert [frame.partition(" ")[0] for frame in found.frames] == ["all_reduce", "train", "<module>"]
        assert found.frames[0] == "all_reduce (<string>:4)"
        assert state(process.pid) == ("T" if stopped else "S"), "it is left as it was"


@pytest.mark.realtime
def test_a_process_that_is_no_python_shows_where_the_kernel_has_it() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        found = stackdump.dump(process.pid)
        process.kill()
    assert found.why_not.startswith("py-spy: ")
    assert all(frame.startswith("[") for frame in found.frames)


@pytest.mark.realtime
def test_without_the_program_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stackdump, "program", lambda: None)
    assert stackdump.dump(os.getpid()).why_not == "the program py-spy is not installed"
