"""Programs that never came to run, through torchrun and without: whose fault it is, and what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from springtide.api.core import Pod
from springtide.health.diagnosis import first_cause, is_restartable
from springtide.health.faults import Fault
from springtide.health.launching import refused_starts
from springtide.health.tracebacks import LogLine
from tests.builders import at
from tests.health import outputs
from tests.health.outputs import lines, stamped, torchrun
from tests.health.scene import Scene, failed, gang, rank

PEERS: dict[str, tuple[Pod, Sequence[LogLine]]] = {
    "a peer that complains earlier": (
        failed(0, 9),
        stamped(torchrun(outputs.PEER_COMPLAINS, rank=0), 9),
    ),
    "a peer that cannot reach the rendezvous": (failed(0, 9), stamped(outputs.RENDEZVOUS_FAILS, 9)),
    "a peer still in the rendezvous": (rank(0), []),
}


@dataclass
class Case:
    what: str
    log: str
    code: int
    fault: Fault
    words: str

    def __str__(self) -> str:
        return self.what


def under_torchrun(text: str, code: int = 1) -> str:
    return torchrun(text, rank=1, code=code)


CASES = [
    Case(
        "a path that is not there",
        under_torchrun(outputs.CANNOT_OPEN, 2),
        1,
        Fault.CANNOT_START,
        "could not be started: /venv/bin/python3: can't open file '/code/missing.py'",
    ),
    Case(
        "a path that is not there, without torchrun",
        outputs.CANNOT_OPEN,
        2,
        Fault.CANNOT_START,
        "can't open file '/code/missing.py'",
    ),
    Case(
        "two processes of one pod find no program",
        under_torchrun(f"{outputs.CANNOT_OPEN}\n{outputs.CANNOT_OPEN}", 2),
        1,
        Fault.CANNOT_START,
        "can't open file",
    ),
    Case(
        "a module that python -m does not find",
        under_torchrun(outputs.NO_MODULE),
        1,
        Fault.CANNOT_START,
        "No module named no_such_module",
    ),
    Case(
        "an import that fails",
        under_torchrun(
            'Traceback (most recent call last):\n  File "/code/train.py", line 1, in <module>\n'
            "    import nowhere\nModuleNotFoundError: No module named 'nowhere'"
        ),
        1,
        Fault.PROGRAM_ERROR,
        "ModuleNotFoundError: No module named 'nowhere' at train.py:1",
    ),
    Case(
        "a syntax error",
        under_torchrun(outputs.SYNTAX),
        1,
        Fault.PROGRAM_ERROR,
        "SyntaxError: '(' was never closed at train.py:1",
    ),
    Case(
        "an assertion",
        under_torchrun(
            '[rank1]: Traceback (most recent call last):\n[rank1]:   File "/code/train.py", line 7, in f\n'
            "[rank1]:     assert total == 3\n[rank1]: AssertionError"
        ),
        1,
        Fault.PROGRAM_ERROR,
        "AssertionError at train.py:7",
    ),
    Case(
        "a program torchrun does not find",
        outputs.LAUNCHER_FINDS_NO_PROGRAM,
        1,
        Fault.CANNOT_START,
        "could not be started: FileNotFoundError: [Errno 2] No such file or directory: 'nosuchprog'",
    ),
    Case(
        "a program torchrun may not execute",
        outputs.LAUNCHER_FINDS_NO_PROGRAM.replace(
            "FileNotFoundError: [Errno 2] No such file or directory", "PermissionError: [Errno 13] denied"
        ),
        1,
        Fault.CANNOT_START,
        "PermissionError",
    ),
    Case(
        "a flag torchrun does not know",
        outputs.TORCHRUN_USAGE,
        2,
        Fault.CANNOT_START,
        "torchrun: error: unrecognized arguments: --nope",
    ),
    Case(
        "a command the shell does not find",
        "sh: 1: nosuchprog: not found",
        127,
        Fault.CANNOT_START,
        "could not be started: sh: 1: nosuchprog: not found",
    ),
    Case(
        "a file that is not executable",
        "sh: 1: ./run.sh: Permission denied",
        126,
        Fault.CANNOT_START,
        "./run.sh: Permission denied",
    ),
    Case(
        "a process that exits with a code of its own under torchrun",
        under_torchrun("loading\nno data at /data", 3),
        1,
        Fault.PROGRAM_ERROR,
        "its process exited with code 3; its last words: no data at /data",
    ),
    Case(
        "a process that exits with -1, which is no signal",
        "no data at /data",
        255,
        Fault.PROGRAM_ERROR,
        "exited with code 255; its last words: no data at /data",
    ),
]


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rank_1_is_to_blame_whatever_its_peer_shows(case: Case, peer: str) -> None:
    pod, log = PEERS[peer]
    scene = Scene(pods=[pod, failed(1, 10, case.code)], logs={0: log, 1: stamped(case.log, 10.2)})
    found = first_cause(scene.reports(at(60)), at(60))
    assert found is not None
    assert (found.report.index, found.fault) == (1, case.fault), found.message
    assert case.words in found.message
    assert found.primary, "a cause is judged after the short wait, not the long one"
    assert not is_restartable(found)


def test_a_complaint_about_a_peer_explains_the_exit_of_the_process_that_makes_it() -> None:
    log = stamped(torchrun(outputs.PEER_COMPLAINS, rank=0), 10.2)
    scene = Scene(workload=gang(2), pods=[failed(0, 10), failed(1, 11)], logs={0: log, 1: log})
    found = first_cause(scene.reports(at(60)), at(60))
    assert found is not None
    assert found.fault is Fault.PEER_LOST


def test_the_silent_process_of_a_pod_is_the_cause_of_its_neighbours_complaint() -> None:
    text = f"{outputs.PEER_COMPLAINS}\n{outputs.SUMMARY.format(rank=1, code=7)}"
    scene = Scene(workload=gang(1), pods=[failed(0, 10)], logs={0: stamped(text, 10.2)})
    found = first_cause(scene.reports(at(60)), at(60))
    assert found is not None
    assert (found.rank, found.fault) == (1, Fault.PROGRAM_ERROR)
    assert "exited with code 7" in found.message


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a script that goes on after a command it did not find", "sh: 1: nvidia-smi: not found\nstep 0"),
        ("a program's own error of the same form", "trainer: error: bad shape"),
        ("words about a file", "cannot open file data.bin"),
        ("nothing", ""),
    ],
)
def test_other_words_are_no_refused_start(what: str, text: str) -> None:
    assert refused_starts(lines(text)) == [], what
