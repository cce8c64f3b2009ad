"""The Checkpointer of one process: what comes back, from where, and what happens when something is broken."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import pytest

from springtide import sdk
from springtide.sdk.checkpoint import interval, layout, memory
from springtide.sdk.checkpoint.crew import FileCrew
from springtide.sdk.checkpoint.slots import Slots
from tests.sdk.states import same

pytestmark = pytest.mark.realtime


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., sdk.Checkpointer]]:
    """Checkpointers over one storage and memory, as if the job started anew each time."""
    for name in (
        "RANK",
        "WORLD_SIZE",
        "JOB_COMPLETION_INDEX",
        "SPRINGTIDE_NUM_NODES",
        interval.MTBF_VARIABLE,
    ):
        monkeypatch.delenv(name, raising=False)
    made: list[sdk.Checkpointer] = []

    def new(**settings: Any) -> sdk.Checkpointer:
        settings = {"memory": tmp_path / "memory", "interval": None, **settings}
        made.append(sdk.Checkpointer(tmp_path / "disk", **settings))
        return made[-1]

    yield new
    for one in made:
        one.close()


def state_at(step: int) -> dict[str, Any]:
    return {"weights": numpy.full(5000, step, dtype=numpy.float32), "epoch": step, "name": "run"}


def saved(checkpoints: sdk.Checkpointer, *steps: int) -> None:
    for step in steps:
        checkpoints.save(step, state_at(step))
    checkpoints.wait()
    checkpoints.close()


def test_nothing_was_saved(make: Callable[..., sdk.Checkpointer]) -> None:
    like = state_at(0)
    assert make().restore(like=like) == (like, None)


def test_the_newest_comes_from_memory_and_without_it_from_storage(
    make: Callable[..., sdk.Checkpointer], tmp_path: Path
) -> None:
    saved(make(), 1, 2, 3)
    for where in ("memory", "storage"):
        checkpoints = make()
        state, step = checkpoints.restore()
        assert step == 3
        assert same(state, state_at(3))
        assert checkpoints.restored is not None
        assert checkpoints.restored.where == where
        shutil.rmtree(tmp_path / "memory")


def test_arrays_are_filled_in_place_and_random_numbers_go_on(make: Callable[..., sdk.Checkpointer]) -> None:
    random.seed(5)
    numpy.random.seed(6)
    saved(make(), 4)
    drawn = random.random(), numpy.random.random()
    like = state_at(0)
    weights = like["weights"]
    state, step = make().restore(like=like)
    assert step == 4
    assert state["weights"] is weights
    assert same(state, state_at(4))
    assert (random.random(), numpy.random.random()) == drawn


def test_the_state_may_change_as_soon_as_save_returns(make: Callable[..., sdk.Checkpointer]) -> None:
    checkpoints = make()
    state = state_at(1)
    checkpoints.save(1, state)
    state["weights"][:] = -1
    checkpoints.wait()
    assert same(make().restore()[0], state_at(1))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[min(len(content) // 2, 1000)] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("hurt", "step", "where"),
    [
        ("memory/step-3/rank-0/data.bin", 3, "storage"),
        ("memory/step-3/rank-0/manifest.json", 3, "storage"),
        ("disk/step-3/rank-0/data.bin", 3, "memory"),
        ("*/step-3/rank-0/data.bin", 2, "memory"),
        ("*/step-3/rank-0/manifest.json", 2, "memory"),
        ("disk/step-3/COMMIT", 3, "memory"),
    ],
)
def test_damage_is_noticed_said_and_the_next_best_is_taken(
    make: Callable[..., sdk.Checkpointer],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    hurt: str,
    step: int,
    where: str,
) -> None:
    saved(make(), 1, 2, 3)
    for path in tmp_path.glob(hurt):
        damage(path)
    checkpoints = make()
    state, found = checkpoints.restore()
    assert (found, checkpoints.restored.where if checkpoints.restored else "") == (step, where)
    assert same(state, state_at(step))
    said = capfd.readouterr().err
    assert ("damaged" in said) == (not hurt.startswith("disk") or hurt.endswith("COMMIT"))


def test_if_everything_is_damaged_training_does_not_quietly_start_anew(
    make: Callable[..., sdk.Checkpointer], tmp_path: Path
) -> None:
    saved(make(), 1)
    for path in tmp_path.glob("*/step-*/rank-0/data.bin"):
        damage(path)
    like = state_at(9)
    with pytest.raises(sdk.CheckpointError, match="everything that was saved is damaged"):
        make().restore(like=like)
    assert same(like, state_at(9)), "the program's state is as it was"


@pytest.mark.parametrize(
    ("like", "words"),
    [
        (
            {"weights": numpy.zeros(4, "f4"), "epoch": 0, "name": ""},
            r"weights has shape \[5000\] .* and \[4\]",
        ),
        ({"weights": numpy.zeros(5000), "epoch": 0, "name": ""}, "weights is float32 .* and float64"),
        (
            {"weights": numpy.zeros(5000, "f4"), "epoch": 0},
            "the checkpoint has name, which this program does not",
        ),
        ({**state_at(0), "bias": numpy.zeros(1)}, "the checkpoint has no bias"),
    ],
)
def test_what_does_not_fit_is_named(
    make: Callable[..., sdk.Checkpointer], like: dict[str, Any], words: str
) -> None:
    saved(make(), 1)
    with pytest.raises(sdk.CheckpointError, match=words):
        make().restore(like=like)


def test_what_only_one_side_has_is_left_where_that_is_asked_for(
    make: Callable[..., sdk.Checkpointer],
) -> None:
    saved(make(), 1)
    state, _ = make().restore(like={"epoch": 0, "bias": "mine"}, strict=False)
    assert state == {"epoch": 1, "bias": "mine"}


def test_only_what_has_bytes_is_saved_and_pickle_only_if_asked(make: Callable[..., sdk.Checkpointer]) -> None:
    state = {"model": {"when": Counter("aab"), "where": Path("x")}}
    with pytest.raises(sdk.CheckpointError, match=r"model\.where is a pathlib.*pickle=True"):
        make().save(1, state)
    checkpoints = make(pickle=True)
    checkpoints.save(1, state)
    checkpoints.wait()
    with pytest.raises(sdk.CheckpointError, match=r"model\.where was saved with pickle"):
        make().restore()
    assert make(pickle=True).restore()[0] == state


def test_older_steps_go_but_those_that_are_kept(
    make: Callable[..., sdk.Checkpointer], tmp_path: Path
) -> None:
    saved(make(keep=2, keep_every=4), *range(1, 12))
    names = {path.name for path in (tmp_path / "disk").iterdir()}
    assert names == {"step-4", "step-8", "step-10", "step-11"}
    assert len(list((tmp_path / "memory").rglob("data.bin"))) == 2


def test_going_back_makes_what_came_after_the_past(
    make: Callable[..., sdk.Checkpointer], tmp_path: Path
) -> None:
    saved(make(keep=9), 1, 2, 3, 4)
    checkpoints = make(keep=9)
    assert checkpoints.restore(step=2)[1] == 2
    checkpoints.save(3, state_at(33))
    checkpoints.wait()
    for _ in range(2):
        state, step = make().restore()
        assert step == 3, "saved last, though 4 is more"
        assert same(state, state_at(33))
        shutil.rmtree(tmp_path / "memory", ignore_errors=True)


def test_a_step_that_is_there_is_not_saved_again(make: Callable[..., sdk.Checkpointer]) -> None:
    saved(make(), 5)
    checkpoints = make()
    checkpoints.restore()
    checkpoints.save(5, state_at(0))
    assert same(make().restore()[0], state_at(5))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_and_training_goes_on(
    make: Callable[..., sdk.Checkpointer], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=256k none {disk} 2>/dev/null") != 0:
        pytest.skip("this system does not let tests mount")
    try:
        checkpoints = make()
        checkpoints.save(1, {"w": numpy.zeros(100)})
        checkpoints.wait()
        checkpoints.save(2, {"w": numpy.zeros(100_000)})
        with pytest.raises(sdk.CheckpointError, match=r"step 2 could not be made durable: .*No space left"):
            checkpoints.wait()
        assert "step 1 is the newest durable one; training goes on" in capfd.readouterr().err
        checkpoints.save(3, {"w": numpy.ones(100)})
        checkpoints.wait()
        shutil.rmtree(tmp_path / "memory")
        assert make().restore()[1] == 3
        for one in (2, 4):
            assert not (disk / f"step-{one}" / "rank-0").exists(), "nothing half is left"
    finally:
        os.system(f"umount -l {disk}")


def test_without_room_in_memory_snapshots_go_to_storage(
    make: Callable[..., sdk.Checkpointer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    allocate = os.posix_fallocate

    def full(descriptor: int, offset: int, size: int) -> None:
        if "/memory/" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(28, "No space left on device")
        allocate(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    saved(make(), 1, 2)
    assert "snapshots go to storage from now on" in capfd.readouterr().err
    shutil.rmtree(tmp_path / "memory")
    checkpoints = make()
    assert same(checkpoints.restore()[0], state_at(2))


def test_without_memory_from_the_start(make: Callable[..., sdk.Checkpointer], tmp_path: Path) -> None:
    saved(make(memory=False), 1, 2, 3)
    assert not (tmp_path / "memory").exists()
    assert same(make(memory=False).restore()[0], state_at(3))


def test_a_killed_writer_is_said_and_replaced(
    make: Callable[..., sdk.Checkpointer], capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints = make()
    process = checkpoints._snapshots._writer._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    checkpoints.save(1, state_at(1))
    process.kill()
    with pytest.raises(sdk.CheckpointError, match="writer process ended"):
        checkpoints.wait()
    checkpoints.save(2, state_at(2))
    checkpoints.wait()
    assert same(make().restore()[0], state_at(2))


def test_the_newest_whole_snapshot_is_never_written_over(tmp_path: Path) -> None:
    """Whatever an earlier process left: the slot that is taken next is not the newest that is whole."""
    from springtide.sdk.checkpoint.copying import Copier

    for step, whole in ((5, True), (6, False)):
        part = layout.part(tmp_path, step, 0)
        part.mkdir(parents=True)
        (part / "data.bin").write_bytes(b"x")
        if whole:
            layout.put(part / "manifest.json", layout.sealed({"session": "000001-a"}), durable=False)
    slot = Slots(tmp_path, 0, Copier(1)).next(7)
    assert slot is not None
    assert slot.step == 6


def test_a_snapshot_outlives_the_process_that_took_it(tmp_path: Path) -> None:
    """Killed right after `save` returned: its writer still makes the snapshot whole, and durable."""
    program = (
        "import os, signal, numpy; from springtide import sdk\n"
        f"c = sdk.Checkpointer({str(tmp_path / 'disk')!r}, memory={str(tmp_path / 'memory')!r})\n"
        "c.save(8, {'w': numpy.arange(1_000_000.0)}); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", program], check=False)
    until = time.monotonic() + 30
    while not (tmp_path / "disk" / "step-8" / "COMMIT").exists() and time.monotonic() < until:
        time.sleep(0.02)
    with sdk.Checkpointer(tmp_path / "disk", memory=tmp_path / "memory") as checkpoints:
        state, step = checkpoints.restore()
    assert step == 8
    assert same(state, {"w": numpy.arange(1_000_000.0)})


def test_two_processes_of_one_machine_agree_through_files(tmp_path: Path) -> None:
    """As JAX programs do, which have no process group; what an earlier run left there does not matter."""
    for run in range(2):
        words: dict[int, list[Any]] = {}

        def speak(rank: int, run: int = run, words: dict[int, list[Any]] = words) -> None:
            crew = FileCrew(tmp_path, rank, 3, timeout=20)
            words[rank] = [crew.gather([run, rank, number]) for number in range(4)]

        threads = [threading.Thread(target=speak, args=(rank,)) for rank in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert words == {
            rank: [[[run, other, number] for other in range(3)] for number in range(4)] for rank in range(3)
        }


def test_a_rank_that_never_comes_is_named(tmp_path: Path) -> None:
    with pytest.raises(sdk.CheckpointError, match=r"rank 0 waited 0 s for ranks \[1\]"):
        FileCrew(tmp_path, 0, 2, timeout=0.05).gather("here")


@pytest.mark.parametrize(
    ("cost", "mtbf", "best"),
    [
        (0.0, 1000.0, 0.0),
        (5.0, 1000.0, 96.704),  # sqrt(2·5·1000)·(1 + sqrt(0.0025)/3 + 0.0025/9) - 5
        (2000.0, 1000.0, 1000.0),
        (5000.0, 1000.0, 1000.0),
    ],
)
def test_dalys_interval(cost: float, mtbf: float, best: float) -> None:
    assert interval.best_interval_seconds(cost, mtbf) == pytest.approx(best, abs=1e-2)


@pytest.mark.parametrize("cost", [0.1, 1.0, 30.0])
def test_dalys_interval_loses_the_least_time(cost: float) -> None:
    """By the exact expected time for exponential failures (Daly 2006) no other interval is much better."""
    mtbf = 3600.0

    def lost(work: float) -> float:
        return float(mtbf * numpy.expm1((work + cost) / mtbf) / work)

    chosen = interval.best_interval_seconds(cost, mtbf)
    best = min(lost(work) for work in numpy.geomspace(1, 4 * mtbf, 4000))
    assert lost(chosen) <= best * 1.0005


class Hands:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_auto_saves_as_often_as_pays(
    make: Callable[..., sdk.Checkpointer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of two seconds, saves of half a second, a failure an hour: every 59 seconds, so 30 steps."""
    monkeypatch.setenv(interval.MTBF_VARIABLE, "3600")
    hands = Hands()
    checkpoints = make(interval="auto", clock=hands)
    take = checkpoints._snapshots.take

    def slow(*arguments: Any) -> Any:
        hands.now += 0.5
        return take(*arguments)

    monkeypatch.setattr(checkpoints._snapshots, "take", slow)
    at = []
    for step in range(120):
        hands.now += 2
        if checkpoints.maybe_save(step, state_at(step)):
            at.append(step)
    assert at[:2] == [9, 19], "the tenth, to learn what one costs"
    assert {b - a for a, b in pairwise(at[1:])} == {30}


