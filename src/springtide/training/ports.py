"""A rendezvous port of its own for every live job.

Jobs share machines (on a laptop all of them share one), so the upstream's fixed port 29500 would collide.
The port follows from the job's uid, so that the same job gets the same port wherever that is free.
Below Linux' ephemeral range (32768 and up), so that no outgoing connection takes it by chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

FIRST, LAST = 20000, 29999
"""The range ports are taken from, both included."""


def choose(uid: str, is_taken: Callable[[int], bool]) -> int:
    """A port for the job with this uid that no other live workload holds.

    With all ports taken (ten thousand live jobs) the preferred one is shared: so many jobs are not on
    one machine.
    """
    size = LAST - FIRST + 1
    preferred = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big") % size
    candidates = (FIRST + (preferred + step) % size for step in range(size))
    return next((port for port in candidates if not is_taken(port)), FIRST + preferred)
