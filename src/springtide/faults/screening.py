"""Whether a whole block of lines may hold one worth keeping: the question before `worth_keeping`.

Asked by the collectors for everything that containers write. It looks for the literal parts of all patterns
in one pass and runs no pattern, so it may say yes where no line matches, and never no where one does.
"""

from __future__ import annotations

import functools

from springtide.faults.catalog import catalog
from springtide.faults.matching import _kept
from springtide.faults.signature import Role


def may_hold(block: bytes) -> bool:
    """Whether any line of the block may be worth keeping."""
    passed_over = _never_kept()
    return any(index not in passed_over for index in _kept().Match(block, True) or ())


@functools.cache
def _never_kept() -> frozenset[int]:
    """Signatures of lines that never count."""
    roles = (Role.BENIGN, Role.TEARDOWN)
    return frozenset(index for index, one in enumerate(catalog()) if one.role in roles)
