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

from springtide.health.faults import Fault
from springtide.health.signatures import match
from springtide.health.tracebacks import LogLine, Raised, find_raised, without_prefix

TAIL_LINES = 10
"""How many lines of a log a Diagnosis shows."""
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


@dataclass(frozen=True)
class LogEvidence:
    """The log of one pod, interpreted."""

    findings: tuple[Finding, ...] = ()
    tail: tuple[LogLine, ...] = ()
    """The last lines of the program itself, without torchrun's own report."""


_CHILD_ENDED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: \d+")
_ELASTIC = re.compile(r"torch/distributed/elastic/|torch\.distributed\.elastic")
_SUMMARY_RANK = re.compile(r"^\s+rank\s+: (\d+) \(local_rank: \d+\)")
_NATIVE_ABORT = re.compile(r"^\s*what\(\):\s+(?P<text>.+)")


def read_log(lines: Sequence[LogLine]) -> LogEvidence:
    """All findings in a pod's log, earliest first, and its telling last lines."""
    findings = [_from_exception(raised) for raised in find_raised(lines)]
    findings = _without_groups(findings)
    findings += _from_native_lines(lines)
    findings += _from_children(lines)
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
    signature = match(raised.text, in_collective=raised.in_collective)
    text = f"{raised.kind}: {raised.message}" if raised.message else raised.kind
    if raised.frame is not None and raised.frame.is_users:
        text += f" at {PurePath(raised.frame.file).name}:{raised.frame.line}"
    return Finding(
        fault=signature.fault if signature else Fault.PROGRAM_ERROR,
        primary=signature is None or signature.primary,
        text=text,
        line=LogLine(raised.text, raised.time),
        rank=raised.rank,
    )


def _without_groups(findings: list[Finding]) -> list[Finding]:
    """An exception group only says that it holds others; drop it where those are there."""
    leaves = [found for found in findings if not re.match(r"(Base)?ExceptionGroup\b", found.text)]
    return leaves or findings


def _from_native_lines(lines: Sequence[LogLine]) -> list[Finding]:
    """What native code prints without a traceback: aborted C++ exceptions, device errors."""
    found: list[Finding] = []
    for line in lines:
        aborted = _NATIVE_ABORT.match(without_prefix(line.text))
        signature = match(line.text)
        if signature is not None and signature.fault is Fault.DEVICE_ERROR:
            found.append(Finding(Fault.DEVICE_ERROR, True, without_prefix(line.text).strip(), line))
        elif aborted is not None:
            fault = signature.fault if signature else Fault.CRASHED
            found.append(Finding(fault, signature is None or signature.primary, aborted["text"], line))
    return found


def _from_children(lines: Sequence[LogLine]) -> list[Finding]:
    """Processes that torchrun saw die of a signal: they had no chance to say why."""
    rank = next((int(shown[1]) for line in lines if (shown := _SUMMARY_RANK.match(line.text))), None)
    found: list[Finding] = []
    for line in lines:
        ended = _CHILD_ENDED.search(line.text)
        if ended is None or int(ended[1]) >= 0:
            continue
        number = -int(ended[1])
        fault = signal_fault(number)
        text = f"its process was ended by {signal_name(number)}"
        found.append(Finding(fault, fault is not Fault.TERMINATED, text, line, rank, number))
    return found


def _tail(lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
    own: list[LogLine] = []
    for line in lines:
        if _ELASTIC.search(line.text) and _CHILD_ENDED.search(line.text):
            break
        if line.text.strip():
            own.append(line)
    kept = own or [line for line in lines if line.text.strip()]
    return tuple(LogLine(line.text[:LINE_CHARACTERS], line.time) for line in kept[-TAIL_LINES:])


def _when(finding: Finding) -> float:
    return stamp(finding.line.time)


def stamp(moment: datetime | None) -> float:
    """A sort key: unknown times come last."""
    return moment.timestamp() if moment is not None else float("inf")
