"""What a log says when a program never came to run: words of shells, of Python's command line, of torchrun.

Called by `evidence`. None of these has a traceback, and torchrun's report of them is the same
`ChildFailedError` that every failure of a peer brings too, so they must be read by their own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from springtide.health.tracebacks import LogLine, without_prefix

_STARTERS = (
    # Python: a path or a module that is not there.
    r"\S*python[\d.]*: can't (?:open file|find '__main__' module in) .+",
    r"\S*python[\d.]*: (?:No module named|Error while finding module specification for) .+",
    r"\S*python[\d.]*: No module named .+; '.+' is a package and cannot be directly executed",
    # Shells: dash, bash, busybox.
    r"\S*(?:sh|bash|dash|ash|zsh)(?:: line \d+|: \d+)?: .+: (?:command )?not found",
    r"\S*(?:sh|bash|dash|ash|zsh)(?:: line \d+|: \d+)?: .+: (?:No such file or directory|Permission denied)",
    r"\S*(?:sh|bash|dash|ash|zsh)(?:: line \d+|: \d+)?: .+: cannot execute.*",
    r"env: .+: (?:No such file or directory|Permission denied)",
    # argparse, and with it torchrun's own command line.
    r"torchrun(?:\.py)?: error: .+",
)
_STARTER = re.compile("|".join(f"(?:{pattern})" for pattern in _STARTERS))
_TORCHRUN_LOG = re.compile(r"[EWI]\d{4} \d\d:\d\d:\d\d\.\d+ .*torch/distributed/(?:elastic|run)")
_CHILD_ENDED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)")


@dataclass(frozen=True)
class ChildExit:
    """A process of torchrun that ended badly."""

    code: int
    """Its exit code; negative: the signal that ended it."""
    local_rank: int


def refused_starts(lines: Sequence[LogLine]) -> list[LogLine]:
    """The lines by which a program was refused its start, prefixes removed.

    They count only as the last words of the log, or before torchrun's report: a shell script may well go
    on after a command it did not find.
    """
    found: list[LogLine] = []
    for line in reversed(own_lines(lines)):
        text = without_prefix(line.text).strip()
        if _STARTER.fullmatch(text) is None:
            break
        found.insert(0, LogLine(text, line.time))
    return found


def own_lines(lines: Sequence[LogLine]) -> list[LogLine]:
    """What the program said: the lines with text before torchrun's report, without torchrun's own log."""
    own = takewhile(lambda line: child_exit(line) is None, lines)
    return [line for line in own if line.text.strip() and _TORCHRUN_LOG.match(line.text) is None]


def child_exit(line: LogLine) -> ChildExit | None:
    """What torchrun's report says of the process that ended badly; None for other lines."""
    ended = _CHILD_ENDED.search(line.text)
    return ChildExit(int(ended[1]), int(ended[2])) if ended is not None else None
