"""Regular expressions that cannot be made to run for ever: RE2, the kind Kubernetes uses.

Schemas and rules of CRDs come from users, and Python's own `re` takes exponential time on patterns such as
`(a+)+$`. Called by `schema_rules` for CRDs, by `structural`, and by CEL's `matches`, `find` and `findAll`.
The library is imported with the first pattern.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

MOST_STEPS = 50_000_000
"""Of one search: steps of the pattern's program times letters of the text. Most patterns take one step a
letter, the worst all of them, some nanoseconds each."""
_MOST_BYTES = 2 * 1024 * 1024
"""Memory of one pattern; RE2 does with less by taking more steps."""


class PatternError(ValueError):
    """The text is no RE2 pattern."""


class TooCostlyError(ValueError):
    """The pattern is too large for a text as long as this."""


class Pattern:
    """A compiled pattern."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def steps(self, text: str) -> int:
        """How many steps it may take to search `text`, at worst."""
        return int(self._compiled.programsize) * len(text)

    def found(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in `text`. Raises TooCostlyError."""
        self._check(text)
        return self._compiled.search(text) is not None

    def all(self, text: str, most: int = -1) -> list[str]:
        """What it matches, without overlaps, from left to right; at most `most`, all if negative.
        Raises TooCostlyError."""
        if most == 0:
            return []
        self._check(text)
        found: list[str] = []
        for match in self._compiled.finditer(text):
            found.append(match.group())
            if len(found) == most:
                break
        return found

    def _check(self, text: str) -> None:
        if self.steps(text) > MOST_STEPS:
            size = self._compiled.programsize
            raise TooCostlyError(
                f"a text of {len(text)} characters is too long for a pattern of {size} steps"
            )


@lru_cache(maxsize=512)
def compile(pattern: str) -> Pattern:
    """Raises `PatternError` with RE2's reason."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_BYTES
    try:
        return Pattern(re2.compile(pattern, options=options))
    except re2.error as error:
        reason = error.args[0]
        raise PatternError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
