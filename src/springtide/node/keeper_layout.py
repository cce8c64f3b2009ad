"""How snapshots lie in memory, read by a keeper that trusts neither the program that wrote them nor a peer.

The layout is the SDK's (docs/concepts/checkpoints.md): `step-<N>/rank-<R>/{data.bin, manifest.json}`. Folders
are opened name by name without following links, so that a program cannot make its node read or send another
file. A part that does not fit its own checksums is `Torn`: its program was writing it, or memory was damaged.
Used by `keeper_shelf`, `keeper_channel` and `keeper_service`.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

FORMAT = "springtide-checkpoint/1"
MANIFEST, DATA, COMMIT = "manifest.json", "data.bin", "COMMIT"
MANIFEST_BYTES_MAX = 64 * 1024 * 1024
CHUNK_BYTES_MAX = 64 * 1024 * 1024
_PREFIX = b'{"checksum":"crc32:%08x","body":'
_PREFIX_BYTES = len(_PREFIX % 0)
_STEP = re.compile(r"step-(\d{1,18})")
_RANK = re.compile(r"rank-(\d{1,9})")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_UID = re.compile(r"[0-9A-Za-z]([-0-9A-Za-z]{0,62}[0-9A-Za-z])?")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Torn(Exception):
    """A part that is not whole; the text says which and what is wrong with it."""


class Job(msgspec.Struct, frozen=True):
    """Whose snapshots: one Workload, by uid, so that a later one of the same name has nothing of them."""

    namespace: str
    name: str
    uid: str

    def folder(self) -> Path:
        """Its place below a node's memory. Raises ValueError for names that are not Kubernetes'."""
        for field, text, rule in (
            ("namespace", self.namespace, _NAME),
            ("name", self.name, _NAME),
            ("uid", self.uid, _UID),
        ):
            if not rule.fullmatch(text):
                raise ValueError(f"{field}: {text[:80]!r} is not a name of Kubernetes")
        return Path(self.namespace, self.name, self.uid)

    @property
    def is_well_named(self) -> bool:
        """Whether it may have a place."""
        try:
            self.folder()
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Data(msgspec.Struct, frozen=True):
    bytes: int
    chunk: int
    crc32: tuple[str, ...]


class _Body(msgspec.Struct, frozen=True):
    """What a keeper needs of a manifest; the tensors are the program's business."""

    format: str
    step: int
    rank: int
    world: int
    session: str
    data: _Data
    time: float = 0.0
    local: tuple[int, ...] = ()


class Part(msgspec.Struct, frozen=True):
    """One rank's part of one step, as its manifest says."""

    step: int
    rank: int
    world: int
    session: str
    time: float
    """When it was taken, in seconds of the epoch."""
    local: tuple[int, ...]
    """The ranks beside it, which share what is the same for all."""
    bytes: int
    """Of data.bin and manifest.json together."""
    checksum: str
    """Of the manifest: who has the same has the same part."""

    @property
    def folder(self) -> Path:
        """Its place below a job's folder."""
        return Path(f"step-{self.step}", f"rank-{self.rank}")


@dataclass(frozen=True)
class Manifest:
    """A manifest that fits its checksum."""

    part: Part
    text: bytes
    data_bytes: int
    chunk_bytes: int
    crc32: tuple[str, ...]

    def chunks(self) -> Iterator[tuple[int, int, str]]:
        """Offset, size and checksum of each chunk of data.bin."""
        for number, checksum in enumerate(self.crc32):
            at = number * self.chunk_bytes
            yield at, min(self.chunk_bytes, self.data_bytes - at), checksum


