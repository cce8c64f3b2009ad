"""Rules of Secret and ConfigMap: keys, sizes, what each type of secret must hold, and `immutable`.

Listed in `admission.STRATEGIES`. Rules and messages: Kubernetes' core validation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from springtide.server.container_rules import config_key_fault
from springtide.server.schema_rules import TYPE_INVALID, FieldError
from springtide.server.status import bad_value, forbidden_field, required
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_ONE_MIB = 1024 * 1024
_REDACTED = "<secret contents redacted>"
_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_MUST_HOLD = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_LOGIN = ("username", "password")


class SecretStrategy(Strategy):
    """v1 Secret: `stringData` is folded into `data`; an immutable one stays as it is."""

    selectable_fields = {"type": "type"}

    def default(self, obj: Json) -> None:
        if not obj.get("type"):
            obj["type"] = "Opaque"
        _unwrap(obj, "data")
        text = obj.pop("stringData", None)
        if text:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        data, errors = {}, []
        for key, value in (obj.get("data") or {}).items():
            if fault := config_key_fault(key):
                errors.append(bad_value(f"data[{key}]", key, fault))
            found = _decoded(value)
            if found is None:
                return [_no_base64(f"data[{key}]", "stringData")]
            data[key] = found
        if sum(map(len, data.values())) > _ONE_MIB:
            errors.append(_too_long("data"))
        return errors or list(_type_errors(obj, data))

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        errors = immutable_errors(new, old, ("data",))
        if new.get("type") != old.get("type"):
            errors.append(bad_value("type", new.get("type"), "field is immutable"))
        return errors


class ConfigMapStrategy(Strategy):
    """v1 ConfigMap."""

    def default(self, obj: Json) -> None:
        _unwrap(obj, "binaryData")

    def validate(self, obj: Json) -> Sequence[FieldError]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        errors: list[FieldError] = []
        for part, values in (("data", data), ("binaryData", binary)):
            errors += [
                bad_value(f"{part}[{key}]", key, fault) for key in values if (fault := config_key_fault(key))
            ]
        rule = "duplicate of key present in binaryData"
        errors += [bad_value(f"data[{key}]", key, rule) for key in sorted(data.keys() & binary.keys())]
        size = sum(len(value.encode()) for value in data.values())
        for key, value in binary.items():
            found = _decoded(value)
            if found is None:
                return [_no_base64(f"binaryData[{key}]", "data")]
            size += len(found)
        return [*errors, _too_long("[]")] if size > _ONE_MIB else errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return immutable_errors(new, old, ("data", "binaryData"))


def immutable_errors(new: Json, old: Json, parts: tuple[str, ...]) -> list[FieldError]:
    """What of an object that was made immutable has changed."""
    if not old.get("immutable"):
        return []
    rule = "field is immutable when `immutable` is set"
    errors = [] if new.get("immutable") else [forbidden_field("immutable", rule)]
    return errors + [
        forbidden_field(part, rule) for part in parts if (new.get(part) or {}) != (old.get(part) or {})
    ]


def _unwrap(obj: Json, part: str) -> None:
    """Line breaks in base64 mean nothing and are not kept, in place."""
    values = obj.get(part) or {}
    plain = {
        key: value.replace("\n", "").replace("\r", "")
        for key, value in values.items()
        if value and ("\n" in value or "\r" in value)
    }
    if plain:
        obj[part] = {**values, **plain}


def _decoded(text: str | None) -> bytes | None:
    """None for what is no base64."""
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        return None


def _no_base64(field: str, plain: str) -> FieldError:
    return FieldError(TYPE_INVALID, field, f"Invalid value: must be base64; put plain text into {plain}")


def _type_errors(secret: Json, data: dict[str, bytes]) -> Iterator[FieldError]:
    kind = secret.get("type")
    if kind == "kubernetes.io/service-account-token":
        if not (secret["metadata"].get("annotations") or {}).get(_ACCOUNT_NAME):
            yield required(f"metadata.annotations[{_ACCOUNT_NAME}]")
    elif kind == "kubernetes.io/basic-auth":
        if not any(key in data for key in _LOGIN):
            yield from (required(f"data[{key}]") for key in _LOGIN)
    elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        yield required("data[ssh-privatekey]")
    for key in _MUST_HOLD.get(str(kind), ()):
        if key not in data:
            yield required(f"data[{key}]")
        elif key.startswith(".docker"):
            yield from _json_errors(data[key], f"data[{key}]")


def _json_errors(value: bytes, field: str) -> Iterator[FieldError]:
    try:
        msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        yield bad_value(field, _REDACTED, str(error))


def _too_long(field: str) -> FieldError:
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {_ONE_MIB} bytes")
