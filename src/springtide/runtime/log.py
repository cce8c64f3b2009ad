"""Logs as constant messages with key/values, on stderr, in one vocabulary of keys.

`up` and the CLI call `configure` once; every file that logs takes `logger("room.file")` at import. Carried by
the standard library's logging, so that libraries come out in the same form. structlog would do the same and
alone takes a tenth of the platform's start.

Keys, so that a search finds the same thing in every room: `source` (room.file), `key` (namespace/name of the
object), `kind`, `name`, `namespace`, `node`, `reason` (CamelCase), `error` (text), `seconds` (a duration),
`retry_seconds`, `attempt`, `count`, `address`, `path`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

LEVELS = ("debug", "info", "warning", "error")
_ROOT = "springtide"
_FIELDS = "springtide_fields"


class Logger:
    """Writes events of one file: a constant message, and what it is about as keywords."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{name}")

    def debug(self, event: str, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, *, exc_info: BaseException | None = None, **fields: object) -> None:
        """`exc_info`: the exception whose traceback belongs to the event."""
        self._write(logging.ERROR, event, fields, exc_info)

    def _write(
        self, level: int, event: str, fields: dict[str, object], exc_info: BaseException | None = None
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, exc_info=exc_info, extra={_FIELDS: fields})


def logger(name: str) -> Logger:
    """A logger whose lines carry `source=name`; it follows a later `configure`."""
    return Logger(name)


def configure(*, format: str = "logfmt", level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (stderr), libraries from warning up. ValueError for an unknown choice."""
    if format not in FORMATS:
        raise ValueError(f"log format {format!r} does not exist; use one of {', '.join(FORMATS)}")
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} does not exist; use one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(FORMATS[format]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    threshold = getattr(logging, level.upper())
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger(_ROOT).setLevel(threshold)


class _Formatter(logging.Formatter):
    """Gives a record's fields to one of `FORMATS`."""

    def __init__(self, render: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "source": record.name.removeprefix(f"{_ROOT}."),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._render(line)


def _logfmt(line: dict[str, Any]) -> str:
    return " ".join(f"{key}={_quoted(value)}" for key, value in line.items())


def _quoted(value: object) -> str:
    """A logfmt value: bare where that is unambiguous, else in quotes with escapes."""
    text = str(value)
    if text and not any(character in ' ="\\' or not character.isprintable() for character in text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _json(line: dict[str, Any]) -> str:
    return json.dumps(line, default=str, ensure_ascii=False)


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {"logfmt": _logfmt, "json": _json}
