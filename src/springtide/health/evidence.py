"""What a failed pod's log says: findings, each a cause or a consequence, and the last lines before them.

Pure: the controller reads the log, `read_log` interprets it, `diagnosis` weighs the findings of all
ranks against each other.
"""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from springtide.faults import Match, worth_keeping
from springtide.health.faults import Fault
from springtide.health.launching import child_exit, own_lines, refused_starts
from springtide.health.signatures import is_cause, is_sudden, meaning_of
from springtide.health.tracebacks import LogLine, Raised, find_raised, without_prefix

TAIL_LINES = 10
"""How many lines of a log a Diagnosis shows."""
CONTEXT_LINES = 8
"""How many lines before one are looked at to understand it."""
LINE_CHARACTERS = 400
"""Longer lines are cut: evidence is for reading, the log itself stays available."""


@dataclass(frozen=True)
class Finding:
    """One thing a log shows."""

    fault: Fault
    primary: bool
    """False for what a rank says only because another one failed."""
    text: str
    """For people: `ValueError: bad shape at train.py:12`."""
    line: LogLine
    """The line that shows it."""
    rank: int | None = None
    """Global rank, where the log names it."""
    signal: int | None = None
    """The signal that ended a process torchrun watched."""
    by_launcher: bool = False
    """Whether torchrun itself raised it, not the program it runs."""
    meaning: Match | None = None
    """The signature that knows it, with its verdict."""


@dataclass(frozen=True)
class LogEvidence:
    """The log of one pod, interpreted."""

    findings: tuple[Finding, ...] = ()
    tail: tuple[LogLine, ...] = ()
    """The last lines of the program itself, without torchrun's own report."""


_SUMMARY_RANK = re.compile(r"^\s+rank\s+: (\d+) \(local_rank: (\d+)\)")
_NATIVE_ABORT = re.compile(r"^\s*what\(\):\s+(?P<text>.+)")


def read_log(lines: Sequence[LogLine]) -> LogEvidence:
    """All findings in a pod's log, earliest first, and its telling last lines."""
    findings = [_from_exception(raised) for raised in find_raised(lines)]
    findings = _without_groups(findings)
    findings += _from_native_lines(lines, findings)
    findings += _from_starts(lines)
    findings += _from_children(lines, findings)
    return LogEvidence(tuple(sorted(findings, key=_when)), _tail(lines))


def signal_fault(number: int) -> Fault:
    """What it means that a process died of this signal."""
    if number == signals.SIGKILL:
        return Fault.KILLED
    if number in (signals.SIGTERM, signals.SIGINT, signals.SIGHUP):
        return Fault.TERMINATED
    return Fault.CRASHED


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; the number where this system has no name for it."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _from_exception(raised: Raised) -> Finding:
    meaning = meaning_of(raised.text, in_collective=raised.in_collective)
    text = f"{raised.kind}: {raised.message}" if raised.message else raised.kind
    if raised.frame is not None and raised.frame.is_users and not raised.by_launcher:
        text += f" at {PurePath(raised.frame.file).name}:{raised.frame.line}"
    fault = meaning.fault if meaning else Fault.PROGRAM_ERROR
    if raised.by_launcher and raised.kind in ("FileNotFoundError", "PermissionError", "NotADirectoryError"):
        fault, meaning = Fault.CANNOT_START, None  # torchrun --no-python: no such program, or not runnable
    return Finding(
        fault=fault,
        primary=meaning is None or is_cause(meaning),
        text=text,
        line=LogLine(raised.text, raised.time),
        rank=raised.rank,
        by_launcher=raised.by_launcher,
        meaning=meaning,
    )


def _without_groups(findings: list[Finding]) -> list[Finding]:
    """An exception group only says that it holds others; drop it where those are there."""
    leaves = [found for found in findings if not re.match(r"(Base)?ExceptionGroup\b", found.text)]
    return leaves or findings


def _from_native_lines(lines: Sequence[LogLine], said: Sequence[Finding]) -> list[Finding]:
    """What native code prints without a traceback: aborted C++ exceptions, devices, lost peers, watchdogs."""
    found: list[Finding] = []
    known = {one.line.text for one in said}
    for number, line in enumerate(lines):
        text = without_prefix(line.text)
        if text in known or not (_NATIVE_ABORT.match(text) or worth_keeping(text)):
            continue
        before = [one.text for one in lines[max(0, number - CONTEXT_LINES) : number]]
        meaning = meaning_of(text, before=before)
        aborted = _NATIVE_ABORT.match(text)
        if aborted is not None:
            fault = meaning.fault if meaning else Fault.CRASHED
            primary = meaning is None or is_cause(meaning)
            found.append(Finding(fault, primary, aborted["text"], line, meaning=meaning))
        elif meaning is not None and is_sudden(meaning):
            primary = is_cause(meaning)
            found.append(Finding(meaning.fault, primary, text.strip(), line, meaning.rank, meaning=meaning))
    return found


def _from_starts(lines: Sequence[LogLine]) -> list[Finding]:
    """A wrong path, module or command: nothing of the program ran."""
    return [Finding(Fault.CANNOT_START, True, line.text, line) for line in refused_starts(lines)]


def _from_children(lines: Sequence[LogLine], said: Sequence[Finding]) -> list[Finding]:
    """Processes that torchrun saw end badly and that did not say why themselves.

    `said` is what else the log shows: an exception of the program explains the code its process exited
    with, be it a cause or a complaint about a peer. torchrun's own exceptions explain nothing.
    """
    found: list[Finding] = []
    for line in lines:
        ended = child_exit(line)
        if ended is None:
            continue
        rank = _global_rank(lines, ended.local_rank)
        if ended.code < 0:
            found.append(_killed(line, rank, -ended.code))
        elif not any(one.rank in (None, rank) for one in said if not one.by_launcher):
            own = own_lines(lines)
            words = f"; its last words: {own[-1].text.strip()}" if own else ""
            text = f"its process exited with code {ended.code}{words}"
            found.append(Finding(Fault.PROGRAM_ERROR, True, text, line, rank))
    return found


def _killed(line: LogLine, rank: int | None, number: int) -> Finding:
    fault = signal_fault(number)
    text = f"its process was ended by {signal_name(number)}"
    return Finding(fault, fault is not Fault.TERMINATED, text, line, rank, number)


def _global_rank(lines: Sequence[LogLine], local_rank: int) -> int | None:
    """The global rank of a pod's process, as torchrun's summary names it."""
    shown = (_SUMMARY_RANK.match(line.text) for line in lines)
    return next((int(one[1]) for one in shown if one is not None and int(one[2]) == local_rank), None)


def _tail(lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
    kept = own_lines(lines) or [line for line in lines if line.text.strip()]
    return tuple(LogLine(line.text[:LINE_CHARACTERS], line.time) for line in kept[-TAIL_LINES:])


def _when(finding: Finding) -> float:
    return stamp(finding.line.time)


def stamp(moment: datetime | None) -> float:
    """A sort key: unknown times come last."""
    return moment.timestamp() if moment is not None else float("inf")
