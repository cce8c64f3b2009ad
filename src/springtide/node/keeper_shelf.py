"""The memory a node keeps for snapshots: a bounded folder tree on a tmpfs that outlives processes and pods.

    <memory root>/springtide-<node id>/<namespace>/<workload>/<uid>/own      what its pods write here (0700)
                                                                  /copies   parts of peers, kept by us (0700)
                                       /.incoming                 parts on their way here

Everything that must be known is read off these folders, so a node that starts anew finds what it kept. Only
parts that fit their checksums are taken in, and no more than the budget. Used by `keeper` and its service.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from springtide.node.keeper_layout import (
    COMMIT,
    DATA,
    MANIFEST,
    Job,
    Manifest,
    Part,
    Reader,
    Torn,
    check_chunk,
    commit_line,
    open_file,
    opened,
    read_manifest,
)

KEPT_STEPS = 2
"""Snapshots kept of a rank: while the newest arrives, the one before is whole."""
SPARE_SHARE = 0.1
"""Of the machine's memory that must stay free whatever the budget says."""
_OWN, _COPIES, _INCOMING = "own", "copies", ".incoming"


class Full(Exception):
    """There is no room; the text says how much is used, and of what."""


class Unusable(Exception):
    """Memory cannot be kept on this machine; the text says why."""


@dataclass(frozen=True)
class Memory:
    """What the machine has, as a function asked anew each time: total and available bytes."""

    total_bytes: int
    available_bytes: int


