"""The kernel's log: related lines, gaps, restarts, boots, and machines that do not let it be read."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from springtide.collecting.bookmarks import Bookmarks
from springtide.collecting.kernel import KernelLog, parse
from springtide.collecting.rounds import Unavailable
from springtide.runtime.clock import EPOCH
from tests.collecting.scripted import UID, Proc, keep, scene


class Kernel:
    """A file in the place of /dev/kmsg."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kmsg"
        self.path.write_text("")
        self.folder = folder
        self.proc = Proc(folder / "proc")
        self.source = self.restarted()

    def restarted(self) -> KernelLog:
        bookmarks = Bookmarks(self.folder / "kernel.json")
        self.source = KernelLog(self.path, bookmarks, keep, self.proc.folder)
        return self.source

    def write(self, sequence: int, seconds: float, text: str, more: str = "") -> None:
        with self.path.open("a") as file:
            file.write(f"3,{sequence},{int(seconds * 1e6)},-;{text}\n{more}")

    def lines(self, at: float = 1000.0) -> list[str]:
        return [one.line for one in self.source.look(scene(at)).seen]


def test_a_record_has_the_time_it_was_made_and_the_lines_just_before_it(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.write(1, 950.0, "long before")
    kernel.write(2, 989.6, "AER: Uncorrected (Fatal) error", " SUBSYSTEM=pci\n DEVICE=+pci:0000:a1:00.0\n")
    kernel.write(3, 990.0, "BOOM off the bus")
    (one,) = kernel.source.look(scene(1000)).seen
    assert one.line == "BOOM off the bus"
    assert one.context == ["AER: Uncorrected (Fatal) error"]
    assert one.time == EPOCH + timedelta(seconds=990)
    assert (one.source, one.signature) == ("kernel", "test.boom")


def test_the_pod_of_a_killed_process_is_read_from_its_group(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.write(1, 999, f"BOOM oom-kill:task_memcg=/kubepods.slice/pod{UID.replace('-', '_')}.slice/x,pid=7")
    assert kernel.source.look(scene(1000)).seen[0].pod_uid == UID
    kernel.write(2, 1000.1, f"oom-kill:task_memcg=/springtide-1/{UID}-node-0,task=python3,pid=8")
    kernel.write(3, 1000.2, "BOOM Memory cgroup out of memory: Killed process 8 (python3)")
    assert kernel.source.look(scene(1001)).seen[0].pod_uid == UID, "named in the line before"


def test_nothing_is_told_twice_after_a_restart_and_all_of_it_anew_after_a_boot(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.write(1, 999, "BOOM 1")
    assert kernel.lines() == ["BOOM 1"]
    kernel.restarted()
    kernel.write(2, 1000, "BOOM 2")
    assert kernel.lines(1001) == ["BOOM 2"]
    (kernel.proc.folder / "sys" / "kernel" / "random" / "boot_id").write_text("boot-2")
    kernel.path.write_text("")
    kernel.write(1, 5, "BOOM of the new boot")
    kernel.restarted()
    assert kernel.lines(10) == ["BOOM of the new boot"]


def test_old_records_of_this_boot_are_not_told_at_the_first_start(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.write(1, 100, "BOOM an hour ago")
    kernel.write(2, 160, "BOOM a minute later")
    kernel.write(3, 3900, "BOOM just now")
    assert kernel.lines(4000) == ["BOOM just now"]


def test_records_that_were_overwritten_are_said(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.write(1, 999, "one")
    assert kernel.source.look(scene(1000)).message == ""
    kernel.write(12, 1000, "twelve")
    message = kernel.source.look(scene(1001)).message
    assert message == "00:16:41 10 records were overwritten before they could be read"


def test_a_fifo_in_its_place_can_be_written_as_a_simulation_goes(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.path.unlink()
    os.mkfifo(kernel.path)
    assert kernel.lines() == []
    kernel.write(1, 1000, "BOOM")
    assert kernel.lines(1001) == ["BOOM"]
    kernel.source.close()


def test_escaped_bytes_are_put_back() -> None:
    found = parse(r"6,5,7,-;caf\xc3 and a tab\x09.")
    assert found is not None
    assert found.text == "cafÃ and a tab\t."


@pytest.mark.parametrize("line", ["", " SUBSYSTEM=pci", "nonsense", "6,x,7,-;text"])
def test_what_is_no_record_is_passed_over(line: str) -> None:
    assert parse(line) is None


def test_a_machine_without_a_readable_kernel_log_says_what_helps(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.path.unlink()
    with pytest.raises(Unavailable, match=r"kmsg cannot be read: No such file.*CAP_SYSLOG"):
        kernel.lines()
