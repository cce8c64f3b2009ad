"""The writer process: makes snapshots checked, then durable, while training goes on. Started by `writer`.

It shares no lock with the training process, runs at low priority, and goes on to the end of its work when
that process is killed. One JSON line in is a snapshot that lies in memory; JSON lines out say how far it is.
Order is all: data, then what says that the data is there, each on disk before the next. A step is committed
by whoever sees that all ranks' parts are there; since COMMIT follows from the manifests alone, two who do it
write the same.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import queue
import select
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from springtide.sdk.checkpoint import layout
from springtide.sdk.checkpoint.atomic import sync_folder
from springtide.sdk.checkpoint.layout import COMMIT, DATA, DRAFT, MANIFEST, DamagedError, Manifest

_THREADS = 2
_DIRECT_GRAIN = 4096
_POLL_SECONDS = 0.05
_ORPHAN_SECONDS = 20.0
"""How long a writer whose training process is gone waits for other ranks' parts."""

Say = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Order:
    """What to do with one snapshot.

    `root` is storage, or empty: memory only. `commit`: False where DCP commits.
    """

    folder: Path
    root: str
    keep: int
    keep_every: int
    commit: bool = True


def main() -> None:
    with contextlib.suppress(OSError):
        os.nice(10)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    said = threading.Lock()

    def say(event: str, **fields: Any) -> None:
        with said, contextlib.suppress(BrokenPipeError, ValueError):
            sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
            sys.stdout.flush()

    orders: queue.Queue[Order | None] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    Persister(say).serve(orders)
    os._exit(0)  # nothing is left to do, and nobody may be left to read what an exit would still write


def _listen(orders: queue.Queue[Order | None]) -> None:
    """Orders until the training process closes the pipe, or is gone: a child it forked may hold the pipe
    open.
    """
    parent = os.getppid()
    rest = b""
    while True:
        ready, _, _ = select.select([0], [], [], 1.0)
        if not ready:
            if os.getppid() != parent:
                break
            continue
        read = os.read(0, 65536)
        if not read:
            break
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            fields = json.loads(line)
            orders.put(Order(**{**fields, "folder": Path(fields["folder"])}))
    orders.put(None)


