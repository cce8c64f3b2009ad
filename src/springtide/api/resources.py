"""Which kinds exist, and how each is addressed: group, version, plural, scope.

A kind registers itself with the `resource` decorator where it is declared; the client builds its
paths from here, the server serves the built-in ones, and CRDs are generated for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from springtide.api.meta import Object

T = TypeVar("T", bound=Object)

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Column:
    """A printer column of `kubectl get`: `priority` above 0 shows only with `-o wide`."""

    name: str
    type: str
    json_path: str
    description: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Resource:
    """How a kind is addressed and what its CRD says."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    """Whether the kind has a status subresource."""
    builtin: bool = False
    """Built-in kinds are compiled into every API server; the others are served from CRDs."""
    columns: tuple[Column, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    """What can be done with it, as discovery says."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; without a namespace, that of all namespaces (or of a cluster-scoped kind)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


_by_type: dict[type[Object], Resource] = {}
_by_kind: dict[tuple[str, str], type[Object]] = {}


def resource(
    *,
    plural: str,
    namespaced: bool = True,
    short_names: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    builtin: bool = False,
    columns: tuple[Column, ...] = (),
) -> Callable[[type[T]], type[T]]:
    """Register an `Object` subclass whose `api_version` and `kind` defaults say what it is."""

    def register(kind: type[T]) -> type[T]:
        sample = kind.__struct_defaults__
        defaults = dict(zip(kind.__struct_fields__[-len(sample) :], sample, strict=True))
        group, _, version = str(defaults["api_version"]).rpartition("/")
        found = Resource(
            group=group,
            version=version,
            kind=str(defaults["kind"]),
            plural=plural,
            namespaced=namespaced,
            short_names=short_names,
            categories=categories,
            status="status" in kind.__struct_fields__,
            builtin=builtin,
            columns=columns,
        )
        _by_type[kind] = found
        _by_kind[(found.api_version, found.kind)] = kind
        return kind

    return register


def resource_of(kind: type[Object]) -> Resource:
    """The resource of a registered type. Raises KeyError for a type that was never registered."""
    return _by_type[kind]


def type_of(api_version: str, kind: str) -> type[Object] | None:
    """The typed class of a kind, or None for a kind only the server's discovery knows."""
    return _by_kind.get((api_version, kind))


def registered() -> tuple[type[Object], ...]:
    """All registered kinds of the modules imported so far (`import springtide.api` imports all)."""
    return tuple(_by_type)
