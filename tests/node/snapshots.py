"""Snapshots as docs/concepts/checkpoints.md describes them, written without the SDK."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from springtide.node.keeper_layout import Part, parse_manifest

CHUNK = 64 * 1024


def line(body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    return b'{"checksum":"crc32:%08x","body":%s}\n' % (zlib.crc32(text), text)


def manifest(step: int, rank: int, data: bytes, *, world: int = 2, **changes: Any) -> bytes:
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    sums = [f"{zlib.crc32(chunk):08x}" for chunk in chunks]
    body = {
        "format": "springtide-checkpoint/1",
        "step": step,
        "rank": rank,
        "world": world,
        "local": [rank],
        "session": "s1",
        "time": 1_700_000_000.0 + step,
        "data": {"bytes": len(data), "chunk": CHUNK, "crc32": sums},
        "tensors": {},
        "tree": {},
    }
    return line(body | changes)


def write_part(folder: Path, step: int, rank: int, data: bytes | None = None, **changes: Any) -> Part:
    """A part below a job's folder: data first, the manifest by rename. Its data differs by step and rank."""
    data = f"{step}/{rank} ".encode() * 20_000 if data is None else data
    place = folder / f"step-{step}" / f"rank-{rank}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "data.bin").write_bytes(data)
    text = manifest(step, rank, data, **changes)
    (place / ".draft").write_bytes(text)
    os.rename(place / ".draft", place / "manifest.json")  # noqa: PTH104
    return parse_manifest(text).part
