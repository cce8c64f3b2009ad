"""Reads a dump of PyTorch's flight recorder: how far one rank came with its collectives.

A dump is a pickle that a program wrote, so nothing in it is trusted: only plain values are unpickled, no name
is ever looked up, and size and count are bounded. Called by `flight.py`.
Source of the format: PyTorch, torch/csrc/distributed/c10d/FlightRecorder.hpp (version 2.10: `entries` with
`process_group`, `collective_seq_id`, `profiling_name`, `state` of scheduled, started or completed).
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

DUMP_BYTES = 64 * 1024 * 1024
ENTRIES_MAX = 100_000


class BadDump(ValueError):
    """The file is no dump of the flight recorder; the text says why."""


@dataclass(frozen=True)
class GroupProgress:
    """How far a rank came in one process group."""

    group: str
    """Name and description, such as `0 default_pg`."""
    entered: int
    """Highest sequence number it has enqueued."""
    completed: int
    """Highest sequence number that was completed; 0: none."""
    stuck: int | None = None
    """The first that is not completed."""
    operation: str = ""
    """What that is, `nccl:all_reduce [[1024]]`."""
    state: str = ""
    """`scheduled` or `started`."""


class _Plain(pickle.Unpickler):
    """Numbers, texts, lists and mappings, and nothing else."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise BadDump(f"it names {module}.{name}, which a dump of the flight recorder never does")

    def persistent_load(self, _pid: Any) -> NoReturn:
        raise BadDump("it refers to objects outside of it")


def read(data: bytes) -> tuple[GroupProgress, ...]:
    """Progress by process group, in the order of their first collective. Raises BadDump."""
    if len(data) > DUMP_BYTES:
        raise BadDump(f"it has more than {DUMP_BYTES >> 20} MiB")
    try:
        document = _Plain(io.BytesIO(data)).load()
    except BadDump:
        raise
    except Exception as error:  # noqa: BLE001 - a broken pickle may raise any error at all
        raise BadDump(f"it cannot be unpickled: {type(error).__name__}: {error}") from None
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BadDump("it has no list of entries")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries[-ENTRIES_MAX:]:
        if isinstance(entry, dict) and _is_collective(entry):
            groups.setdefault(_group(entry), []).append(entry)
    return tuple(_progress(name, found) for name, found in groups.items())


def _progress(name: str, entries: Sequence[Mapping[str, Any]]) -> GroupProgress:
    numbers = [int(entry["collective_seq_id"]) for entry in entries]
    done = [
        number for number, entry in zip(numbers, entries, strict=True) if entry.get("state") == "completed"
    ]
    open_ones = [
        (number, entry)
        for number, entry in zip(numbers, entries, strict=True)
        if entry.get("state") in ("scheduled", "started")
    ]
    if not open_ones:
        return GroupProgress(name, max(numbers), max(done, default=0))
    stuck, entry = min(open_ones, key=lambda one: one[0])
    operation = f"{entry.get('profiling_name', 'unknown')} {entry.get('input_sizes', '')}".strip()
    return GroupProgress(
        name, max(numbers), max(done, default=0), stuck, operation[:200], str(entry.get("state", ""))
    )


def _is_collective(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("collective_seq_id"), int) and not entry.get("is_p2p")


def _group(entry: Mapping[str, Any]) -> str:
    group = entry.get("process_group")
    if isinstance(group, (list, tuple)):
        return " ".join(str(part) for part in group if part)[:100]
    return str(group or entry.get("pg_id", ""))[:100]
