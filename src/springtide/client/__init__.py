"""The only code that speaks to an API server, real or embedded: prepare, send, interpret."""

from springtide.client.client import Client
from springtide.client.collection import Collection
from springtide.client.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
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
from springtide.client.transport import Request, Response, Transport
from springtide.client.watch import WatchEvent

__all__ = [
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "Client",
    "Collection",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "KubeconfigError",
    "Listing",
    "MethodNotAllowed",
    "NotFound",
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
    "error_from_response",
    "error_of",
    "execute",
]
