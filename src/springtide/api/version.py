"""The one Kubernetes version that everything here calls itself: the embedded server and its nodes.

Clients decide by it what they may send. Used by `server/documents.py` (`GET /version`) and the nodes'
registration.
"""

from __future__ import annotations

from typing import Final

import msgspec

from springtide import __version__

KUBERNETES_MAJOR: Final = "1"
KUBERNETES_MINOR: Final = "36"
GIT_VERSION: Final = f"v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.0+springtide.{__version__}"


def is_embedded(version: bytes) -> bool:
    """Whether the answer to `GET /version` is that of Springtide's own server, not of a real cluster."""
    return "+springtide." in msgspec.json.decode(version).get("gitVersion", "")
