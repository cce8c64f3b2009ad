"""Logs as constant messages with key/values, on stderr, in one vocabulary of keys.

`up` and the CLI call `configure` once; every file that logs takes `logger("room.file")` at import.

Keys, so that a search finds the same thing in every room: `source` (room.file), `key` (namespace/name of the
object), `kind`, `name`, `namespace`, `node`, `reason` (CamelCase), `error` (text), `seconds` (a duration),
`retry_seconds`, `attempt`, `count`, `address`, `path`.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

FORMATS = ("logfmt", "json", "console")
LEVELS = ("debug", "info", "warning", "error")


def logger(name: str) -> Any:
    """A logger whose lines carry `source=name`; it follows a later `configure`."""
    return structlog.get_logger(source=name)


def configure(*, format: str = "logfmt", level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs, those of libraries too, to `stream` (stderr). ValueError for an unknown choice."""
    if format not in FORMATS:
        raise ValueError(f"log format {format!r} does not exist; use one of {', '.join(FORMATS)}")
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} does not exist; use one of {', '.join(LEVELS)}")
    stream = stream or sys.stderr
    threshold = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[*shared, *_finish(format)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _route_libraries([*shared, structlog.stdlib.add_logger_name], format, threshold, stream)


def _finish(format: str) -> list[structlog.typing.Processor]:
    if format == "json":
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    if format == "console":
        return [structlog.dev.ConsoleRenderer(timestamp_key="time")]
    renderer = structlog.processors.LogfmtRenderer(
        key_order=["time", "level", "source", "event"], drop_missing=True, bool_as_flag=False
    )
    return [structlog.processors.format_exc_info, renderer]


def _route_libraries(
    shared: list[structlog.typing.Processor], format: str, threshold: int, stream: TextIO
) -> None:
    """Records of the standard library's logging, in the same form; libraries speak from warning up."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_finish(format)],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))
