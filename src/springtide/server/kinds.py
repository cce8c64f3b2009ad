"""The kinds this server serves: built-in ones from `springtide.api`, others from CustomResourceDefinitions.

A `ServedKind` is all that the verbs, discovery, OpenAPI and tables need to know of one kind in one version.
`Kinds` is the registry; CRDs come and go in it the moment they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from springtide.api.meta import Object
from springtide.api.resources import Column
from springtide.server.conversion import Conversion
from springtide.server.schema import FieldError, Schema
from springtide.server.schema_rules import DUPLICATE, REQUIRED
from springtide.server.strategy import Strategy

_COUNTED = frozenset(
    {
        "pods",
        "podtemplates",
        "replicationcontrollers",
        "apiextensions.k8s.io/customresourcedefinitions",
        "apps/daemonsets",
        "apps/deployments",
        "apps/replicasets",
        "apps/statefulsets",
        "batch/cronjobs",
        "batch/jobs",
        "discovery.k8s.io/endpointslices",
        "networking.k8s.io/ingressclasses",
        "networking.k8s.io/ingresses",
        "networking.k8s.io/networkpolicies",
        "policy/poddisruptionbudgets",
        "resource.k8s.io/deviceclasses",
        "resource.k8s.io/resourceslices",
        "scheduling.k8s.io/podgroups",
        "scheduling.k8s.io/priorityclasses",
        "scheduling.k8s.io/workloads",
    }
)
"""The built-in kinds that have `metadata.generation`, as in Kubernetes."""
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, eq=False)
class ServedKind:
    """One kind in one served version. `schema` is its OpenAPI v3 schema, `validator` the same compiled."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    schema: dict[str, Any]
    validator: Schema
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    status: bool = False
    subresources: tuple[str, ...] = ()
    """Subresources beyond status: binding, log, finalize …"""
    verbs: tuple[str, ...] = VERBS
    """What can be done with its objects; only `create` for questions that are never stored."""
    builtin: bool = True
    storage_version: str = ""
    """The version objects are stored in (same group); equal to `version` for built-in kinds."""
    definitions: dict[str, Any] = field(default_factory=dict)
    """Named schemas that `schema` refers to."""
    strategy: Strategy = field(default_factory=Strategy)
    selectable_fields: dict[str, str] = field(default_factory=dict)
    """Field-selector keys of a CRD: key -> dotted path."""
    scale: dict[str, str] = field(default_factory=dict)
    """JSON paths of the scale subresource (specReplicasPath …); empty: the kind has none."""
    conversion: Conversion | None = None
    """For a kind that is stored as another one."""
    on_read: Callable[[dict[str, Any]], None] | None = None
    """Makes a stored object one of today's schema, in place; None where none can differ."""
    on_store: Callable[[dict[str, Any]], object] | None = None
    """Takes from an object, in place, what the version it is stored in has no place for."""
    typed: type[Object] | None = None
    """The class of a built-in kind."""
    warning: str = ""
    """Sent with every answer, for deprecated versions."""

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def stored_api_version(self) -> str:
        if self.conversion is not None:
            return self.conversion.api_version
        version = self.storage_version or self.version
        return f"{self.group}/{version}" if self.group else version

    @cached_property
    def counts_generations(self) -> bool:
        """Whether objects count changes of what the user wants: custom ones, and some built-in kinds."""
        return not self.builtin or self.resource in _COUNTED

    def errors(self, obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[FieldError]:
        """What the schema finds wrong. With `old`, unchanged parts are let through.

        A built-in kind's schema calls fields required that Kubernetes always writes, but fills with a zero
        value when a client leaves them out; what nothing can stand in for, the class says.
        """
        found = self.validator.validate(obj, old)
        if not found or self.typed is None:
            return found
        found = [error for error in found if error.reason != DUPLICATE]  # a matter of each kind's own rules
        if found and _decodes(obj, self.typed):
            return [error for error in found if error.reason != REQUIRED]
        return found

    @property
    def all_subresources(self) -> tuple[str, ...]:
        """Every subresource, status and scale included."""
        listed = [*self.subresources]
        if self.status:
            listed.append("status")
        if self.scale:
            listed.append("scale")
        return tuple(sorted(listed))

    @cached_property
    def resource(self) -> str:
        """The collection in the store; the same for all versions."""
        if self.conversion is not None:
            return self.conversion.resource
        return f"{self.group}/{self.plural}" if self.group else self.plural

    @cached_property
    def qualified_plural(self) -> str:
        """How messages name it: `pods`, `trainjobs.trainer.kubeflow.org`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _decodes(obj: dict[str, Any], kind: type[Object]) -> bool:
    try:
        msgspec.convert(obj, kind)
    except msgspec.ValidationError:
        return False
    return True


class Kinds:
    """All served kinds, by what a path says of them."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], ServedKind] = {}
        self.generation = 0
        """Grows with every change, so that discovery and OpenAPI documents can be cached."""

    def add(self, kind: ServedKind) -> None:
        self._by_path[(kind.group, kind.version, kind.plural)] = kind
        self.generation += 1

    def remove(self, group: str, plural: str) -> None:
        """Stop serving a kind in every version."""
        for path in [path for path in self._by_path if path[0] == group and path[2] == plural]:
            del self._by_path[path]
        self.generation += 1

    def find(self, group: str, version: str, plural: str) -> ServedKind | None:
        return self._by_path.get((group, version, plural))

    def versions(self, group: str, plural: str) -> list[ServedKind]:
        return [kind for kind in self._by_path.values() if kind.group == group and kind.plural == plural]

    def named(self, group: str, kind: str) -> ServedKind | None:
        """Any version of a kind."""
        return next((found for found in self if found.group == group and found.kind == kind), None)

    def __iter__(self) -> Iterator[ServedKind]:
        return iter(tuple(self._by_path.values()))
