"""Request bodies: bytes to JSON objects, with what Kubernetes' `fieldValidation` says about unknown fields.

Called by the create, update, patch and delete verbs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from springtide.server import duplicates, protobuf, yaml_bodies
from springtide.server.kinds import ServedKind
from springtide.server.request import JSON, Request
from springtide.server.schema_rules import TYPE_INVALID, FieldError
from springtide.server.status import BadRequest, TooLarge, UnsupportedMediaType

Json = dict[str, Any]
T = TypeVar("T")

MAX_VALUES = 60_000
"""Fields and items of one body. Each costs some microseconds, which everybody else waits for."""
_YAML = ("application/yaml", "application/apply-patch+yaml", "text/yaml")
_decoder = msgspec.json.Decoder()


class Named(Protocol):
    """A kind in a version."""

    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> str: ...


def parse(request: Request) -> Any:
    """The body as a JSON value, whatever it is. Raises BadRequest, UnsupportedMediaType or TooLarge."""
    value = _decoded(request)
    if request.body.count(b",") + request.body.count(b"[") > MAX_VALUES or not request.media_type.endswith(
        "json"
    ):
        check_count(value)
    return value


def check_count(value: Any) -> None:
    """Raises TooLarge for a value of so many parts that all others would wait while it is looked at."""
    left, waiting = MAX_VALUES, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            left -= len(one)
            if left < 0:
                raise TooLarge(
                    f"Request entity too large: an object may have {MAX_VALUES} fields and items in all; "
                    "split it, or keep data as text"
                )
            waiting += one.values() if isinstance(one, dict) else one


def _decoded(request: Request) -> Any:
    if not request.body:
        raise BadRequest("the request body is empty; send a JSON object")
    media_type = request.media_type
    try:
        if media_type.endswith("json"):
            return _decoder.decode(request.body)
        if media_type in _YAML:
            return _yaml(request.body)
        if media_type == protobuf.MEDIA_TYPE:
            return protobuf.decode(request.body)
    except protobuf.MalformedError as error:
        raise UnsupportedMediaType(f"the protobuf body cannot be read: {error}") from error
    except (msgspec.DecodeError, yaml_bodies.YamlError, UnicodeDecodeError) as error:
        raise BadRequest(f"the request body is not valid {media_type}: {error}") from error
    raise UnsupportedMediaType(f"the body of the request was in an unknown format: {media_type}; send {JSON}")


def parse_object(request: Request) -> Json:
    """The body as a JSON object."""
    body = parse(request)
    if not isinstance(body, dict):
        raise BadRequest(f"the request body must be an object, not {_json_type(body)}")
    return body


def typed(body: Json, kind: type[T]) -> T:
    """A small body as a typed value. Raises BadRequest naming the field of a wrong type."""
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the request body does not fit: {error}") from error


def prune_unknown(
    obj: Json, kind: ServedKind, request: Request, twice: Sequence[str] = (), old: Json | None = None
) -> list[str]:
    """Drop fields the kind does not have, in place; returns warnings to send. Raises Undecodable if strict.

    `twice` are the fields that the body names more than once; `old` is the stored object that a patch was
    made to, which has no such fields.
    """
    unknown = kind.validator.prune(obj, old)
    if not unknown and not twice:
        return []
    mode = request.query.get("fieldValidation") or "Warn"
    warnings = [
        *(f'unknown field "{path}"' for path in unknown),
        *(f'duplicate field "{one}"' for one in twice),
    ]
    if mode == "Strict":
        raise undecodable(kind, kind, f"strict decoding error: {', '.join(warnings)}")
    return warnings if mode == "Warn" else []


def named_twice(request: Request, body: Any) -> list[str]:
    """Paths of fields that the body, already parsed, names more than once."""
    if request.query.get("fieldValidation") == "Ignore":
        return []
    if request.media_type.endswith("json") or request.body.startswith(b"{"):
        return duplicates.in_json(request.body, body)
    return duplicates.in_yaml(request.body) if request.media_type in _YAML else []


class Undecodable(BadRequest):
    """An object with a field of a type that cannot be read as its kind."""


def undecodable(sent: Named, wanted: Named, why: str) -> Undecodable:
    return Undecodable(f'{sent.kind} in version "{sent.version}" cannot be handled as a {wanted.kind}: {why}')


def check_types(errors: Sequence[FieldError], kind: ServedKind) -> None:
    """Raises Undecodable for a built-in kind's field of the wrong type or format."""
    wrong = [error for error in errors if error.malformed or error.reason == TYPE_INVALID]
    if wrong and kind.builtin:
        raise undecodable(kind, kind, f"json: cannot unmarshal {wrong[0]}")


def is_dry_run(request: Request) -> bool:
    """Whether the write is only tried; `options` has checked that it is `All` if anything."""
    return request.query.get("dryRun", "") == "All"


def _yaml(body: bytes) -> Any:
    if body.startswith(b"{"):  # nearly always JSON, which is YAML too and twenty times as quick to read
        with contextlib.suppress(msgspec.DecodeError):
            return _decoder.decode(body)
    return yaml_bodies.load(body)


def _json_type(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
