"""Regular expressions that cannot be made to run for ever: RE2, the kind Kubernetes uses.

Schemas and rules of CRDs come from users, and Python's own `re` takes exponential time on patterns such as
`(a+)+$`. Called by `schema_rules` for CRDs, by `structural`, and by CEL's `matches`, `find` and `findAll`.
The library is imported with the first pattern.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


class PatternError(ValueError):
    """The text is no RE2 pattern."""


class Pattern:
    """A compiled pattern."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def found(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in `text`."""
        return self._compiled.search(text) is not None

    def all(self, text: str, most: int = -1) -> list[str]:
        """What it matches, without overlaps, from left to right; at most `most`, all if negative."""
        if most == 0:
            return []
        found: list[str] = []
        for match in self._compiled.finditer(text):
            found.append(match.group())
            if len(found) == most:
                break
        return found


@lru_cache(maxsize=2048)
def compile(pattern: str) -> Pattern:
    """Raises `PatternError` with RE2's reason."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return Pattern(re2.compile(pattern, options=options))
    except re2.error as error:
        reason = error.args[0]
        raise PatternError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
