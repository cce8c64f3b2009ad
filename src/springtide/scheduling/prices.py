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

from springtide.scheduling.arrays import Floats
from springtide.scheduling.devices import WHOLE

_STEP = 0.1
_ROUNDS = 400
"""Within about one hundredth of the best prices for some twenty sizes."""


@lru_cache(maxsize=1024)
def worth(demand: tuple[tuple[int, int], ...]) -> Floats:
    """Worth of a free part of each size from 0 to `WHOLE`, as a fraction of a whole device.

    `demand` says how often each share (1 to `WHOLE` - 1) is asked for, in any unit, shares in order. Without
    any, a part is worth its size.
    """
    if not demand:
        return np.arange(WHOLE + 1) / WHOLE
    sizes = [size for size, _ in demand]
    fitting = [sum(size <= room for size in sizes) for room in range(WHOLE + 1)]
    often = np.array([often for _, often in demand], dtype=np.float64)
    weights: Floats = np.array(sizes) / WHOLE
    best, found = -1.0, np.zeros(WHOLE + 1)
    for _ in range(_ROUNDS):
        filled, counts = _fill(sizes, fitting, weights.tolist())
        values, pattern = np.array(filled), np.array(counts)
        covered = float(often @ weights) / values[WHOLE]
        if covered > best:
            best, found = covered, values / values[WHOLE]
        used = pattern > 0
        step = float((often[used] / pattern[used]).min())
        weights = weights * np.exp(-_STEP * step * pattern / often)
        weights /= weights.max()
    return found


def _fill(sizes: list[int], fitting: list[int], weights: list[float]) -> tuple[list[float], list[float]]:
    """The best total weight of items that fit into each size, and how often each is in the best whole.

    Plain Python: with as few sizes as there are, numpy's calls cost more than the sums.
    """
    values = [0.0] * (WHOLE + 1)
    chosen = [-1] * (WHOLE + 1)
    for room in range(1, WHOLE + 1):
        best, item = values[room - 1], -1
        for index in range(fitting[room]):
            filled = values[room - sizes[index]] + weights[index]
            if filled > best:
                best, item = filled, index
        values[room], chosen[room] = best, item
    pattern = [0.0] * len(sizes)
    room = WHOLE
    while room > 0:
        item = chosen[room]
        if item < 0:
            room -= 1
        else:
            pattern[item] += 1
            room -= sizes[item]
    return values, pattern
