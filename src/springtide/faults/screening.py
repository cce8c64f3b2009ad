"""Whether a whole block of lines may hold one worth keeping: the question before `worth_keeping`.

Asked by the collectors for everything that containers write. It looks for the literal parts of all patterns
in one pass, and only then for the few patterns whose parts were there. It may say yes where no line matches,
and never no where one does.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from springtide.faults.catalog import catalog
from springtide.faults.matching import _kept
from springtide.faults.signature import Role

_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]")
"""Escaped characters and classes, in which `^` and `$` are no anchors."""
_ANCHOR = re.compile(r"[\^$]")
_EDGE = re.compile(r"\\[Az]")


def may_hold(block: bytes) -> bool:
    """Whether any line of the block may be worth keeping."""
    found = _kept().Match(block, True)
    if not found:
        return False
    passed_over, searchable = _never_kept(), _searchable()
    for index in found:
        if index in passed_over:
            continue
        pattern = searchable.get(index)
        if pattern is None or pattern.search(block) is not None:
            return True
    return False


@functools.cache
def _never_kept() -> frozenset[int]:
    """Signatures of lines that never count."""
    roles = (Role.BENIGN, Role.TEARDOWN)
    return frozenset(index for index, one in enumerate(catalog()) if one.role in roles)


@functools.cache
def _searchable() -> dict[int, Any]:
    """Patterns that can be searched for in a block as in a line: those that do not ask where it begins."""
    filtered = _kept()
    return {
        index: filtered.re(index)
        for index, one in enumerate(catalog())
        if not _ANCHOR.search(_CLASS.sub("", one.pattern)) and not _EDGE.search(one.pattern)
    }
