"""Devices: counters that rise, RDMA ports, disks and file systems."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from springtide.collecting.counters import Counters, Standing
from springtide.collecting.disk import Disk, parse_mounts
from springtide.collecting.rdma import Rdma
from springtide.collecting.rounds import Unavailable
from springtide.faults import match
from tests.collecting.scripted import keep, scene


def test_a_counter_is_told_when_it_rises_and_seldom_while_it_goes_on() -> None:
    counters = Counters()

    def read(value: int, at: float) -> str:
        return counters.line("k", "errors", value, at)

    assert read(7, 0) == "", "what was there before is no news"
    assert read(7, 30) == ""
    assert read(8, 60) == "errors 8 (+1 in 60 s)"
    assert read(9, 90) == "", "told a moment ago"
    assert read(18, 120) == "errors 18 (+10 in 60 s)", "ten times as much is news"
    assert read(20, 800) == "errors 20 (+2 in 680 s)"
    assert read(3, 830) == "", "it was reset"
    assert read(4, 860) == "errors 4 (+1 in 30 s)"


def test_small_increases_gather_until_they_matter() -> None:
    counters = Counters()
    found = [counters.line("k", "discards", value, value, least=10) for value in range(0, 25, 4)]
    assert [line for line in found if line] == ["discards 12 (+12 in 12 s)"]


def test_a_state_is_told_when_it_lasts_and_again_after_ten_minutes() -> None:
    standing = Standing()
    told = [
        at
        for at in range(0, 1500, 60)
        if standing.lasts("full", at >= 120, at, after_seconds=120) is not None
    ]
    assert told == [240, 840, 1440]


class Ports:
    """A folder as /sys/class/infiniband is."""

    def __init__(self, sys: Path) -> None:
        self.sys = sys
        self.source = Rdma(sys, keep)

    def port(self, name: str = "mlx5_0", *, up: bool = True, **counters: int) -> None:
        folder = self.sys / "class" / "infiniband" / name / "ports" / "1"
        for kind in ("counters", "hw_counters"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / "state").write_text("4: ACTIVE\n" if up else "1: DOWN\n")
        (folder / "phys_state").write_text("5: LinkUp\n" if up else "3: Disabled\n")
        for counter, value in counters.items():
            kind = "counters" if counter.startswith(("link", "port", "symbol")) else "hw_counters"
            (folder / kind / counter).write_text(f"{value}\n")

    def lines(self, at: float) -> list[str]:
        return [one.line for one in self.source.look(scene(at)).seen]


def test_a_port_that_goes_down_is_told_after_four_minutes_with_its_name(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    ports.port()
    ports.port("mlx5_9", up=False)  # never cabled
    assert ports.lines(0) == []
    ports.port(up=False)
    assert [at for at in range(15, 400, 15) if ports.lines(at)] == [255]
    (one,) = ports.source.look(scene(900)).seen
    assert match(one.line) is not None
    assert one.line == "RDMA port mlx5_0/1: link is down for 885 s (state DOWN, physical Disabled)"
    assert (one.device, one.source) == ("mlx5_0/1", "rdma:mlx5_0/1")


def test_a_port_that_flaps_three_times_is_told_and_blinks_are_not_counted(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    told: list[str] = []
    at = 0.0
    for down_seconds in (10, 30, 30, 30):
        for up, seconds in ((True, 600), (False, down_seconds)):
            ports.port(up=up)
            told += ports.lines(at)
            at += seconds
    ports.port()
    told += ports.lines(at)
    assert told == ["RDMA port mlx5_0/1: link flaps: down and up 3 times in 0.3 h"]


def test_errors_of_a_port_are_told_as_increases_and_congestion_is_not(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    ports.port(link_downed=3, local_ack_timeout_err=5, out_of_sequence=7)
    assert ports.lines(0) == []
    ports.port(link_downed=4, local_ack_timeout_err=45, out_of_sequence=500)
    assert ports.lines(15) == [
        "counters/link_downed 4 (+1 in 15 s)",
        "hw_counters/local_ack_timeout_err 45 (+40 in 15 s)",
    ]


def test_a_machine_without_ports_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no RDMA devices"):
        Ports(tmp_path).lines(0)


class Disks:
    """A folder as /proc is, with mounts and disks, and how full they are."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc, self.sys = folder / "proc", folder / "sys"
        (self.proc / "1").mkdir(parents=True)
        (self.sys / "block" / "nvme0n1").mkdir(parents=True)
        self.free, self.inodes = 10**9, 10**6
        self.source = Disk(self.proc, self.sys, Path("/"), keep)
        self.mount("rw")
        self.requests(10, 0)
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def _statvfs(self, path: Path) -> SimpleNamespace:
        assert str(path) == "/my data"
        return SimpleNamespace(
            f_bavail=self.free // 4096,
            f_frsize=4096,
            f_blocks=10**11 // 4096,
            f_files=10**7,
            f_favail=self.inodes,
        )

    def mount(self, how: str) -> None:
        lines = f"/dev/nvme0n1 /my\\040data ext4 {how},relatime 0 0\nproc /proc proc rw 0 0\n"
        (self.proc / "1" / "mounts").write_text(lines)

    def requests(self, completed: int, waiting: int) -> None:
        disk = f"259 0 nvme0n1 {completed} 0 0 0 0 0 0 0 {waiting} 0 0\n"
        (self.proc / "diskstats").write_text(f"{disk}7 0 loop0 1 0 0 0 0 0 0 0 9 0 0\n")

    def lines(self, at: float) -> list[str]:
        return [one.line for one in self.source.look(scene(at)).seen]


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    return Disks(tmp_path, monkeypatch)


