"""Find Python exceptions in the log of a pod: type, message and the user's own line.

Called by `evidence`. Understands what real logs do to a traceback: torchrun's `[rank1]:` and
`[default0]:` prefixes, ranks interleaved line by line, chained exceptions (the last one is reported),
exception groups (their last leaf), and syntax errors, which have no `Traceback` header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class LogLine:
    """One line as the node recorded it; `time` is None where the log carries no timestamps."""

    text: str
    time: datetime | None = None


@dataclass(frozen=True)
class Frame:
    """A line of source in a traceback."""

    file: str
    line: int

    @property
    def is_users(self) -> bool:
        """Whether the file is the user's, not of an installed package or of Python itself."""
        return _LIBRARY.search(self.file) is None and not self.file.startswith("<")


@dataclass(frozen=True)
class Raised:
    """An exception as the log shows it."""

    kind: str
    """Its class without the module: `ValueError`."""
    message: str
    """First line of its text."""
    text: str
    """The line of the log, prefix removed: `pkg.SomeError: text`."""
    time: datetime | None
    rank: int | None
    """The global rank of torchrun's `[rankN]:` prefix, if the line had one."""
    frame: Frame | None
    """The innermost line of the user's own code, else the innermost of all."""
    in_collective: bool = False
    """Whether it went through `torch.distributed`: then a lost connection is a lost peer."""
    by_launcher: bool = False
    """Whether torchrun raised it, not the program."""


_LIBRARY = re.compile(
    r"(site|dist)-packages/|/lib/python\d|/lib64/python\d|[/\\]Lib[/\\]|^/opt/conda/lib/python"
)
_LAUNCHER = re.compile(r"torch/distributed/(run\.py|launcher/)")
_PREFIX = re.compile(r"^\[(?:rank|default)?(\d+)\]:\s?")
_GROUP = re.compile(r"^\s*[|+]( |$)|^\s*\+-[+-]+( \d+ -+)?$")
_HEADER = re.compile(r"^(Exception Group )?Traceback \(most recent call last\):$")
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+)(, in .*)?$')
_EXCEPTION = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_CHAIN = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)


def find_raised(lines: Iterable[LogLine]) -> list[Raised]:
    """All exceptions that ended a traceback, in order of the log; a chain counts once, as its last."""
    readers: dict[str, _Reader] = {}
    for line in lines:
        prefix, text = _split(line.text)
        readers.setdefault(prefix, _Reader(prefix)).read(text, line.time)
    found = [raised for reader in readers.values() for raised in reader.found]
    return sorted(found, key=lambda raised: raised.time.timestamp() if raised.time else 0.0)


def without_prefix(text: str) -> str:
    """The line as the program wrote it, torchrun's rank prefix removed."""
    return _PREFIX.sub("", text, count=1)


@dataclass
class _Reader:
    """Follows one rank's stream of lines."""

    prefix: str
    found: list[Raised] = field(default_factory=list)
    _frames: list[Frame] = field(default_factory=list)
    _open: bool = False
    _chained: bool = False

    def read(self, text: str, time: datetime | None) -> None:
        text = _ungroup(text)
        if _HEADER.match(text):
            self._open, self._frames = True, []
        elif text in _CHAIN:
            self._chained = True
        elif frame := _FRAME.match(text):
            self._open = True
            self._frames.append(Frame(frame["file"], int(frame["line"])))
        elif self._open and text and not text.startswith((" ", "\t")):
            self._close(text, time)

    def _close(self, text: str, time: datetime | None) -> None:
        self._open = False
        shown = _EXCEPTION.match(text)
        if shown is None:
            return
        raised = Raised(
            kind=shown["type"].rpartition(".")[2],
            message=(shown["message"] or "").strip(),
            text=text,
            time=time,
            rank=int(self.prefix.removeprefix("rank")) if self.prefix.startswith("rank") else None,
            frame=self._innermost(),
            in_collective=any("torch/distributed/" in frame.file for frame in self._frames),
            by_launcher=any(_LAUNCHER.search(frame.file) for frame in self._frames),
        )
        if self._chained and self.found:
            self.found.pop()
        self._chained = False
        self.found.append(raised)

    def _innermost(self) -> Frame | None:
        users = [frame for frame in self._frames if frame.is_users]
        candidates = users or self._frames
        return candidates[-1] if candidates else None


def _split(text: str) -> tuple[str, str]:
    prefix = _PREFIX.match(text)
    if prefix is None:
        return "", text
    return prefix[0].strip("[]: "), text[prefix.end() :]


def _ungroup(text: str) -> str:
    """The line without the drawing of exception groups (`  | `, `  + `)."""
    while _GROUP.match(text):
        text = re.sub(r"^\s*(\+-[+-]+( \d+ -+)?$|[|+] ?)", "", text, count=1)
    return text


def iterate_lines(chunks: Iterable[bytes]) -> Iterator[LogLine]:
    """Log bytes with timestamps (`2026-01-02T03:04:05.6Z text`) as lines; a line without one has none."""
    for raw in b"".join(chunks).decode("utf-8", errors="replace").splitlines():
        stamp, _, text = raw.partition(" ")
        time = _parse_time(stamp)
        yield LogLine(text, time) if time is not None else LogLine(raw)


def _parse_time(stamp: str) -> datetime | None:
    """RFC 3339 with up to nine digits of fraction; None for anything else."""
    shape = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", stamp)
    if shape is None:
        return None
    fraction = (shape[2] or "0")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{shape[1]}.{fraction}{shape[3].replace('Z', '+00:00')}")
