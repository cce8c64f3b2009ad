"""The free texts in which the pods of one template differ: arguments, and values of environment variables.

Called by `PodStrategy` for `templates`. A gang's pods say their rank in a variable, a sweep's tasks their
part in an argument; nothing here looks at such a text, so a spec is the same template whatever it says. Empty
values, and variables that also name a source, are left alone: there it matters whether there is a value.
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
    mapped = {**spec}
    for name in _LISTS:
        containers = spec.get(name)
        if isinstance(containers, list):
            mapped[name] = [_container(one, change) for one in containers]
    return mapped


def _container(container: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(container, dict):
        return container
    mapped = {**container}
    args, env = container.get("args"), container.get("env")
    if isinstance(args, list):
        mapped["args"] = [change(one) if isinstance(one, str) else one for one in args]
    if isinstance(env, list):
        mapped["env"] = [
            {**one, "value": change(value)}
            if isinstance(one, dict)
            and isinstance(value := one.get("value"), str)
            and value
            and "valueFrom" not in one
            else one
            for one in env
        ]
    return mapped
