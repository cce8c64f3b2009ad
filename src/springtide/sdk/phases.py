"""`phase`: what a training program does now, so that a quiet evaluation is not taken for a hang.

Checkpoints, compilation, evaluation and loading can be silent for minutes. Who says so is given the time;
who does not is judged by what its processes do. Called by user code; the names are those of
`Diagnosis.spec.phase`.
"""

from __future__ import annotations

import sys

from springtide.sdk.marks import marks

TYPE_CHECKING = False  # importing `typing` would be most of this package's import time
if TYPE_CHECKING:
    from types import TracebackType

NAMES = ("train", "evaluate", "checkpoint", "compile", "load", "start")
_warned: list[str] = []


class Phase:
    """What `phase` returns: alone, the phase lasts until the next; in `with`, to the end of the block."""

    __slots__ = ("_before",)

    def __init__(self, before: str) -> None:
        self._before = before

    def __enter__(self) -> Phase:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        marks.phase(self._before)


def phase(name: str) -> Phase:
    """Say what this rank does now: `train`, `evaluate`, `checkpoint`, `compile`, `load` or `start`.

    `sdk.phase("load")` holds until the next phase; `with sdk.phase("evaluate"): …` to the end of the block.
    Every rank says it for itself. The time of phases other than `train` counts in no step. Never raises: a
    name that is none of these is kept, warned about once, and gets no patience of its own.
    """
    if name not in NAMES and name not in _warned:
        _warned.append(name)
        said = f"springtide.sdk: phase {name!r} is none of {', '.join(NAMES)}"
        print(said, file=sys.stderr, flush=True)  # noqa: T201
    return Phase(marks.phase(str(name)))
