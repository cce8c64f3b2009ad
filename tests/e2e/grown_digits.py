"""The digits example grown: longer, with steps one can watch, pauses and slow ranks. Run by torchrun in pods.

Started by `test_hangs.py` and by `tests/endurance/hangs.py`; the training itself is the example's own.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

TRAIN = Path(__file__).resolve().parents[2] / "examples" / "digits" / "train.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=int, default=0, help="matrix products added to each step")
    parser.add_argument(
        "--last-stage", type=float, default=1.0, help="how many times as much on the last rank"
    )
    parser.add_argument("--rest", type=float, default=0.0, help="seconds each step sleeps")
    parser.add_argument("--batches", type=int, default=0, help="steps of an epoch; 0: all")
    parser.add_argument("--pause-epoch", type=int, default=-1, help="the epoch after which evaluation pauses")
    parser.add_argument("--pause-seconds", type=float, default=20.0)
    parser.add_argument("--pause", choices=("sleep", "rank0", "busy", "declared"), default="sleep")
    options, rest = parser.parse_known_args()
    train = load()
    sys.argv = [str(TRAIN), *rest]
    lengthen(train, options)
    train.main()


def load() -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("digits_train", TRAIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lengthen(train: Any, options: argparse.Namespace) -> None:
    """More work in each step, and an evaluation that takes its time."""
    evaluate, cross_entropy = train.evaluate, train.nn.functional.cross_entropy
    evaluated = 0

    def slower(*args: Any, **kwargs: Any) -> Any:
        last = dist.get_rank() == dist.get_world_size() - 1
        work(round(options.work * (options.last_stage if last else 1.0)))
        time.sleep(options.rest)
        return cross_entropy(*args, **kwargs)

    def pausing(*args: Any, **kwargs: Any) -> Any:
        nonlocal evaluated
        if evaluated == options.pause_epoch:
            pause(train.sdk, options)
        evaluated += 1
        return evaluate(*args, **kwargs)

    train.nn.functional.cross_entropy = slower
    train.evaluate = pausing
    if options.batches:
        train.DataLoader = lambda *args, **kwargs: First(
            torch.utils.data.DataLoader(*args, **kwargs), options
        )


class First:
    """The first batches of a loader."""

    def __init__(self, loader: Any, options: argparse.Namespace) -> None:
        self.loader, self.count = loader, options.batches

    def __len__(self) -> int:
        return int(min(len(self.loader), self.count))

    def __iter__(self) -> Any:
        for number, batch in enumerate(self.loader):
            if number >= self.count:
                return
            yield batch


def work(products: int) -> None:
    """The same amount of work on every rank, however long it takes."""
    left = torch.ones(200, 200)
    for _ in range(products):
        left = (left @ left).clamp(0, 1)


def pause(sdk: Any, options: argparse.Namespace) -> None:
    """An evaluation that is quiet for a while."""
    if options.pause == "declared":
        with sdk.phase("evaluate"):
            time.sleep(options.pause_seconds)
    elif options.pause == "busy":
        ends = time.monotonic() + options.pause_seconds
        while time.monotonic() < ends:
            work(10)
    elif options.pause == "sleep" or dist.get_rank() == 0:
        time.sleep(options.pause_seconds)


if __name__ == "__main__":
    main()