@pytest.mark.parametrize(("every", "expected"), [(1, [0, 1, 2, 3]), (2, [1, 3]), (None, [])])
def test_fixed_intervals(
    make: Callable[..., sdk.Checkpointer], every: int | None, expected: list[int]
) -> None:
    checkpoints = make(interval=every)
    assert [step for step in range(4) if checkpoints.maybe_save(step, state_at(step))] == expected


@pytest.mark.parametrize("wrong", [{"interval": 0}, {"keep": 0}])
def test_settings_that_make_no_sense(make: Callable[..., sdk.Checkpointer], wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)


def test_outside_the_platform_a_clean_end_gives_memory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPRINGTIDE_MEMORY_DIR", raising=False)
    with sdk.Checkpointer(tmp_path / "disk", interval=None) as checkpoints:
        checkpoints.save(1, state_at(1))
        assert checkpoints.memory is not None
        assert list(checkpoints.memory.rglob("data.bin"))
    assert not checkpoints.memory.exists()
    with sdk.Checkpointer(tmp_path / "disk", interval=None) as checkpoints:
        assert checkpoints.restore()[1] == 1


def test_memory_that_another_user_prepared_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(memory.MEMORY_VARIABLE, raising=False)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    user = os.getuid() + 4242
    trap = Path("/dev/shm") / f"springtide-sdk-{user}"
    monkeypatch.setattr(os, "getuid", lambda: user)
    trap.symlink_to(theirs)
    try:
        assert memory.memory_folder(True, tmp_path) is None
    finally:
        trap.unlink()
    assert "they go to storage" in capfd.readouterr().err
    assert list(theirs.iterdir()) == []


def test_memory_of_our_own_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(memory.MEMORY_VARIABLE, raising=False)
    folder = memory.memory_folder(True, tmp_path)
    assert folder is not None
    assert folder.parent.stat().st_mode & 0o077 == 0
    folder.rmdir()
