"""The format of a checkpoint, in memory and in storage alike (docs/concepts/checkpoints.md); used by all of
the room.

Standard library only, so that the writer process starts in milliseconds. A manifest is a sealed line: JSON
with a checksum of its own bytes, because a flipped digit in JSON is still JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from springtide.sdk.checkpoint.atomic import sync_folder

FORMAT = "springtide-checkpoint/1"
CHUNK_BYTES = 8 << 20
"""A checksum covers so much: small enough to say where damage is, large enough to cost nothing to list."""
DATA, MANIFEST, DRAFT, COMMIT = "data.bin", "manifest.json", "manifest.draft", "COMMIT"

_HEAD = b'{"checksum":"crc32:%08x","body":'
_HEAD_BYTES = len(_HEAD % 0)
_TAIL = b"}\n"
_STEP = re.compile(r"step-(\d+)")
_RANK = re.compile(r"rank-(\d+)")


class CheckpointError(Exception):
    """A checkpoint cannot be saved or restored; the text says which one, why, and what to do."""


class DamagedError(CheckpointError):
    """What is there is not what was written."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A box of a tensor that lies in a part: where in its data, and which rows, columns … of the whole."""

    at: int
    bytes: int
    start: tuple[int, ...]
    size: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor as one part knows it: dtype and shape of the whole, and the pieces that are in this part."""

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]
    local: bool = False
    """The rank's own: other ranks have others of the same name."""
    sharded: bool = False
    """Each rank holds a box of it: a rank that needs no other box finds all it needs in its own part."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What lies where in one rank's part of one step."""

    step: int
    rank: int
    world: int
    local: tuple[int, ...]
    session: str
    time: float
    bytes: int
    own: int
    """So many bytes from the start are this rank's to make durable; others store what is behind them."""
    tensors: dict[str, Stored]
    tree: Any
    crc32: tuple[str, ...] = ()
    chunk: int = CHUNK_BYTES

    def body(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "step": self.step,
            "rank": self.rank,
            "world": self.world,
            "local": list(self.local),
            "session": self.session,
            "time": self.time,
            "data": {"bytes": self.bytes, "own": self.own, "chunk": self.chunk, "crc32": list(self.crc32)},
            "tensors": {name: _stored_body(stored) for name, stored in self.tensors.items()},
            "tree": self.tree,
        }

    @staticmethod
    def of(body: dict[str, Any]) -> Manifest:
        if body.get("format") != FORMAT:
            raise DamagedError(f"format is {body.get('format')!r}, and only {FORMAT!r} is known here")
        data = body["data"]
        return Manifest(
            step=body["step"],
            rank=body["rank"],
            world=body["world"],
            local=tuple(body["local"]),
            session=body["session"],
            time=body["time"],
            bytes=data["bytes"],
            own=data["own"],
            chunk=data["chunk"],
            crc32=tuple(data["crc32"]),
            tensors={name: _stored(one) for name, one in body["tensors"].items()},
            tree=body["tree"],
        )


def _stored_body(stored: Stored) -> dict[str, Any]:
    pieces = [
        {"at": one.at, "bytes": one.bytes, "start": list(one.start), "size": list(one.size)}
        for one in stored.pieces
    ]
    body: dict[str, Any] = {"dtype": stored.dtype, "shape": list(stored.shape), "pieces": pieces}
    return body | {flag: True for flag in ("local", "sharded") if getattr(stored, flag)}


def _stored(body: dict[str, Any]) -> Stored:
    pieces = tuple(
        Piece(one["at"], one["bytes"], tuple(one["start"]), tuple(one["size"])) for one in body["pieces"]
    )
    return Stored(
        body["dtype"], tuple(body["shape"]), pieces, body.get("local", False), body.get("sharded", False)
    )


def warn(text: str) -> None:
    """Say it where a person looks: in the pod's log."""
    print(f"springtide.sdk: {text}", file=sys.stderr, flush=True)  # noqa: T201


def sealed(body: dict[str, Any]) -> bytes:
    """The line of a manifest or COMMIT."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return _HEAD % zlib.crc32(text) + text + _TAIL


def unsealed(line: bytes, where: object) -> dict[str, Any]:
    """The body of a sealed line; raises DamagedError if one bit of it is not as written."""
    text = line[_HEAD_BYTES : -len(_TAIL)]
    if line != _HEAD % zlib.crc32(text) + text + _TAIL:
        raise DamagedError(f"{where} is damaged: its checksum does not match")
    body: dict[str, Any] = json.loads(text)
    return body


def checksum_of(line: bytes) -> str:
    """What COMMIT says of a manifest: the checksum in its head."""
    return line[len(b'{"checksum":"crc32:') :][:8].decode("ascii", "replace")


def part(root: Path, step: int, rank: int) -> Path:
    return root / f"step-{step}" / f"rank-{rank}"


def steps(root: Path) -> list[int]:
    """The steps that have a folder, in no promised order."""
    return [int(match[1]) for name in _names(root) if (match := _STEP.fullmatch(name))]


def ranks(root: Path, step: int) -> list[int]:
    """The ranks of a step whose manifest is there."""
    folder = root / f"step-{step}"
    found = [int(match[1]) for name in _names(folder) if (match := _RANK.fullmatch(name))]
    return sorted(rank for rank in found if (folder / f"rank-{rank}" / MANIFEST).exists())


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def generation(session: str) -> int:
    """The number before the dash: of two runs of a job the later one has the greater."""
    number, _, _ = session.partition("-")
    return int(number) if number.isdecimal() else 0


def put(path: Path, line: bytes, *, durable: bool) -> None:
    """Write a file whole or not at all; `durable`: it survives a loss of power when this returns."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(line)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def remove_part(folder: Path) -> None:
    """Remove a part, its manifest first, so that it is at no moment half there."""
    for name in (MANIFEST, DRAFT, DATA):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for left in folder.glob("*.partial"):
            left.unlink(missing_ok=True)
        folder.rmdir()


def remove_step(folder: Path) -> None:
    """Remove a step, its COMMIT first."""
    (folder / COMMIT).unlink(missing_ok=True)
    for name in _names(folder):
        if _RANK.fullmatch(name):
            remove_part(folder / name)
    with contextlib.suppress(OSError):
        for left in folder.iterdir():
            left.unlink(missing_ok=True)
        folder.rmdir()
