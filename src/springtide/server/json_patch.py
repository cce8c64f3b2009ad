"""JSON Patch (RFC 6902): `application/json-patch+json`.

Where the RFC and kube-apiserver part, this follows kube-apiserver: a member of an object that is not there
can be replaced, and copies and tests as null.

Called by the server's patch verb. The document handed in is never changed: every operation copies only the
containers on its way, so a failed patch leaves nothing half done and untouched parts stay shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

MAX_OPERATIONS = 10_000
"""The limit kube-apiserver puts on one JSON patch."""
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""How much all `copy` operations of one patch may copy: a few could double an object many times over."""


class PatchError(ValueError):
    """A patch that cannot be applied: `field` says where, `rule` what was broken.

    `malformed` tells a patch that no document could take (400 Bad Request) from one that does not
    fit this document (422 Invalid); `too_large` one that asks for too much (413).
    """

    def __init__(self, field: str, rule: str, *, malformed: bool = False, too_large: bool = False) -> None:
        super().__init__(f"{field}: {rule}" if field else rule)
        self.field = field
        self.rule = rule
        self.malformed = malformed
        self.too_large = too_large


def apply_json_patch(doc: Any, operations: Any) -> Any:
    """The document after all operations, in order. Raises `PatchError`; then nothing has changed."""
    if not isinstance(operations, list):
        raise PatchError("", "a JSON patch must be a list of operations", malformed=True)
    if len(operations) > MAX_OPERATIONS:
        rule = f"a JSON patch may have at most {MAX_OPERATIONS} operations, got {len(operations)}"
        raise PatchError("", rule, too_large=True)
    copied = _Copied()
    for index, operation in enumerate(operations):
        doc = _apply_one(doc, operation, f"[{index}]", copied)
    return doc


@dataclass
class _Copied:
    """How much one patch has copied so far."""

    size_bytes: int = 0

    def count(self, value: Any, where: str) -> None:
        self.size_bytes += len(msgspec.json.encode(value))
        if self.size_bytes > MAX_COPIED_BYTES:
            raise PatchError(where, f"the patch copies more than {MAX_COPIED_BYTES} bytes", too_large=True)


