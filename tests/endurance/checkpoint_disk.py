"""What a disk may hold after the power failed while checkpoints were written; used by `checkpoint_cuts`.

Only what was flushed is sure. Of a file that was not, each page may be old, new or zero, and its length
either; of a folder that was not, each entry that changed may be as before or as after, whatever happened to
the others. That is less than file systems promise, and all that POSIX does.
"""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = 4096
_WATCHED = ("fsync", "replace", "unlink", "mkdir", "rmdir", "pwrite", "ftruncate")


@dataclass(eq=False)
class File:
    """A file's bytes: as they were last flushed, and as they were last seen."""

    durable: bytes = b""
    seen: bytes = b""

    def after_a_cut(self, order: random.Random) -> bytes:
        if self.durable == self.seen:
            return self.seen
        size = order.choice((len(self.durable), len(self.seen)))
        pages = []
        for at in range(0, size, PAGE):
            page = order.choice((self.durable, self.seen, b""))[at : at + PAGE]
            pages.append(page.ljust(min(PAGE, size - at), b"\0")[: size - at])
        return b"".join(pages)


Entries = dict[str, "File | None"]
"""Of a folder: its files, and None for folders in it."""


@dataclass
class Disk:
    """A folder that is watched while it is written. `moment` is called before each call that changes it."""

    root: Path
    moment: Callable[[Disk], None]
    durable: dict[Path, Entries] = field(default_factory=dict)
    files: dict[Path, File] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _busy: bool = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Meanwhile every system call that changes or flushes something under the root is a moment."""
        originals = {name: getattr(os, name) for name in _WATCHED}
        for name, original in originals.items():
            setattr(os, name, self._watching(name, original))
        try:
            yield
        finally:
            for name, original in originals.items():
                setattr(os, name, original)

    def _watching(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                if self._busy or not self._concerns(arguments[0]):
                    return original(*arguments, **named)
                self._busy = True
                try:
                    self._see()
                    self.moment(self)
                    result = original(*arguments, **named)
                    self._note(name, arguments)
                    return result
                finally:
                    self._busy = False

        return call

    def _concerns(self, what: Any) -> bool:
        return self._path(what).is_relative_to(self.root)

    def _path(self, what: Any) -> Path:
        return Path(f"/proc/self/fd/{what}").readlink() if isinstance(what, int) else Path(os.fspath(what))

    def _see(self) -> None:
        for path in self.root.rglob("*"):
            if path.is_file():
                self.files.setdefault(path, File()).seen = path.read_bytes()

    def _note(self, name: str, arguments: tuple[Any, ...]) -> None:
        path = self._path(arguments[0])
        if name == "replace":
            self.files[Path(arguments[1])] = self.files.pop(path)
        elif name == "unlink":
            self.files.pop(path, None)
        elif name == "fsync":
            self._flushed(path, arguments[0])

    def _flushed(self, path: Path, descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.durable[path] = self._entries(path)
        else:
            content = path.read_bytes()
            self.files.setdefault(path, File()).seen = content
            self.files[path].durable = content

    def _entries(self, folder: Path) -> Entries:
        if not folder.exists():
            return {}
        return {
            path.name: None if path.is_dir() else self.files.setdefault(path, File())
            for path in folder.iterdir()
        }

    def after_a_cut(self, target: Path, order: random.Random) -> None:
        """Write what the disk may hold if the power fails now."""
        self._build(self.root, target, order)

    def _build(self, folder: Path, target: Path, order: random.Random) -> None:
        target.mkdir()
        now, sure = self._entries(folder), self.durable.get(folder, {})
        for name in sorted(now.keys() | sure.keys()):
            absent = object()
            before, after = sure.get(name, absent), now.get(name, absent)
            found: Any = after if before is after else order.choice((before, after))
            if found is absent:
                continue
            if found is None:
                self._build(folder / name, target / name, order)
            else:
                (target / name).write_bytes(found.after_a_cut(order))
