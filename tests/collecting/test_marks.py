"""Marks of ranks, found where their environment says; and what a hostile program may put there instead."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from springtide.collecting.marks import ATTENTIVE_SECONDS, PERIOD_SECONDS, Marks
from springtide.collecting.rounds import Process
from springtide.runtime.clock import EPOCH
from springtide.sdk import marks as sdk
from tests.collecting.scripted import POD, UID, Proc, scene

FILE = "/run/report/progress.json"


class Ranks:
    """A container whose program keeps marks."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc = Proc(folder)
        process = self.proc.process(10)
        (process / "environ").write_bytes(f"RANK=3\0SPRINGTIDE_PROGRESS_FILE={FILE}\0".encode())
        self.place = process / "root" / FILE.lstrip("/")
        self.place.parent.mkdir(parents=True)
        monkeypatch.setenv("SPRINGTIDE_PROGRESS_FILE", str(self.place))
        monkeypatch.setenv("RANK", "3")
        (process / "status").write_text(f"Name:\tpython\nNSpid:\t10\t{os.getpid()}\nThreads:\t1\n")
        self.source = Marks(folder)
        self.processes = {UID: (Process(10, 100),)}

    def step(self, number: int, at: float) -> None:
        moment = EPOCH + timedelta(seconds=at)
        marks = sdk.Marks(wall=lambda: moment.timestamp())
        marks.step(number)

    def fields(self, at: float = 1000.0) -> dict[str, object]:
        return dict(self.source.look(scene(at, [POD], self.processes)).activity.get(UID, {}))


@pytest.fixture
def ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ranks:
    return Ranks(tmp_path, monkeypatch)


def test_what_a_rank_said_is_read_through_its_own_root_and_process_ids(ranks: Ranks) -> None:
    assert ranks.fields() == {}
    ranks.step(12, 990)
    found = ranks.fields()
    assert (found["step"], found["progress_time"]) == (12, EPOCH + timedelta(seconds=990))


def test_marks_of_a_process_that_is_gone_do_not_count(ranks: Ranks) -> None:
    ranks.step(12, 990)
    (ranks.proc.folder / "10" / "status").write_text("NSpid:\t10\t77777777\n")
    assert ranks.fields() == {}


def test_where_steps_become_longer_the_next_look_is_soon(ranks: Ranks) -> None:
    hands = 1000.0
    marks = sdk.Marks(clock=lambda: hands, wall=lambda: hands, queue=lambda: 0.0)
    marks.watched = True
    for work, period in (
        [(0.3, PERIOD_SECONDS)] * 15 + [(0.9, PERIOD_SECONDS)] + [(0.9, ATTENTIVE_SECONDS)] * 3
    ):
        hands += work
        marks.step()
        ranks.fields()
        assert ranks.source.period_seconds == period
    for _ in range(2):
        hands += 0.3
        marks.step()
    ranks.fields()
    assert ranks.source.period_seconds == PERIOD_SECONDS


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_what_is_no_plain_file_is_left_alone_and_holds_nobody_up(ranks: Ranks, kind: str) -> None:
    hostile = ranks.place.with_name(f"{ranks.place.name}.rank0")
    if kind == "fifo":
        os.mkfifo(hostile)
    else:
        hostile.symlink_to("/etc/hostname")
    assert ranks.fields() == {}


@pytest.mark.parametrize(
    ("report", "moment"),
    [
        ('{"time": "2026-01-01T00:16:00Z", "metrics": []}', datetime(2026, 1, 1, 0, 16, tzinfo=UTC)),
        ("{}", None),
        ("nonsense", None),
        ('{"time": "2026-01-01T00:16:00"}', None),
    ],
)
def test_without_marks_the_progress_report_tells_when(
    tmp_path: Path, report: str, moment: datetime | None
) -> None:
    found = Marks(tmp_path).look(scene(1000, [replace(POD, progress=report)])).activity
    assert found == ({UID: {"progress_time": moment}} if moment else {})
