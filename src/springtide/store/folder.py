"""The data folder: who may use it and whether this version understands it.

    <folder>/lock      held (flock) by the process that serves the folder; its text is the process id
    <folder>/format    one line: the version of everything else in the folder
    <folder>/state.db  the revisions (see sqlite_log)

Called by `SqliteLog`; the lock falls with the process, so a `kill -9` never leaves a folder locked.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from springtide.store.errors import FolderInUse, FolderUnusable, FormatUnknown

FORMAT = 1


class DataFolder:
    """An opened and locked data folder. Raises `FolderInUse`, `FolderUnusable` or `FormatUnknown`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            self._acquire()
            self._check_format()
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def database(self) -> Path:
        return self.path / "state.db"

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def _acquire(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise FolderInUse(
                f"data folder {self.path} is in use by process {holder}",
                "stop that one first (`springtide down`), or choose another folder with --data-dir",
            ) from None
        except OSError as error:
            raise _unusable(self.path, error) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _check_format(self) -> None:
        file = self.path / "format"
        try:
            if not file.exists():
                if self.database.exists():
                    raise FormatUnknown(
                        f"data folder {self.path} has a database but no file `format`",
                        "restore the file from a backup, or choose an empty folder with --data-dir",
                    )
                _write_durably(file, f"{FORMAT}\n")
            found = file.read_text().strip()
        except OSError as error:
            raise _unusable(self.path, error) from error
        if found != str(FORMAT):
            raise FormatUnknown(
                f"data folder {self.path} has format {found!r}; this version reads format {FORMAT}",
                "use the version of springtide that wrote it, or choose another folder with --data-dir",
            )


def _unusable(path: Path, error: OSError) -> FolderUnusable:
    return FolderUnusable(
        f"data folder {path} cannot be used: {error.strerror or error}",
        "make it readable and writable for this user, or choose another folder with --data-dir",
    )


def _write_durably(file: Path, text: str) -> None:
    draft = file.with_suffix(".new")
    with draft.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
