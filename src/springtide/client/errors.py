"""What can go wrong between us and an API server, as one tree that callers catch by meaning.

    ApiError                  any answer that is not success; has .status, .reason, .message, .code
    ├── BadRequest            400  the request itself makes no sense
    ├── Unauthorized          401  no or wrong credentials
    ├── Forbidden             403  known, but not allowed
    ├── NotFound              404  no such object or kind
    ├── MethodNotAllowed      405
    ├── Conflict              409  stale resourceVersion, failed uid precondition, field of another manager
    │   └── AlreadyExists     409  reason AlreadyExists
    ├── Gone                  410  the resourceVersion or continue token is too old: list again
    ├── TooLarge              413
    ├── UnsupportedMediaType  415  a patch type the kind does not have
    ├── Invalid               422  the object breaks a rule; the message names the fields
    ├── TooManyRequests       429  try later; .retry_after_seconds
    ├── ServerError           5xx  the server failed
    │   └── Unavailable       503  the server cannot answer now
    └── Unreachable           no answer at all: refused, timed out, TLS failed, broken off in the middle

    KubeconfigError           a kubeconfig that cannot be used: names file, entry and fix

Raised by `client`, by in-process transports of the server, and caught in every room above.
Source of codes and reasons: `metav1.Status` and the StatusReason constants of Kubernetes apimachinery.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from springtide.api.meta import Status
from springtide.api.struct import decode, replace


class ApiError(Exception):
    """An answer that is not success. The class says which; `status` has all the server said."""

    code: ClassVar[int] = 0
    default_reason: ClassVar[str] = "Unknown"

    def __init__(self, message: str = "", *, status: Status | None = None) -> None:
        if status is None:
            status = Status(status="Failure", message=message, reason=self.default_reason, code=self.code)
        self.status = status
        super().__init__(status.message or status.reason)

    @property
    def message(self) -> str:
        """One human line: what was wrong and where."""
        return self.status.message

    @property
    def reason(self) -> str:
        """The machine-readable reason, CamelCase."""
        return self.status.reason

    @property
    def retry_after_seconds(self) -> float:
        """How long the server asks us to wait; 0 when it did not say."""
        return float(self.status.details.retry_after_seconds) if self.status.details else 0.0


class BadRequest(ApiError):
    code, default_reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, default_reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, default_reason = 403, "Forbidden"


class NotFound(ApiError):
    code, default_reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, default_reason = 405, "MethodNotAllowed"


class Conflict(ApiError):
    code, default_reason = 409, "Conflict"


class AlreadyExists(Conflict):
    default_reason = "AlreadyExists"


class Gone(ApiError):
    code, default_reason = 410, "Expired"


class TooLarge(ApiError):
    code, default_reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, default_reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, default_reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, default_reason = 429, "TooManyRequests"


class ServerError(ApiError):
    code, default_reason = 500, "InternalError"


class Unavailable(ServerError):
    code, default_reason = 503, "ServiceUnavailable"


class Unreachable(ApiError):
    """No usable answer: the message says which server, why, and what to check."""

    default_reason = "Unreachable"


class Closed(Exception):
    """The other side of a WebSocket is gone, or has said goodbye."""


class KubeconfigError(ValueError):
    """A kubeconfig (or in-cluster setting) that cannot be used; names file, entry and fix."""


_BY_CODE: dict[int, type[ApiError]] = {
    kind.code: kind
    for kind in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, Conflict, Gone, TooLarge,
        UnsupportedMediaType, Invalid, TooManyRequests, ServerError, Unavailable,
    )
}  # fmt: skip


def error_of(status: Status) -> ApiError:
    """The exception that stands for a failed status; its class follows from code, then reason."""
    if status.code == 409 and status.reason == AlreadyExists.default_reason:
        return AlreadyExists(status=status)
    kind = _BY_CODE.get(status.code)
    if kind is None:
        kind = ServerError if status.code >= 500 else BadRequest if status.code >= 400 else ApiError
    return kind(status=status)


def error_from_response(code: int, body: bytes) -> ApiError:
    """The exception for a non-2xx answer whose body may be a Status, or anything a proxy wrote."""
    try:
        status = decode(Status, body)
        if status.kind == "Status":
            return error_of(replace(status, code=status.code or code))
    except msgspec.DecodeError:
        pass
    text = " ".join(body[:400].decode("utf-8", "replace").split())
    reason = _BY_CODE[code].default_reason if code in _BY_CODE else "Unknown"
    return error_of(
        Status(status="Failure", code=code, reason=reason, message=text or f"the server answered HTTP {code}")
    )
