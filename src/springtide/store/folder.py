"""The data folder: who may use it and whether this version understands it.

    <folder>/lock      held (flock) by the process that serves the folder; its text is the process id
    <folder>/format    one line: the version of everything else in the folder
    <folder>/state.db  the revisions (see `database`)

Called by `SqliteLog`; the lock falls with the process, so a `kill -9` never leaves a folder locked.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from springtide.store.database import FORMAT, sync_folder
from springtide.store.errors import FolderInUse, FolderUnusable, FormatUnknown

FORMAT_FILE = "format"
DATABASE_FILE = "state.db"


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
            self.format = self._found_format()
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def database(self) -> Path:
        return self.path / DATABASE_FILE

    def write_format(self, version: int) -> None:
        """Say from now on that the folder has this format. Raises FolderUnusable."""
        try:
            write_durably(self.path / FORMAT_FILE, f"{version}\n")
        except OSError as error:
            raise _unusable(self.path, error) from error
        self.format = version

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

    def _found_format(self) -> int:
        """The folder's format; a new folder gets the present one."""
        try:
            if not (self.path / FORMAT_FILE).exists() and not self.database.exists():
                write_durably(self.path / FORMAT_FILE, f"{FORMAT}\n")
            return read_format(self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error


def read_format(folder: Path) -> int:
    """The format of a data folder, if this program can read it. Raises FormatUnknown, OSError."""
    try:
        text = (folder / FORMAT_FILE).read_text().strip()
    except FileNotFoundError:
        raise FormatUnknown(
            f"data folder {folder} has no file `{FORMAT_FILE}`",
            "restore a backup into an empty folder with `springtide restore`, or choose one with --data-dir",
        ) from None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= FORMAT:
        newer = text.isascii() and text.isdigit() and int(text) > FORMAT
        raise FormatUnknown(
            f"data folder {folder} has format {text!r}; this version reads formats up to {FORMAT}",
            ("a newer springtide wrote it: use that one" if newer else "restore a backup into another folder")
            + ", or choose another folder with --data-dir",
        )
    return int(text)


def write_durably(file: Path, text: str) -> None:
    """Write a small file in one step: after a crash it has the old text or the new one."""
    draft = file.with_suffix(".new")
    with draft.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
    sync_folder(file.parent)


def _unusable(path: Path, error: OSError) -> FolderUnusable:
    return FolderUnusable(
        f"data folder {path} cannot be used: {error.strerror or error}",
        "make it readable and writable for this user, or choose another folder with --data-dir",
    )
