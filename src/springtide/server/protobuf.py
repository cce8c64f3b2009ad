"""Kubernetes' protobuf, as far as people meet it: what `kubectl create` and `kubectl drain` send as a body.

kubectl's typed commands (`create namespace|configmap|secret|serviceaccount|priorityclass|service`, `drain`)
speak protobuf and have no switch for JSON. Their few messages are decoded here into the same JSON objects;
answers are JSON, which they accept. Called by `bodies`. Field numbers: the `generated.proto` files of
k8s.io/api and k8s.io/apimachinery; the envelope: `runtime.Unknown` behind the prefix `k8s\\x00`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from springtide.server import protobuf_access

Json = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_PREFIX = b"k8s\x00"


class MalformedError(ValueError):
    """The bytes are no message of the kind they claim to be, or of a kind that has no table here."""


class _Field(NamedTuple):
    """How a field is called in JSON and what it holds: a scalar's name or a message's."""

    name: str
    type: str
    shape: str = "one"
    """one, list, or map (string to `type`)."""
    pointer: bool = False
    """Whether a zero value says something; other zero values are as good as absent."""


_STATUS = 3
_META = {1: _Field("metadata", "ObjectMeta")}
_MESSAGES: dict[str, dict[int, _Field]] = {
    **{
        name: {number: _Field(*row) for number, row in rows.items()}
        for name, rows in protobuf_access.MESSAGES.items()
    },
    "Unknown": {
        1: _Field("typeMeta", "TypeMeta"),
        2: _Field("raw", "raw"),
        3: _Field("contentEncoding", "string"),
        4: _Field("contentType", "string"),
    },
    "TypeMeta": {1: _Field("apiVersion", "string"), 2: _Field("kind", "string")},
    "ObjectMeta": {
        1: _Field("name", "string"),
        2: _Field("generateName", "string"),
        3: _Field("namespace", "string"),
        5: _Field("uid", "string"),
        6: _Field("resourceVersion", "string"),
        7: _Field("generation", "int"),
        8: _Field("creationTimestamp", "Time"),
        9: _Field("deletionTimestamp", "Time"),
        10: _Field("deletionGracePeriodSeconds", "int", pointer=True),
        11: _Field("labels", "string", "map"),
        12: _Field("annotations", "string", "map"),
        13: _Field("ownerReferences", "OwnerReference", "list"),
        14: _Field("finalizers", "string", "list"),
        17: _Field("managedFields", "ManagedFieldsEntry", "list"),
    },
    "ManagedFieldsEntry": {
        1: _Field("manager", "string"),
        2: _Field("operation", "string"),
        3: _Field("apiVersion", "string"),
        4: _Field("time", "Time"),
        6: _Field("fieldsType", "string"),
        7: _Field("fieldsV1", "FieldsV1", pointer=True),
        8: _Field("subresource", "string"),
    },
    "RawFields": {1: _Field("raw", "raw")},
    "OwnerReference": {
        1: _Field("kind", "string"),
        3: _Field("name", "string"),
        4: _Field("uid", "string"),
        5: _Field("apiVersion", "string"),
        6: _Field("controller", "bool", pointer=True),
        7: _Field("blockOwnerDeletion", "bool", pointer=True),
    },
    "v1 Namespace": {**_META, 2: _Field("spec", "NamespaceSpec")},
    "NamespaceSpec": {1: _Field("finalizers", "string", "list")},
    "v1 ConfigMap": {
        **_META,
        2: _Field("data", "string", "map"),
        3: _Field("binaryData", "bytes", "map"),
        4: _Field("immutable", "bool", pointer=True),
    },
    "v1 Secret": {
        **_META,
        2: _Field("data", "bytes", "map"),
        3: _Field("type", "string"),
        4: _Field("stringData", "string", "map"),
        5: _Field("immutable", "bool", pointer=True),
    },
    "v1 ServiceAccount": {
        **_META,
        2: _Field("secrets", "ObjectReference", "list"),
        3: _Field("imagePullSecrets", "LocalObjectReference", "list"),
        4: _Field("automountServiceAccountToken", "bool", pointer=True),
    },
    "ObjectReference": {
        1: _Field("kind", "string"),
        2: _Field("namespace", "string"),
        3: _Field("name", "string"),
        4: _Field("uid", "string"),
        5: _Field("apiVersion", "string"),
    },
    "LocalObjectReference": {1: _Field("name", "string")},
    "v1 Service": {**_META, 2: _Field("spec", "ServiceSpec")},
    "ServiceSpec": {
        1: _Field("ports", "ServicePort", "list"),
        2: _Field("selector", "string", "map"),
        3: _Field("clusterIP", "string"),
        4: _Field("type", "string"),
        5: _Field("externalIPs", "string", "list"),
        7: _Field("sessionAffinity", "string"),
        10: _Field("externalName", "string"),
        13: _Field("publishNotReadyAddresses", "bool"),
        18: _Field("clusterIPs", "string", "list"),
    },
    "ServicePort": {
        1: _Field("name", "string"),
        2: _Field("protocol", "string"),
        3: _Field("port", "int"),
        4: _Field("targetPort", "IntOrString"),
        5: _Field("nodePort", "int"),
    },
    "scheduling.k8s.io/v1 PriorityClass": {
        **_META,
        2: _Field("value", "int"),
        3: _Field("globalDefault", "bool"),
        4: _Field("description", "string"),
        5: _Field("preemptionPolicy", "string", pointer=True),
    },
    "policy/v1 Eviction": {**_META, 2: _Field("deleteOptions", "DeleteOptions")},
    "DeleteOptions": {
        1: _Field("gracePeriodSeconds", "int", pointer=True),
        2: _Field("preconditions", "Preconditions"),
        3: _Field("orphanDependents", "bool", pointer=True),
        4: _Field("propagationPolicy", "string", pointer=True),
        5: _Field("dryRun", "string", "list"),
    },
    "Preconditions": {1: _Field("uid", "string"), 2: _Field("resourceVersion", "string")},
    "Timestamp": {1: _Field("seconds", "int"), 2: _Field("nanos", "int")},
    "Port": {1: _Field("type", "int"), 2: _Field("number", "int"), 3: _Field("text", "string")},
}
_VERSIONED_OPTIONS = " DeleteOptions"
"""DeleteOptions come in the version of the kind they delete."""


def decode(body: bytes) -> Json:
    """The JSON object of a body. Raises MalformedError saying what is wrong with it."""
    if not body.startswith(_PREFIX):
        raise MalformedError("the body does not start with the prefix of Kubernetes' protobuf")
    envelope = _message(body[len(_PREFIX) :], "Unknown")
    type_meta = envelope.get("typeMeta", {})
    api_version, kind = type_meta.get("apiVersion", ""), type_meta.get("kind", "")
    name = f"{api_version} {kind}"
    table = "DeleteOptions" if name.endswith(_VERSIONED_OPTIONS) else name
    if table not in _MESSAGES or " " not in name:
        raise MalformedError(f"{name} is not understood as protobuf here; send application/json")
    return {"apiVersion": api_version, "kind": kind, **_message(envelope.get("raw", b""), table)}


def _message(data: bytes, name: str) -> Json:
    """Fields that Go writes although they are zero, and status of whole objects, which a create never sets,
    need no place in the table; anything else that has none is refused rather than lost."""
    fields = _MESSAGES[name]
    found: Json = {}
    for number, value in _pairs(data):
        field = fields.get(number)
        if field is None:
            if not value or (number == _STATUS and 1 in fields and fields[1].name == "metadata"):
                continue
            raise MalformedError(f"field {number} of {name} is not known here; send application/json")
        if field.shape == "map":
            found.setdefault(field.name, {}).update(_entry(value, field.type))
        elif field.shape == "list":
            found.setdefault(field.name, []).append(_value(value, field.type))
        else:
            decoded = _value(value, field.type)
            if field.pointer or decoded:
                found[field.name] = decoded
    return found


def _entry(data: bytes | int, type_: str) -> Json:
    pairs = dict(_pairs(_bytes(data)))
    return {_value(pairs.get(1, b""), "string"): _value(pairs.get(2, b""), type_)}


def _value(value: bytes | int, type_: str) -> Any:
    scalar = _SCALARS.get(type_)
    return scalar(value) if scalar is not None else _message(_bytes(value), type_)


def _pairs(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers and raw values, in order. Kubernetes uses two wire types: varint and length-delimited."""
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
    if not stamp:
        return None
    return datetime.fromtimestamp(stamp.get("seconds", 0), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fields_v1(value: bytes | int) -> Json:
    raw = _message(_bytes(value), "RawFields").get("raw", b"{}")
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise MalformedError(f"fieldsV1 is not a JSON object: {error}") from error


def _int_or_string(value: bytes | int) -> int | str:
    port = _message(_bytes(value), "Port")
    return str(port.get("text", "")) if port.get("type") else int(port.get("number", 0))


_SCALARS: dict[str, Callable[[bytes | int], Any]] = {
    "string": _string,
    "int": _int,
    "bool": lambda value: bool(_int(value)),
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "raw": _bytes,
    "Time": _time,
    "IntOrString": _int_or_string,
    "FieldsV1": _fields_v1,
    "Extra": lambda value: _message(_bytes(value), "ExtraValue").get("items", []),
}
