"""The embedded Kubernetes API: one file a verb, over `springtide.store`.

`Server` is transport-agnostic; `InProcessTransport` is a client transport to it in the same process,
`serve` puts it behind HTTPS, `ca` makes the certificates and the administrator's token.
"""

from springtide.server.asgi import HttpsServer
from springtide.server.authn import Authenticator
from springtide.server.ca import Credentials
from springtide.server.ca import ensure as ensure_credentials
from springtide.server.ca import lasts as certificate_lasts
from springtide.server.context import LogOptions, LogSource
from springtide.server.inprocess import InProcessTransport
from springtide.server.nodes import NodeAccess, NodeUnreachable
from springtide.server.request import ADMIN, Answer, Request, Response, Stream, User
from springtide.server.server import Server
from springtide.server.tokens import SigningKeys

__all__ = [
    "ADMIN",
    "Answer",
    "Authenticator",
    "Credentials",
    "HttpsServer",
    "InProcessTransport",
    "LogOptions",
    "LogSource",
    "NodeAccess",
    "NodeUnreachable",
    "Request",
    "Response",
    "Server",
    "SigningKeys",
    "Stream",
    "User",
    "certificate_lasts",
    "ensure_credentials",
]
