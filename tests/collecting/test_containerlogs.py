"""Container logs: what is kept, rotation, parts of lines, restarts, and a program that writes too much."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.nodehealth import Observation
from springtide.collecting import containerlogs
from springtide.collecting.bookmarks import Bookmarks
from springtide.collecting.containerlogs import (
    KEPT_LINES_OF_ONE,
    Block,
    ContainerLogs,
    text_of,
    time_of,
    whole,
)
from springtide.collecting.tail import AHEAD_BYTES, BEHIND_BYTES, Tail
from tests.collecting.scripted import POD, UID, keep, scene

STAMP = "2026-01-01T00:16:39.123456789Z"


class Log:
    """The log folder of the one pod."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "logs"
        self.folder = self.root / f"default_job-0_{UID}" / "main"
        self.folder.mkdir(parents=True)
        self.bookmarks = folder / "logs.json"
        self.source = self.restarted()

    def restarted(self) -> ContainerLogs:
        self.source = ContainerLogs(self.root, Bookmarks(self.bookmarks), keep)
        return self.source

    def write(self, *lines: str, file: str = "0.log", kind: str = "F", end: str = "\n") -> None:
        with (self.folder / file).open("a") as log:
            log.writelines(f"{STAMP} stdout {kind} {line}{end}" for line in lines)

    def look(self, at: float = 1000.0) -> tuple[Observation, ...]:
        return self.source.look(scene(at)).seen


def begun(tmp_path: Path) -> Log:
    log = Log(tmp_path)
    log.look()  # before anything is written: what comes is new
    return log