def test_a_file_system_that_turns_read_only_is_told_and_its_signature_is_known(disks: Disks) -> None:
    assert disks.lines(0) == []
    disks.mount("ro")
    (line,) = disks.lines(10)
    assert line == "Remounting filesystem read-only: /my data (ext4 on /dev/nvme0n1)"
    assert match(line) is not None
    assert disks.lines(20) == []


def test_one_that_was_read_only_from_the_start_is_meant_so(disks: Disks) -> None:
    disks.mount("ro")
    assert disks.lines(0) == []
    assert disks.lines(10) == []


@pytest.mark.parametrize(
    ("spend", "text"),
    [
        (lambda disks: setattr(disks, "free", 20 << 20), "nearly full: 20 of 95367 MiB are free"),
        (lambda disks: setattr(disks, "free", 0), "No space left on device: 0 of 95367 MiB are free"),
        (lambda disks: setattr(disks, "inodes", 0), "No space left on device: 0 of 10000000 inodes are free"),
    ],
)
def test_room_that_runs_out_is_told(disks: Disks, spend: Callable[[Disks], None], text: str) -> None:
    assert disks.lines(0) == []
    spend(disks)
    assert disks.lines(10) == [f"/my data (/dev/nvme0n1): {text}"]


def test_requests_that_never_complete_are_told_after_half_a_minute(disks: Disks) -> None:
    disks.lines(0)
    disks.requests(11, 4)
    assert disks.lines(10) == []
    found = [line for at in range(20, 60, 10) for line in disks.lines(at)]
    assert found == ["disk nvme0n1: 4 requests wait, none completed for 30 s"]
    disks.requests(12, 4)
    assert disks.lines(60) == []


def test_a_dead_mount_is_named_while_it_is_asked(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def hang(_path: Path) -> SimpleNamespace:
        asked.append(disks.source.doing)
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "statvfs", hang)
    assert disks.lines(0) == ["/my data (ext4 on /dev/nvme0n1): Stale file handle"]
    assert asked == ["asking how full /my data (ext4 on /dev/nvme0n1) is"]


def test_each_device_counts_once_and_what_holds_no_data_not_at_all() -> None:
    disks = "/dev/a / ext4 rw 0 0\n/dev/a /again ext4 rw 0 0\n"
    text = f"{disks}tmpfs /run tmpfs rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n"
    assert [mount.path for mount in parse_mounts(text)] == ["/", "/dev/shm"]
