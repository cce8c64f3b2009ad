"""The screen: a progress line that stays below the log on a terminal, one line a phase anywhere else."""

from __future__ import annotations

import io

from springtide.cli.phase import JobPhase, Phase
from springtide.cli.screen import Screen

RUNNING = JobPhase(Phase.RUNNING, "40 %")
CLEAR = "\r\x1b[2K"


def screen(
    *, live: bool = False, color: bool = False, width: int = 80
) -> tuple[Screen, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Screen(out, err, live=live, color=color, width=lambda: width), out, err


def test_lines_go_to_stdout_and_notices_to_stderr() -> None:
    made, out, err = screen()
    made.line("0", "hello")
    made.notice("attempt 2 begins")
    assert out.getvalue() == "[0] hello\n"
    assert err.getvalue() == "attempt 2 begins\n"


def test_without_a_terminal_progress_is_no_news_but_a_new_reason_to_wait_is() -> None:
    made, _, err = screen()
    for phase in (
        JobPhase(Phase.WAITING, "needs 4 cpu"),
        JobPhase(Phase.WAITING, "needs 2 cpu"),
        RUNNING,
        JobPhase(Phase.RUNNING, "80 %"),
    ):
        made.show("job", phase, 1.0, changed=True)
        made.show("job", phase, 2.0, changed=False)
    assert err.getvalue().splitlines() == [
        "job: Waiting: needs 4 cpu",
        "job: Waiting: needs 2 cpu",
        "job: Running: 40 %",
    ]


def test_on_a_terminal_the_progress_line_stays_last() -> None:
    made, out, err = screen(live=True)
    made.show("job", RUNNING, 3.2, changed=True)
    made.line("0", "hello")
    made.end()
    progress = "job  3 s  Running: 40 %"
    assert err.getvalue() == f"{progress}{CLEAR}{progress}{CLEAR}"
    assert out.getvalue() == "[0] hello\n"


def test_a_narrow_terminal_cuts_the_progress_line() -> None:
    made, _, err = screen(live=True, width=30)
    made.show("a-job-with-quite-a-long-name", RUNNING, 3.2, changed=True)
    assert err.getvalue() == "a-job-with-quite-a-long-name "[:29]


def test_ranks_are_coloured_alike_each_time() -> None:
    made, out, _ = screen(color=True)
    for rank in ("0", "1", "8", "0", "dataset-initializer"):
        made.line(rank, "x")
    first, second, ninth, again, step = out.getvalue().splitlines()
    assert first == again == ninth.replace("[8]", "[0]")
    assert first.replace("[0]", "[1]") != second
    assert "[dataset-initializer]" in step
