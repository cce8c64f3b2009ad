"""`Checkpointer`: what training code holds to save and restore its state; the steps of both, in order.

Saving: the ranks say that the snapshot before is whole everywhere; the state is taken apart; its bytes are
copied into the node's memory; training goes on. The writer process does the rest. Restoring: each rank says
which steps it could read, all take the newest they share, check every byte they need, agree that it is good,
and only then fill the state.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from springtide.sdk.checkpoint import interval as pacing
from springtide.sdk.checkpoint import layout, randomness, sharing, tree
from springtide.sdk.checkpoint.atomic import checkpoint_dir
from springtide.sdk.checkpoint.copying import Copier
from springtide.sdk.checkpoint.crew import Run, meet
from springtide.sdk.checkpoint.layout import CheckpointError, Manifest, Piece, Stored, warn
from springtide.sdk.checkpoint.memory import memory_folder
from springtide.sdk.checkpoint.persist import Order
from springtide.sdk.checkpoint.restoring import Restored, Wish, restore
from springtide.sdk.checkpoint.slots import Slots
from springtide.sdk.checkpoint.writer import Work, Writer
from springtide.sdk.phases import phase

State = TypeVar("State")

_FIRST_SAVE_CALLS = 10
"""With interval="auto" the first save comes at this call, to learn what one costs and how long a step is."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What one save took of this rank.

    `bytes` are those it copied; `seconds` is for how long training waited.
    """

    step: int
    seconds: float
    bytes: int


class Checkpointer:
    """Saves a training state often and cheaply, and restores the newest one that is whole.

    ```python
    state = {"model": model, "optimizer": optimizer, "loader": loader, "epoch": 0}
    with sdk.Checkpointer() as checkpoints:
        state, step = checkpoints.restore(like=state)
        for step in range(0 if step is None else step + 1, steps):
            train(state)
            checkpoints.maybe_save(step, state)
        checkpoints.save(steps, state)
    ```

    A state is nested dicts, lists and tuples of tensors (PyTorch, numpy, JAX), numbers, text, bytes, and
    objects with `state_dict` and `load_state_dict`. Random states of Python, numpy and PyTorch are saved with
    it. Tensors are the same on all ranks, or sharded (DTensor, ShardedTensor, JAX arrays over processes), or
    `Local`.

    `save`, `maybe_save` and `restore` are for all ranks together, as training is. Not thread-safe.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        interval: int | Literal["auto"] | None = "auto",
        keep: int = 2,
        keep_every: int = 0,
        memory: bool | str | os.PathLike[str] = True,
        random: bool = True,
        pickle: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        `directory`: storage that all ranks see; default: the job's (`checkpoint_dir()`). `interval`:
        `maybe_save` saves every so many steps; "auto": as often as pays (see `interval`); None: never.
        `keep`: so many newest steps stay in storage. `keep_every`: and every step it divides; 0: none.
        `memory`: snapshots go to the node's memory first; a path: there; False: into storage's own files.
        `random`: random states are saved and restored, too. `pickle`: other objects may be saved with pickle,
        and pickles be opened when restoring. Running a pickle runs its author's code.
        """
        if isinstance(interval, int) and interval < 1:
            raise ValueError(f'interval is {interval}; give a number of steps from 1, "auto" or None')
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least 1 must stay, or there is nothing to go back to")
        self.directory = Path(directory).absolute() if directory is not None else checkpoint_dir().absolute()
        self.memory: Path | None = memory_folder(memory, self.directory)
        self.saved: Saved | None = None
        self.restored: Restored | None = None
        self._interval = interval
        self._keep, self._keep_every = keep, keep_every
        self._random, self._pickle = random, pickle
        self._clock = clock
        self._copier = Copier()
        self._writer = Writer()
        self._pace = pacing.Pace()
        self._calls = 0
        self._next_step: int | None = None
        self._works: list[Work] = []
        self._run: Run | None = None
        self._slots: Slots | None = None
        self._last_step: int | None = None
        self._spare: threading.Thread | None = None
        self._writer.start()

    # ---- saving

    def maybe_save(self, step: int, state: Any) -> bool:
        """Save if it is time; whether it was. Cheap: between saves no rank says a word to another."""
        self._pace.at(step, self._clock())
        self._calls += 1
        if not self._is_time(step):
            return False
        self.save(step, state)
        return True

    def _is_time(self, step: int) -> bool:
        if self._interval is None:
            return False
        if isinstance(self._interval, int):
            return (step + 1) % self._interval == 0
        if self._next_step is None:
            return self._calls >= _FIRST_SAVE_CALLS
        return step >= self._next_step

    def save(self, step: int, state: Any) -> Saved:
        """Take a snapshot and return; it is made durable beside training. `wait` waits for that.

        A step that was saved or restored already is not saved again. Raises CheckpointError, naming the key,
        if the state holds what cannot be saved. A full disk raises nothing here: it is said on stderr, and by
        `wait`.
        """
        began = self._clock()
        if step == self._last_step:
            return self.saved or Saved(step, 0.0, 0)
        with phase("checkpoint"):
            run = self._before(step)
            random = randomness.capture() if self._random else None
            flat = tree.flatten(state, random, pickle=self._pickle)
            stowed = sharing.stows(flat.leaves, flat.local, run.place)
            places, own, size = sharing.offsets(stowed)
            manifest = _manifest(step, run, flat, stowed, places, own, size)
            folder = self._store(manifest, stowed, places)
            order = Order(folder, str(self.directory), self._keep, self._keep_every)
            self._works.append(self._writer.hand(order))
        self._last_step = step
        self.saved = Saved(step, self._clock() - began, size)
        self._pace.resumed(step, self._clock())
        self._make_spare(size)
        return self.saved

    def _before(self, step: int) -> Run:
        """Nothing is written over until the snapshot before it is whole on all ranks; and they plan the next
        save.
        """
        if self._works:
            self._writer.wait(self._works[-1], "sealed")
        run = self._run or self._begin(meet(self.directory, self.memory))
        self._next_step = step + self._plan(run)
        self._works = [work for work in self._works[:-1] if not work.done] + self._works[-1:]
        return run

    def _begin(self, run: Run) -> Run:
        self._run = run
        root = self.memory or self.directory
        self._slots = Slots(root, run.place.rank, self._copier, reuse=self.memory is not None)
        return run

    def _plan(self, run: Run) -> int:
        """Steps until the next save, from what the slowest rank measured; the same on all."""
        cost = self.saved.seconds if self.saved else 0.0
        durable = max((work.durable or 0.0 for work in self._works), default=0.0)
        words = run.crew.gather([cost, durable, self._pace.seconds])
        cost, durable, step = (max(column) for column in zip(*words, strict=True))
        if not cost or not step:
            return _FIRST_SAVE_CALLS
        return pacing.interval_steps(cost, durable, step, pacing.mtbf_seconds(run.place.world))

    def _store(self, manifest: Manifest, stowed: list[sharing.Stow], places: list[int]) -> Path:
        """Copy the snapshot into memory, or where that has no room, into storage."""
        if self._spare is not None:
            self._spare.join()
        assert self._slots is not None
        slot = self._slots.next(manifest.step)
        for work in self._works:
            if slot is not None and work.step == slot.step:
                self._writer.wait(work, "readable")
        try:
            slot = self._slots.write(slot, manifest.step, stowed, places, manifest.bytes)
        except OSError as error:
            if self.memory is None:
                raise CheckpointError(f"step {manifest.step} cannot be saved: {error}") from error
            warn(f"{error}; snapshots go to storage from now on, for which training waits longer")
            self._slots.clear()
            self.memory = None
            self._slots = Slots(self.directory, manifest.rank, self._copier, reuse=False)
            slot = self._slots.write(None, manifest.step, stowed, places, manifest.bytes)
        layout.put(slot.folder / layout.DRAFT, layout.sealed(manifest.body()), durable=False)
        return slot.folder

    def _make_spare(self, size: int) -> None:
        if self._spare is None and self._slots is not None:
            self._spare = threading.Thread(target=self._slots.spare, args=(size,), daemon=True)
            self._spare.start()

    @property
    def newest(self) -> Work:
        """How far the newest snapshot is: seconds from `save` until it was checked in memory, durable, committed."""
        if not self._works:
            raise CheckpointError("nothing was saved yet")
        return self._works[-1]

    def wait(self, timeout: float | None = None) -> bool:
        """Until everything saved is durable on all ranks; False if that takes longer than `timeout` seconds.

        Raises CheckpointError if the newest snapshot could not be made durable.
        """
        until = None if timeout is None else self._clock() + timeout
        for work in self._works:
            left = None if until is None else max(0.0, until - self._clock())
            if not self._writer.wait(work, "done", left):
                return False
        if self._works and (error := self._works[-1].error) is not None:
            raise error
        return True

    # ---- restoring

    def restore(
        self,
        like: State | None = None,
        *,
        step: int | None = None,
        strict: bool = True,
        map_location: Any = None,
    ) -> tuple[State | Any, int | None]:
        """The newest whole state and its step; `(like, None)` if nothing was ever saved.

        Arrays and objects in `like` are filled in place; numbers and text are returned. Without `like` the
        state comes as dicts and arrays (on `map_location`). Memory is tried before storage, an older step if
        a newer one is damaged, and stderr says so. `step`: this one and no other. `strict=False`: what only
        one side has is left.

        Raises CheckpointError if keys, shapes or dtypes do not fit, or if everything that is there is
        damaged.
        """
        with phase("checkpoint"):
            began = self._clock()
            if self._works:
                self.wait()
            wish = Wish(like, step, strict, self._pickle, map_location)
            run = meet(self.directory, self.memory)
            if self._slots is not None:
                self._slots.close()
            self._begin(run)
            result, self.restored = restore(run, wish, self._copier, began, self._clock)
            if self.restored is None:
                return like, None
            newest = self.restored.step
            assert self._slots is not None
            self._slots.forget(lambda one: one <= newest)
            self._last_step = newest
            return result, newest

    # ---- the end

    def close(self) -> None:
        """Let the writer finish what was saved, and end it."""
        if self._spare is not None:
            self._spare.join()
        self._writer.close()
        if self._slots is not None:
            self._slots.close()
        self._copier.close()

    def __enter__(self) -> Checkpointer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits until what was saved is durable; raises CheckpointError if it cannot be and nothing else was
        wrong.
        """
        try:
            if kind is None:
                self.wait()
        finally:
            self.close()


def _manifest(
    step: int,
    run: Run,
    flat: tree.Flat,
    stowed: list[sharing.Stow],
    places: list[int],
    own: int,
    size: int,
) -> Manifest:
    pieces: dict[str, list[Piece]] = {name: [] for name in flat.leaves}
    for stow, at in zip(stowed, places, strict=True):
        pieces[stow.name].append(Piece(at, stow.bytes, stow.start, stow.size))
    tensors = {
        name: Stored(leaf.dtype, leaf.shape, tuple(pieces[name]), name in flat.local, leaf.shares is not None)
        for name, leaf in flat.leaves.items()
    }
    return Manifest(
        step=step,
        rank=run.place.rank,
        world=run.place.world,
        local=run.place.local,
        session=run.session,
        time=time.time(),
        bytes=size,
        own=own,
        tensors=tensors,
        tree=flat.tree,
    )
