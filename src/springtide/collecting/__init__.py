"""What a node's machine shows of trouble: logs, kernel, devices, processes; one NodeHealth a node.

Beside a process node within `up`, or beside a kubelet on a cluster (`springtide collect`). It says what was
seen and judges nothing: that is for `health`.
"""

from springtide.collecting.controller import ROOM, Collection
from springtide.collecting.machine import beside, register
from springtide.collecting.rounds import Round, Scene, Source, Unavailable
from springtide.collecting.settings import CollectSettings

__all__ = [
    "ROOM",
    "CollectSettings",
    "Collection",
    "Round",
    "Scene",
    "Source",
    "Unavailable",
    "beside",
    "register",
]
