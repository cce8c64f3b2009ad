"""What breaks during a training run: causes with their counts and the lines they leave, drawn over time.

Read from YAML (`llama3.yaml` beside this file, or a site's own) and drawn by `draw` with exact counts, so
that two systems can be compared on the very same faults. Called by `recovery`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec
import yaml

LLAMA3 = Path(__file__).with_name("llama3.yaml")


class MixError(ValueError):
    """A file of causes or times cannot be used; the text names file, field and rule."""


class Bad(StrEnum):
    """What is truly broken."""

    NODE = "node"
    LINK = "link"
    SWITCH = "switch"
    PROGRAM = "program"
    DATA = "data"
    NOTHING = "nothing"


class Symptom(StrEnum):
    """How it shows itself to the job."""

    CRASH = "crash"
    STALL = "stall"
    HANG = "hang"
    GONE = "gone"
    SLOW = "slow"
    SILENT = "silent"


class Repair(StrEnum):
    """What mends it."""

    NONE = "none"
    FLAP = "flap"
    RESET = "reset"
    REBOOT = "reboot"
    REPLACE = "replace"


class Show(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which a cause shows itself."""

    weight: float
    symptom: Symptom
    repair: Repair
    kernel: str = ""
    log: str = ""
    bad: Bad | None = None
    """None: as the cause says."""


class Cause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the table of interruptions."""

    cause: str
    count: int
    bad: Bad
    shows: tuple[Show, ...]


class Benign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines of healthy machines."""

    count: int = 0
    lines: tuple[str, ...] = ()


class Mix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of interruptions: what, how often, in how many days on how many GPUs."""

    source: str
    days: float
    gpus: int
    causes: tuple[Cause, ...]
    benign: Benign = Benign()

    @property
    def count(self) -> int:
        """All interruptions of the table."""
        return sum(one.count for one in self.causes)


@dataclass(frozen=True, slots=True)
class Happening:
    """One fault as it will strike, whoever runs the job."""

    at: float
    """Seconds from the start."""
    cause: str
    bad: Bad
    symptom: Symptom
    repair: Repair
    kernel: str
    """What the kernel of the node says and somebody hears; empty: nothing."""
    log: str
    part: float
    """Which node of the job, as a part of them all from 0 to 1: the same rank in every system."""
    repair_part: float
    """How long its repair takes, as a quantile of the distribution."""
    unfixed: bool
    """Whether the node comes back broken from its first repair."""

    @property
    def mends(self) -> bool:
        """Whether somebody has to mend it: it does not heal by itself."""
        return self.repair not in (Repair.NONE, Repair.FLAP)


def load_mix(path: Path = LLAMA3) -> Mix:
    """Read a table of interruptions. Raises MixError."""
    try:
        return msgspec.convert(yaml.load(path.read_text(), yaml.CSafeLoader), Mix)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise MixError(f"{path}: {error}") from error


def draw(
    mix: Mix,
    seconds: float,
    chances: random.Random,
    *,
    gpus: int,
    evidence_lost_part: float,
    unfixed_part: float,
) -> list[Happening]:
    """The faults of one run on so many GPUs, in order.

    At the size and length of the table the counts are exactly the table's; else they are scaled, and what is
    left of a whole fault is a chance.
    """
    scale = seconds / (mix.days * 86400) * gpus / mix.gpus
    found = []
    for cause in mix.causes:
        count, rest = divmod(cause.count * scale, 1.0)
        for _ in range(int(count) + (chances.random() < rest - 1e-9)):
            show = chances.choices(cause.shows, [one.weight for one in cause.shows])[0]
            heard = chances.random() >= evidence_lost_part
            found.append(
                Happening(
                    at=chances.uniform(0, seconds),
                    cause=cause.cause,
                    bad=show.bad or cause.bad,
                    symptom=show.symptom,
                    repair=show.repair,
                    kernel=show.kernel if heard else "",
                    log=show.log,
                    part=chances.random(),
                    repair_part=chances.random(),
                    unfixed=chances.random() < unfixed_part,
                )
            )
    return sorted(found, key=lambda one: one.at)


def benign_lines(mix: Mix, seconds: float, chances: random.Random) -> Sequence[str]:
    """What healthy machines say in that time, most of it harmless and all of it not their fault."""
    count = round(mix.benign.count * seconds / (mix.days * 86400))
    return chances.choices(mix.benign.lines, k=count) if mix.benign.lines else ()
