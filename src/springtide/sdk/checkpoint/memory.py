"""Where snapshots go before they are durable: a folder in memory that outlives the process.

Called by `checkpointer`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from springtide.sdk.checkpoint import layout

MEMORY_VARIABLE = "SPRINGTIDE_MEMORY_DIR"
"""A folder on a tmpfs that the node owns, one for each job: it outlives processes and pods. Empty: the node
has no memory for this job."""
BYTES_VARIABLE = "SPRINGTIDE_MEMORY_BYTES"
"""So many bytes the job may use there."""


def memory_folder(asked: bool | str | os.PathLike[str], storage: Path) -> Path | None:
    """The platform's folder, else one for this user and storage under /dev/shm or the temporary folder.

    None where the program or the platform wants none, and where another user has put something in its place.
    """
    if asked is False or (asked is True and os.environ.get(MEMORY_VARIABLE) == ""):
        return None
    told = os.fspath(asked) if asked is not True else os.environ.get(MEMORY_VARIABLE, "")
    if told:
        folder = Path(told).absolute()
    else:
        shared = Path("/dev/shm")
        root = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
        own = root / f"springtide-sdk-{os.getuid()}"
        if not _is_ours(own):
            return None
        folder = own / hashlib.sha256(str(storage).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _is_ours(folder: Path) -> bool:
    """Make a folder beside which everybody may write, or find it; another user's is trusted with nothing."""
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            folder.chmod(0o700)
            return True
        why = f"{folder} is not ours: it belongs to user {found.st_uid}, or is a link"
    except OSError as error:
        why = str(error)
    layout.warn(f"no memory for snapshots, they go to storage: {why}")
    return False


def check_room(root: Path, wanted: int) -> None:
    """Before a file in the platform's folder grows by so much. Raises OSError beyond the job's share."""
    limit = os.environ.get(BYTES_VARIABLE, "")
    if not limit.isdecimal() or str(root) != os.environ.get(MEMORY_VARIABLE):
        return
    used = sum(path.stat().st_blocks * 512 for path in root.rglob("*") if path.is_file())
    if used + wanted > int(limit):
        raise OSError(errno.EDQUOT, f"{used} of {limit} bytes of the node's memory are used")
