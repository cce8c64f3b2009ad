"""One file that survives a crash at any moment; called by user code that has its own format, usually of rank
0.

A half-written checkpoint is worse than none: `save_atomic` writes beside the target, flushes to disk
and renames, so that a reader finds the old file or the new one. For whole training states, on any number of
ranks, and without waiting for the disk, see `Checkpointer`.
"""

from __future__ import annotations

import os

from springtide.sdk.progress import note_checkpoint

TYPE_CHECKING = False  # importing `typing` and `re` would be most of this package's import time
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

_PARTIAL = ".partial"


def checkpoint_dir() -> Path:
    """The job's checkpoint folder, made if absent; it outlives restarts of the job.

    `SPRINGTIDE_CHECKPOINT_DIR` inside a pod, else `./checkpoints`.
    """
    from pathlib import Path

    folder = Path(os.environ.get("SPRINGTIDE_CHECKPOINT_DIR") or "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save_atomic(path: str | os.PathLike[str], writer: Callable[[BinaryIO], object]) -> None:
    """Call `writer` with a binary file and put the result at `path`, whole or not at all.

    Durable when it returns, and the platform is told that the work so far is saved. Raises whatever
    `writer` raises, or OSError (a full disk); `path` then still holds what it held before.
    """
    target = os.fspath(path)
    partial = f"{target}.{os.getpid()}{_PARTIAL}"
    try:
        with open(partial, "wb") as file:  # noqa: PTH123 - pathlib costs milliseconds at import
            writer(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)  # noqa: PTH105
    except BaseException:
        if os.path.exists(partial):  # noqa: PTH110
            os.unlink(partial)  # noqa: PTH108
        raise
    sync_folder(os.path.dirname(target) or ".")  # noqa: PTH120
    note_checkpoint()


def latest(directory: str | os.PathLike[str], pattern: str = "*") -> Path | None:
    """The file of the highest number that matches a glob, or None: `epoch-10.pt` is after `epoch-9.pt`."""
    from pathlib import Path

    files = [file for file in Path(directory).glob(pattern) if file.suffix != _PARTIAL and file.is_file()]
    return max(files, key=lambda file: _natural(file.name), default=None)


def _natural(name: str) -> list[tuple[int, str]]:
    import re

    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable, where the system can (directories cannot be opened on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
