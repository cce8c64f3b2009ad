"""Marks: what a rank says of itself, and that the node reads just that, at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from springtide.api.nodehealth import PodActivity, RankMarks
from springtide.node import marks as reader
from springtide.node.marks import read_marks, with_marks
from springtide.sdk import marks as written
from springtide.sdk import phases, watching
from springtide.sdk.marks import Marks
from tests.builders import at


class Hands:
    """Clocks one turns by hand: of the wall, of the processor, and of the queue for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.worked = 0.0
        self.queued = 0.0


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def progress_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "progress.json"
    monkeypatch.setenv("SPRINGTIDE_PROGRESS_FILE", str(path))
    return path


@pytest.fixture
def rank(progress_file: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Marks]:
    """A process of this global rank that has just started."""

    def made(number: int) -> Marks:
        monkeypatch.setenv("RANK", str(number))
        return Marks(
            clock=lambda: hands.now,
            wall=lambda: hands.now,
            processor=lambda: hands.worked,
            queue=lambda: hands.queued,
        )

    return made


def steps(marks: Marks, hands: Hands, count: int, *, work: float, wait: float) -> None:
    for _ in range(count):
        hands.now += work
        marks.enter()
        hands.now += wait
        marks.leave()
        marks.step()


def only(progress_file: Path) -> RankMarks:
    (found,) = read_marks(progress_file)
    return found


def test_writer_and_reader_mean_the_same_bytes() -> None:
    assert reader._LAYOUT.format == written.LAYOUT
    assert reader._MAGIC == written.MAGIC


