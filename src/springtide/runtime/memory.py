"""Free memory that goes back to the system while a process runs.

The C library keeps what lies free between blocks in use. After a burst of large requests that is several
times what the process needs, for as long as it lives. Called by the server's HTTPS side, every few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache

EVERY_SECONDS = 5.0


async def give_back() -> None:
    """Give free memory back, again and again, until cancelled. It takes well below a millisecond, or some
    when there is much."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        trim()


def trim() -> None:
    """Give free memory back now, where the C library can."""
    function = _function()
    if function is not None:
        function(0)


@cache
def _function() -> Callable[[int], int] | None:
    """glibc's; other C libraries have none, and macOS needs none."""
    import ctypes  # not before it is needed: most of it is not

    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
