"""Hangs and what only looks like one: who is named, how sure, after how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as changed

import pytest

from springtide.api.nodehealth import NodeHealth
from springtide.api.struct import replace
from springtide.health.gang import members_of, waits_in
from springtide.health.hangs import Hang, HangSettings, look
from tests.builders import at
from tests.health.ganghealth import (
    IN_ALL_REDUCE,
    IN_BACKWARD,
    IN_READ,
    IN_SLEEP,
    IN_TORCHRUN,
    Rank,
    healths,
    members,
    reports,
)

SETTINGS = HangSettings()
MARKED = Rank(step=40, collective=160)


def judged(ranks: Sequence[Rank], after: float, learned: float = 0.0) -> Hang | None:
    """What is said `after` so many seconds of quiet, which began at second 100."""
    now = 100 + after
    return look(members(ranks, now), learned, at(now), SETTINGS).hang


def named_after(ranks: Sequence[Rank], learned: float = 0.0) -> float:
    """Seconds of quiet after which it is a hang."""
    return next(after for after in range(6, 4000) if judged(ranks, after, learned) is not None)


STOPPED = Rank(state="T", frames=IN_READ)
WAITS = Rank(frames=IN_BACKWARD)


@pytest.mark.parametrize(
    ("what", "ranks", "root", "seconds", "confidence", "words"),
    [
        ("a rank got SIGSTOP, its peer waits", [WAITS, STOPPED], 1, 10, 0.95, "stopped (state T)"),
        (
            "a rank got SIGSTOP while it waited itself",
            [changed(WAITS, state="T"), WAITS],
            0,
            10,
            0.95,
            "state T",
        ),
        (
            "a stopped rank is stopped in an evaluation too",
            [changed(WAITS, phase="evaluate"), changed(STOPPED, phase="evaluate")],
            1,
            10,
            0.95,
            "state T",
        ),
        (
            "peers spin in NCCL while one is stopped",
            [Rank(busy=109, frames=IN_BACKWARD), STOPPED],
            1,
            10,
            0.95,
            "state T",
        ),
        ("a rank is stuck in the kernel", [WAITS, Rank(state="D", frames=IN_READ)], 1, 60, 0.85, "state D"),
        (
            "a rank has entered fewer collectives",
            [changed(MARKED, waiting=True), changed(MARKED, collective=159), changed(MARKED, waiting=True)],
            1,
            60,
            0.9,
            "159 collectives entered, its peers 160",
        ),
        (
            "a rank is a step behind",
            [Rank(step=40, frames=IN_BACKWARD), Rank(step=39, frames=IN_BACKWARD)],
            1,
            60,
            0.9,
            "39 steps",
        ),
        (
            "one reads while the others are in backward",
            [WAITS, WAITS, Rank(frames=IN_READ)],
            2,
            60,
            0.8,
            "does not wait",
        ),
        (
            "one of four waits in another collective",
            [WAITS, WAITS, Rank(frames=IN_ALL_REDUCE), WAITS],
            2,
            60,
            0.7,
            "another place",
        ),
        ("all wait in the same collective", [WAITS, WAITS], 0, 60, 0.4, "lost on the way"),
        ("nobody knows who waits", [Rank(log=90), Rank(log=70)], 1, 600, 0.4, "fell silent before"),
        ("all sleep by themselves", [Rank(frames=IN_SLEEP)] * 2, 0, 1800, 0.5, "the program itself pauses"),
        ("a job of one rank does nothing", [Rank(frames=IN_READ)], 0, 1800, 0.5, "the program itself"),
    ],
)
def test_who_is_named_and_when(
    what: str, ranks: list[Rank], root: int, seconds: int, confidence: float, words: str
) -> None:
    assert named_after(ranks) == seconds
    hang = judged(ranks, seconds)
    assert hang is not None
    assert hang.rank.rank == root
    assert hang.confidence == confidence
    assert words in hang.happened
    assert hang.since == at(100)


@pytest.mark.parametrize(
    ("what", "ranks", "after"),
    [
        ("an evaluation that sleeps in every rank", [Rank(frames=IN_SLEEP)] * 2, 1700),
        ("rank 0 sleeps, its peer waits for it", [Rank(frames=IN_SLEEP), Rank(frames=IN_ALL_REDUCE)], 59),
        ("rank 0 evaluates and is busy, its peer waits", [Rank(busy=3999), WAITS], 3900),
        ("rank 0 says so, its peer waits", [Rank(frames=IN_READ, phase="evaluate"), WAITS], 1799),
        ("a checkpoint", [Rank(frames=IN_READ, phase="checkpoint"), WAITS], 599),
        ("a checkpoint by a rank stuck in the kernel but reading", [Rank(state="D", busy=3999), WAITS], 3900),
        ("the first step compiles", [changed(MARKED, step=None, frames=IN_READ), WAITS], 899),
        ("a debugger holds a rank", [Rank(state="t", frames=IN_READ), WAITS], 59),
        ("a rank logs", [Rank(log=3999), WAITS], 3900),
        ("a rank spins and nobody saw in what", [Rank(busy=3999), Rank(busy=3999)], 3900),
    ],
)
def test_what_only_looks_like_a_hang(what: str, ranks: list[Rank], after: int) -> None:
    assert judged(ranks, after) is None


def test_ranks_that_spin_in_a_wait_are_still() -> None:
    spinning = Rank(busy=179, frames=IN_BACKWARD, sampled=170)
    hang = judged([spinning, Rank(frames=IN_READ), spinning], 80)
    assert hang is not None
    assert (hang.rank.rank, hang.confidence) == (1, 0.8)
    assert judged([changed(spinning, sampled=140), Rank(frames=IN_READ)], 80) is None, "that stack is old"


def test_stacks_are_asked_for_when_all_are_silent_and_some_spin() -> None:
    ranks = [Rank(busy=149), Rank(busy=149)]
    assert [one.report.index for one in look(members(ranks, 150), 0, at(150), SETTINGS).wants_stacks] == [
        0,
        1,
    ]
    assert not look(members([changed(ranks[0], log=140), ranks[1]], 150), 0, at(150), SETTINGS).wants_stacks
    assert not look(members(ranks, 115), 0, at(115), SETTINGS).wants_stacks, "not silent for long"


def test_what_was_learned_makes_patient_up_to_a_bound() -> None:
    ranks = [Rank(frames=IN_SLEEP), WAITS]
    assert named_after(ranks) == 60
    assert named_after(ranks, learned=15) == 60
    assert named_after(ranks, learned=45) == 135
    assert named_after(ranks, learned=5000) == 1800
    assert named_after([STOPPED, WAITS], learned=5000) == 10, "nothing healthy is stopped"


def test_a_gang_that_is_looked_at_says_when_to_look_again() -> None:
    ranks = [WAITS, STOPPED]
    assert look(members(ranks, 108), 0, at(108), SETTINGS).again_seconds == 2
    assert look(members([Rank(busy=107), Rank(busy=107)], 108), 0, at(108), SETTINGS).again_seconds is None


def test_torchrun_is_no_rank_that_waits() -> None:
    assert not any(waits_in(frame) for frame in IN_TORCHRUN)
    assert waits_in(IN_ALL_REDUCE[0])
    assert waits_in("synchronize (torch/cuda/__init__.py:985)")
    assert not waits_in("forward (torch/nn/modules/linear.py:134)")


def test_without_collectors_nothing_is_judged() -> None:
    seen = dict(healths([WAITS, STOPPED], 200))
    assert members_of(reports(2), seen.get, at(200)) is not None
    assert members_of(reports(2), seen.get, at(260)) is None, "they have not written for a minute"
    unseen: dict[str, NodeHealth] = {"n0": seen["n0"]}
    assert members_of(reports(2), unseen.get, at(200)) is None


def test_ranks_that_have_done_their_part_are_not_waited_for() -> None:
    first, second, third = reports(3)
    assert third.pod is not None
    done = replace(third.pod, status=replace(third.pod.status, phase="Succeeded"))
    seen = healths([WAITS, WAITS, Rank()], 200)
    found = members_of([first, second, changed(third, pod=done)], seen.get, at(200))
    assert found is not None
    assert [member.report.index for member in found] == [0, 1]


def test_the_evidence_names_the_stack_the_peers_and_the_patience() -> None:
    hang = judged([WAITS, STOPPED], 15)
    assert hang is not None
    assert hang.peers == (
        "its peer stands in _engine_run_backward (torch/autograd/graph.py:841),"
        " called by train_epoch (train.py:60)"
    )
    first, *_, last = hang.evidence
    assert first.line.startswith("rank 1: state T: read (tarfile.py:683) < __next__ (loader.py:20)")
    assert last.line == "no sign of life for 15 s; patience 10 s (stopped)"