def test_a_line_worth_keeping_comes_with_the_lines_before_it_and_its_own_time(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write(*(f"step {n}" for n in range(12)), "BOOM: it broke", "after")
    (one,) = log.look()
    assert one.line == "BOOM: it broke"
    assert one.context == [f"step {n}" for n in range(4, 12)]
    assert one.time == datetime(2026, 1, 1, 0, 16, 39, 123456, UTC)
    assert (one.source, one.signature, one.pod, one.pod_uid) == (
        "log:default/job-0/main",
        "test.boom",
        POD.key,
        UID,
    )


def test_context_reaches_back_over_rounds(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write("first", "second")
    assert log.look() == ()
    log.write("BOOM")
    assert log.look()[0].context == ["first", "second"]


def test_any_line_is_a_sign_of_life_with_its_own_time(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write("hello")
    moment = datetime(2026, 1, 1, 0, 16, 39, 123456, UTC)
    assert log.source.look(scene(1000)).activity == {UID: {"log_time": moment}}
    assert log.source.look(scene(1001)).activity == {}


def test_a_line_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write("BO", end="")
    assert log.look() == ()
    with (log.folder / "0.log").open("a") as file:
        file.write("OM at last\n")
    assert [one.line for one in log.look()] == ["BOOM at last"]


def test_a_long_line_in_parts_is_put_together_before_it_is_judged(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write("x" * 100 + "BO", kind="P")
    assert log.look() == ()
    log.write("OM", "next")
    (one,) = log.look()
    assert one.line == "x" * 100 + "BOOM"


def test_a_kubelet_that_renames_a_full_file_loses_nothing(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write("one")
    log.look()
    log.write("BOOM at the end of the old file")
    (log.folder / "0.log").rename(log.folder / "0.log.20260101-001640")
    log.write("BOOM in the new file")
    lines = [one.line for _ in range(3) for one in log.look()]
    assert lines == ["BOOM at the end of the old file", "BOOM in the new file"]


def test_a_process_node_that_goes_on_in_the_next_file_and_a_container_that_starts_anew(
    tmp_path: Path,
) -> None:
    log = begun(tmp_path)
    log.write("BOOM 1")
    log.write("BOOM 2", file="0.1.log")
    log.write("BOOM 3", file="1.log")
    lines = [one.line for _ in range(4) for one in log.look()]
    assert lines == ["BOOM 1", "BOOM 2", "BOOM 3"]


def test_a_restart_goes_on_where_the_last_life_left_off_even_within_a_line(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write("BOOM 1")
    log.write("BOOM", end="")
    assert len(log.look(1010)) == 1
    log.restarted()
    with (log.folder / "0.log").open("a") as file:
        file.write(" 2\n")
    assert [one.line for one in log.look(1020)] == ["BOOM 2"]


def test_what_was_there_before_the_first_start_is_not_told(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write("BOOM of yesterday")
    assert log.look() == ()
    log.write("BOOM of today")
    assert [one.line for one in log.look()] == ["BOOM of today"]


def test_a_program_that_writes_too_much_is_skipped_over_and_that_is_said(tmp_path: Path) -> None:
    log = begun(tmp_path)
    line = "x" * 1000
    log.write("BOOM that nobody can read in time", *([line] * (BEHIND_BYTES // 1000)), "BOOM at the end")
    found = log.source.look(scene(1000))
    assert [one.line for one in found.seen] == ["BOOM at the end"]
    assert found.message.startswith("behind: 00:16:40 bytes 0 to ")
    assert "0.log of log:default/job-0/main not read" in found.message
    assert log.source.look(scene(1001)).message == found.message
    assert log.source.look(scene(2000)).message == "", "said for ten minutes"


def test_a_flood_of_telling_lines_is_bounded_and_counted(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write(*(f"BOOM {n}" for n in range(100)))
    found = log.source.look(scene(1000))
    assert len(found.seen) == KEPT_LINES_OF_ONE
    assert f"{100 - KEPT_LINES_OF_ONE} more lines of log:default/job-0/main looked like" in found.message


def test_a_log_that_was_cut_off_is_read_from_its_start(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.write("one", "two", "three")
    log.look()
    (log.folder / "0.log").write_text("")
    log.look()
    log.write("BOOM")
    assert [one.line for one in log.look()] == ["BOOM"]


@given(st.lists(st.sampled_from(["ordinary", "BOOM", "", "still fine" * 99]), max_size=60))
def test_judging_in_blocks_finds_what_judging_line_by_line_finds(lines: list[str]) -> None:
    data = "".join(f"{STAMP} stdout F {line}\n" for line in lines).encode()
    block = Block(data)
    found = list(block.candidates(lambda part: b"BOOM" in part))
    assert found == sorted(set(found))
    assert [block.line(start).endswith(b"BOOM") for start in found] == [True] * lines.count("BOOM")
    for start in found:
        earlier = lines[: data[:start].count(b"\n")]
        assert [text_of(line) for line in block.before(start, 5)] == earlier[-5:]


@given(st.lists(st.tuples(st.sampled_from([b"stdout", b"stderr"]), st.binary(max_size=5)), max_size=20))
def test_parts_of_both_streams_find_their_ends(pieces: list[tuple[bytes, bytes]]) -> None:
    clean = [(stream, text.replace(b"\n", b"")) for stream, text in pieces]
    parts: dict[bytes, bytes] = {}
    data = b"".join(b"%s %s P %s\n" % (STAMP.encode(), *one) for one in clean)
    ends = b"".join(b"%s %s F .\n" % (STAMP.encode(), stream) for stream in (b"stdout", b"stderr"))
    found = (whole(data, parts) + whole(ends, parts)).split(b"\n")[:-1]
    for stream, line in zip((b"stdout", b"stderr"), found, strict=True):
        assert line.split(b" ", 3)[3] == b"".join(text for one, text in clean if one == stream) + b"."
    assert parts == {}


def test_reading_is_bounded_whatever_is_there(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(*["y" * 999] * 3000)
    tail = Tail(log.folder)
    sizes = []
    while data := tail.read(64 * 1024)[0]:
        sizes.append(len(data))
    assert max(sizes) <= 64 * 1024 + 1100
    assert sum(sizes) == (log.folder / "0.log").stat().st_size > AHEAD_BYTES
    tail.close()


def test_containers_that_flood_do_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containerlogs, "ROUND_BYTES_ALL", 4096)
    log = begun(tmp_path)
    (log.folder.with_name("other")).mkdir()
    found: list[str] = []
    for round_ in range(4):
        log.write(*("step" for _ in range(200)))
        log.write("BOOM: it broke", file=f"../other/{round_}.log")
        found += [one.source for one in log.look(1000.0 + round_)]
    assert "log:default/job-0/other" in found


def test_digits_that_are_no_moment_are_no_stamp() -> None:
    assert time_of(b"2026-13-45T99:99:99Z stdout F x") is None