def json_equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(json_equal(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(json_equal, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _apply_one(doc: Any, operation: Any, where: str, copied: _Copied) -> Any:
    if not isinstance(operation, dict):
        raise PatchError(where, "an operation must be an object with op and path", malformed=True)
    if operation.get("op") == "copy":
        return _copy(doc, operation, where, copied)
    apply = _OPERATIONS.get(str(operation.get("op")))
    if apply is None:
        rule = f"unknown operation {operation.get('op')!r}; use one of {', '.join([*_OPERATIONS, 'copy'])}"
        raise PatchError(f"{where}.op", rule, malformed=True)
    return apply(doc, operation, where)


def _add(doc: Any, operation: dict[str, Any], where: str) -> Any:
    return _insert(doc, _pointer(operation, "path", where), _value(operation, where), where)


def _remove(doc: Any, operation: dict[str, Any], where: str) -> Any:
    return _delete(doc, _pointer(operation, "path", where), where)


def _replace(doc: Any, operation: dict[str, Any], where: str) -> Any:
    path = _pointer(operation, "path", where)
    _find(doc, path, where, or_null=True)
    value = _value(operation, where)
    if not path:
        return value
    return _edit(doc, path, lambda parent, token: _assign(parent, token, value), where)


def _move(doc: Any, operation: dict[str, Any], where: str) -> Any:
    source, target = _pointer(operation, "from", where), _pointer(operation, "path", where)
    if target[: len(source)] == source and len(target) > len(source):
        raise PatchError(f"{where}.path", "a value cannot be moved into itself", malformed=True)
    value = _find(doc, source, where)
    if source == target:
        return doc
    return _insert(_delete(doc, source, where), target, value, where)


def _copy(doc: Any, operation: dict[str, Any], where: str, copied: _Copied) -> Any:
    source, target = _pointer(operation, "from", where), _pointer(operation, "path", where)
    value = _find(doc, source, where, or_null=True)
    copied.count(value, where)
    return _insert(doc, target, value, where)


def _test(doc: Any, operation: dict[str, Any], where: str) -> Any:
    path = _pointer(operation, "path", where)
    expected, found = operation.get("value"), _find(doc, path, where, or_null=True)
    if not json_equal(found, expected):
        raise PatchError(f"{where}.value", f"test failed: {_show(path)} is {found!r}, not {expected!r}")
    return doc


_OPERATIONS: dict[str, Callable[[Any, dict[str, Any], str], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "test": _test,
}


def _pointer(operation: dict[str, Any], name: str, where: str) -> list[str]:
    """The tokens of a JSON pointer (RFC 6901)."""
    pointer = operation.get(name)
    if not isinstance(pointer, str):
        raise PatchError(f"{where}.{name}", "required: a JSON pointer such as /spec/replicas", malformed=True)
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise PatchError(
            f"{where}.{name}", f"{pointer!r} is no JSON pointer: start it with /", malformed=True
        )
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _value(operation: dict[str, Any], where: str) -> Any:
    if "value" not in operation:
        raise PatchError(f"{where}.value", f"{operation['op']} needs a value", malformed=True)
    return operation["value"]


def _find(doc: Any, path: list[str], where: str, *, or_null: bool = False) -> Any:
    """What is at `path`; with `or_null`, None for a missing member of an object that is there."""
    for depth, token in enumerate(path):
        if isinstance(doc, dict) and token in doc:
            doc = doc[token]
        elif or_null and isinstance(doc, dict) and depth == len(path) - 1:
            return None
        elif isinstance(doc, list):
            doc = doc[_index(token, len(doc) - 1, path[: depth + 1], where)]
        else:
            raise _missing(path[: depth + 1], where)
    return doc


def _insert(doc: Any, path: list[str], value: Any, where: str) -> Any:
    if not path:
        return value

    def insert(parent: Any, token: str) -> Any:
        if isinstance(parent, dict):
            return {**parent, token: value}
        index = len(parent) if token == "-" else _index(token, len(parent), path, where)
        return [*parent[:index], value, *parent[index:]]

    return _edit(doc, path, insert, where)


def _delete(doc: Any, path: list[str], where: str) -> Any:
    _find(doc, path, where)
    if not path:
        return None

    def delete(parent: Any, token: str) -> Any:
        if isinstance(parent, dict):
            return {key: value for key, value in parent.items() if key != token}
        return [*parent[: int(token)], *parent[int(token) + 1 :]]

    return _edit(doc, path, delete, where)


def _edit(doc: Any, path: list[str], change: Callable[[Any, str], Any], where: str, depth: int = 0) -> Any:
    """Copy the containers along `path` and let `change` make the last one anew."""
    if not isinstance(doc, dict | list):
        raise _missing(path[: depth + 1], where)
    token = path[depth]
    if depth == len(path) - 1:
        return change(doc, token)
    if isinstance(doc, dict):
        if token not in doc:
            raise _missing(path[: depth + 1], where)
        return {**doc, token: _edit(doc[token], path, change, where, depth + 1)}
    index = _index(token, len(doc) - 1, path[: depth + 1], where)
    return _assign(doc, token, _edit(doc[index], path, change, where, depth + 1))


def _assign(parent: Any, token: str, value: Any) -> Any:
    if isinstance(parent, dict):
        return {**parent, token: value}
    copy = list(parent)
    copy[int(token)] = value
    return copy


def _index(token: str, last: int, path: list[str], where: str) -> int:
    if not (token.isascii() and token.isdigit()) or (token[0] == "0" and token != "0"):
        raise PatchError(f"{where}.path", f"{_show(path)}: {token!r} is no list index")
    if int(token) > last:
        raise PatchError(f"{where}.path", f"{_show(path)}: index {token} is beyond the end of the list")
    return int(token)


def _missing(path: list[str], where: str) -> PatchError:
    return PatchError(f"{where}.path", f"{_show(path)} does not exist in the object")


def _show(path: list[str]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path) or '""'
