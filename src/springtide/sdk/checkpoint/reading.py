"""Which checkpoints are there, whole, and as they were written; called by `checkpointer` when it restores.

Nothing is believed that is not checked: manifests by their own checksum, parts by COMMIT, data by the
checksums of its chunks before a byte of it reaches the program.
"""

from __future__ import annotations

import math
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from springtide.sdk.checkpoint import layout
from springtide.sdk.checkpoint.copying import address_of
from springtide.sdk.checkpoint.layout import COMMIT, DATA, MANIFEST, DamagedError, Manifest

Key = tuple[int, int, str]
"""What orders checkpoints: the generation of the run, the step, the session. The greatest is the newest."""


class Part:
    """One rank's part of a step, opened when its data is asked for."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._mapping: mmap.mmap | None = None
        self._checked: set[int] = set()
        self.address = 0

    def mapping(self) -> Any:
        """Its data. A private mapping: what is written into it by mistake reaches no file."""
        if self._mapping is None:
            path = self.folder / DATA
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.manifest.bytes:
                    raise DamagedError(f"{path} has {size} bytes of {self.manifest.bytes}")
                self._mapping = mmap.mmap(file.fileno(), max(self.manifest.bytes, 1), access=mmap.ACCESS_COPY)
            self.address = address_of(self._mapping)
        return self._mapping

    def unchecked(self, at: int, size: int) -> Iterator[int]:
        """The chunks of a range that nobody has asked about yet."""
        chunk = self.manifest.chunk
        for number in range(at // chunk, -(-(at + size) // chunk)):
            if number not in self._checked:
                self._checked.add(number)
                yield number

    def check(self, number: int) -> None:
        """Raises DamagedError if a chunk is not what was written."""
        chunk = self.manifest.chunk
        with memoryview(self.mapping()) as view:
            found = zlib.crc32(view[number * chunk : min((number + 1) * chunk, self.manifest.bytes)])
        if f"{found:08x}" != self.manifest.crc32[number]:
            raise DamagedError(
                f"{self.folder / DATA} is damaged: bytes {number * chunk} to "
                f"{min((number + 1) * chunk, self.manifest.bytes)} are not what was written"
            )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A step that this rank could restore from one place; `where` says which, for people."""

    key: Key
    world: int
    where: str
    parts: dict[int, Part]

    @property
    def step(self) -> int:
        return self.key[1]

    def base(self, rank: int) -> Part:
        """The part with this rank's own things; of rank 0 where there were fewer ranks."""
        return self.parts[rank] if rank in self.parts else self.parts[min(self.parts)]


@dataclass(frozen=True, slots=True)
class Survey:
    """What one root holds: candidates, what is wrong with others, and the greatest generation ever seen."""

    candidates: list[Candidate]
    problems: list[str]
    generation: int


def in_memory(root: Path, rank: int, world: int) -> Survey:
    """Steps of which everything that this rank needs is in this node's memory."""
    found: list[Candidate] = []
    problems: list[str] = []
    generation = 0
    for step in layout.steps(root):
        sessions: dict[str, dict[int, Part]] = {}
        for number in layout.ranks(root, step):
            part = _part(root, step, number, problems)
            if part is not None:
                sessions.setdefault(part.manifest.session, {})[number] = part
        for session, parts in sessions.items():
            generation = max(generation, layout.generation(session))
            saved = next(iter(parts.values())).manifest.world
            if _enough(parts, rank, world, saved):
                key = (layout.generation(session), step, session)
                found.append(Candidate(key, saved, "memory", parts))
    return Survey(found, problems, generation)


def in_storage(root: Path) -> Survey:
    """Committed steps whose parts are those that were committed."""
    found: list[Candidate] = []
    problems: list[str] = []
    generation = 0
    for step in layout.steps(root):
        path = root / f"step-{step}" / COMMIT
        try:
            body = layout.unsealed(path.read_bytes(), path)
        except FileNotFoundError:
            continue  # never finished, and so never taken
        except (OSError, DamagedError) as error:
            problems.append(str(error))
            continue
        session = body["session"]
        generation = max(generation, layout.generation(session))
        parts = _committed(root, step, body["ranks"], problems)
        if parts is not None:
            key = (layout.generation(session), step, session)
            found.append(Candidate(key, body["world"], "storage", parts))
    return Survey(found, problems, generation)


def _committed(root: Path, step: int, ranks: dict[str, str], problems: list[str]) -> dict[int, Part] | None:
    parts = {}
    for rank, checksum in ranks.items():
        path = layout.part(root, step, int(rank)) / MANIFEST
        try:
            line = path.read_bytes()
            body = layout.unsealed(line, path)
            if layout.checksum_of(line) != checksum:
                raise DamagedError(f"{path} is not the one that was committed")
            parts[int(rank)] = Part(path.parent, Manifest.of(body))
        except (OSError, DamagedError) as error:
            problems.append(str(error))
            return None
    return parts


def _part(root: Path, step: int, rank: int, problems: list[str]) -> Part | None:
    folder = layout.part(root, step, rank)
    path = folder / MANIFEST
    try:
        return Part(folder, Manifest.of(layout.unsealed(path.read_bytes(), path)))
    except (OSError, DamagedError) as error:
        problems.append(str(error))
        return None


def _enough(parts: dict[int, Part], rank: int, world: int, saved: int) -> bool:
    if parts.keys() >= set(range(saved)):
        return True
    if saved != world or rank not in parts:
        return False
    wanted = parts[rank].manifest.tensors
    return all(
        stored.local or stored.sharded or _covered(name, stored.shape, parts.values())
        for name, stored in wanted.items()
    )


def _covered(name: str, shape: tuple[int, ...], parts: Iterable[Part]) -> bool:
    """Whether the pieces of these parts make up the whole tensor.

    Pieces are equal or apart, by how they are cut.
    """
    boxes = {
        (piece.start, piece.size)
        for part in parts
        if (stored := part.manifest.tensors.get(name)) is not None
        for piece in stored.pieces
    }
    return sum(math.prod(size) for _, size in boxes) >= math.prod(shape)


def check(wanted: list[tuple[Part, int, int]], threads: int) -> None:
    """Check ranges of parts (part, from, bytes), by several threads. Raises DamagedError, or OSError."""
    chunks = [(part, number) for part, at, size in wanted for number in part.unchecked(at, size)]
    for part in {id(part): part for part, _ in chunks}.values():
        part.mapping()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda one: one[0].check(one[1]), chunks):
            pass