class Shelf:
    """The snapshots in this node's memory."""

    def __init__(self, root: Path, budget_bytes: int, memory: Callable[[], Memory]) -> None:
        """`root` is made by `open`; nothing is touched before."""
        self.root = root
        self.budget_bytes = budget_bytes
        self._memory = memory
        self._reader = Reader()
        self._numbers = iter(range(1 << 62))
        self._lock = threading.Lock()
        self._promised: dict[int, int] = {}
        """Bytes of the parts that are being taken in."""

    def open(self) -> None:
        """Make the root, ours alone. Raises Unusable."""
        try:
            self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
            seen = self.root.lstat()
            if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
                raise Unusable(f"{self.root} belongs to user {seen.st_uid}: it is not this node's folder")
            shutil.rmtree(self.root / _INCOMING, ignore_errors=True)
            (self.root / _INCOMING).mkdir(mode=0o700)
        except OSError as error:
            raise Unusable(f"no folder for snapshots: {error}") from None

    def require(self) -> None:
        """As `open`, where there is no root yet."""
        with self._lock:
            if not self.exists():
                self.open()

    def exists(self) -> bool:
        """Whether an earlier life of this node left something."""
        return self.root.is_dir() and not self.root.is_symlink()

    # -- what is here -------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """All jobs with a folder."""
        found = []
        for path in self.root.glob("[!.]*/*/*"):
            job = Job(*path.relative_to(self.root).parts)
            if (path / _OWN).is_dir() or (path / _COPIES).is_dir():
                found.append(job)
        return sorted(found, key=lambda job: (job.namespace, job.name, job.uid))

    def own(self, job: Job) -> Path:
        """The folder that the job's pods on this node see."""
        return self.root / job.folder() / _OWN

    def own_parts(self, job: Job) -> list[Part]:
        """Parts in the job's folder, newest steps first."""
        return self._reader.parts(self.own(job))

    def copied_parts(self, job: Job) -> list[Part]:
        """Parts kept for peers, newest steps first."""
        return self._reader.parts(self._copies(job))

    def parts(self, job: Job) -> list[Part]:
        """Everything of the job that is here, each part once."""
        found = {(part.step, part.rank, part.checksum): part for part in self.copied_parts(job)}
        found |= {(part.step, part.rank, part.checksum): part for part in self.own_parts(job)}
        return sorted(found.values(), key=lambda part: (-part.step, part.rank))

    @property
    def used_bytes(self) -> int:
        """Memory in use, by all jobs; what is on its way is promised, not used."""
        return _bytes_below(self.root) - _bytes_below(self.root / _INCOMING)

    def allowance_bytes(self, job: Job) -> int:
        """What the pods of a job may use here: half of what others leave, as much again is for copies.

        Raises Full when nothing is left.
        """
        others = self.used_bytes - _bytes_below(self.root / job.folder())
        left = (self.budget_bytes - others) // 2
        if left <= 0:
            raise Full(f"{others} of {self.budget_bytes} bytes kept for snapshots are used by other jobs")
        self._leave_spare(0)
        return left

    # -- taking in and giving -----------------------------------------------------------------------

    def make(self, job: Job, user: int = -1, group: int = -1) -> Path:
        """The job's folder for its pods, owned by their user (-1: ours). Raises OSError, Unusable."""
        own = self.own(job)
        self.require()
        for folder in (own.parent.parent.parent, own.parent.parent, own.parent):
            folder.mkdir(mode=0o711, exist_ok=True)
        own.mkdir(mode=0o700, exist_ok=True)
        if user >= 0 and own.stat().st_uid != user:
            _give_away(own, user, group)
        return own

    def expect(self, job: Job, manifest: Manifest) -> Draft:
        """Room for a part that is about to arrive. Raises Full, Unusable, ValueError for no valid name."""
        job.folder()
        self.require()
        wanted = manifest.part.bytes
        with self._lock:
            promised = sum(self._promised.values())
            used = self.used_bytes + promised
            if used + wanted > self.budget_bytes:
                raise Full(f"{used} of {self.budget_bytes} bytes are used; {wanted} more are too many")
            self._leave_spare(promised + wanted)
            number = next(self._numbers)
            self._promised[number] = wanted
        folder = self.root / _INCOMING / str(number)
        folder.mkdir(mode=0o700)
        return Draft(manifest, folder, lambda: self._promised.pop(number, None))

    def keep(self, job: Job, draft: Draft) -> None:
        """Put a whole part among the copies; older ones of its rank beyond two go. Raises Torn, OSError."""
        part = draft.seal()
        place = self._copies(job) / part.folder
        self.make(job)
        self._copies(job).mkdir(mode=0o700, exist_ok=True)
        with self._lock:  # it is promised or used, never both
            _move(draft.folder, place)
            draft.close()
        same = [self._copies(job) / one.folder for one in self.copied_parts(job) if one.rank == part.rank]
        # in the order they came: after a fall back to an older step, higher numbers are the older ones
        same.sort(key=lambda one: (one / MANIFEST).lstat().st_mtime_ns, reverse=True)
        for old in same[KEPT_STEPS:]:
            _discard(old)

    def locate(self, job: Job, part: Part) -> Path:
        """The folder that holds exactly this part. Raises LookupError."""
        for folder, parts in (
            (self._copies(job), self.copied_parts(job)),
            (self.own(job), self.own_parts(job)),
        ):
            if part in parts:
                return folder / part.folder
        raise LookupError(f"{job}: {part.folder} is not here any more")

    def publish(self, job: Job, part: Part, user: int = -1, group: int = -1) -> None:
        """Give a copy to the job's own pods: moved, since a running program writes over its slots.

        It changes hands while it still lies in our folder: in theirs, a program could put a link in its way.
        Raises OSError, also where the program made the step's folder a link.
        """
        source = self._copies(job) / part.folder
        step, rank = part.folder.parts
        if user >= 0:
            _give_away(source, user, group)
        with opened(self.own(job)) as own:
            with suppress(FileExistsError):
                os.mkdir(step, 0o700, dir_fd=own)
                os.chown(step, user, group, dir_fd=own, follow_symlinks=False)
            with opened(self.own(job), step) as folder:
                with suppress(FileNotFoundError):
                    shutil.rmtree(rank, dir_fd=folder)
                os.rename(source, rank, dst_dir_fd=folder)
        _drop_empty(source.parent)

    def commit(self, job: Job, step: int, user: int = -1, group: int = -1) -> None:
        """Say in the step's folder which parts of it the job now finds here."""
        parts = [part for part in self.own_parts(job) if part.step == step]
        whole = [part for part in parts if (part.session, part.world) == (parts[0].session, parts[0].world)]
        if not whole:
            return
        with opened(self.own(job), f"step-{step}") as folder:
            fresh = os.open(
                f".{COMMIT}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=folder
            )
            with os.fdopen(fresh, "wb") as file:
                file.write(commit_line(whole))
                if user >= 0:
                    os.fchown(file.fileno(), user, group)
            os.rename(f".{COMMIT}", COMMIT, src_dir_fd=folder, dst_dir_fd=folder)

    # -- letting go ---------------------------------------------------------------------------------

    def tidy(self, job: Job, step: int) -> None:
        """Before its pods start from `step`: parts of older steps are of no use but the newest of them."""
        older = [part for part in self.own_parts(job) if part.step < step]
        for part in older:
            if part.step < older[0].step:
                _discard(self.own(job) / part.folder)

    def remove(self, job: Job) -> None:
        """Forget a job."""
        place = self.root / job.folder()
        self._reader.forget(place)
        shutil.rmtree(place, ignore_errors=True)
        for folder in (place.parent, place.parent.parent):
            try:
                folder.rmdir()
            except OSError:  # others are there
                return

    def close(self) -> None:
        """The node leaves for good: so does what it kept."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _copies(self, job: Job) -> Path:
        return self.root / job.folder() / _COPIES

    def _leave_spare(self, wanted: int) -> None:
        memory = self._memory()
        spare = int(memory.total_bytes * SPARE_SHARE)
        if memory.available_bytes - wanted < spare:
            raise Full(
                f"the machine has {memory.available_bytes} bytes available, of which {spare} must stay free"
            )


@dataclass
class Draft:
    """A part on its way in: written chunk by chunk, each checked against the manifest."""

    manifest: Manifest
    folder: Path
    released: Callable[[], object]
    written: int = field(default=0, init=False)
    _due: Iterator[tuple[int, int, str]] = field(init=False)

    def __post_init__(self) -> None:
        self._due = self.manifest.chunks()

    def write(self, chunk: bytes | bytearray) -> None:
        """The next chunk. Raises Torn for one the manifest does not speak of, OSError for a full tmpfs."""
        due = next(self._due, None)
        if due is None:
            raise Torn(f"{self.manifest.part.folder}: more bytes came than its manifest speaks of")
        at, size, checksum = due  # they come in order, so `at` is what was written so far
        if len(chunk) != size:
            raise Torn(f"{self.manifest.part.folder}: {len(chunk)} bytes came where {size} were due")
        check_chunk(self.manifest.part, at, chunk, checksum)
        with (self.folder / DATA).open("ab") as file:
            file.write(chunk)
        self.written += size

    def seal(self) -> Part:
        """All bytes are there: the manifest makes it a part. Raises Torn."""
        if self.written != self.manifest.data_bytes:
            raise Torn(
                f"{self.manifest.part.folder}: {self.written} of {self.manifest.data_bytes} bytes came"
            )
        (self.folder / DATA).touch()
        (self.folder / MANIFEST).write_bytes(self.manifest.text)
        return self.manifest.part

    def close(self) -> None:
        """Whatever is left of it goes."""
        self.released()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Reading:
    """A part that is open; to be closed, whether its bytes were wanted or not."""

    manifest: Manifest
    _data: BinaryIO

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, each chunk checked while it is read. Raises OSError, Torn."""
        for at, size, checksum in self.manifest.chunks():
            chunk = os.pread(self._data.fileno(), size, at)
            if len(chunk) != size:
                raise Torn(f"{self.manifest.part.folder}: data.bin ends at {at + len(chunk)}")
            check_chunk(self.manifest.part, at, chunk, checksum)
            yield chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()


