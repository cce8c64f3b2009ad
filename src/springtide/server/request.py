"""The values every verb works with: who asks for what, and what is answered.

They are `runtime.exchange`'s, because a node's own API speaks in the same; the verbs find them here.
"""

from springtide.runtime.exchange import (
    ADMIN,
    JSON,
    Answer,
    Disconnected,
    Request,
    Response,
    Service,
    Stream,
    Upgrade,
    User,
    WebSocket,
)

__all__ = [
    "ADMIN",
    "JSON",
    "Answer",
    "Disconnected",
    "Request",
    "Response",
    "Service",
    "Stream",
    "Upgrade",
    "User",
    "WebSocket",
]
