"""Checkpoints cut short: `python -m tests.endurance.checkpoint_cuts [--cuts 500] [--flips 500] [--kills 60]
[--seed 1]`.

Three ways for things to go wrong, each many times at random. The power fails while parts of two ranks are
written: from each moment a disk is made as it may be then. Bytes are changed, files cut, zeroed or lost, in
memory and in storage. A process that saves is killed, alone or with its writer, and started again. Whatever
happens, a restore gives exactly what was saved at some step, no older than the newest that had been
acknowledged and is still whole; or nothing, if none was.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from springtide.sdk.checkpoint import layout, sharing, tree
from springtide.sdk.checkpoint.copying import Copier
from springtide.sdk.checkpoint.crew import meet
from springtide.sdk.checkpoint.layout import CheckpointError, Manifest, Piece, Stored
from springtide.sdk.checkpoint.persist import Order, Persister
from springtide.sdk.checkpoint.restoring import Wish, restore
from springtide.sdk.checkpoint.slots import Slots
from tests.endurance.checkpoint_disk import Disk

CHUNK = 16 << 10
WORLD = 2
COPIER = Copier(1)


def state_at(step: int) -> dict[str, Any]:
    """What training holds at a step; different from any other's in every page."""
    return {
        "weights": numpy.random.default_rng(step).random((13, 1024)),
        "bias": numpy.full(3, step),
        "epoch": step,
    }


def is_state_at(state: Any, step: int) -> bool:
    wanted = state_at(step)
    return (
        state.keys() == wanted.keys()
        and state["epoch"] == step
        and all(numpy.array_equal(state[key], wanted[key]) for key in ("weights", "bias"))
    )


class Writers:
    """Two ranks' snapshots and writers in this process, so that their calls can be watched."""

    def __init__(self, memory: Path, storage: Path, keep: int) -> None:
        self.committed: int | None = None
        self.failed: list[str] = []
        self._memory, self._storage, self._keep = memory, storage, keep
        self._slots = [Slots(memory / f"node-{rank}", rank, COPIER) for rank in range(WORLD)]
        self._persisters = [Persister(self._heard) for _ in range(WORLD)]

    def _heard(self, event: str, **fields: Any) -> None:
        if event == "committed":
            self.committed = fields["step"]
        if event == "failed":
            self.failed.append(f"step {fields['step']}: {fields['error']}")

    def save(self, step: int) -> None:
        for rank in range(WORLD):
            folder = self._snapshot(rank, step)
            self._persisters[rank].do(Order(folder, str(self._storage), self._keep, 0))
        for persister in self._persisters:
            persister.look()

    def _snapshot(self, rank: int, step: int) -> Path:
        flat = tree.flatten(state_at(step))
        leaf = flat.leaves["weights"]
        half = leaf.array[:6] if rank == 0 else leaf.array[6:]
        start = (0, 0) if rank == 0 else (6, 0)
        stowed = [sharing.Stow("weights", start, half.shape, half, half.nbytes, own=True, local=False)]
        if rank == 0:
            bias = flat.leaves["bias"].array
            stowed.append(sharing.Stow("bias", (0,), (3,), bias, bias.nbytes, own=True, local=False))
        places, own, size = sharing.offsets(stowed)
        pieces: dict[str, list[Piece]] = {"weights": [], "bias": []}
        for stow, at in zip(stowed, places, strict=True):
            pieces[stow.name].append(Piece(at, stow.bytes, stow.start, stow.size))
        tensors = {
            name: Stored(flat.leaves[name].dtype, flat.leaves[name].shape, tuple(held), sharded=True)
            for name, held in pieces.items()
        }
        manifest = Manifest(
            step, rank, WORLD, (rank,), "000001-run", 0.0, size, own, tensors, flat.tree, chunk=CHUNK
        )
        slots = self._slots[rank]
        slot = slots.write(slots.next(step), step, stowed, places, size)
        layout.put(slot.folder / layout.DRAFT, layout.sealed(manifest.body()), durable=False)
        return slot.folder


def restored(storage: Path, memory: Path | None = None) -> tuple[Any, int | None, str]:
    """What a job of one rank would begin with."""
    with contextlib.redirect_stderr(io.StringIO()):
        run = meet(storage, memory)
        wish = Wish(None, None, strict=True, pickle=False, location=None)
        state, found = restore(run, wish, COPIER, 0.0, lambda: 0.0)
    return state, None if found is None else found.step, "" if found is None else found.where


def verdict(storage: Path, least: int | None, memory: Path | None = None) -> tuple[str, str]:
    """(what happened, what is wrong with it)."""
    try:
        state, step, where = restored(storage, memory)
    except CheckpointError as error:
        return "refused", "" if least is None else f"step {least} was acknowledged, and: {error}"
    if step is None:
        return "nothing", "" if least is None else f"step {least} was acknowledged, and nothing is found"
    if least is not None and step < least:
        return "older", f"step {least} was acknowledged, and step {step} is restored"
    if not is_state_at(state, step):
        return "garbage", f"step {step} is restored, and it is not what was saved"
    return f"whole, from {where}", ""


