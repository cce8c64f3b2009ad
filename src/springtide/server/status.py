"""Failures of requests, and their JSON form: `metav1.Status`.

    StatusError
    ├── BadRequest 400      Unauthorized 401    Forbidden 403       NotFound 404
    ├── MethodNotAllowed 405    NotAcceptable 406   AlreadyExists 409   Conflict 409
    ├── Expired 410         TooLarge 413        UnsupportedMediaType 415
    ├── Invalid 422 (causes name each field)    InternalError 500   ServiceUnavailable 503
    └── InsufficientStorage 507 (the database is full; Kubernetes has no reason for that)

Raised by every verb and admission step; `Server.handle` turns them into answers.
Source of codes, reasons and the shape of details: Kubernetes API conventions, `metav1.Status`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from springtide.server.schema_rules import FieldError


class StatusError(Exception):
    """A request that failed, with everything its `Status` says."""

    code = 500
    reason = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        group: str = "",
        kind: str = "",
        uid: str = "",
        causes: Sequence[FieldError] = (),
        retry_after_seconds: int = 0,
    ) -> None:
        self.message = message
        self.causes = tuple(causes)
        self.details: dict[str, Any] = {
            key: value
            for key, value in {
                "name": name,
                "group": group,
                "kind": kind,
                "uid": uid,
                "causes": [
                    {"reason": cause.reason, "message": cause.message, "field": cause.field}
                    for cause in causes
                ],
                "retryAfterSeconds": retry_after_seconds,
            }.items()
            if value
        }
        super().__init__(message)

    def status(self) -> dict[str, Any]:
        """The `metav1.Status` object."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body

    def encode(self) -> bytes:
        return msgspec.json.encode(self.status())


class BadRequest(StatusError):
    code, reason = 400, "BadRequest"


class Unauthorized(StatusError):
    code, reason = 401, "Unauthorized"


class Forbidden(StatusError):
    code, reason = 403, "Forbidden"


class NotFound(StatusError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(StatusError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(StatusError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(StatusError):
    code, reason = 409, "AlreadyExists"


class Conflict(StatusError):
    code, reason = 409, "Conflict"


class Expired(StatusError):
    code, reason = 410, "Expired"


class TooLarge(StatusError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(StatusError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(StatusError):
    code, reason = 422, "Invalid"


class TooManyRequests(StatusError):
    code, reason = 429, "TooManyRequests"


class InternalError(StatusError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(StatusError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(StatusError):
    code, reason = 504, "Timeout"


class InsufficientStorage(StatusError):
    code, reason = 507, "InsufficientStorage"


def success(*, name: str = "", group: str = "", kind: str = "", uid: str = "") -> bytes:
    """The `Status` a finished delete or bind answers with."""
    details = {"name": name, "group": group, "kind": kind, "uid": uid}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return msgspec.json.encode({**body, "details": {key: value for key, value in details.items() if value}})


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> Invalid:
    """422 for an object, naming every field that is wrong."""
    listed = ", ".join(map(str, errors))
    text = listed if len(errors) == 1 else f"[{listed}]"
    qualified = f"{kind}.{group}" if group else kind
    return Invalid(
        f'{qualified} "{name}" is invalid: {text}', name=name, group=group, kind=kind, causes=errors
    )


def required(field: str, rule: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, "Required value" + (f": {rule}" if rule else ""))


def bad_value(field: str, value: Any, rule: str) -> FieldError:
    shown = msgspec.json.encode(value).decode()
    return FieldError("FieldValueInvalid", field, f"Invalid value: {shown}: {rule}")


def unsupported(field: str, value: Any, supported: Sequence[str]) -> FieldError:
    listed = ", ".join(f'"{one}"' for one in supported)
    shown = msgspec.json.encode(value).decode()
    return FieldError(
        "FieldValueNotSupported", field, f"Unsupported value: {shown}: supported values: {listed}"
    )


def forbidden_field(field: str, rule: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {rule}")


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {msgspec.json.encode(value).decode()}")


def not_found_value(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {msgspec.json.encode(value).decode()}")