def read_part(place: Path) -> Reading:
    """Open a part for reading. Raises OSError, Torn."""
    with opened(place) as folder:
        manifest = read_manifest(folder)
        return Reading(manifest, os.fdopen(open_file(folder, DATA), "rb", buffering=0))


def _give_away(folder: Path, user: int, group: int) -> None:
    """Change the owner of a folder and all in it, through no link that somebody puts there meanwhile."""
    for _, folders, files, descriptor in os.fwalk(folder):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                os.chown(name, user, group, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, user, group, follow_symlinks=False)


def _move(source: Path, target: Path) -> None:
    """A part's folder, whole, from one place to another; what was there is replaced."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    if target.exists() or target.is_symlink():
        _discard(target)
        target.parent.mkdir(mode=0o700, exist_ok=True)
    source.rename(target)
    _drop_empty(source.parent)


def _discard(place: Path) -> None:
    """A part goes: first its manifest, so that nobody takes the rest for one."""
    if place.is_symlink():
        place.unlink(missing_ok=True)
        return
    (place / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    _drop_empty(place.parent)


def _drop_empty(folder: Path) -> None:
    """A step without parts."""
    if folder.name.startswith("step-"):
        try:
            if not any(folder.glob("rank-*")):
                (folder / COMMIT).unlink(missing_ok=True)
            folder.rmdir()
        except OSError:  # other ranks' parts are in it
            return


def _bytes_below(folder: Path) -> int:
    """Memory that the files below a folder take; a file that goes meanwhile takes none."""
    total = 0
    for inner, _, names in os.walk(folder):
        total += _sizes(inner, names)
    return total


def _sizes(folder: str, names: Iterable[str]) -> int:
    total = 0
    for name in names:
        try:
            total += Path(folder, name).lstat().st_blocks * 512
        except OSError:
            continue
    return total
