"""`report`: how training code tells the platform how far it is.

The node watches the file named by `SPRINGTIDE_PROGRESS_FILE` and copies it to the pod's annotation
`springtide.dev/progress`, from which TrainJob.status.trainerStatus is made. Reporting must never hurt
training: it is rate limited, and a problem with it is warned about once and then ignored.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from _thread import allocate_lock  # `threading` imports eight times as much

from springtide.sdk.marks import FILE_VARIABLE, marks
from springtide.sdk.place import leads_pod, rank

TYPE_CHECKING = False  # importing `typing` would be most of this package's import time
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_INTERVAL_SECONDS = 0.5


def report(
    *,
    progress: float | None = None,
    step: float | None = None,
    total: float | None = None,
    metrics: Mapping[str, float | int | str] | None = None,
    remaining_seconds: float | None = None,
    checkpointed: bool = False,
) -> None:
    """Report progress (a fraction 0..1, or `step` of `total`), metrics, and the seconds still needed.

    All are optional; what is left out keeps its last value. Without `remaining_seconds` it is
    estimated from the pace since the first report. `checkpointed` says that the work so far is saved, so that
    the scheduler knows what would be lost with the job; `save_atomic` says it by itself. Cheap to call every
    step: at most two writes a second reach the disk, and the last report always does. With several processes
    in a pod only local rank 0 reports. Outside Springtide rank 0 prints one line instead. Never raises.

    Every rank's `step` is marked too, so that a rank that hangs or is slow can be told from its peers: call
    it on all of them, and after every step rather than every epoch.
    """
    try:
        if step is not None and not marks.counts_steps:
            marks.step(int(step))
        if checkpointed:
            _reporter.saved()
        _reporter.report(_fraction(progress, step, total), metrics or {}, remaining_seconds)
    except Exception as error:  # noqa: BLE001 - reporting must never end a training run
        _reporter.warn_once(error)


def _fraction(progress: float | None, step: float | None, total: float | None) -> float | None:
    if progress is None:
        if step is None or not total:
            return None
        progress = step / total
    return min(max(float(progress), 0.0), 1.0)


class _Reporter:
    """The latest report of this process, and when it was last written."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time):
        self._clock = clock
        self._wall = wall
        self._lock = allocate_lock()
        self._fraction: float | None = None
        self._remaining_seconds: float | None = None
        self._metrics: dict[str, str] = {}
        self._began: tuple[float, float] | None = None
        self._written_at = float("-inf")
        self._pending = False
        self._warned = False
        self._saved_at = ""
        atexit.register(self.flush)

    def saved(self) -> None:
        """Note that everything up to now is in a checkpoint. Within the platform only: nothing is printed."""
        if not leads_pod() or not os.environ.get(FILE_VARIABLE):
            return
        with self._lock:
            now = self._clock()
            self._saved_at = _moment(self._wall())
            self._pending = True
            if now - self._written_at >= _INTERVAL_SECONDS:
                self._write(now)

    def report(
        self,
        fraction: float | None,
        metrics: Mapping[str, float | int | str],
        remaining_seconds: float | None,
    ) -> None:
        if not leads_pod():
            return
        with self._lock:
            now = self._clock()
            if fraction is not None:
                self._fraction = fraction
                self._began = self._began or (now, fraction)
                self._remaining_seconds = self._estimate(now)
            if remaining_seconds is not None:
                self._remaining_seconds = max(float(remaining_seconds), 0.0)
            self._metrics.update({name: _text(value) for name, value in metrics.items()})
            self._pending = True
            if fraction == 1.0 or now - self._written_at >= _INTERVAL_SECONDS:
                self._write(now)

    def flush(self) -> None:
        """Write what the rate limit held back; called at exit."""
        with self._lock:
            if not self._pending:
                return
            try:
                self._write(self._clock())
            except Exception as error:  # noqa: BLE001 - as in `report`
                self.warn_once(error)

    def warn_once(self, error: Exception) -> None:
        if self._warned:
            return
        self._warned = True
        print(f"springtide.sdk: progress is not reported: {error!r}", file=sys.stderr, flush=True)  # noqa: T201

    def _estimate(self, now: float) -> float | None:
        if self._began is None or self._fraction is None:
            return None
        began_at, began_fraction = self._began
        gained = self._fraction - began_fraction
        return (now - began_at) / gained * (1.0 - self._fraction) if gained > 0 else None

    def _write(self, now: float) -> None:
        self._written_at = now
        self._pending = False
        path = os.environ.get(FILE_VARIABLE)
        if not path:
            if rank() == 0:
                print(self._line(), flush=True)  # noqa: T201
            return
        import json

        partial = f"{path}.{os.getpid()}.partial"
        with open(partial, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs milliseconds
            json.dump(self._document(), file)
        os.replace(partial, path)  # noqa: PTH105

    def _document(self) -> dict[str, Any]:
        """The annotation's JSON; field names as in TrainJob.status.trainerStatus."""
        document: dict[str, Any] = {
            "metrics": [{"name": name, "value": value} for name, value in self._metrics.items()],
            "time": _moment(self._wall()),
        }
        if self._saved_at:
            document["checkpointTime"] = self._saved_at
        if self._fraction is not None:
            document["progressPercentage"] = int(self._fraction * 100)
        if self._remaining_seconds is not None:
            document["estimatedRemainingSeconds"] = round(self._remaining_seconds)
        return document

    def _line(self) -> str:
        parts = [] if self._fraction is None else [f"{self._fraction:.0%}"]
        parts += [f"{name} {value}" for name, value in self._metrics.items()]
        return "progress: " + ", ".join(parts)


def note_checkpoint() -> None:
    """Called by `checkpoint` when one is whole. Never raises."""
    try:
        _reporter.saved()
    except Exception as error:  # noqa: BLE001 - as in `report`
        _reporter.warn_once(error)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _text(value: float | int | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_reporter = _Reporter()
