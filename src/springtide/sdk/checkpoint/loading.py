"""Arrays of a checkpoint brought to where they are wanted; called by `checkpointer` when it restores.

In two passes over the saved structure. The first says where each array shall go, without touching anything,
and which bytes that takes; those are checked, all ranks agree; the second fills the places. So a program that
catches an error of `restore` has its state as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from springtide.sdk.checkpoint import arrays
from springtide.sdk.checkpoint.arrays import Shape, kind_of, loaded
from springtide.sdk.checkpoint.copying import Copier, Move
from springtide.sdk.checkpoint.layout import CheckpointError, DamagedError, Piece, Stored
from springtide.sdk.checkpoint.reading import Candidate, Part
from springtide.sdk.checkpoint.tree import Moments


@dataclass(slots=True)
class Target:
    """A place for a box of a stored tensor."""

    name: str
    kind: str
    start: Shape
    size: Shape
    array: Any


@dataclass(slots=True)
class Goal:
    """Where one array goes, in one box or several, and what the program gets when they are filled."""

    targets: list[Target]
    finished: Callable[[], Any]


@dataclass(slots=True)
class Read:
    """A box that is in a piece and in a target."""

    part: Part
    piece: Piece
    dtype: str
    target: Target
    start: Shape
    size: Shape


@dataclass(slots=True)
class Loader:
    """Reads one candidate for one rank."""

    candidate: Candidate
    rank: int
    location: Any = None
    goals: list[Goal] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    _given: int = 0
    _new: dict[str, Goal] = field(default_factory=dict)

    def plan(self, name: str, kind: str, like: Any) -> Any:
        """First pass: where an array shall go. Raises CheckpointError where it does not fit."""
        stored = self.candidate.base(self.rank).manifest.tensors[name]
        tied = like is None and kind in {"torch", "numpy", "jax"}
        goal = self._new.get(name) if tied else None
        if goal is None:
            goal = _goal(name, kind, stored, like, self.location)
            for target in goal.targets:
                self.reads += self._sources(target, stored)
        if tied:
            self._new[name] = goal
        self.goals.append(goal)

    def give(self, name: str, kind: str, like: Any) -> Any:  # noqa: ARG002 - the same shape as `plan`
        """Second pass, in the same order: what the program gets."""
        self._given += 1
        return self.goals[self._given - 1].finished()

    def wanted(self) -> list[tuple[Part, int, int]]:
        return [(read.part, read.piece.at, read.piece.bytes) for read in self.reads]

    def fill(self, copier: Copier) -> None:
        """Bring all bytes to their places."""
        moves: list[Move] = []
        for read in self.reads:
            moves += _fill(read)
        copier.copy(moves)

    def _sources(self, target: Target, stored: Stored) -> list[Read]:
        if math.prod(target.size) == 0:
            return []
        base = self.candidate.base(self.rank)
        parts = [base] if stored.local else [base, *self.candidate.parts.values()]
        reads: dict[tuple[Shape, Shape], Read] = {}
        for part in parts:
            known = part.manifest.tensors.get(target.name)
            for piece in known.pieces if known is not None else ():
                box = _overlap(piece, target)
                if box is not None:
                    reads.setdefault(box, Read(part, piece, stored.dtype, target, *box))
        if sum(math.prod(read.size) for read in reads.values()) != math.prod(target.size):
            raise DamagedError(
                f"{target.name} of step {self.candidate.step} is not whole in {self.candidate.where}"
            )
        return list(reads.values())


def _overlap(piece: Piece, target: Target) -> tuple[Shape, Shape] | None:
    start = tuple(map(max, piece.start, target.start))
    ends = (
        min(a + b, c + d)
        for a, b, c, d in zip(piece.start, piece.size, target.start, target.size, strict=True)
    )
    size = tuple(end - begin for begin, end in zip(start, ends, strict=True))
    return (start, size) if all(one > 0 for one in size) else None


def _fill(read: Read) -> list[Move]:
    """As moves where both sides lie in a row; else copied at once."""
    target, piece = read.target, read.piece
    in_piece = tuple(a - b for a, b in zip(read.start, piece.start, strict=True))
    in_target = tuple(a - b for a, b in zip(read.start, target.start, strict=True))
    mapping = read.part.mapping()
    rows = arrays.is_row(read.size, piece.size) and arrays.is_row(read.size, target.size)
    if rows:
        item = arrays.item_bytes(read.dtype)
        source = read.part.address + piece.at + arrays.offset_of(in_piece, piece.size) * item
        goal = arrays.address_of_array(target.array) + arrays.offset_of(in_target, target.size) * item
        return [Move(goal, source, math.prod(read.size) * item)]
    kind = "torch" if target.kind == "torch" else "numpy"
    view = arrays.view(kind, mapping, piece.at, read.dtype, piece.size)
    part = tuple(slice(begin, begin + length) for begin, length in zip(in_piece, read.size, strict=True))
    goal_part = tuple(
        slice(begin, begin + length) for begin, length in zip(in_target, read.size, strict=True)
    )
    target.array[goal_part] = view[part]
    return []


def _goal(name: str, kind: str, stored: Stored, like: Any, location: Any) -> Goal:
    if isinstance(like, Moments):
        fits = like.parameter is not None and tuple(like.parameter.shape) == stored.shape
        like = (
            _sharded_as(like.parameter, stored.dtype)
            if fits and hasattr(like.parameter, "device_mesh")
            else None
        )
    wanted = kind_of(like)
    if wanted in {"torch", "numpy", "jax"} and kind in {"torch", "numpy", "jax", "scalar"}:
        return _into(name, wanted, stored, like)
    plain = {"bytearray": "bytes", "jax": "numpy", "scalar": "numpy"}.get(kind, kind)
    array = arrays.empty(plain, stored.dtype, stored.shape)
    return Goal([_whole(name, plain, stored, array)], _finisher(kind, array, location))


def _whole(name: str, kind: str, stored: Stored, array: Any) -> Target:
    return Target(name, kind, (0,) * len(stored.shape), stored.shape, array)


def _finisher(kind: str, array: Any, location: Any) -> Callable[[], Any]:
    if kind == "bytes":
        return lambda: bytes(array)
    if kind == "scalar":
        return lambda: array[()]
    if kind == "torch" and location is not None:
        return lambda: array.to(location)
    return lambda: array


def _into(name: str, kind: str, stored: Stored, like: Any) -> Goal:
    """Into an array the program has; JAX's and numpy's read-only ones are made anew."""
    leaf = arrays.leaf_of(like, kind, name)
    if leaf.shape != stored.shape:
        raise CheckpointError(
            f"{name} has shape {list(stored.shape)} in the checkpoint and {list(leaf.shape)} in this program"
        )
    if leaf.dtype != stored.dtype:
        raise CheckpointError(f"{name} is {stored.dtype} in the checkpoint and {leaf.dtype} in this program")
    if kind == "torch":
        return _into_torch(name, stored, like, leaf)
    if kind == "jax":
        return _into_jax(name, stored, like)
    return _into_numpy(name, stored, like)


def _into_numpy(name: str, stored: Stored, like: Any) -> Goal:
    import numpy

    scalar = not isinstance(like, numpy.ndarray)
    writable = not scalar and like.flags.writeable
    direct = writable and like.flags.c_contiguous and like.dtype.isnative
    array = like if direct else arrays.empty("numpy", stored.dtype, stored.shape)

    def finished() -> Any:
        if scalar:
            return array[()]
        if not writable or direct:
            return array
        like[...] = array
        return like

    return Goal([_whole(name, "numpy", stored, array)], finished)


def _into_torch(name: str, stored: Stored, like: Any, leaf: arrays.Leaf) -> Goal:
    shares = leaf.shares
    if shares is None:
        shares = (arrays.Share((0,) * len(leaf.shape), leaf.shape, like.detach()),)
    targets, detours = [], []
    for share in shares:
        array = share.array
        if array.device.type != "cpu" or not array.is_contiguous() or array.is_conj() or array.is_neg():
            array = arrays.empty("torch", stored.dtype, share.size)
            detours.append((share.array, array))
        targets.append(Target(name, "torch", share.start, share.size, array))

    def finished() -> Any:
        for local, array in detours:
            local.copy_(array)
        return like

    return Goal(targets, finished)


def _into_jax(name: str, stored: Stored, like: Any) -> Goal:
    """Each addressable box once; put together as the program's array is."""
    jax = loaded("jax")
    assert jax is not None
    boxes: dict[Shape, Target] = {}
    for shard in like.addressable_shards:
        start = tuple(index.start or 0 for index in shard.index)
        array = arrays.empty("jax", stored.dtype, tuple(shard.data.shape))
        boxes.setdefault(start, Target(name, "jax", start, tuple(array.shape), array))

    def finished() -> Any:
        return jax.make_array_from_callback(
            like.shape, like.sharding, lambda index: boxes[tuple(one.start or 0 for one in index)].array
        )

    return Goal(list(boxes.values()), finished)


def _sharded_as(parameter: Any, dtype: str) -> Any:
    """An empty DTensor of a parameter's sharding, for what its optimizer keeps of it."""
    import torch
    from torch.distributed.tensor import DTensor

    local = torch.empty_like(parameter.to_local(), dtype=arrays.torch_dtype(dtype), requires_grad=False)
    return DTensor.from_local(
        local,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )
