"""Checkpoints of 1 GiB: `python benchmarks/checkpoint.py [--mebibytes 1024] [--rounds 7] [--folder DIR]`.

Ours beside `torch.save` (to disk with fsync, and to memory) and PyTorch's own asynchronous checkpoints (DCP),
the same state, the same disk, medians. A row for each way: for how long training waits (`blocking_s`), when
it is durable (`durable_s`), how long a restore takes; and rows for what the machine can do: copies of memory
(one thread, all), and the disk, written once through and flushed. Each ratio of blocking times means nothing
without those.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from springtide import sdk
from springtide.sdk.checkpoint.copying import Copier, Move

MEMORY = Path("/dev/shm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    disk = Path(tempfile.mkdtemp(prefix="springtide-bench-", dir=options.folder))
    memory = Path(tempfile.mkdtemp(prefix="springtide-bench-", dir=MEMORY))
    state = state_of(options.mebibytes)
    size = options.mebibytes << 20
    try:
        bound(state, size, options.rounds)
        storage(disk, size, options.rounds)
        ours(state, size, options.rounds, disk / "ours", memory / "ours")
        plain(state, size, options.rounds, disk, "torch.save, disk, fsync")
        plain(state, size, options.rounds, memory, "torch.save, tmpfs")
        asynchronous(state, size, options.rounds, disk / "dcp", keep_staging=False)
        asynchronous(state, size, options.rounds, disk / "dcp", keep_staging=True)
    finally:
        shutil.rmtree(disk)
        shutil.rmtree(memory)


def state_of(mebibytes: int) -> dict[str, Any]:
    """As of a transformer: matrices of 16 MiB, and a small tensor with each."""
    generator = torch.Generator().manual_seed(1)
    count = max(mebibytes // 16, 1)
    matrices = {f"layer.{i}.weight": torch.randn(2048, 2048, generator=generator) for i in range(count)}
    return matrices | {f"layer.{i}.bias": torch.randn(2048, generator=generator) for i in range(count)}


def row(what: str, size: int, **seconds: float) -> None:
    figures = {name: round(value, 4) for name, value in seconds.items()}
    print(json.dumps({"what": what, "gib": round(size / 2**30, 3), **figures}), flush=True)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def median(rounds: int, call: Callable[[], object]) -> float:
    return statistics.median(timed(call) for _ in range(rounds))


def bound(state: dict[str, Any], size: int, rounds: int) -> None:
    """The least any snapshot takes: the same bytes copied to memory that is there already."""
    goals = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    moves = [
        Move(goals[name].data_ptr(), tensor.data_ptr(), tensor.numel() * tensor.element_size())
        for name, tensor in state.items()
    ]
    pairs = [(goals[name].numpy(), tensor.numpy()) for name, tensor in state.items()]

    def by_numpy() -> None:
        for goal, source in pairs:
            goal[...] = source

    every = Copier()
    for what, call in (
        ("memory copy, numpy, one thread", by_numpy),
        (
            "memory copy, memmove, one thread",
            lambda: [ctypes.memmove(m.target, m.source, m.bytes) for m in moves],
        ),
        (f"memory copy, memmove, {every.threads} threads", lambda: every.copy(moves)),
    ):
        seconds = median(rounds, call)
        row(what, size, seconds=seconds, gb_per_s=size / 1e9 / seconds)
    every.close()


def storage(folder: Path, size: int, rounds: int) -> None:
    """The disk, once through and flushed: through the page cache, as most programs write."""
    block = os.urandom(16 << 20)

    def write() -> None:
        with (folder / "block").open("wb", buffering=0) as file:
            for _ in range(size // len(block)):
                file.write(block)
            os.fsync(file.fileno())

    seconds = median(rounds, write)
    (folder / "block").unlink()
    row("storage, write and fsync", size, seconds=seconds, gb_per_s=size / 1e9 / seconds)


def ours(state: dict[str, Any], size: int, rounds: int, disk: Path, memory: Path) -> None:
    blocking: list[float] = []
    sealed: list[float] = []
    durable: list[float] = []
    with sdk.Checkpointer(disk, memory=memory, interval=None) as checkpoints:
        first = checkpoints.save(0, state).seconds
        checkpoints.wait()
        for step in range(1, rounds + 1):
            blocking.append(checkpoints.save(step, state).seconds)
            checkpoints.wait()
            times = checkpoints.newest
            sealed.append(times.sealed or 0.0)
            durable.append(times.committed or 0.0)
    row(
        "springtide",
        size,
        blocking_s=statistics.median(blocking),
        blocking_first_s=first,
        checked_in_memory_s=statistics.median(sealed),
        durable_s=statistics.median(durable),
    )
    for where, gone in (("memory", None), ("storage", memory)):
        if gone is not None:
            shutil.rmtree(gone)
        for into, like in (("its tensors", state), ("new tensors", None)):
            seconds = []
            for _ in range(rounds):
                if gone is not None:
                    forget(disk)
                with sdk.Checkpointer(disk, memory=memory, interval=None) as checkpoints:
                    seconds.append(timed(lambda: checkpoints.restore(like=like)))  # noqa: B023 - called here
                    assert checkpoints.restored is not None
                    assert checkpoints.restored.where == where
            row(f"springtide, restore from {where} into {into}", size, restore_s=statistics.median(seconds))


def forget(folder: Path) -> None:
    """Have the system drop what it holds of these files, so that reading them means the disk."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain(state: dict[str, Any], size: int, rounds: int, folder: Path, what: str) -> None:
    path = folder / "state.pt"

    def save() -> None:
        with path.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())

    def load() -> None:
        forget(folder)
        loads.append(timed(lambda: torch.load(path)))

    save()
    loads: list[float] = []
    seconds = median(rounds, save)
    for _ in range(rounds):
        load()
    path.unlink()
    row(what, size, blocking_s=seconds, durable_s=seconds, restore_s=statistics.median(loads))


def asynchronous(state: dict[str, Any], size: int, rounds: int, folder: Path, *, keep_staging: bool) -> None:
    """async_save with fsync; with its staging memory kept, it needs no fresh pages."""
    warnings.simplefilter("ignore")
    kept = StagingOptions(
        use_pinned_memory=False, use_shared_memory=True, use_async_staging=False, use_non_blocking_copy=False
    )
    stager = DefaultStager(kept) if keep_staging else None
    dist.init_process_group("gloo", init_method=f"file://{folder}.meet", rank=0, world_size=1)
    blocking, durable = [], []
    writer = FileSystemWriter(folder, sync_files=True)
    for number in range(rounds + 1):
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()
        began = time.perf_counter()
        future = async_save(state, checkpoint_id=folder, storage_writer=writer, async_stager=stager)
        returned = time.perf_counter() - began
        assert isinstance(future, Future)
        future.result()
        if number:  # the first is to get warm
            blocking.append(returned)
            durable.append(time.perf_counter() - began)
    loads = []
    for _ in range(rounds):
        forget(folder)
        goal = {name: torch.empty_like(tensor) for name, tensor in state.items()}
        loads.append(timed(lambda: load(goal, checkpoint_id=folder)))  # noqa: B023 - called here
    if stager is not None:
        stager.close()
    dist.destroy_process_group()
    shutil.rmtree(folder)
    row(
        "torch DCP async_save" + (", staging kept" if keep_staging else ""),
        size,
        blocking_s=statistics.median(blocking),
        durable_s=statistics.median(durable),
        restore_s=statistics.median(loads),
    )


if __name__ == "__main__":
    main()
