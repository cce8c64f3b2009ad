"""Where each rank stands, kept where the node can read it at any moment: step, phase, collectives.

Every rank has a file of its own beside the progress file, `<progress file>.rank<N>`: one record of a fixed
layout in a shared mapping. A mark is some bytes written to memory: no system call, no limit on how often, and
what a rank said last stands there even if it was stopped or killed in the next instant, so that ranks can be
compared to the step. `sequence` stands at both ends: a reader who finds two different numbers has read while
it was written, and reads again. Called by `progress`, `phases` and `watching`; read by the node
(`springtide.node.marks`). Nothing here raises, and nothing happens outside the platform.
"""

from __future__ import annotations

import os
import sys
import time
from _struct import calcsize, pack_into  # what `struct` only re-exports
from _thread import allocate_lock

from springtide.sdk.place import rank as rank_of_environment
from springtide.sdk.steptimes import RunQueue, StepTimes

TYPE_CHECKING = False  # importing `typing` would be most of this package's import time
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap

FILE_VARIABLE = "SPRINGTIDE_PROGRESS_FILE"
TRAIN = "train"
_NEVER = -1
LAYOUT = "<8sQiiddqdddddddqd24sd40sQ"
"""Magic, sequence, rank, process, begun, time, step, the seven times of `steptimes`, collective,
waitingSince, phase, phaseTime, group, sequence again. In seconds of the epoch; -1, or time 0: unknown."""
MAGIC = b"STMARKS2"
_PHASE_BYTES, _GROUP_BYTES = 24, 40