def power_cuts(order: random.Random, cuts: int, root: Path) -> tuple[list[str], Counter[str]]:
    """Cut at random moments of many saves; each image is judged at once."""
    wrong: list[str] = []
    counted: Counter[str] = Counter()
    storage = root / "storage"
    storage.mkdir()
    writers = Writers(root / "memory", storage, keep=2)
    image = root / "image"

    def moment(disk: Disk) -> None:
        if counted.total() >= cuts or order.random() > 0.15:
            return
        disk.after_a_cut(image, order)
        what, trouble = verdict(image, writers.committed)
        counted[what] += 1
        wrong.extend([f"cut {counted.total()}: {trouble}"] if trouble else [])
        shutil.rmtree(image)

    disk = Disk(storage, moment)
    disk.durable[storage] = {}
    step = 0
    with disk.watched():
        while counted.total() < cuts:
            writers.save(step)
            step += order.choice((1, 1, 1, 5))
    return wrong + writers.failed, counted


def _flip(path: Path, order: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[order.randrange(len(content))] ^= 1 << order.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, order: random.Random) -> None:
    os.truncate(path, order.randrange(path.stat().st_size))


def _zero(path: Path, order: random.Random) -> None:
    content = bytearray(path.read_bytes())
    at = order.randrange(len(content))
    size = min(order.choice((1, 512, PAGES)), len(content) - at)
    content[at : at + size] = bytes(size)
    path.write_bytes(content)


def _lose(path: Path, order: random.Random) -> None:
    path.unlink()


PAGES = 4096
DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (_flip, _flip, _flip, _cut, _zero, _lose)


def damages(order: random.Random, count: int, root: Path) -> tuple[list[str], Counter[str]]:
    """Damage one file of the newest step, in memory or in storage; the one before is whole."""
    whole = root / "whole"
    whole.mkdir(parents=True)
    writers = Writers(whole / "nodes", whole / "storage", keep=2)
    for step in (3, 4):
        writers.save(step)
    memory = whole / "memory"  # as a node has it whose peers' parts were copied to it
    for rank in range(WORLD):
        shutil.copytree(whole / "nodes" / f"node-{rank}", memory, dirs_exist_ok=True)
    wrong: list[str] = list(writers.failed)
    counted: Counter[str] = Counter()
    for number in range(count):
        copy = root / "copy"
        shutil.copytree(whole, copy)
        hurt = order.choice(("storage", "memory", "both"))
        for place in ("storage", "memory") if hurt == "both" else (hurt,):
            file = order.choice(
                sorted(path for path in (copy / place / "step-4").rglob("*") if path.is_file())
            )
            order.choice(DAMAGES)(file, order)
        what, trouble = verdict(copy / "storage", 4 if hurt != "both" else 3, copy / "memory")
        counted[f"{hurt} hurt: {what}"] += 1
        wrong.extend([f"damage {number} of {hurt}: {trouble}"] if trouble else [])
        shutil.rmtree(copy)
    return wrong, counted


def kills(order: random.Random, count: int, root: Path) -> tuple[list[str], Counter[str]]:
    """Kill a process that saves, and start it again; it says what it restored, and what is durable."""
    wrong: list[str] = []
    counted: Counter[str] = Counter()
    acknowledged = -1
    for number in range(count):
        victim = subprocess.Popen(
            [sys.executable, "-m", "tests.endurance.checkpoint_victim", str(root)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert victim.stdout is not None
        first = json.loads(victim.stdout.readline() or b'{"wrong": "it ended"}')
        if "wrong" in first or first["restored"] < acknowledged:
            wrong.append(f"start {number}: {first}, and step {acknowledged} was durable")
        counted["restored from " + first.get("where", "?")] += 1
        time.sleep(order.uniform(0.0, 0.5))
        everybody = order.random() < 0.5
        if everybody:
            os.killpg(victim.pid, signal.SIGKILL)
        else:
            victim.kill()
        for line in victim.stdout:
            acknowledged = max(acknowledged, json.loads(line)["durable"])
        victim.wait()
        victim.stdout.close()
        counted["killed with its writer" if everybody else "killed alone"] += 1
        if order.random() < 0.3:  # the node's memory is gone, too
            time.sleep(0.3)
            shutil.rmtree(root / "memory", ignore_errors=True)
    return wrong, counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    order = random.Random(options.seed)
    failed = False
    for name, count, proof in (
        ("power cuts", options.cuts, power_cuts),
        ("damaged files", options.flips, damages),
        ("kills", options.kills, kills),
    ):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            wrong, counted = proof(order, count, Path(folder))
        failed = failed or bool(wrong)
        seconds = round(time.monotonic() - began, 1)
        print(
            json.dumps({"proof": name, "count": count, "wrong": wrong, "seconds": seconds, "seen": counted})
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
