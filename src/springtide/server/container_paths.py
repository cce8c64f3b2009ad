"""Paths inside of volumes and containers: they may not lead out. Called by the rules of pods and volumes."""

from __future__ import annotations

from collections.abc import Iterator

from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value


def relative_path_errors(path: str, field: str) -> Iterator[FieldError]:
    """A path within something may neither start at the root nor leave it."""
    if path.startswith("/"):
        yield bad_value(field, path, "must be a relative path")
    yield from no_backsteps_errors(path, field)


def no_backsteps_errors(path: str, field: str) -> Iterator[FieldError]:
    """No part of a path may be `..`."""
    if ".." in path.split("/"):
        yield bad_value(field, path, "must not contain '..'")
