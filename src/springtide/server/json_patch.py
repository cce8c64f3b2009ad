"""JSON Patch (RFC 6902): `application/json-patch+json`.

Where the RFC and kube-apiserver part, this follows kube-apiserver: a member of an object that is not there
can be replaced, and copies and tests as null.

Called by the server's patch verb. The document handed in is never changed: the containers on the way of an
operation are copied, once a patch, and untouched parts stay shared. Thousands of operations on one long list
cost as much as they are many, not as the list is long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from springtide.api.numbers import whole_number

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
    draft = _Draft(doc)
    for index, operation in enumerate(operations):
        _apply_one(draft, operation, f"[{index}]")
    return draft.doc


@dataclass
class _Draft:
    """The document as it becomes."""

    doc: Any
    _own: set[int] = field(default_factory=set)
    """Identities of the containers that this patch has made, each in one place: they may be changed."""
    _whole: set[int] = field(default_factory=set)
    """Those of them in which nothing is the document's that was handed in, however deep."""
    _copied_bytes: int = 0

    def parent(self, path: list[str], where: str) -> Any:
        """The container that holds, or will hold, the value at `path`: one that may be changed."""
        if not isinstance(self.doc, dict | list):
            raise _missing(path[:1], where)
        node = self.doc = self._owned(self.doc)
        for depth, token in enumerate(path[:-1]):
            key: Any = token
            if isinstance(node, list):
                key = _index(token, len(node) - 1, path[: depth + 1], where)
            elif token not in node:
                raise _missing(path[: depth + 1], where)
            if not isinstance(node[key], dict | list):
                raise _missing(path[: depth + 2], where)
            node[key] = node = self._owned(node[key])
        return node

    def copy(self, value: Any, where: str) -> Any:
        """A value that may stand in a second place."""
        text = msgspec.json.encode(value)
        self._copied_bytes += len(text)
        if self._copied_bytes > MAX_COPIED_BYTES:
            raise PatchError(where, f"the patch copies more than {MAX_COPIED_BYTES} bytes", too_large=True)
        return msgspec.json.decode(text)

    def detached(self, value: Any) -> Any:
        """A value that comes to another place: there it is not what the document handed in holds."""
        if not isinstance(value, dict | list) or id(value) in self._whole:
            return value
        made = msgspec.json.decode(msgspec.json.encode(value))
        self._own.add(id(made))
        self._whole.add(id(made))
        return made

    def _owned(self, container: Any) -> Any:
        if id(container) in self._own:
            return container
        made = container.copy()
        self._own.add(id(made))
        return made


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


def _apply_one(draft: _Draft, operation: Any, where: str) -> None:
    if not isinstance(operation, dict):
        raise PatchError(where, "an operation must be an object with op and path", malformed=True)
    apply = _OPERATIONS.get(str(operation.get("op")))
    if apply is None:
        rule = f"unknown operation {operation.get('op')!r}; use one of {', '.join(_OPERATIONS)}"
        raise PatchError(f"{where}.op", rule, malformed=True)
    apply(draft, operation, where)


def _add(draft: _Draft, operation: dict[str, Any], where: str) -> None:
    _insert(draft, _pointer(operation, "path", where), _value(operation, where), where)


def _remove(draft: _Draft, operation: dict[str, Any], where: str) -> None:
    _delete(draft, _pointer(operation, "path", where), where)


def _replace(draft: _Draft, operation: dict[str, Any], where: str) -> None:
    path = _pointer(operation, "path", where)
    _find(draft.doc, path, where, or_null=True)
    value = _value(operation, where)
    if not path:
        draft.doc = value
        return
    parent = draft.parent(path, where)
    parent[path[-1] if isinstance(parent, dict) else int(path[-1])] = value


def _move(draft: _Draft, operation: dict[str, Any], where: str) -> None:
    source, target = _pointer(operation, "from", where), _pointer(operation, "path", where)
    if target[: len(source)] == source and len(target) > len(source):
        raise PatchError(f"{where}.path", "a value cannot be moved into itself", malformed=True)
    value = _find(draft.doc, source, where)
    if source == target:
        return
    _delete(draft, source, where)
    _insert(draft, target, draft.detached(value), where)


def _copy(draft: _Draft, operation: dict[str, Any], where: str) -> None:
    source, target = _pointer(operation, "from", where), _pointer(operation, "path", where)
    value = _find(draft.doc, source, where, or_null=True)
    _insert(draft, target, draft.copy(value, where), where)


def _test(draft: _Draft, operation: dict[str, Any], where: str) -> None:
    path = _pointer(operation, "path", where)
    expected, found = operation.get("value"), _find(draft.doc, path, where, or_null=True)
    if not json_equal(found, expected):
        raise PatchError(f"{where}.value", f"test failed: {_show(path)} is {found!r}, not {expected!r}")


_OPERATIONS: dict[str, Callable[[_Draft, dict[str, Any], str], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "test": _test,
    "copy": _copy,
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


def _insert(draft: _Draft, path: list[str], value: Any, where: str) -> None:
    if not path:
        draft.doc = value
        return
    parent = draft.parent(path, where)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        parent.insert(len(parent) if path[-1] == "-" else _index(path[-1], len(parent), path, where), value)


def _delete(draft: _Draft, path: list[str], where: str) -> None:
    _find(draft.doc, path, where)
    if not path:
        draft.doc = None
        return
    parent = draft.parent(path, where)
    del parent[path[-1] if isinstance(parent, dict) else int(path[-1])]


def _index(token: str, last: int, path: list[str], where: str) -> int:
    if not (token.isascii() and token.isdigit()) or (token[0] == "0" and token != "0"):
        raise PatchError(f"{where}.path", f"{_show(path)}: {token!r} is no list index")
    index = whole_number(token)
    if index is None or index > last:
        raise PatchError(f"{where}.path", f"{_show(path)}: index {token} is beyond the end of the list")
    return index


def _missing(path: list[str], where: str) -> PatchError:
    return PatchError(f"{where}.path", f"{_show(path)} does not exist in the object")


def _show(path: list[str]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path) or '""'
