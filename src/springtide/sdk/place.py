"""Where this process stands in its job, read from the environment; called by user code and `progress`."""

from __future__ import annotations

import os


def rank() -> int:
    """This process's global rank: `RANK` of torchrun, else the pod's index in its gang, else 0."""
    return _first_integer(("RANK", "JOB_COMPLETION_INDEX"), default=0)


def world_size() -> int:
    """How many processes the job has: `WORLD_SIZE` of torchrun, else the number of pods, else 1."""
    return _first_integer(("WORLD_SIZE", "SPRINGTIDE_NUM_NODES"), default=1)


def leads_pod() -> bool:
    """Whether this process speaks for its pod: with several processes a pod, only local rank 0 does."""
    return _first_integer(("LOCAL_RANK",), default=0) == 0


def _first_integer(names: tuple[str, ...], default: int) -> int:
    for name in names:
        value = os.environ.get(name, "")
        if value.isdecimal():
            return int(value)
    return default
