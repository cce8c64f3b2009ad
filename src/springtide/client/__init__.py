"""The only code that speaks to an API server, real or embedded: prepare, send, interpret."""

from springtide.client.client import Client
from springtide.client.collection import Collection
from springtide.client.connect import connect
from springtide.client.discovery import find, find_kind
from springtide.client.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Closed,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeconfigError,
    MethodNotAllowed,
    NotFound,
    ServerError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unreachable,
    UnsupportedMediaType,
    error_from_response,
    error_of,
)
from springtide.client.execute import execute
from springtide.client.forms import Listing
from springtide.client.kubeconfig import Connection, ExecPlugin, contexts, in_cluster, load_kubeconfig
from springtide.client.kubeconfig_file import remove_context, write_context
from springtide.client.sharing import Pool
from springtide.client.transport import Request, Response, Transport
from springtide.client.watch import Bookmark, WatchEvent

__all__ = [
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "Bookmark",
    "Client",
    "Closed",
    "Collection",
    "Conflict",
    "Connection",
    "ExecPlugin",
    "Forbidden",
    "Gone",
    "Invalid",
    "KubeconfigError",
    "Listing",
    "MethodNotAllowed",
    "NotFound",
    "Pool",
    "Request",
    "Response",
    "ServerError",
    "TooLarge",
    "TooManyRequests",
    "Transport",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "UnsupportedMediaType",
    "WatchEvent",
    "connect",
    "contexts",
    "error_from_response",
    "error_of",
    "execute",
    "find",
    "find_kind",
    "in_cluster",
    "load_kubeconfig",
    "remove_context",
    "write_context",
]
