"""The training process's end of the writer process: hands over snapshots, hears how far they are.

Used by `checkpointer`.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import springtide
from springtide.sdk.checkpoint.layout import CheckpointError, warn
from springtide.sdk.checkpoint.persist import Order
from springtide.sdk.progress import note_checkpoint

_REMEMBERED = 4
_PROGRAM = "import sys; sys.path.insert(0, {!r}); from springtide.sdk.checkpoint.persist import main; main()"


@dataclass(slots=True)
class Work:
    """How far one snapshot is; times in seconds, None until it is so far."""

    step: int
    handed: float
    persisted: bool
    commits: bool
    sealed: float | None = None
    durable: float | None = None
    committed: float | None = None
    error: CheckpointError | None = None
    stage: str = field(default="")

    @property
    def readable(self) -> bool:
        """Whether the writer is done with reading the memory."""
        return self.error is not None or (self.durable if self.persisted else self.sealed) is not None

    @property
    def done(self) -> bool:
        last = self.sealed if not self.persisted else self.committed if self.commits else self.durable
        return self.error is not None or last is not None


class Writer:
    """Starts the process when there is something to do, and anew if it is gone. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._works: dict[int, Work] = {}
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start it, so that the first snapshot need not wait for an interpreter."""
        if self._process is not None and self._process.poll() is None:
            return
        self._close_pipes()
        source = str(Path(springtide.__file__).parents[1])
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _PROGRAM.format(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._reader.start()

    def hand(self, order: Order) -> Work:
        """Give it a snapshot."""
        self.start()
        step = int(order.folder.parent.name.removeprefix("step-"))
        work = Work(step, time.monotonic(), persisted=bool(order.root), commits=order.commit)
        with self._changed:
            for old in [one for one, known in self._works.items() if known.done][:-_REMEMBERED]:
                del self._works[old]
            self._works[step] = work
        line = json.dumps({**asdict(order), "folder": str(order.folder)}) + "\n"
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError as error:
            self._fail(f"the writer process is gone ({error}); the next save starts another")
        return work

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError, KeyError):
                self._heard(json.loads(line))
        if process is self._process:
            self._fail("the writer process ended before its work was done; the next save starts another")

    def _heard(self, said: dict[str, Any]) -> None:
        event = said["event"]
        with self._changed:
            work = self._works[said["step"]]
            seconds = time.monotonic() - work.handed
            if event == "failed":
                work.stage = said["stage"]
                work.error = CheckpointError(
                    f"step {work.step} could not be {_PAST[work.stage]}: {said['error']}"
                )
                self._complain(work)
            else:
                setattr(work, event, seconds)
            self._changed.notify_all()
        if work.done and work.error is None:
            note_checkpoint()

    def _complain(self, work: Work) -> None:
        kept = [one.step for one in self._works.values() if one.committed is not None]
        newest = f"step {max(kept)} is the newest durable one" if kept else "earlier ones are kept"
        warn(f"{work.error}; {newest}; training goes on")

    def _fail(self, why: str) -> None:
        with self._changed:
            for work in self._works.values():
                if not work.done:
                    work.error = CheckpointError(f"step {work.step} is not saved: {why}")
            self._changed.notify_all()

    def wait(self, work: Work, until: str, timeout: float | None = None) -> bool:
        """Until a snapshot is `sealed`, `readable` or `done`; whether it was in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: work.error is not None or bool(getattr(work, until)), timeout=timeout
            )

    def close(self, *, wait: bool = True) -> None:
        """Let it finish what it has, and end; without `wait` it does so by itself."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        if not wait:
            return
        process.wait()
        self._close_pipes()
        self._process = None

    def _close_pipes(self) -> None:
        """Of a process that has ended."""
        if self._reader is not None:
            self._reader.join()
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


_PAST = {"seal": "sealed in memory", "persist": "made durable", "commit": "committed"}
