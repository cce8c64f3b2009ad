"""Policies that a site brings along: found by `FILE.py:NAME` or `MODULE:NAME`.

Called by `policies` and `ordering` for names that have a colon.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeVar

Plugin = TypeVar("Plugin")


def load_plugin(name: str, kind: type[Plugin]) -> Plugin:
    """What the name says, which must be of this kind. Raises ValueError when there is none."""
    word = kind.__name__.lower()
    place, _, attribute = name.rpartition(":")
    try:
        module = _loaded(Path(place)) if place.endswith(".py") else import_module(place)
    except (ImportError, OSError, SyntaxError) as error:
        raise ValueError(f"{word} {name!r}: cannot import {place}: {error}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, kind):
        raise ValueError(f"{word} {name!r}: {place} has no {kind.__name__} named {attribute!r}")
    return found


def _loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
