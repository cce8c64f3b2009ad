"""Reads a dump of PyTorch's flight recorder: how far one rank came with its collectives.

A dump is a pickle that a program wrote, so nothing in it is trusted: only plain values are unpickled, no name
is ever looked up, and size and count are bounded. Called by `flight.py`.
Source of the format: PyTorch, torch/csrc/distributed/c10d/FlightRecorder.hpp (version 2.10: `pg_status`, and
`entries` with `process_group`, `collective_seq_id`, `profiling_name`, `state`).
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

DUMP_BYTES = 64 * 1024 * 1024
ENTRIES_MAX = 100_000
OPERATION_CHARACTERS = 200
SIZES_MAX = 16
GROUP_NAMES_MAX = 2
"""A group has a name and a description."""


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
    return tuple(
        _progress(name, found, _last_completed(document, found[0])) for name, found in groups.items()
    )


def _progress(name: str, entries: Sequence[Mapping[str, Any]], completed: int) -> GroupProgress:
    """`completed` is what the recorder itself says; entries of gloo stay `scheduled` after their end."""
    numbers = [entry["collective_seq_id"] for entry in entries]
    done = [
        number for number, entry in zip(numbers, entries, strict=True) if entry.get("state") == "completed"
    ]
    completed = max([*done, completed])
    left = [entry for number, entry in zip(numbers, entries, strict=True) if number > completed]
    if not left:
        return GroupProgress(name, max(numbers), completed)
    first = min(left, key=lambda entry: entry["collective_seq_id"])
    return GroupProgress(
        name,
        max(numbers),
        completed,
        first["collective_seq_id"],
        _operation(first),
        _text(first.get("state")),
    )


def _operation(entry: Mapping[str, Any]) -> str:
    sizes = entry.get("input_sizes")
    shapes = [
        [number for number in shape[:SIZES_MAX] if _is_number(number)]
        for shape in (sizes[:SIZES_MAX] if isinstance(sizes, (list, tuple)) else ())
        if isinstance(shape, (list, tuple))
    ]
    name = _text(entry.get("profiling_name")) or "unknown"
    return f"{name} {shapes if shapes else ''}".strip()[:OPERATION_CHARACTERS]


def _is_number(value: object) -> bool:
    """Of the size that counters have: a longer one cannot even be printed."""
    return isinstance(value, int) and abs(value) < 1 << 63


def _text(value: object) -> str:
    """Texts and numbers alone: lists within lists, named over and over, grow beyond all bounds in print."""
    return str(value)[:OPERATION_CHARACTERS] if isinstance(value, str) or _is_number(value) else ""


def _last_completed(document: Mapping[str, Any], entry: Mapping[str, Any]) -> int:
    """Of the entry's group, by the recorder's own account; 0: none, or it does not say."""
    statuses = document.get("pg_status")
    status = statuses.get(_text(entry.get("pg_id"))) if isinstance(statuses, dict) else None
    number = status.get("last_completed_collective") if isinstance(status, dict) else None
    return max(0, number) if isinstance(number, int) and _is_number(number) else 0


def _is_collective(entry: Mapping[str, Any]) -> bool:
    return _is_number(entry.get("collective_seq_id")) and not entry.get("is_p2p")


def _group(entry: Mapping[str, Any]) -> str:
    group = entry.get("process_group")
    if isinstance(group, (list, tuple)):
        return " ".join(filter(None, map(_text, group[:GROUP_NAMES_MAX])))[:100]
    return _text(group or entry.get("pg_id"))[:100]
