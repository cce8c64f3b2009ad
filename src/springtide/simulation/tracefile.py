"""Trace files: rows of a CSV with their line numbers, and one error for all that can be wrong with them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path


class TraceError(Exception):
    """A trace file cannot be read; the text names file, line, field and value."""

    hint = "expected the columns of Alibaba's cluster-trace-gpu-v2023"


def rows(
    path: Path, columns: Sequence[str], error: type[TraceError] = TraceError
) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line; it has at least these columns. Raises `error`."""
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise error(f"{path}: no column {', '.join(missing)}")
            yield from enumerate(reader, start=2)
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: {problem}") from problem