def test_own_work_is_told_from_waiting_for_peers(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    slow, fast = rank(1), rank(0)
    slow.watched = fast.watched = True
    steps(slow, hands, 12, work=0.9, wait=0.1)
    steps(fast, hands, 12, work=0.3, wait=0.7)
    first, second = read_marks(progress_file)
    assert (first.rank, second.rank) == (0, 1)
    assert (first.step, first.step_seconds, first.busy_seconds) == (11, 1.0, 0.3)
    assert (second.step, second.step_seconds, second.busy_seconds) == (11, 1.0, 0.9)
    assert (first.collective, second.collective) == (12, 12)


def test_what_a_rank_said_last_stands_there_at_once(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    marks = rank(0)
    for _ in range(5):
        marks.enter()
    found = only(progress_file)
    assert found.collective == 5
    assert found.waiting_since == found.time
    assert found.process == os.getpid()
    hands.now += 3
    marks.leave()
    assert only(progress_file).waiting_since is None


def test_the_best_a_rank_ever_did_is_kept(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    marks = rank(0)
    marks.watched = True
    steps(marks, hands, 12, work=0.3, wait=0.0)
    steps(marks, hands, 12, work=0.9, wait=0.0)
    found = only(progress_file)
    assert (found.best_seconds, found.busy_seconds) == (0.3, 0.9)


def test_one_long_step_changes_nothing(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    marks = rank(0)
    marks.watched = True
    for work in (0.3, 0.3, 9.0, 0.3, 0.3, 4.0, 0.3):
        steps(marks, hands, 1, work=work, wait=0.0)
    assert only(progress_file).busy_seconds == 0.3


def test_queueing_for_a_processor_is_no_work(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    marks = rank(0)
    marks.watched = True
    for number in range(14):
        if number == 6:
            marks.phase("evaluate")
            hands.now, hands.queued = hands.now + 9, hands.queued + 5
            marks.phase("train")
        hands.now, hands.queued = hands.now + 0.9, hands.queued + 0.6
        marks.enter()
        hands.now, hands.queued = hands.now + 1.0, hands.queued + 0.2
        marks.leave()
        marks.step()
    found = only(progress_file)
    assert (found.busy_seconds, found.queued_seconds) == (0.3, 0.6)
    assert (found.low_seconds, found.recent_seconds, found.best_seconds) == (0.3, 0.3, 0.3)
    assert (found.step_seconds, found.best_step_seconds) == (1.9, 1.9)


def test_waits_within_an_evaluation_are_not_taken_off_twice(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    marks = rank(0)
    marks.watched = True
    for _ in range(3):
        marks.phase("evaluate")
        marks.enter()
        hands.now += 20
        marks.leave()
        marks.phase("train")
        steps(marks, hands, 1, work=0.5, wait=0.1)
    assert only(progress_file).busy_seconds == 0.5


def test_an_evaluation_is_part_of_no_step(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    marks = rank(0)
    marks.watched = True
    for _ in range(4):
        assert marks.phase("evaluate") == ("" if marks._step < 0 else "train")
        hands.now += 20
        marks.phase("train")
        steps(marks, hands, 1, work=0.5, wait=0.0)
    found = only(progress_file)
    assert (found.step_seconds, found.busy_seconds, found.phase) == (0.5, 0.5, "train")


def test_without_watching_processor_time_stands_for_work(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    marks = rank(0)
    for number in range(5):
        hands.now += 1.0
        hands.worked += 0.25
        marks.step(number)
    assert (only(progress_file).step_seconds, only(progress_file).busy_seconds) == (1.0, 0.25)


def test_a_step_told_twice_or_skipped_is_no_step_time(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands
) -> None:
    marks = rank(0)
    for number in (0, 0, 50, 50, 51):
        hands.now += 2.0
        marks.step(number)
    assert (only(progress_file).step, only(progress_file).step_seconds) == (51, 4.0)


def test_files_of_processes_that_are_gone_are_not_read(
    rank: Callable[[int], Marks], progress_file: Path
) -> None:
    rank(0).step(3)
    assert read_marks(progress_file, lives=lambda process: process != os.getpid()) == []


@pytest.mark.parametrize(
    "content", [b"", b"STMARKS2", b"\xff" * 300, b"STMARKS2" + b"\xff" * 300, b"{" * 2000]
)
def test_what_is_no_mark_is_nothing(progress_file: Path, content: bytes) -> None:
    Path(f"{progress_file}.rank0").write_bytes(content)
    assert read_marks(progress_file, lives=lambda _: True) == []


def test_a_mark_caught_half_written_is_not_believed(
    rank: Callable[[int], Marks], progress_file: Path
) -> None:
    rank(0).step(3)
    path = Path(f"{progress_file}.rank0")
    torn = bytearray(path.read_bytes())
    torn[-1] ^= 0xFF
    path.write_bytes(torn)
    assert read_marks(progress_file) == []


def test_marks_that_cannot_be_kept_are_said_once_and_forgotten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPRINGTIDE_PROGRESS_FILE", "/no/such/folder/progress.json")
    marks = Marks()
    for number in range(3):
        marks.step(number)
    assert capsys.readouterr().err.count("no marks are kept") == 1


def test_outside_the_platform_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPRINGTIDE_PROGRESS_FILE", raising=False)
    marks = Marks()
    marks.step(1)
    marks.enter()
    marks.leave()
    assert marks._map is None


def test_a_forked_worker_leaves_its_parents_marks_alone(progress_file: Path) -> None:
    script = (
        "import os\nfrom springtide.sdk.marks import marks\nmarks.step(1)\n"
        "if os.fork() == 0:\n    marks.step(99)\n    os._exit(0)\nos.wait()\n"
        "from pathlib import Path\nfrom springtide.node.marks import read_marks\n"
        "print([one.step for one in read_marks(Path(os.environ['SPRINGTIDE_PROGRESS_FILE']))])\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[1]"


def test_phases_nest_and_an_unknown_one_is_said_once(
    rank: Callable[[int], Marks],
    progress_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(phases, "marks", rank(0))
    phases.phase("train")
    with phases.phase("evaluate"):
        assert only(progress_file).phase == "evaluate"
        with phases.phase("lunch"), phases.phase("lunch"):
            pass
        assert only(progress_file).phase == "evaluate"
    assert only(progress_file).phase == "train"
    assert capsys.readouterr().err.count("'lunch'") == 1


def test_watching_without_torch_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    model = object()
    assert watching.watch(model) is model
    assert "waiting is not watched" in capsys.readouterr().err


def test_a_collective_that_raises_is_left() -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("peer is gone")

    with pytest.raises(RuntimeError, match="peer is gone"):
        watching._timed(broken)()


def test_a_pod_is_as_far_as_its_last_rank() -> None:
    ranks = [
        RankMarks(
            rank=0, step=7, collective=30, busy_seconds=0.2, time=at(5), phase="train", phase_time=at(1)
        ),
        RankMarks(
            rank=1, step=6, collective=29, busy_seconds=0.6, time=at(4), phase="load", phase_time=at(3)
        ),
    ]
    found = with_marks(PodActivity(name="default/a"), ranks)
    assert (found.step, found.collective, found.busy_seconds) == (6, 29, 0.6)
    assert (found.phase, found.phase_time, found.progress_time) == ("load", at(3), at(5))
    assert with_marks(PodActivity(name="default/a", step=3), []).step == 3


class Future:
    """One that is done already."""

    def __init__(self, result: object) -> None:
        self.result = result

    def value(self) -> object:
        return self.result

    def then(self, follow: Callable[[Future], object]) -> Future:
        return Future(follow(self))


class Bucket:
    """Gradients that are ready."""

    is_cuda = False

    def __init__(self, *, last: bool) -> None:
        self.last = last

    def is_last(self) -> bool:
        return self.last

    def buffer(self) -> Bucket:
        return self


class Model:
    """What `watch` uses of DistributedDataParallel."""

    def parameters(self) -> list[Bucket]:
        return []

    def register_comm_hook(self, state: object, hook: Callable[[object, Bucket], Future]) -> None:
        self.state, self.hook = state, hook


def test_buckets_of_gradients_are_collectives_and_the_last_one_a_step(
    rank: Callable[[int], Marks], progress_file: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks, model = rank(0), Model()
    monkeypatch.setattr(watching, "marks", marks)
    marks.watched = True

    def summed(state: object, bucket: Bucket) -> Future:
        hands.now += 0.6 if bucket.last else 0.0
        return Future((state, bucket.last))

    watching._watch_reducer(model, summed, "mine")
    assert marks.counts_steps
    for _ in range(4):
        hands.now += 0.4
        assert model.hook(model.state, Bucket(last=False)).value() == ("mine", False)
        assert model.hook(model.state, Bucket(last=True)).value() == ("mine", True), (
            "what the user's hook gave"
        )
    found = only(progress_file)
    assert (found.step, found.collective, found.waiting_since) == (3, 8, None)
    assert found.busy_seconds == pytest.approx(0.4)
    assert found.step_seconds == pytest.approx(1.0)


def test_a_rank_that_waits_for_the_sum_says_so(
    rank: Callable[[int], Marks], progress_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks, model = rank(0), Model()
    monkeypatch.setattr(watching, "marks", marks)
    seen: list[bool] = []

    def summed(_: object, bucket: Bucket) -> Future:
        seen.append(only(progress_file).waiting_since is not None)
        return Future(None)

    watching._watch_reducer(model, summed, None)
    model.hook(None, Bucket(last=False))
    model.hook(None, Bucket(last=True))
    assert seen == [False, True]
    assert only(progress_file).waiting_since is None
