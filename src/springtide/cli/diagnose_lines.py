"""`springtide diagnose --lines`: one verdict a line of a JSON-lines file. Needs no platform."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from springtide.cli.errors import EXIT_USAGE, CliError
from springtide.faults import Match, judge

STDIN = "-"


def read_rows(source: str) -> Iterator[dict[str, Any]]:
    """The rows of a file, or of standard input for `-`. Raises CliError naming file, line and field."""
    name = "standard input" if source == STDIN else source
    try:
        if source == STDIN:
            yield from parse_rows(sys.stdin, name)
            return
        with Path(source).open(encoding="utf-8") as file:
            yield from parse_rows(file, name)
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(
            f"{name} cannot be read: {error}", "give a file of JSON lines, or -", EXIT_USAGE
        ) from None


def parse_rows(lines: Iterable[str], name: str) -> Iterator[dict[str, Any]]:
    """One checked row for each line that is not empty."""
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            raise _wrong(name, number, f"is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise _wrong(name, number, f"is {_kind(row)}, not an object")
        if not isinstance(row.get("line"), str):
            given = _kind(row["line"]) if "line" in row else "missing"
            raise _wrong(name, number, f"field `line` is {given}; it must be a string")
        context = row.get("context")
        if not (context is None or isinstance(context, str) or _is_texts(context)):
            said = f"field `context` is {_kind(context)}; it must be a string or a list of strings"
            raise _wrong(name, number, said)
        yield row


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """The row with our verdict in it; verdicts it came with are replaced."""
    context = row.get("context") or []
    before = context.splitlines() if isinstance(context, str) else context
    return {**row, **verdict_fields(judge(row["line"], before))}


def verdict_fields(found: Match) -> dict[str, Any]:
    """What a verdict adds to a row."""
    return {
        "label": found.signature,
        "blame": found.blame.value,
        "action": found.action.value,
        "secondary": found.secondary.value,
        "confidence": found.confidence,
    }


def _wrong(name: str, number: int, what: str) -> CliError:
    hint = 'a row is {"line": "what was logged", "context": "lines before it, newlines between them"}'
    return CliError(f"{name}, line {number}: {what}", hint, EXIT_USAGE)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
