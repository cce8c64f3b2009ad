"""Where a follower stands in one pod's log, so that a broken stream is resumed without a gap or a repetition.

Logs are asked for with timestamps (RFC 3339, nanoseconds, one before each line). After a break the log
is read again from its start, and everything up to the last line shown is skipped. Pure; used by `follow`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z ?")


@dataclass
class LogCursor:
    """Feed it the lines of each stream; it says which are new, without their timestamps."""

    _last: str = ""
    _shown_at_last: int = 0
    """How many lines with the last timestamp were shown: several may share one."""
    _to_skip_at_last: int = 0
    _reading: str = ""
    """Timestamp of the line read last; one without a timestamp of its own belongs to it."""
    _partial: bytes = field(default=b"")

    def reopen(self) -> None:
        """A new stream of the same log begins, from the start of the log."""
        self._to_skip_at_last = self._shown_at_last
        self._reading = ""
        self._partial = b""

    def feed(self, chunk: bytes) -> list[str]:
        """The new lines that a chunk of the stream completes."""
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        return [text for line in lines if (text := self._take(line)) is not None]

    def end(self) -> list[str]:
        """The last line, if it did not end with a newline."""
        rest, self._partial = self._partial, b""
        text = self._take(rest) if rest else None
        return [] if text is None else [text]

    def _take(self, line: bytes) -> str | None:
        text = line.decode(errors="replace")
        stamped = _STAMPED.match(text)
        if stamped is not None:
            self._reading = f"{stamped[1]}.{(stamped[2] or '').ljust(9, '0')}"
            text = text[stamped.end() :]
        if self._reading < self._last:
            return None
        if self._reading > self._last:
            self._last, self._shown_at_last, self._to_skip_at_last = self._reading, 0, 0
        if self._to_skip_at_last > 0:
            self._to_skip_at_last -= 1
            return None
        self._shown_at_last += 1
        return text.rstrip("\r")
