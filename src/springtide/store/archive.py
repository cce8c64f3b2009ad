"""The file of a backup: a compressed tar archive that says what is in it and can be checked to the last byte.

    manifest.json   comes first: format, revision, when, by which version, and a SHA-256 of each other file
    state.db        the database
    pki/…           the certificates, keys and tokens, unless they were left out

Plain tar, so that a person can look inside. Called by `backup`.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from springtide.store.database import FORMAT
from springtide.store.errors import BackupUnusable

KIND = "springtide-backup"
_MANIFEST = "manifest.json"
_PIECE_BYTES = 1024 * 1024


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What a backup says about itself."""

    kind: str
    format: int
    """Format of the data folder it was made of."""
    version: str
    """The springtide that made it."""
    created: datetime
    revision: int
    """Everything up to this revision is in it, and nothing after."""
    objects: int
    credentials: bool
    files: dict[str, str]
    """Name to SHA-256, in hexadecimal digits."""


def pack(file: Path, manifest: Manifest, members: dict[str, Path]) -> None:
    """Write the archive, readable by its owner only. What is packed must be what the manifest says."""
    with _new_file(file) as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
            text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
            archive.addfile(_member(_MANIFEST, len(text), manifest.created), io.BytesIO(text))
            for name, path in members.items():
                with path.open("rb") as content:
                    archive.addfile(_member(name, path.stat().st_size, manifest.created), content)
        raw.flush()
        os.fsync(raw.fileno())


def _member(name: str, size: int, created: datetime) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(created.timestamp())
    return member


def _take(content: IO[bytes], target: Path | None) -> str:
    """Read to the end, writing it to `target` if there is one; returns the digest."""
    digest = hashlib.sha256()
    if target is None:
        while piece := content.read(_PIECE_BYTES):
            digest.update(piece)
        return digest.hexdigest()
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with _new_file(target) as file:
        while piece := content.read(_PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def unpack(file: Path, folder: Path | None) -> Manifest:
    """Check every byte of a backup; with a folder, write its files there. Raises BackupUnusable."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            return _unpack(file, archive, folder)
    except FileNotFoundError:
        raise BackupUnusable(f"{file} does not exist", "give the path of a backup") from None
    except (tarfile.TarError, zlib.error, EOFError, OSError, msgspec.MsgspecError) as error:
        raise BackupUnusable(f"{file} cannot be read as a backup: {error}", "use another backup") from error


def _unpack(file: Path, archive: tarfile.TarFile, folder: Path | None) -> Manifest:
    first = archive.next()
    content = archive.extractfile(first) if first is not None and first.name == _MANIFEST else None
    if content is None:
        raise BackupUnusable(f"{file} is no backup of springtide: it has no {_MANIFEST}")
    manifest = msgspec.json.decode(content.read(), type=Manifest)
    if manifest.kind != KIND or manifest.format > FORMAT:
        raise BackupUnusable(
            f"{file} is a {manifest.kind} of format {manifest.format}; "
            f"this version reads formats up to {FORMAT}",
            f"use springtide {manifest.version}, which made it",
        )
    missing = dict(manifest.files)
    while (member := archive.next()) is not None:
        expected = missing.pop(member.name, None)
        content = archive.extractfile(member)
        if expected is None or content is None or not _stays_inside(member.name):
            raise BackupUnusable(f"{file} holds {member.name!r}, of which its manifest does not tell")
        if _take(content, folder / member.name if folder is not None else None) != expected:
            raise BackupUnusable(f"{file} is damaged: {member.name} is not what was backed up")
    if missing:
        raise BackupUnusable(f"{file} is incomplete: it lacks {', '.join(missing)}")
    return manifest


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def digest_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _new_file(file: Path) -> IO[bytes]:
    """A file that did not exist, readable by its owner only."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
