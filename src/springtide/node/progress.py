"""Carries a program's progress reports from its file to the pod's annotation.

The SDK inside the pod replaces the file; the node looks at most once a second and writes only what changed.
Pure reading; `agent.py` does the API write. A file that is no report is said once in an event, never an
error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

REPORT_BYTES = 16 * 1024


@dataclass
class ProgressFile:
    """The file of one pod and what was last read of it."""

    path: Path
    _seen: tuple[int, int] = (0, 0)

    def changed(self) -> str | None:
        """The newest report in one line of JSON, or None when nothing new was written. Raises ValueError."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        state = (stat.st_mtime_ns, stat.st_ino)
        if state == self._seen:
            return None
        self._seen = state
        return parse_report(self.path.read_bytes()[: REPORT_BYTES + 1])


def parse_report(data: bytes) -> str:
    """The report as compact JSON. Raises ValueError saying what is wrong with it."""
    if len(data) > REPORT_BYTES:
        raise ValueError(f"the progress report has more than {REPORT_BYTES} bytes: report fewer metrics")
    report = json.loads(data)
    if not isinstance(report, dict):
        raise ValueError("the progress report must be a JSON object")
    return json.dumps(report, separators=(",", ":"))
