"""Request bodies: bytes to JSON objects, with what Kubernetes' `fieldValidation` says about unknown fields.

Called by the create, update, patch and delete verbs.
"""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

import msgspec
import yaml

from springtide.server import protobuf
from springtide.server.kinds import ServedKind
from springtide.server.request import JSON, Request
from springtide.server.status import BadRequest, UnsupportedMediaType

Json = dict[str, Any]
T = TypeVar("T")

_YAML = ("application/yaml", "application/apply-patch+yaml", "text/yaml")
_decoder = msgspec.json.Decoder()


class _YamlLoader(yaml.CSafeLoader):
    """Timestamps stay strings, as in JSON."""


def _text(loader: yaml.CSafeLoader, node: yaml.ScalarNode) -> object:
    return loader.construct_scalar(node)


_YamlLoader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def parse(request: Request) -> Any:
    """The body as a JSON value, whatever it is. Raises BadRequest or UnsupportedMediaType."""
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
    except (msgspec.DecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
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


def prune_unknown(obj: Json, kind: ServedKind, request: Request) -> list[str]:
    """Drop fields the kind does not have, in place; returns warnings to send. Raises BadRequest if strict."""
    unknown = kind.validator.prune(obj)
    if not unknown:
        return []
    mode = request.query.get("fieldValidation") or "Warn"
    warnings = [f'unknown field "{path}"' for path in unknown]
    if mode == "Strict":
        raise BadRequest(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            f"strict decoding error: {', '.join(warnings)}"
        )
    if mode not in ("Warn", "Ignore"):
        raise BadRequest(
            f"fieldValidation: Unsupported value: {mode!r}: supported values: Ignore, Strict, Warn"
        )
    return warnings if mode == "Warn" else []


def is_dry_run(request: Request) -> bool:
    """Whether `dryRun=All` was asked for. Raises BadRequest for any other value."""
    value = request.query.get("dryRun", "")
    if value not in ("", "All"):
        raise BadRequest(f"dryRun: Unsupported value: {value!r}: supported values: All")
    return value == "All"


def _yaml(body: bytes) -> Any:
    if body.startswith(b"{"):  # nearly always JSON, which is YAML too and twenty times as quick to read
        with contextlib.suppress(msgspec.DecodeError):
            return _decoder.decode(body)
    return yaml.load(body, Loader=_YamlLoader)  # a safe loader: it makes plain values only


def _json_type(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
