"""Bodies in Kubernetes' protobuf become the JSON objects they stand for."""

from __future__ import annotations

import base64
import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.server import protobuf

TABLE = protobuf._table()
DEEPEST = 6
SAMPLES: dict[str, Any] = {
    "string": "text",
    "int": -7,
    "bool": True,
    "double": 0.5,
    "bytes": base64.b64encode(b"data").decode(),
    "Quantity": "250m",
    "IntOrString": "25%",
    "Time": "2026-01-02T03:04:05Z",
    "MicroTime": "2026-01-02T03:04:05.000006Z",
    "Duration": "90s",
    "Raw": {"apiVersion": "v1", "kind": "Any"},
    "FieldsV1": {"f:metadata": {}},
}


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def part(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def scalar(number: int, type_: str, value: Any) -> bytes:
    """A field the way Go writes it."""
    match type_:
        case "int" | "bool":
            return number_field(number, int(value))
        case "double":
            return varint(number << 3 | 1) + struct.pack("<d", value)
        case "bytes":
            return part(number, base64.b64decode(value))
        case "Quantity":
            return part(number, part(1, value.encode()))
        case "IntOrString":
            if isinstance(value, int):
                return part(number, number_field(1, 0) + number_field(2, value) + part(3, b""))
            return part(number, number_field(1, 1) + number_field(2, 0) + part(3, value.encode()))
        case "Time":
            return part(number, number_field(1, 1767323045) + number_field(2, 0))
        case "MicroTime":
            return part(number, number_field(1, 1767323045) + number_field(2, 6000))
        case "Duration":
            return part(number, number_field(1, 90_000_000_000))
        case "Raw":
            return part(number, part(1, b'{"apiVersion":"v1","kind":"Any"}'))
        case "FieldsV1":
            return part(number, part(1, b'{"f:metadata":{}}'))
    return part(number, str(value).encode())


def encode(obj: dict[str, Any], message: str) -> bytes:
    out = b""
    for number, field in TABLE.messages[message].items():
        if not field.name:
            out += part(number, encode(obj, field.type))
        elif field.name in obj:
            value = obj[field.name]
            entries = value if field.shape == "list" else [value]
            if field.shape == "map":
                entries = [
                    part(1, key.encode()) + whole(2, field.type, one) for key, one in sorted(value.items())
                ]
                out += b"".join(part(number, entry) for entry in entries)
            elif field.shape == "map of lists":
                for key, items in sorted(value.items()):
                    listed = b"".join(part(1, item.encode()) for item in items)
                    out += part(number, part(1, key.encode()) + part(2, listed))
            else:
                out += b"".join(whole(number, field.type, one) for one in entries)
    return out


def whole(number: int, type_: str, value: Any) -> bytes:
    return part(number, encode(value, type_)) if type_ in TABLE.messages else scalar(number, type_, value)


def sample(message: str, depth: int = 0) -> dict[str, Any]:
    """An object with every field set, as deep as it makes sense."""
    obj: dict[str, Any] = {}
    for field in TABLE.messages[message].values():
        if field.type in TABLE.messages:
            if depth >= DEEPEST:
                continue
            value: Any = sample(field.type, depth + 1)
            if not field.name:
                obj.update(value)
                continue
            if not value:
                continue
        else:
            value = SAMPLES[field.type]
        shapes = {"list": [value, value], "map": {"key": value}, "map of lists": {"key": [value, value]}}
        obj[field.name] = shapes.get(field.shape, value)
    return obj


def body(api_version: str, kind: str, message: bytes) -> bytes:
    type_meta = part(1, api_version.encode()) + part(2, kind.encode())
    return b"k8s\x00" + part(1, type_meta) + part(2, message) + part(3, b"") + part(4, b"")


@pytest.mark.parametrize("named", sorted(TABLE.kinds))
def test_every_field_of_every_kind_arrives(named: str) -> None:
    message = TABLE.kinds[named]
    obj = sample(message)
    api_version, _, kind = named.rpartition(" ")
    found = protobuf.decode(body(api_version or "v1", kind, encode(obj, message)))
    assert found == {"apiVersion": api_version or "v1", "kind": kind, **obj}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (number_field(1, 0), {"replicas": 0}),
        (number_field(5, 0) + number_field(7, 0), {}),
        (part(3, b""), {}),
    ],
    ids=[
        "a pointer to zero says something",
        "zeros that Go writes unasked say nothing",
        "an empty template is none",
    ],
)
def test_zero_values(spec: bytes, expected: dict[str, Any]) -> None:
    found = protobuf.decode(body("apps/v1", "Deployment", part(2, spec)))
    assert found.get("spec", {}) == expected


def test_kinds_without_a_table_and_unknown_fields_are_refused_by_name() -> None:
    with pytest.raises(protobuf.MalformedError, match="example/v1 Thing is not understood"):
        protobuf.decode(body("example/v1", "Thing", b""))
    with pytest.raises(protobuf.MalformedError, match=r"field 99 of core/v1\.Pod"):
        protobuf.decode(body("v1", "Pod", part(99, b"x")))


@given(st.binary(max_size=200), st.sampled_from(["v1 Pod", "apps/v1 Deployment", "batch/v1 Job"]))
def test_nonsense_is_refused_and_nothing_else_happens(data: bytes, named: str) -> None:
    api_version, _, kind = named.rpartition(" ")
    found: dict[str, Any] = {"kind": kind}
    with contextlib.suppress(protobuf.MalformedError):
        found = protobuf.decode(body(api_version, kind, data))
    assert found["kind"] == kind


def test_messages_nested_without_end_are_refused() -> None:
    schema = b""
    for _ in range(200):
        schema = part(2, schema)
    with pytest.raises(protobuf.MalformedError):
        protobuf.decode(body("v1", "Pod", schema))
