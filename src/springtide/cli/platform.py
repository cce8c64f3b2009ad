"""The platform of a data folder as a process: who runs it, since when, where it answers.

`up` writes `platform.json` into the data folder when the platform is ready and removes it at the end;
`down`, `status` and the choice of a connection read it. A file left behind by a crash is recognised: its
process is gone, or the number now belongs to a process that began at another time.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD = "platform.json"
LOCK_FILE = "lock"
"""Held (flock) by the process that serves the folder, from its first moment; see `store.folder`."""
LOG_FILE = Path("logs") / "platform.log"


@dataclass(frozen=True)
class Running:
    """A platform that is up. Times are seconds since the epoch."""

    pid: int
    started_at: float
    """When the operating system says the process began: tells it from another with the same number."""
    server: str
    version: str


def kubeconfig_of(data_dir: Path) -> Path:
    return data_dir / "kubeconfig"


def record(data_dir: Path, running: Running) -> None:
    """Write the file in one step, so that nobody reads half of it."""
    path = data_dir / RECORD
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(asdict(running)) + "\n")
    unfinished.replace(path)


def forget(data_dir: Path, pid: int) -> None:
    """Remove the file of this process; another one's is left alone."""
    found = _read(data_dir)
    if found is not None and found.pid == pid:
        (data_dir / RECORD).unlink(missing_ok=True)


def running(data_dir: Path) -> Running | None:
    """The platform that is ready on this folder now, or None."""
    found = _read(data_dir)
    if found is None:
        return None
    started_at = process_started_at(found.pid)
    return found if started_at is not None and abs(started_at - found.started_at) < 1 else None


def holder(data_dir: Path) -> int | None:
    """The process that holds the folder's lock, ready or not; None if nobody does."""
    try:
        lock = os.open(data_dir / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(lock, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(lock)
    return None


def process_started_at(pid: int) -> float | None:
    """When a process began, seconds since the epoch; None if there is none or it has ended (a zombie)."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def resident_bytes(pid: int) -> int:
    """Resident memory of the platform's own process, without the jobs it runs; 0 if it is gone."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def folder_bytes(folder: Path) -> int:
    """Size of all files in a folder; files that vanish meanwhile do not count."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.lstat().st_size
        except FileNotFoundError:
            continue
    return total


def _read(data_dir: Path) -> Running | None:
    try:
        return Running(**json.loads((data_dir / RECORD).read_text()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
