"""Kubernetes' protobuf as the body of a request, for every built-in kind; answers stay JSON.

kubectl's typed commands (`create deployment`, `drain` …) and Go controllers speak protobuf and accept JSON. A
body is decoded here into the same JSON object that a JSON client would have sent. Called by `bodies`. Field
numbers, names and types: `protobuf_table.json`, made by `protobuf_table`; the envelope: `runtime.Unknown`
behind the prefix `k8s\\x00`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import msgspec

Json = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_PREFIX = b"k8s\x00"
_FIXED_64 = 1
"""Wire type of doubles."""
_DEEPEST = 64
"""Messages within messages; the deepest kind there is needs far fewer."""
_MOST_FIELDS = 20_000
"""Fields, items and entries of one message; all others wait while they are read."""


class MalformedError(ValueError):
    """The bytes are no message of the kind they claim to be, or of a kind that has no table here."""


class _Field(NamedTuple):
    """How a field is called in JSON and what it holds: a scalar's name or a message's."""

    name: str
    """Empty: the message's own fields stand in its place."""
    type: str
    shape: str = "one"
    """one, list, map (string to `type`), or map of lists."""
    pointer: int = 0
    """Whether a zero value says something; other zero values are as good as absent."""


class _Table(msgspec.Struct):
    """The generated file."""

    kinds: dict[str, str]
    messages: dict[str, dict[int, _Field]]


@cache
def _table() -> _Table:
    """Read with the first protobuf body, which most platforms never see."""
    text = resources.files("springtide.server").joinpath("protobuf_table.json").read_bytes()
    return msgspec.json.decode(text, type=_Table)


_ENVELOPE: dict[str, dict[int, _Field]] = {
    "Unknown": {
        1: _Field("typeMeta", "TypeMeta"),
        2: _Field("raw", "raw"),
        3: _Field("contentEncoding", "string"),
        4: _Field("contentType", "string"),
    },
    "TypeMeta": {1: _Field("apiVersion", "string"), 2: _Field("kind", "string")},
    "Holder": {1: _Field("raw", "raw")},
    "Timestamp": {1: _Field("seconds", "int"), 2: _Field("nanos", "int")},
    "Duration": {1: _Field("nanos", "int")},
    "Port": {1: _Field("type", "int"), 2: _Field("number", "int"), 3: _Field("text", "string")},
    "Quantity": {1: _Field("text", "string")},
    "Items": {1: _Field("items", "string", "list")},
}
"""Messages that JSON writes otherwise, and those around all others."""
_DELETE_OPTIONS = "DeleteOptions"


def decode(body: bytes) -> Json:
    """The JSON object of a body. Raises MalformedError saying what is wrong with it."""
    if not body.startswith(_PREFIX):
        raise MalformedError("the body does not start with the prefix of Kubernetes' protobuf")
    envelope = _message(body[len(_PREFIX) :], "Unknown")
    type_meta = envelope.get("typeMeta", {})
    api_version, kind = type_meta.get("apiVersion", ""), type_meta.get("kind", "")
    name = kind if kind == _DELETE_OPTIONS else f"{api_version} {kind}"
    message = _table().kinds.get(name)
    if message is None:
        raise MalformedError(f"{name} is not understood as protobuf here; send application/json")
    return {"apiVersion": api_version, "kind": kind, **_message(envelope.get("raw", b""), message)}


def _message(data: bytes, name: str, depth: int = 0) -> Json:
    """Zero values that Go writes although nobody set them are left out; a field that has no place in the
    table is refused rather than lost."""
    if depth > _DEEPEST:
        raise MalformedError(f"messages are nested deeper than {_DEEPEST}")
    fields = _ENVELOPE.get(name) or _table().messages[name]
    found: Json = {}
    for count, (number, value) in enumerate(_pairs(data)):
        if count == _MOST_FIELDS:
            raise MalformedError(f"one message has more than {_MOST_FIELDS} fields and items")
        field = fields.get(number)
        if field is None:
            raise MalformedError(f"field {number} of {name} is not known here; send application/json")
        if field.shape == "map":
            found.setdefault(field.name, {}).update(_entry(value, field.type, depth))
        elif field.shape == "map of lists":
            key, listed = _pair(value, "Items", depth)
            found.setdefault(field.name, {})[key] = listed.get("items", [])
        elif field.shape == "list":
            found.setdefault(field.name, []).append(_value(value, field.type, depth))
        elif not field.name:
            found.update(_message(_bytes(value), field.type, depth + 1))
        else:
            decoded = _value(value, field.type, depth)
            if field.pointer or decoded or field.type == "bytes":
                found[field.name] = decoded
    return found


