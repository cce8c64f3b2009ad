"""`Checkpointer`: what training code holds to save and restore its state; the steps of both, in order.

Saving: the ranks say that the snapshot before is whole everywhere; the state is taken apart; its bytes are
copied into the node's memory; training goes on. The writer process does the rest. Restoring: each rank says
which steps it could read, all take the newest they share, check every byte they need, agree that it is good,
and only then fill the state.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from springtide.sdk.checkpoint import interval as pacing
from springtide.sdk.checkpoint import randomness, sharing, tree
from springtide.sdk.checkpoint.atomic import checkpoint_dir
from springtide.sdk.checkpoint.crew import Run, meet
from springtide.sdk.checkpoint.layout import CheckpointError, Manifest, Piece, Stored
from springtide.sdk.checkpoint.restoring import Restored, Wish, restore
from springtide.sdk.checkpoint.snapshots import Snapshots
from springtide.sdk.checkpoint.writer import Work
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
        storage = Path(directory).absolute() if directory is not None else checkpoint_dir().absolute()
        self.saved: Saved | None = None
        self.restored: Restored | None = None
        self._snapshots = Snapshots(storage, memory, keep, keep_every, clock)
        self._interval = interval
        self._random, self._pickle = random, pickle
        self._clock = clock
        self._pace = pacing.Pace()
        self._calls = 0
        self._next_step: int | None = None
        self._run: Run | None = None
        self._last_step: int | None = None

    @property
    def directory(self) -> Path:
        """Storage."""
        return self._snapshots.directory

    @property
    def memory(self) -> Path | None:
        """The folder of snapshots; None where they go to storage."""
        return self._snapshots.memory

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
            self._snapshots.settle()
            run = self._run or self._meet()
            self._next_step = step + self._plan(run)  # the ranks agree, and all are settled
            random = randomness.capture() if self._random else None
            flat = tree.flatten(state, random, pickle=self._pickle)
            stowed = sharing.stows(flat.leaves, flat.local, run.place)
            places, own, size = sharing.offsets(stowed)
            self._snapshots.take(_manifest(step, run, flat, stowed, places, own, size), stowed, places)
        self._last_step = step
        self.saved = Saved(step, self._clock() - began, size)
        self._pace.resumed(step, self._clock())
        return self.saved

    def _meet(self) -> Run:
        self._run = meet(self.directory, self.memory)
        self._snapshots.open(self._run.place.rank)
        return self._run

    def _plan(self, run: Run) -> int:
        """Steps until the next save, from what the slowest rank measured; the same on all."""
        cost = self.saved.seconds if self.saved else 0.0
        durable = max((work.durable or 0.0 for work in self._snapshots.works), default=0.0)
        words = run.crew.gather([cost, durable, self._pace.seconds])
        cost, durable, step = (max(column) for column in zip(*words, strict=True))
        if not cost or not step:
            return _FIRST_SAVE_CALLS
        return pacing.interval_steps(cost, durable, step, pacing.mtbf_seconds(run.place.world))

    @property
    def newest(self) -> Work:
        """How far the newest snapshot is: seconds until it was checked in memory, durable, committed."""
        if not self._snapshots.works:
            raise CheckpointError("nothing was saved yet")
        return self._snapshots.works[-1]

    def wait(self, timeout: float | None = None) -> bool:
        """Until everything saved is durable on all ranks; False if that takes longer than `timeout` seconds.

        Raises CheckpointError if the newest snapshot could not be made durable.
        """
        if not self._snapshots.wait("done", timeout):
            return False
        works = self._snapshots.works
        if works and (error := works[-1].error) is not None:
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
            self._snapshots.wait("done")
            wish = Wish(like, step, strict, self._pickle, map_location)
            run = self._meet()
            result, self.restored = restore(run, wish, self._snapshots.copier, began, self._clock)
            if self.restored is None:
                return like, None
            self._snapshots.forget_after(self.restored.step)
            self._last_step = self.restored.step
            return result, self.restored.step

    # ---- the end

    def close(self) -> None:
        """Let the writer process finish what was saved, and end it."""
        self._snapshots.close(finished=True)

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
            self._snapshots.close(finished=kind is None)


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
