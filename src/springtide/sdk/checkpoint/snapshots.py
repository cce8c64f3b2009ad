"""One rank's snapshots on their way: into memory, checked there, into storage. For `checkpointer` and `dcp`.

Holds what must not be mixed up: nothing is written over before the snapshot after it is whole, or while the
writer process reads it; and where memory has no room, snapshots go into storage itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from springtide.sdk.checkpoint import layout
from springtide.sdk.checkpoint.copying import Copier
from springtide.sdk.checkpoint.layout import CheckpointError, Manifest, warn
from springtide.sdk.checkpoint.memory import MEMORY_VARIABLE, memory_folder
from springtide.sdk.checkpoint.persist import Order
from springtide.sdk.checkpoint.sharing import Stow
from springtide.sdk.checkpoint.slots import Slot, Slots
from springtide.sdk.checkpoint.writer import Work, Writer


class Snapshots:
    """`open` once the rank is known; then `settle` and `take` in turn."""

    def __init__(
        self,
        directory: Path,
        memory: bool | str | os.PathLike[str],
        keep: int,
        keep_every: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least 1 must stay, or there is nothing to go back to")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.memory = memory_folder(memory, directory)
        self.copier = Copier()
        self.works: list[Work] = []
        self._passing = memory is True and not os.environ.get(MEMORY_VARIABLE)
        self._keep, self._keep_every = keep, keep_every
        self._clock = clock
        self._writer = Writer()
        self._slots: Slots | None = None
        self._spare: threading.Thread | None = None
        self._writer.start()

    def open(self, rank: int) -> None:
        """Take over what an earlier process of this rank left in memory."""
        self._close_slots()
        self._slots = Slots(self.memory or self.directory, rank, self.copier, reuse=self.memory is not None)

    def settle(self) -> None:
        """Wait until the newest snapshot is whole, so that the one before may be written over."""
        if self.works:
            self._writer.wait(self.works[-1], "sealed")
        self.works = [work for work in self.works[:-1] if not work.done] + self.works[-1:]

    def take(self, manifest: Manifest, stowed: list[Stow], places: list[int]) -> Work:
        """Copy the snapshot; when this returns, training may change its tensors.

        Raises CheckpointError where neither memory nor storage has room.
        """
        if self._spare is not None:
            self._spare.join()
        assert self._slots is not None
        slot = self._slots.next(manifest.step)
        for work in self.works:
            if slot is not None and work.step == slot.step:
                self._writer.wait(work, "readable")
        try:
            slot = self._slots.write(slot, manifest.step, stowed, places, manifest.bytes)
        except OSError as error:
            slot = self._into_storage(manifest, stowed, places, error)
        layout.put(slot.folder / layout.DRAFT, layout.sealed(manifest.body()), durable=False)
        work = self._writer.hand(Order(slot.folder, str(self.directory), self._keep, self._keep_every))
        self.works.append(work)
        if self._spare is None:
            self._spare = threading.Thread(target=self._slots.spare, args=(manifest.bytes,), daemon=True)
            self._spare.start()
        return work

    def _into_storage(
        self, manifest: Manifest, stowed: list[Stow], places: list[int], error: OSError
    ) -> Slot:
        """What is whole in memory stays there."""
        if self.memory is not None:
            warn(f"{error}; snapshots go to storage from now on, for which training waits longer")
            self.memory = None
            self._close_slots()
            self._slots = Slots(self.directory, manifest.rank, self.copier, reuse=False)
            try:
                return self._slots.write(None, manifest.step, stowed, places, manifest.bytes)
            except OSError as full:
                error = full
        raise CheckpointError(f"step {manifest.step} cannot be saved: {error}") from error

    def forget_after(self, step: int) -> None:
        """Later steps in memory are of a past that training went back from."""
        if self._slots is not None:
            self._slots.forget(lambda one: one <= step)

    def wait(self, until: str, timeout: float | None = None) -> bool:
        """Until all snapshots are `sealed` or `done`; whether they were in time. Errors are in `works`."""
        end = None if timeout is None else self._clock() + timeout
        return all(
            self._writer.wait(work, until, None if end is None else max(0.0, end - self._clock()))
            for work in self.works
        )

    def close(self, *, finished: bool) -> None:
        """`finished`: wait for the writer; else it goes on by itself, since somebody is in a hurry to end.

        Memory that no node owns is given back once everything is durable.
        """
        if self._spare is not None:
            self._spare.join()
        self._writer.close(wait=finished)
        durable = finished and all(work.error is None and work.committed is not None for work in self.works)
        if durable and self._passing and self._slots is not None and self.memory is not None:
            self._slots.clear()
            with contextlib.suppress(OSError):  # other ranks are still there
                self.memory.rmdir()
        self._close_slots()
        self.copier.close()

    def _close_slots(self) -> None:
        if self._slots is not None:
            self._slots.close()
