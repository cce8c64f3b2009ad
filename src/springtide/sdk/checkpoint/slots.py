"""Two files in the node's memory, written in turn: where a snapshot goes while training waits. Called by
`checkpointer`.

Fresh pages of a tmpfs cost several times the copy into them, so files are made once and then renamed from
step to step; a process that starts anew takes over the files of the one before. At each moment one of the two
is whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from springtide.sdk.checkpoint import layout
from springtide.sdk.checkpoint.arrays import finish_copies, moves_into, pin
from springtide.sdk.checkpoint.copying import Copier, address_of
from springtide.sdk.checkpoint.memory import check_room
from springtide.sdk.checkpoint.sharing import Stow

SLOTS = 2
_GRAIN_BYTES = 1 << 20
_PIN_FROM_BYTES = 1 << 20


@dataclass(slots=True)
class Slot:
    """One file of a rank: the step it is for, its mapping, and the mapping's address."""

    folder: Path
    step: int
    mapping: Any = None
    address: int = 0
    room: int = 0

    @property
    def data(self) -> Path:
        return self.folder / layout.DATA

    def close(self) -> None:
        if self.mapping is not None:
            with contextlib.suppress(BufferError):  # somebody still looks into it: freed with the last view
                self.mapping.close()
            self.mapping, self.room = None, 0


