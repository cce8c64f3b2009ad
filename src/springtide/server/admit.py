"""Admission: the plug-ins between a complete object and the store, the same for every way of writing.

The create, update, patch and delete verbs describe what they are about to do as a `Change` and show it to
`Admission`, the chain that `admit_chain` puts together. `mutate` comes first: plug-ins that fill in what the
user does not own, in place. `validate` comes last, directly before the store takes the object: plug-ins that
only look, and raise `Forbidden`. No other write happens between `validate` and the store, so what a plug-in
counted still holds when the object is stored; `accepted` then tells it so.

A change that concerns no plug-in costs one dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from springtide.server.kinds import ServedKind
from springtide.server.request import User
from springtide.server.status import Forbidden

if TYPE_CHECKING:
    from springtide.server.context import Context

Json = dict[str, Any]

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"


@dataclass(slots=True)
class Change:
    """One write that is about to happen.

    `obj` (None for a delete), its metadata and its spec belong to this change and may be written to; what
    lies deeper may be shared with other objects: replace it, never write into it.
    """

    operation: str
    kind: ServedKind
    subresource: str
    namespace: str
    name: str
    obj: Json | None
    old: Json | None
    user: User
    dry_run: bool
    recheck: bool = False
    """Set by a plug-in whose additions may break the kind's rules: the object is validated once more."""


class Plugin:
    """One step of admission. Override what it needs; a hook that is not overridden is never called."""

    operations: tuple[str, ...] = (CREATE,)
    resources: frozenset[str] | None = None
    """Collections it looks at (`pods`, `apps/deployments`); None: all."""
    subresources: tuple[str, ...] = ("",)

    def admit(self, change: Change, context: Context) -> None:
        """Fill in `change.obj`, in place. May raise `StatusError`."""

    def validate(self, change: Change, context: Context) -> None:
        """Raise `Forbidden`, or another `StatusError`, if the change may not happen."""

    def accepted(self, resource: str, obj: Json, context: Context, *, deleted: bool) -> None:
        """The store took `obj` of the collection `resource`, or dropped it; called whatever the operation."""

    def lost(self, context: Context) -> None:
        """The store could not keep what it had accepted: whatever `accepted` noted may be wrong."""

    def started(self, context: Context) -> None:
        """The server is about to answer its first request; the store holds what it held before."""


class Admission:
    """A chain of plug-ins, in the order in which they act."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._admit = [one for one in plugins if type(one).admit is not Plugin.admit]
        self._validate = [one for one in plugins if type(one).validate is not Plugin.validate]
        self._plugins = tuple(plugins)
        self._accepted = [one for one in plugins if type(one).accepted is not Plugin.accepted]
        self._found: dict[tuple[str, str, str], tuple[tuple[Plugin, ...], tuple[Plugin, ...]]] = {}
        self._told: dict[str, tuple[Plugin, ...]] = {}

    def mutate(self, change: Change, context: Context) -> None:
        """Let every plug-in that the change concerns fill in the object."""
        for plugin in self._concerned(change)[0]:
            plugin.admit(change, context)

    def validate(self, change: Change, context: Context) -> None:
        """Ask every plug-in that the change concerns. Raises the first refusal."""
        for plugin in self._concerned(change)[1]:
            plugin.validate(change, context)

    def accepted(self, resource: str, obj: Json, context: Context, *, deleted: bool) -> None:
        """Tell those who keep accounts, in the same event-loop step in which the store took the write."""
        told = self._told.get(resource)
        if told is None:
            told = self._told[resource] = tuple(
                one for one in self._accepted if one.resources is None or resource in one.resources
            )
        for plugin in told:
            plugin.accepted(resource, obj, context, deleted=deleted)

    def lost(self, context: Context) -> None:
        """Tell everyone that accepted writes did not become durable."""
        for plugin in self._plugins:
            plugin.lost(context)

    def started(self, context: Context) -> None:
        """Tell everyone that requests are about to come."""
        for plugin in self._plugins:
            plugin.started(context)

    def _concerned(self, change: Change) -> tuple[tuple[Plugin, ...], tuple[Plugin, ...]]:
        key = (change.operation, change.kind.resource, change.subresource)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = (_concerning(self._admit, *key), _concerning(self._validate, *key))
        return found


def refused(change: Change, why: str) -> Forbidden:
    """403 in the words of Kubernetes' admission."""
    kind = change.kind
    name = change.name or ((change.obj or {}).get("metadata") or {}).get("generateName", "")
    return Forbidden(
        f'{kind.qualified_plural} "{name}" is forbidden: {why}', name=name, group=kind.group, kind=kind.plural
    )


def _concerning(
    plugins: Sequence[Plugin], operation: str, resource: str, subresource: str
) -> tuple[Plugin, ...]:
    return tuple(
        one
        for one in plugins
        if operation in one.operations
        and (one.resources is None or resource in one.resources)
        and subresource in one.subresources
    )
