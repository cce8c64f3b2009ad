"""The free texts in which the pods of one template differ: values of environment variables.

Called by `PodStrategy` for `templates`. A gang's pods say their rank in a variable; nothing here looks at
such a value, so a spec is the same template whatever it says. Empty values, and variables that also name a
source, are left alone: there it matters whether there is a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

_LISTS = ("containers", "initContainers")
_WORD = "-"
"""Stands for any value; not empty, since empty values are dropped on the way."""


def without(spec: Json) -> tuple[Json, tuple[str, ...]]:
    """The spec with the same word for every value, and the values in their order."""
    texts: list[str] = []

    def take(value: str) -> str:
        texts.append(value)
        return _WORD

    return _mapped(spec, take), tuple(texts)


def filled(spec: Json, texts: tuple[str, ...]) -> Json:
    """A spec made by `without`, with other values."""
    waiting: Iterator[str] = iter(texts)
    return _mapped(spec, lambda _: next(waiting))


def _mapped(spec: Json, change: Callable[[str], str]) -> Json:
    """The spec with `change` done to each value; the rest is shared, not copied."""
    lists = {
        name: [_container(one, change) for one in spec[name]]
        for name in _LISTS
        if isinstance(spec.get(name), list)
    }
    return {**spec, **lists}


def _container(container: Any, change: Callable[[str], str]) -> Any:
    env = container.get("env") if isinstance(container, dict) else None
    if not isinstance(env, list):
        return container
    return {**container, "env": [_variable(one, change) for one in env]}


def _variable(variable: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(variable, dict) or "valueFrom" in variable:
        return variable
    value = variable.get("value")
    return {**variable, "value": change(value)} if isinstance(value, str) and value else variable
