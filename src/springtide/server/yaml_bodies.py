"""YAML bodies of requests: the values that Kubernetes' YAML reader would make of them, at a bounded cost.

libyaml's own composer calls itself once a level, so that a body of nothing but brackets would end the
process; and a few aliases of aliases stand for billions of values. So the events of a body, which cost no
depth, are counted before it is read. Called by `bodies`.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

MAX_DEPTH = 200
"""Collections within collections; the deepest kind there is needs a tenth of it."""
MAX_VALUES = 200_000
"""Values of one body, every alias counted as all it stands for."""
_LONGEST_NUMBER = 400


class YamlError(ValueError):
    """The text is no YAML, or YAML that stands for no JSON value, or for too many."""


class _Loader(yaml.CSafeLoader):
    """Timestamps stay strings, as in JSON, and so does `1:30`, which YAML 1.1 calls a number."""


def _text(loader: yaml.CSafeLoader, node: yaml.ScalarNode) -> object:
    return loader.construct_scalar(node)


def _number(loader: yaml.CSafeLoader, node: yaml.ScalarNode) -> object:
    if ":" in node.value:
        return node.value
    if len(node.value) > _LONGEST_NUMBER:
        raise YamlError(f"a number of {len(node.value)} digits is too long")
    read = loader.construct_yaml_int if node.tag.endswith(":int") else loader.construct_yaml_float
    try:
        return read(node)
    except (ValueError, OverflowError) as error:
        raise YamlError(f"{node.value!r} is no number: {error}") from error


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def load(body: bytes) -> Any:
    """The JSON value of a body. Raises YamlError."""
    try:
        _check_size(body)
        return _plain(yaml.load(body, Loader=_Loader))  # a safe loader: it makes plain values only
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlError(str(error)) from error
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        if isinstance(error, YamlError):
            raise
        raise YamlError(f"a value does not fit its tag: {error}") from error  # such as `!!int x`


def _check_size(body: bytes) -> None:
    """Raise YamlError if the body is nested too deeply or stands for too many values."""
    total = 0
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    for event in yaml.parse(body, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            if event.anchor:
                sizes.pop(event.anchor, None)
            if len(opened) > MAX_DEPTH:
                raise YamlError(f"it is nested deeper than {MAX_DEPTH}")
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise YamlError(f"the alias {event.anchor} stands for nothing that ends before it")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if total > MAX_VALUES:
            raise YamlError(f"it stands for more than {MAX_VALUES} values")


def _plain(value: Any) -> Any:
    """The value with keys that are texts, and with nothing shared."""
    if isinstance(value, dict):
        return {_key(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise YamlError(f"{value} has no place in JSON")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    raise YamlError(f"a {type(value).__name__} has no place in JSON")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, int | float):
        return str(key)
    raise YamlError(f"{key!r} cannot be the name of a field")