def _entry(data: bytes | int, type_: str, depth: int) -> Json:
    key, value = _pair(data, type_, depth)
    return {key: value}


def _pair(data: bytes | int, type_: str, depth: int) -> tuple[str, Any]:
    """Key and value of a map's entry."""
    pairs = dict(_pairs(_bytes(data)))
    return _string(pairs.get(1, b"")), _value(pairs.get(2, b""), type_, depth)


def _value(value: bytes | int, type_: str, depth: int) -> Any:
    scalar = _SCALARS.get(type_)
    return scalar(value) if scalar is not None else _message(_bytes(value), type_, depth + 1)


def _pairs(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers and raw values, in order. Kubernetes uses varint, 64-bit and length-delimited."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire_type == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise MalformedError(f"field {number} is longer than the message")
            yield number, data[at : at + length]
            at += length
        elif wire_type == _FIXED_64 and at + 8 <= len(data):
            yield number, data[at : at + 8]
            at += 8
        else:
            raise MalformedError(f"field {number} has wire type {wire_type}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise MalformedError("a number is cut off")


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise MalformedError("a number stands where a text or message should")
    return value


def _string(value: bytes | int) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"a text is not UTF-8: {error}") from error


def _int(value: bytes | int) -> int:
    if not isinstance(value, int):
        raise MalformedError("a text stands where a number should")
    return value - (1 << 64) if value >= 1 << 63 else value


def _time(value: bytes | int) -> str | None:
    stamp = _message(_bytes(value), "Timestamp")
    return _moment(stamp).strftime("%Y-%m-%dT%H:%M:%SZ") if stamp else None


def _micro_time(value: bytes | int) -> str | None:
    stamp = _message(_bytes(value), "Timestamp")
    return _moment(stamp).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if stamp else None


def _moment(stamp: Json) -> datetime:
    try:
        return datetime.fromtimestamp(stamp.get("seconds", 0), UTC).replace(
            microsecond=stamp.get("nanos", 0) // 1000
        )
    except (ValueError, OverflowError, OSError) as error:
        raise MalformedError(f"a time is out of range: {error}") from error


def _duration(value: bytes | int) -> str:
    return f"{_message(_bytes(value), 'Duration').get('nanos', 0) / 1e9:g}s"


def _raw(value: bytes | int) -> Any:
    """`runtime.RawExtension`: JSON within a message."""
    return _json(_message(_bytes(value), "Holder").get("raw", b""))


def _fields_v1(value: bytes | int) -> Any:
    return _json(_message(_bytes(value), "Holder").get("raw", b"{}"))


def _json(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.MsgspecError as error:
        raise MalformedError(f"a field is not JSON: {error}") from error


def _double(value: bytes | int) -> float:
    return float(struct.unpack("<d", _bytes(value))[0])


def _int_or_string(value: bytes | int) -> int | str:
    port = _message(_bytes(value), "Port")
    return str(port.get("text", "")) if port.get("type") else int(port.get("number", 0))


_SCALARS: dict[str, Callable[[bytes | int], Any]] = {
    "string": _string,
    "int": _int,
    "bool": lambda value: bool(_int(value)),
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "raw": _bytes,
    "double": _double,
    "Raw": _raw,
    "Time": _time,
    "MicroTime": _micro_time,
    "Duration": _duration,
    "Quantity": lambda value: str(_message(_bytes(value), "Quantity").get("text", "")),
    "IntOrString": _int_or_string,
    "FieldsV1": _fields_v1,
}
