"""What a free part of a device is worth, by which parts pods usually ask for.

A device is a bin and the pods that share it are items, so the best way to fill many devices is a
cutting-stock problem. Its dual gives every size of request a price; a free part is worth the best-priced set
of requests that fits into it. Taking a part of a device costs what the device is worth less afterwards:
nothing is lost by a request that completes a good pattern, much by one that leaves a part nobody asks for.
Called by `fragments`.

Source: the dual of fractional bin packing (Gilmore and Gomory 1961), solved by multiplicative weights with a
knapsack as oracle (Plotkin, Shmoys and Tardos 1995; Young 1995).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from springtide.scheduling.arrays import Floats, Ints
from springtide.scheduling.devices import WHOLE

_STEP = 0.1
_ROUNDS = 400
"""Within about one hundredth of the best prices for some twenty sizes."""


@lru_cache(maxsize=64)
def worth(demand: tuple[tuple[int, int], ...]) -> Floats:
    """Worth of a free part of each size from 0 to `WHOLE`, as a fraction of a whole device.

    `demand` says how often each share (1 to `WHOLE` - 1) is asked for, in any unit, shares in order. Without
    any, a part is worth its size.
    """
    if not demand:
        return np.arange(WHOLE + 1) / WHOLE
    sizes = np.array([size for size, _ in demand], dtype=np.int64)
    often = np.array([often for _, often in demand], dtype=np.float64)
    weights: Floats = sizes / WHOLE
    best, found = -1.0, np.zeros(WHOLE + 1)
    for _ in range(_ROUNDS):
        values, pattern = _fill(sizes, weights)
        covered = float(often @ weights) / values[WHOLE]
        if covered > best:
            best, found = covered, values / values[WHOLE]
        used = pattern > 0
        step = float((often[used] / pattern[used]).min())
        weights = weights * np.exp(-_STEP * step * pattern / often)
        weights /= weights.max()
    return found


def _fill(sizes: Ints, weights: Floats) -> tuple[Floats, Floats]:
    """The best total weight of items that fit into each size, and how often each is in the best whole."""
    values = np.zeros(WHOLE + 1)
    chosen = np.full(WHOLE + 1, -1, dtype=np.int64)
    fitting = np.searchsorted(sizes, np.arange(WHOLE + 1), side="right")
    for room in range(1, WHOLE + 1):
        values[room] = values[room - 1]
        count = fitting[room]
        if count:
            filled = values[room - sizes[:count]] + weights[:count]
            item = int(filled.argmax())
            if filled[item] > values[room]:
                values[room], chosen[room] = filled[item], item
    pattern = np.zeros(len(sizes))
    room = WHOLE
    while room > 0:
        item = int(chosen[room])
        if item < 0:
            room -= 1
        else:
            pattern[item] += 1
            room -= int(sizes[item])
    return values, pattern