class Persister:
    """Does orders one after the other; steps that wait for other ranks are looked at in between."""

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._waiting: dict[int, tuple[Order, Manifest]] = {}
        self._tried: set[int] = set()

    def serve(self, orders: queue.Queue[Order | None]) -> None:
        open_, deadline = True, 0.0
        while open_ or (self._waiting and self._clock() < deadline):
            try:
                order = orders.get(timeout=_POLL_SECONDS if self._waiting else None)
            except queue.Empty:
                self.look()
                continue
            if order is None:
                open_, deadline = False, self._clock() + _ORPHAN_SECONDS
                continue
            self.do(order)
            self.look()

    def do(self, order: Order) -> None:
        """Seal a snapshot in memory and bring it to storage.

        What fails is said, and the next one is tried anew.
        """
        step = int(order.folder.parent.name.removeprefix("step-"))
        stage = "seal"
        try:
            began = self._clock()
            manifest = seal(order)
            self._say("sealed", step=step, seconds=self._clock() - began)
            if not order.root:
                return
            stage = "persist"
            began = self._clock()
            in_place = Path(order.root) == order.folder.parent.parent
            kept = _publish(order.folder, manifest) if in_place else persist(order, manifest)
            self._say("durable", step=step, seconds=self._clock() - began, bytes=kept.bytes)
            if order.commit:
                self._waiting[step] = (order, kept)
        except (OSError, DamagedError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else None
            self._say("failed", step=step, stage=stage, error=str(error), errno=number)
            if stage == "persist" and Path(order.root) != order.folder.parent.parent:
                with contextlib.suppress(OSError):
                    layout.remove_part(Path(order.root) / order.folder.parent.name / order.folder.name)

    def look(self) -> None:
        """Commit what is whole by now."""
        for step, (order, manifest) in sorted(self._waiting.items()):
            try:
                if not self._committed(Path(order.root), manifest):
                    continue
                del self._waiting[step]
                self._say("committed", step=step)
                if manifest.rank == 0:
                    retain(Path(order.root), order.keep, order.keep_every)
            except OSError as error:
                self._waiting.pop(step, None)
                self._say("failed", step=step, stage="commit", error=str(error), errno=error.errno)

    def _committed(self, root: Path, manifest: Manifest) -> bool:
        """Each rank looks at all parts once, so that the last one commits; then only rank 0 does, and others
        look for its COMMIT: a thousand ranks must not read a thousand manifests each, again and again.
        """
        if manifest.rank == 0 or manifest.step not in self._tried:
            self._tried = {*self._waiting, manifest.step} & {*self._tried, manifest.step}
            return commit(root, manifest, range(manifest.world), durable=True)
        path = root / f"step-{manifest.step}" / COMMIT
        try:
            return bool(layout.unsealed(path.read_bytes(), path)["session"] == manifest.session)
        except (FileNotFoundError, DamagedError):
            return False


def seal(order: Order) -> Manifest:
    """Reckon a snapshot's checksums and make it visible in memory."""
    draft = order.folder / DRAFT
    manifest = Manifest.of(layout.unsealed(draft.read_bytes(), draft))
    with _mapped(order.folder / DATA) as data:
        manifest = replace(manifest, crc32=tuple(sums(data, manifest.bytes, manifest.chunk)))
    if Path(order.root or "/nowhere") != order.folder.parent.parent:
        layout.put(order.folder / MANIFEST, layout.sealed(manifest.body()), durable=False)
        commit(order.folder.parent.parent, manifest, manifest.local, durable=False)
    draft.unlink(missing_ok=True)
    return manifest


def _publish(folder: Path, manifest: Manifest) -> Manifest:
    """A snapshot that was written into storage itself (no memory to spare): flush it, then say that it is
    there.
    """
    with (folder / DATA).open("rb") as file:
        os.fsync(file.fileno())
    _sync_up(folder)
    layout.put(folder / MANIFEST, layout.sealed(manifest.body()), durable=True)
    return manifest


def sums(data: memoryview, size: int, chunk: int) -> list[str]:
    """The checksum of each chunk; by two threads, since zlib lets others run."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda one: f"{zlib.crc32(one):08x}", _chunks(data, size, chunk)))


def _chunks(data: memoryview, size: int, chunk: int) -> Iterator[memoryview]:
    for at in range(0, size, chunk):
        yield data[at : min(at + chunk, size)]


def persist(order: Order, manifest: Manifest) -> Manifest:
    """Write a part to storage, data and then manifest; what it says there is what lies there."""
    target = layout.part(Path(order.root), manifest.step, manifest.rank)
    (target.parent / COMMIT).unlink(missing_ok=True)
    layout.remove_part(target)
    target.mkdir(parents=True, exist_ok=True)
    with _mapped(order.folder / DATA) as data:
        crc32 = _write(target / DATA, data, manifest)
    kept = replace(manifest, bytes=manifest.own, own=manifest.own, crc32=crc32, tensors=_owned(manifest))
    _sync_up(target)
    layout.put(target / MANIFEST, layout.sealed(kept.body()), durable=True)
    return kept


def _owned(manifest: Manifest) -> dict[str, layout.Stored]:
    return {
        name: replace(stored, pieces=tuple(one for one in stored.pieces if one.at < manifest.own))
        for name, stored in manifest.tensors.items()
    }


def _write(path: Path, data: memoryview, manifest: Manifest) -> tuple[str, ...]:
    """Write the part's own bytes, past the page cache where the file system can, and flush them."""
    direct = getattr(os, "O_DIRECT", 0)
    try:
        return _write_with(direct, path, data, manifest)
    except OSError as error:
        if not direct or error.errno != errno.EINVAL:
            raise
        return _write_with(0, path, data, manifest)


def _write_with(flags: int, path: Path, data: memoryview, manifest: Manifest) -> tuple[str, ...]:
    """Each chunk is checked once more on its way: memory that changed since it was sealed is not made
    durable.
    """
    own, size = manifest.own, manifest.chunk
    whole = own - own % size
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)

    def put(at: int) -> str:
        chunk = data[at : min(at + size, own)]
        checksum = f"{zlib.crc32(chunk):08x}"
        if at < whole and checksum != manifest.crc32[at // size]:
            raise DamagedError(f"chunk {at // size} of step {manifest.step} changed in memory")
        _put_all(descriptor, chunk if at < whole else _padded(chunk), at)
        return checksum

    try:
        if own:
            os.posix_fallocate(descriptor, 0, own)
        with ThreadPoolExecutor(_THREADS) as pool:
            crc32 = tuple(pool.map(put, range(0, own, size)))
        os.ftruncate(descriptor, own)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return crc32


def _padded(chunk: memoryview) -> mmap.mmap:
    """The last chunk on pages of its own, as long as direct writes want it."""
    page = mmap.mmap(-1, max(-(-len(chunk) // _DIRECT_GRAIN) * _DIRECT_GRAIN, _DIRECT_GRAIN))
    page[: len(chunk)] = chunk
    return page


def _put_all(descriptor: int, chunk: memoryview | mmap.mmap, at: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def commit(root: Path, manifest: Manifest, ranks: Any, *, durable: bool) -> bool:
    """Write COMMIT if the parts of all these ranks are there, of one session.

    Whether the step is committed.
    """
    folder = root / f"step-{manifest.step}"
    sums_of: dict[str, str] = {}
    for rank in ranks:
        path = folder / f"rank-{rank}" / MANIFEST
        try:
            line = path.read_bytes()
            body = layout.unsealed(line, path)
        except (FileNotFoundError, DamagedError):
            return False
        if body["session"] != manifest.session:
            return False
        sums_of[str(rank)] = layout.checksum_of(line)
    body = {
        "format": layout.FORMAT,
        "step": manifest.step,
        "session": manifest.session,
        "world": manifest.world,
        "ranks": sums_of,
    }
    line = layout.sealed(body)
    path = folder / COMMIT
    if not path.exists() or path.read_bytes() != line:
        layout.put(path, line, durable=durable)
    return True


def retain(root: Path, keep: int, keep_every: int) -> None:
    """Remove all but the newest steps and those kept for good, and what never became whole."""
    whole: list[tuple[int, int]] = []
    broken: list[int] = []
    for step in layout.steps(root):
        path = root / f"step-{step}" / COMMIT
        try:
            body = layout.unsealed(path.read_bytes(), path)
        except (OSError, DamagedError):
            broken.append(step)
            continue
        whole.append((layout.generation(body["session"]), step))
    whole.sort(reverse=True)
    if not whole:
        return
    for _, step in whole[max(keep, 1) :]:
        if not (keep_every and step % keep_every == 0):
            layout.remove_step(root / f"step-{step}")
    for step in broken:
        if step < whole[0][1]:
            layout.remove_step(root / f"step-{step}")


def _sync_up(folder: Path) -> None:
    """Make a part's name durable: its folder, the step's and the root."""
    for one in (folder, folder.parent, folder.parent.parent):
        sync_folder(one)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            yield memoryview(b"")
            return
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapping, memoryview(mapping) as view:
            yield view