class Slots:
    """The slots of one rank under a root.

    `reuse=False`: a new file each time (in storage, where each step stays).
    """

    def __init__(self, root: Path, rank: int, copier: Copier, *, reuse: bool = True) -> None:
        self.root = root
        self._rank = rank
        self._copier = copier
        self._reuse = reuse
        self._slots: list[Slot] = []
        self._spare = root / f".spare-{rank}"
        if reuse:
            self._adopt()

    def _adopt(self) -> None:
        """Take over what an earlier process of this rank left; what is not whole is the first to be written
        anew.
        """
        found = []
        for step in layout.steps(self.root):
            folder = layout.part(self.root, step, self._rank)
            if (folder / layout.DATA).exists():
                found.append((_order(folder, step), Slot(folder, step)))
            elif folder.exists():
                layout.remove_part(folder)
        if (self._spare / layout.DATA).exists():
            found.append(((False, 0, -1), Slot(self._spare, -1)))
        found.sort(key=lambda pair: pair[0], reverse=True)
        self._slots = [slot for _, slot in found[:SLOTS]]
        for _, slot in found[SLOTS:]:
            _drop(slot)

    def forget(self, wanted: Callable[[int], bool]) -> None:
        """Make parts of steps that are not wanted invisible; their files stay, to be written anew."""
        for slot in self._slots:
            if not wanted(slot.step):
                _hide(slot)

    def next(self, step: int) -> Slot | None:
        """The slot the next snapshot goes to, or None where a new file is made: never the newest whole one.

        Only to be asked once the snapshot before is whole, and while nobody reads the slot it answers.
        """
        for slot in self._slots:
            if slot.step == step:
                return slot
        if len(self._slots) < SLOTS:
            return None
        return min(self._slots, key=lambda slot: _order(slot.folder, slot.step))

    def write(self, slot: Slot | None, step: int, stowed: list[Stow], places: list[int], size: int) -> Slot:
        """Copy pieces into a slot, for a step.

        Raises OSError (ENOSPC) where memory or the disk has no room.
        """
        folder = layout.part(self.root, step, self._rank)
        slot = self._made(folder, step) if slot is None else self._moved(slot, folder, step)
        self._grow(slot, size)
        moves = []
        for stow, at in zip(stowed, places, strict=True):
            moves += moves_into(slot.mapping, slot.address, at, stow.array)
        self._copier.copy(moves)
        finish_copies()
        if not self._reuse:
            slot.close()
        return slot

    def _made(self, folder: Path, step: int) -> Slot:
        (folder.parent / layout.COMMIT).unlink(missing_ok=True)
        layout.remove_part(folder)
        folder.mkdir(parents=True, exist_ok=True)
        slot = Slot(folder, step)
        if self._reuse:
            self._slots.append(slot)
        return slot

    def _moved(self, slot: Slot, folder: Path, step: int) -> Slot:
        """From now on the slot's old part is gone, and its file belongs to the new step."""
        _hide(slot)
        if slot.folder != folder:
            layout.remove_part(folder)
            folder.mkdir(parents=True, exist_ok=True)
            slot.data.replace(folder / layout.DATA)
            old, slot.folder = slot.folder, folder
            layout.remove_part(old)
            _leave_step(old.parent)
        slot.step = step
        return slot

    def _grow(self, slot: Slot, size: int) -> None:
        """Room for so many bytes, really there: a page missing later would end the process (SIGBUS)."""
        if slot.mapping is not None and slot.room >= size:
            return
        slot.close()
        with slot.data.open("a+b") as file:
            have = os.fstat(file.fileno()).st_size
            grain = _GRAIN_BYTES if self._reuse else 1
            room = max(have, -(-max(size, 1) // grain) * grain)
            try:
                if self._reuse:
                    check_room(self.root, room - have)
                os.posix_fallocate(file.fileno(), 0, room)
            except OSError as error:
                os.ftruncate(file.fileno(), have)
                raise OSError(
                    error.errno, f"{os.strerror(error.errno or 0)}: no room for {room} bytes", str(slot.data)
                ) from error
            slot.mapping = mmap.mmap(file.fileno(), room)
        slot.room = room
        slot.address = address_of(slot.mapping)
        if self._reuse:
            _populate(slot)

    def spare(self, size: int) -> None:
        """Make the second slot ready before it is needed, beside training after the first snapshot."""
        if not self._reuse or len(self._slots) >= SLOTS:
            return
        self._spare.mkdir(parents=True, exist_ok=True)
        slot = Slot(self._spare, -1)
        try:
            self._grow(slot, size)
        except OSError:  # no room for two: said when the second snapshot is taken, if it is so then still
            _drop(slot)
            return
        self._slots.append(slot)

    def close(self) -> None:
        for slot in self._slots:
            slot.close()

    def clear(self) -> None:
        """Remove everything of this rank."""
        for slot in self._slots:
            slot.close()
            _drop(slot)
        self._slots.clear()


def _order(folder: Path, step: int) -> tuple[bool, int, int]:
    """Whole ones last, and of those the newest last."""
    manifest = folder / layout.MANIFEST
    try:
        body = layout.unsealed(manifest.read_bytes(), manifest)
    except (OSError, layout.DamagedError):
        return False, 0, step
    return True, layout.generation(body["session"]), step


def _hide(slot: Slot) -> None:
    (slot.folder / layout.MANIFEST).unlink(missing_ok=True)
    (slot.folder.parent / layout.COMMIT).unlink(missing_ok=True)


def _drop(slot: Slot) -> None:
    layout.remove_part(slot.folder)
    _leave_step(slot.folder.parent)


def _leave_step(folder: Path) -> None:
    """Remove a step's folder if nobody has a part in it."""
    with contextlib.suppress(OSError):
        if not any(folder.glob("rank-*")):
            (folder / layout.COMMIT).unlink(missing_ok=True)
            folder.rmdir()


def _populate(slot: Slot) -> None:
    """Have the mapping's pages ready, and fit for GPUs, before the first copy waits for them."""
    populate_write = 23  # MADV_POPULATE_WRITE, Linux 5.14; elsewhere pages come with the first copy
    with contextlib.suppress(OSError, AttributeError):
        slot.mapping.madvise(mmap.MADV_HUGEPAGE)
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "madvise"):
        libc.madvise(ctypes.c_void_p(slot.address), ctypes.c_size_t(slot.room), populate_write)
    if slot.room >= _PIN_FROM_BYTES:
        pin(slot.address, slot.room)
