"""Objects as Kubernetes' protobuf, whole and damaged. Called by `fuzz_requests`.

The field numbers are the server's own table; what it has no number for is left out. A value of the wrong type
is written all the same, as whatever its own type is.
"""

from __future__ import annotations

import base64
import binascii
import json
import random
import struct
from typing import Any

from springtide.server.protobuf import MEDIA_TYPE, _table

__all__ = ["MEDIA_TYPE", "broken", "encoded"]

Json = dict[str, Any]


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _part(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def encoded(obj: Json) -> bytes:
    """The body; empty if the kind is not known as protobuf."""
    version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    message = _table().kinds.get(kind if kind == "DeleteOptions" else f"{version} {kind}")
    if message is None:
        return b""
    about = _part(1, _utf8(version)) + _part(2, _utf8(kind))
    return b"k8s\x00" + _part(1, about) + _part(2, _message(obj, message))


def _message(obj: Any, name: str) -> bytes:
    if not isinstance(obj, dict):
        return _plain(obj)
    out = bytearray()
    for number, field in _table().messages[name].items():
        if not field.name:
            out += _part(number, _message(obj, field.type))
            continue
        value = obj.get(field.name)
        if value is None:
            continue
        if field.shape in ("map", "map of lists") and isinstance(value, dict):
            for key, one in value.items():
                held = b"".join(_part(1, _plain(item)) for item in one) if isinstance(one, list) else b""
                inner = _part(2, held) if held else _field(2, field.type, one)
                out += _part(number, _part(1, _utf8(str(key))) + inner)
        elif isinstance(value, list):
            out += b"".join(_field(number, field.type, one) for one in value)
        else:
            out += _field(number, field.type, value)
    return bytes(out)


def _field(number: int, type_: str, value: Any) -> bytes:
    if type_ in _table().messages:
        return _part(number, _message(value, type_))
    if isinstance(value, bool | int) and type_ in ("int", "bool"):
        return varint(number << 3) + varint(int(value))
    if type_ == "double" and isinstance(value, int | float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if type_ == "bytes" and isinstance(value, str):
        try:
            return _part(number, base64.b64decode(value))
        except (binascii.Error, ValueError):
            return _part(number, _utf8(value))
    if type_ == "Quantity":
        return _part(number, _part(1, _plain(value)))
    if type_ == "IntOrString":
        if isinstance(value, int):
            return _part(number, b"\x08\x00\x10" + varint(value))
        return _part(number, b"\x08\x01" + _part(3, _plain(value)))
    if type_ in ("Time", "MicroTime"):
        return _part(number, b"\x08" + varint(1_700_000_000) + b"\x10" + varint(5000))
    if type_ in ("Raw", "FieldsV1"):
        return _part(number, _part(1, json.dumps(value).encode()))
    return _part(number, _plain(value))


def _plain(value: Any) -> bytes:
    return _utf8(value if isinstance(value, str) else json.dumps(value))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def broken(chances: random.Random, data: bytes) -> bytes:
    """The same with a few faults in it: bits, lengths, tags, parts taken out or doubled."""
    out = bytearray(data)
    for _ in range(chances.randrange(1, 4)):
        at = chances.randrange(len(out) + 1)
        end = min(len(out), at + chances.randrange(1, 30))
        match chances.randrange(8):
            case 0:
                del out[at:end]
            case 1:
                out[at:at] = out[at:end] * chances.choice([1, 1, 2, 50])
            case 2 if at < len(out):
                out[at] ^= 1 << chances.randrange(8)
            case 3 if at < len(out):
                out[at] = chances.choice([0, 1, 0x7F, 0x80, 0xFF, 9, 10, 18])
            case 4:
                out[at:at] = varint(chances.choice([0, 2**31, 2**63, 2**64 - 1, chances.randrange(2**40)]))
            case 5:
                out[at:at] = chances.randbytes(chances.randrange(12))
            case 6:  # a field of any number and wire type
                tag = chances.randrange(1, 40) << 3 | chances.randrange(8)
                out[at:at] = varint(tag) + chances.choice([b"\x00", b"\x02hi", b"\x01" * 8, b"\xff\xff"])
            case _:
                del out[at:]
    return bytes(out)
