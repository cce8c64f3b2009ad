"""Fields that a body names twice. JSON and YAML decoders keep the last; Kubernetes says that it happened.

Called by `bodies` for every write. A JSON body without escapes or odd numbers, as most are, is cleared
by one encoding: without its white space it is what its value is written as.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import yaml

_LONGEST_LIST = 100


def in_json(body: bytes, value: Any) -> list[str]:
    """Paths of the fields that stand twice in `body`, whose value is `value`."""
    try:
        if msgspec.json.format(body, indent=-1) == msgspec.json.encode(value):
            return []  # nothing was dropped in decoding
    except msgspec.DecodeError:
        return []  # YAML that looks like JSON
    marked: list[tuple[int, str]] = []
    held: list[Any] = []  # so that no marked object goes and another gets its id

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, one in pairs:
            if key in made:
                marked.append((id(made), key))
                held.append(made)
            made[key] = one
        return made

    try:
        whole = json.loads(body, object_pairs_hook=keep)
    except (ValueError, RecursionError):
        return []
    return _paths(whole, marked) if marked else []


def in_yaml(body: bytes) -> list[str]:
    """The same for YAML. Raises yaml.YAMLError if it cannot be read."""
    found: list[str] = []
    _look(yaml.compose(body, Loader=yaml.CSafeLoader), "", found.append)
    return sorted(dict.fromkeys(found))[:_LONGEST_LIST]


def _paths(whole: Any, marked: list[tuple[int, str]]) -> list[str]:
    """Where the marked objects are in the whole."""
    wanted: dict[int, list[str]] = {}
    for identity, key in marked:
        wanted.setdefault(identity, []).append(key)
    found: list[str] = []
    waiting: list[tuple[Any, str]] = [(whole, "")]
    while waiting:
        value, where = waiting.pop()
        if isinstance(value, dict):
            found += [_join(where, key) for key in wanted.get(id(value), ())]
            waiting += [
                (one, _join(where, key)) for key, one in value.items() if isinstance(one, dict | list)
            ]
        else:
            waiting += [(one, f"{where}[{i}]") for i, one in enumerate(value) if isinstance(one, dict | list)]
    return sorted(dict.fromkeys(found))[:_LONGEST_LIST]


def _look(node: yaml.Node | None, where: str, found: Callable[[str], None]) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            path = _join(where, name)
            if name in seen:
                found(path)
            seen.add(name)
            _look(value, path, found)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _look(value, f"{where}[{index}]", found)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
