"""What a followed job looks like: its lines on stdout, notices and one progress line on stderr.

On a terminal the progress line stays below the log and is drawn again; elsewhere each new phase is one
line on stderr, so that a log file stays readable. Called by `following` and `logs`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TextIO

import click

from springtide.cli.phase import JobPhase, Phase, duration

_COLORS = ("cyan", "magenta", "yellow", "green", "blue", "bright_red", "bright_cyan", "bright_magenta")
_CLEAR = "\r\x1b[2K"


class Screen:
    """Where a follower writes. `width` is asked each time: the window may change."""

    def __init__(
        self, out: TextIO, err: TextIO, *, live: bool, color: bool, width: Callable[[], int] = lambda: 80
    ) -> None:
        self._out = out
        self._err = err
        self._live = live
        self._color = color
        self._width = width
        self._below = ""
        self._phase_shown: Phase | None = None

    def line(self, rank: str, text: str) -> None:
        """One line of the job, with its rank before it."""
        self._hide()
        self._out.write(f"{self._prefix(rank)} {text}\n")
        self._out.flush()
        self._draw()

    def notice(self, text: str) -> None:
        """A message to the user."""
        self._hide()
        self._err.write(f"{text}\n")
        self._draw()
        self._err.flush()

    def show(self, name: str, phase: JobPhase, seconds: float, *, changed: bool) -> None:
        """The job's phase now; on a terminal with the time since it began, elsewhere once for each phase."""
        if self._live:
            self._hide()
            self._below = f"{name}  {duration(int(seconds))}  {phase}"
            self._draw()
        elif changed and (phase.phase is not self._phase_shown or phase.phase.explains_itself):
            self._err.write(f"{name}: {phase}\n")
            self._err.flush()
        self._phase_shown = phase.phase

    def end(self) -> None:
        """Take the progress line away for good."""
        self._hide()
        self._below = ""

    def _prefix(self, rank: str) -> str:
        if not self._color:
            return f"[{rank}]"
        number = int(rank) if rank.isdigit() else sum(rank.encode())
        return click.style(f"[{rank}]", fg=_COLORS[number % len(_COLORS)])

    def _hide(self) -> None:
        if self._below:
            self._err.write(_CLEAR)
            self._err.flush()

    def _draw(self) -> None:
        if self._below:
            text = self._below[: max(20, self._width() - 1)]
            self._err.write(click.style(text, dim=True) if self._color else text)
            self._err.flush()


def terminal_screen() -> Screen:
    """The screen of this process; NO_COLOR and redirected output are honoured."""
    return Screen(
        sys.stdout,
        sys.stderr,
        live=sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb",
        color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        width=lambda: os.get_terminal_size(sys.stderr.fileno()).columns or 80,
    )
