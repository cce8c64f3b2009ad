"""How far each log was read, over restarts of the collectors: one small file in the node's data folder.

Lost or unreadable, it costs nothing but that logs are read from where they are now. Called by `kernel.py` and
`containerlogs.py`, each with a file of its own, from its own thread.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

SAVE_SECONDS = 5.0


class Bookmarks:
    """A JSON object in a file, written at most every few seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved_at = float("-inf")
        self.known: dict[str, Any] = _read(path)
        """What an earlier life remembered."""

    def save(self, document: dict[str, Any], monotonic: float, *, now: bool = False) -> None:
        """Remember this, if anything changed and it is time. A full disk is no reason to stop."""
        if document == self.known or (not now and monotonic - self._saved_at < SAVE_SECONDS):
            return
        self._saved_at = monotonic
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(document))
            fresh.replace(self._path)
            self.known = dict(document)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
