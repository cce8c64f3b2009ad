"""What a pod set was given, in names: its pods by node, and the devices of each. Called by the cycle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from springtide.api.gpus import Device, spelled
from springtide.scheduling.views import Share


def pods_by_node(names: Sequence[str], share: Share) -> dict[str, int]:
    """How many pods each node gets; `names` are those of the rows."""
    counts = zip(share.rows.tolist(), share.counts.tolist(), strict=True)
    return {names[row]: count for row, count in counts}


def devices_by_pod(named: Sequence[Sequence[Device]], share: Share) -> tuple[str, ...]:
    """The devices of each pod, as an admission spells them; nothing if none of the nodes names any."""
    rows = np.repeat(share.rows, share.counts).tolist() if share.devices else ()
    if not any(named[row] for row in rows):
        return ()
    return tuple(spelled(taken if named[row] else ()) for row, taken in zip(rows, share.devices, strict=True))