def parse_manifest(text: bytes) -> Manifest:
    """Raises Torn for one that is damaged, or of a format that is not known here."""
    body = text[_PREFIX_BYTES:-2]
    checksum = zlib.crc32(body)
    if text != _PREFIX % checksum + body + b"}\n":
        raise Torn("the manifest does not fit its checksum")
    try:
        said = msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError as error:
        raise Torn(f"the manifest cannot be read: {error}") from None
    data = said.data
    if said.format != FORMAT:
        raise Torn(f"format {said.format[:40]!r} is not {FORMAT}")
    if (
        data.bytes < 0
        or not 0 < data.chunk <= CHUNK_BYTES_MAX
        or len(data.crc32) != -(-data.bytes // data.chunk)
    ):
        raise Torn(f"{data.bytes} bytes in chunks of {data.chunk} do not make {len(data.crc32)} checksums")
    if not 0 <= said.rank < said.world or said.step < 0:
        raise Torn(f"step {said.step}, rank {said.rank} of {said.world} is no part of a job")
    part = Part(
        said.step,
        said.rank,
        said.world,
        said.session,
        said.time,
        said.local,
        data.bytes + len(text),
        f"{checksum:08x}",
    )
    return Manifest(part, text, data.bytes, data.chunk, data.crc32)


def check_chunk(part: Part, at: int, chunk: bytes | bytearray | memoryview, checksum: str) -> None:
    """Raises Torn for bytes that are not those the manifest speaks of."""
    if f"{zlib.crc32(chunk):08x}" != checksum:
        raise Torn(f"{part.folder}: the bytes from {at} on do not fit their checksum")


def commit_line(parts: list[Part]) -> bytes:
    """`COMMIT` of one step: which ranks' parts are here. The parts are of one session and world."""
    first = parts[0]
    body = msgspec.json.encode(
        {
            "format": FORMAT,
            "step": first.step,
            "session": first.session,
            "world": first.world,
            "ranks": {str(part.rank): part.checksum for part in sorted(parts, key=lambda one: one.rank)},
        }
    )
    return _PREFIX % zlib.crc32(body) + body + b"}\n"


# -- opening without trust ----------------------------------------------------------------------------


@contextmanager
def opened(folder: Path, *names: str) -> Iterator[int]:
    """A descriptor of the folder `names` below `folder`; none of these may be a link. Raises OSError."""
    descriptor = os.open(folder, _FOLDER)
    try:
        for name in names:
            inner = os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(folder: int, name: str) -> int:
    """A descriptor of a regular file in an open folder. Raises OSError for anything else."""
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{name} is not a regular file")
    return descriptor


def read_manifest(folder: int) -> Manifest:
    """The manifest in an open part's folder. Raises OSError where there is none, Torn for a damaged one."""
    descriptor = open_file(folder, MANIFEST)
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size > MANIFEST_BYTES_MAX:
            raise Torn(f"the manifest has {size} bytes, more than {MANIFEST_BYTES_MAX}")
        return parse_manifest(file.read(MANIFEST_BYTES_MAX))


class Reader:
    """Reads parts of jobs, in any thread; a manifest that has not changed since is not read again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], Part]] = {}

    def parts(self, folder: Path) -> list[Part]:
        """All parts below a job's folder whose manifests are sound, newest steps first."""
        found: list[Part] = []
        try:
            with opened(folder) as top:
                for step in _numbered(top, _STEP):
                    with opened(folder, step) as inner:
                        ranks = _numbered(inner, _RANK)
                    found += filter(None, (self._part(folder, step, rank) for rank in ranks))
        except OSError:  # it, or a step of it, went away meanwhile
            pass
        return sorted(found, key=lambda part: (-part.step, part.rank))

    def forget(self, folder: Path) -> None:
        """The job's folder is gone."""
        for path in [path for path in list(self._known) if path.is_relative_to(folder)]:
            self._known.pop(path, None)

    def _part(self, folder: Path, step: str, rank: str) -> Part | None:
        place = folder / step / rank
        try:
            with opened(folder, step, rank) as inner:
                seen = os.stat(MANIFEST, dir_fd=inner, follow_symlinks=False)
                stamp = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
                known = self._known.get(place)
                if known is not None and known[0] == stamp:
                    return known[1]
                part = read_manifest(inner).part
        except (OSError, Torn):
            self._known.pop(place, None)
            return None
        if part.folder != Path(step, rank):
            return None
        self._known[place] = (stamp, part)
        return part


def _numbered(folder: int, rule: re.Pattern[str]) -> list[str]:
    """Names in an open folder that are a word and a number, written as the SDK writes it."""
    names = (name for name in os.listdir(folder) if rule.fullmatch(name))
    return [name for name in names if str(int(name.partition("-")[2])) == name.partition("-")[2]]