class Marks:
    """The marks of this process. All methods may be called from any thread."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        wall: Callable[[], float] = time.time,
        processor: Callable[[], float] = time.process_time,
        queue: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._processor = processor
        self._queue = queue or RunQueue()
        self._lock = allocate_lock()
        self._stale = False
        self._map: mmap | None = None
        self._off = not os.environ.get(FILE_VARIABLE)
        self._process = 0
        self._sequence = 0
        self._rank = rank_of_environment()
        self._group = b""
        self._phase = ""
        self._phase_bytes = b""
        self._phase_since = 0.0
        self._said_at = 0.0
        self._step = _NEVER
        self._step_began = _NEVER + 0.0
        self._aside_began = _NEVER + 0.0
        self._aside = 0.0
        self._processor_began = self._queue_began = 0.0
        self._apart_began = self._queued_apart = 0.0
        """The queue's count where a wait or another phase began, and what it grew by within such."""
        self._times = StepTimes()
        self._begun = self._wall()
        self._collective = _NEVER
        self._waiting_since = 0.0
        self._wait_began = 0.0
        self._waited = 0.0
        self.watched = False
        """Whether the time spent waiting for peers is known; else processor time stands for work."""
        self.counts_steps = False
        """Whether `watching` counts the steps, and not the user's reports."""

    # -- what happened ------------------------------------------------------------------------------

    def place(self, rank: int | None, group: str) -> None:
        """Who this process is, if the environment does not say."""
        if rank is not None and self._map is None:
            self._rank = rank
        self._group = group.encode("ascii", "replace")[:_GROUP_BYTES]
        self._write()

    def step(self, number: int | None = None, busy_seconds: float | None = None) -> None:
        """A step has ended: the `number`th, or the next. `busy_seconds`: its work, if measured elsewhere."""
        if self._off:
            return
        number = self._step + 1 if number is None else int(number)
        if number == self._step:
            self._write()  # said twice, or told between two steps: no step of its own
            return
        now, processor, queue = self._clock(), self._processor(), self._queue()
        if self._aside_began >= 0:
            self._aside += now - self._aside_began
            self._aside_began = now
            self._queued_apart += queue - self._apart_began
            self._apart_began = queue
        if self._step_began >= 0 and number == self._step + 1:
            wall = max(now - self._step_began - self._aside, 0.0)
            self._times.add(wall)
            queued = queue - self._queue_began - self._queued_apart
            self._count_work(wall, processor - self._processor_began, queued, busy_seconds)
        self._step, self._step_began = number, now
        self._processor_began, self._queue_began = processor, queue
        self._aside = self._waited = self._queued_apart = 0.0
        self._write()

    def _count_work(self, wall: float, processor: float, queued: float, measured: float | None) -> None:
        if measured is not None:
            self._times.add_work(measured, 0.0)
        elif _has_device():
            return  # the host only queues work for the device, or spins while it waits for it
        elif self.watched:
            own = max(wall - self._waited, 0.0)
            queued = min(max(queued, 0.0), own)
            self._times.add_work(own - queued, queued)
        else:
            self._times.add_work(processor, 0.0)

    def enter(self) -> None:
        """A collective begins: from here on this rank may wait for its peers."""
        if self._off:
            return
        self._collective = max(self._collective, 0) + 1
        if self._aside_began < 0:
            self._wait_began, self._apart_began = self._clock(), self._queue()
        self._waiting_since = self._wall()
        self._write()

    def leave(self) -> None:
        """What was entered last is over."""
        if self._off or not self._waiting_since:
            return
        if self._aside_began < 0:  # else all of it counts in no step anyway
            self._waited += max(self._clock() - self._wait_began, 0.0)
            self._queued_apart += self._queue() - self._apart_began
        self._waiting_since = 0.0
        self._write()

    def count(self) -> None:
        """A collective was begun that goes on beside the program's own work."""
        if not self._off:
            self._collective = max(self._collective, 0) + 1
            self._write()

    def phase(self, name: str) -> str:
        """From now on the program does `name`; what it did before."""
        before = self._phase
        if self._off or name == before:
            return before
        now = self._clock()
        aside = name not in ("", TRAIN)
        if aside and self._aside_began < 0:
            self._aside_began, self._apart_began = now, self._queue()
        elif not aside and self._aside_began >= 0:
            self._aside += now - self._aside_began
            self._queued_apart += self._queue() - self._apart_began
            self._aside_began = _NEVER + 0.0
        self._phase, self._phase_since = name, self._wall()
        self._phase_bytes = name.encode("ascii", "replace")[:_PHASE_BYTES]
        self._write()
        return before

    # -- the file -----------------------------------------------------------------------------------

    def _write(self) -> None:
        """Put all marks into the file; whoever comes while another thread writes leaves it to that one."""
        if self._off:
            return
        self._said_at = self._wall()
        self._stale = True
        while self._stale and self._lock.acquire(False):
            try:
                self._stale = False
                self._sequence += 1
                self._put(self._map if self._map is not None else self._open())
            except Exception as error:  # noqa: BLE001 - marks must never end a training run
                self._give_up(error)
            finally:
                self._lock.release()

    def _put(self, where: mmap) -> None:
        times = self._times
        pack_into(
            LAYOUT,
            where,
            0,
            MAGIC,
            self._sequence,
            self._rank,
            self._process,
            self._begun,
            self._said_at,
            self._step,
            times.wall,
            times.best_wall,
            times.busy,
            times.low,
            times.recent,
            times.best,
            times.queued,
            self._collective,
            self._waiting_since,
            self._phase_bytes,
            self._phase_since,
            self._group,
            self._sequence,
        )

    def _open(self) -> mmap:
        """A file of this process alone: an earlier one goes on writing to its own, which has no name now."""
        from mmap import mmap

        self._process = os.getpid()
        path = f"{os.environ[FILE_VARIABLE]}.rank{self._rank}"
        partial = f"{path}.{self._process}.partial"
        with open(partial, "w+b") as file:  # noqa: PTH123 - pathlib costs milliseconds at import
            file.write(bytes(calcsize(LAYOUT)))
            file.flush()
            self._map = mmap(file.fileno(), calcsize(LAYOUT))
        self._put(self._map)
        os.replace(partial, path)  # noqa: PTH105
        return self._map

    def _give_up(self, error: Exception) -> None:
        self._off, self._map = True, None
        print(f"springtide.sdk: no marks are kept: {error!r}", file=sys.stderr, flush=True)  # noqa: T201

    def forget(self) -> None:
        """In a forked child: the file is the parent's."""
        self._off, self._map = True, None


def _has_device() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


marks = Marks()
"""Of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: marks.forget())
