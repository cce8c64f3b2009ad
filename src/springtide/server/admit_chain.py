"""The plug-ins of admission, in order. `Server` builds the chain once.

Add a plug-in in a file of its own (`admit_<what>.py`) and name it here, where its turn is: those that fill in
before those that count.
"""

from __future__ import annotations

from springtide.server.admit import Admission
from springtide.server.admit_priority import PriorityPlugin


def admission() -> Admission:
    """The chain of a server; plug-ins may keep state, so every server has its own."""
    return Admission((PriorityPlugin(),))
