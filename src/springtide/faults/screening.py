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
from springtide.faults.matching import _compile, _kept
from springtide.faults.signature import Role

ANYWHERE = "(?:)"
_ANCHORS = ("^", "$", r"\A", r"\z")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|[\^$]")
"""What an anchor may be taken for: escaped characters and classes come first."""


def may_hold(block: bytes) -> bool:
    """Whether any line of the block may be worth keeping."""
    found = _kept().Match(block, True)
    if not found:
        return False
    passed_over, searchable = _never_kept(), _searchable()
    return any(index not in passed_over and searchable[index].search(block) is not None for index in found)


@functools.cache
def _never_kept() -> frozenset[int]:
    """Signatures of lines that never count."""
    roles = (Role.BENIGN, Role.TEARDOWN)
    return frozenset(index for index, one in enumerate(catalog()) if one.role in roles)


@functools.cache
def _searchable() -> dict[int, Any]:
    """Patterns for a block: without their anchors, since they would look for the edges of the block."""
    filtered = _kept()
    found = {}
    for index, one in enumerate(catalog()):
        relaxed = _TOKEN.sub(lambda token: ANYWHERE if token[0] in _ANCHORS else token[0], one.pattern)
        found[index] = filtered.re(index) if relaxed == one.pattern else _compile(relaxed)
    return found
