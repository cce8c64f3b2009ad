"""Numbers that people write as text, in annotations, paths and status fields.

`int` takes any text of digits, in any script, and refuses one of some thousand with an exception that nobody
expects. Used wherever such a text decides something.
"""

from __future__ import annotations

LARGEST = 2**63 - 1
_DIGITS = len(str(LARGEST))


def whole_number(text: str) -> int | None:
    """The number that a text of digits is; None for anything else, and beyond 64 bits."""
    if not (text.isascii() and text.isdecimal()):
        return None
    digits = text.lstrip("0") or "0"
    if len(digits) > _DIGITS:
        return None
    number = int(digits)
    return number if number <= LARGEST else None
