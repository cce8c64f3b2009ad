"""Who owns whom: every object of the cluster as a small record, found by uid, by owner and by kind.

Fed by `inventory` with what the watches say, read by `garbage`. Holds no objects, only what ownership needs:
some hundred bytes an object.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from springtide.api.labels import FINALIZER_FOREGROUND, FINALIZER_ORPHAN
from springtide.api.resources import Resource

REMEMBERED_DELETIONS = 100_000
"""How many deleted owners are remembered as surely gone; older ones are looked up again."""


class Owner(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An owner reference, complete, so that a list of them can be written back."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Item:
    """One object, as far as ownership goes."""

    uid: str
    resource: Resource
    namespace: str
    name: str
    version: str
    owners: tuple[Owner, ...] = ()
    deleting: bool = False
    finalizers: tuple[str, ...] = ()

    @property
    def waits_for_dependents(self) -> bool:
        """Whether it is being deleted in the foreground: its dependents first."""
        return self.deleting and FINALIZER_FOREGROUND in self.finalizers

    @property
    def sets_dependents_free(self) -> bool:
        """Whether it is being deleted and its dependents shall stay."""
        return self.deleting and FINALIZER_ORPHAN in self.finalizers

    @property
    def concerns_collector(self) -> bool:
        return bool(self.owners) or self.waits_for_dependents or self.sets_dependents_free


class Graph:
    """All items. Every change returns the uids whose fate it may have changed."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: dict[str, dict[str, None]] = {}
        self._by_resource: dict[Resource, dict[str, None]] = {}
        self._gone: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def dependents(self, uid: str) -> list[Item]:
        """The known objects that name this one as an owner."""
        return [self._items[one] for one in self._dependents.get(uid, ())]

    def is_gone(self, uid: str) -> bool:
        """Whether this object was seen to be deleted. Uids never come back."""
        return uid in self._gone

    def mark_gone(self, uid: str) -> None:
        self._gone[uid] = None
        while len(self._gone) > REMEMBERED_DELETIONS:
            del self._gone[next(iter(self._gone))]

    def candidates(self) -> list[str]:
        """Every uid that the collector should look at once, at its start."""
        return [uid for uid, item in self._items.items() if item.concerns_collector]

    def put(self, item: Item) -> list[str]:
        """An object was added or changed."""
        old = self._items.get(item.uid)
        self._items[item.uid] = item
        if old is None:
            self._by_resource.setdefault(item.resource, {})[item.uid] = None
        elif (old.owners, old.deleting, old.finalizers) == (item.owners, item.deleting, item.finalizers):
            return []
        if old is None or old.owners != item.owners:
            self._relink(old, item)
        looked_at = [item.uid] if item.concerns_collector else []
        if item.waits_for_dependents or item.sets_dependents_free:
            looked_at += self._dependents.get(item.uid, ())
        former = old.owners if old is not None else ()
        return looked_at + self._waiting({owner.uid for owner in (*former, *item.owners)})

    def remove(self, uid: str) -> list[str]:
        """An object was deleted."""
        self.mark_gone(uid)
        item = self._forget(uid)
        waiting = self._waiting({owner.uid for owner in item.owners}) if item is not None else []
        return [*self._dependents.get(uid, ()), *waiting]

    def replace(self, resource: Resource, items: Iterable[Item]) -> list[str]:
        """A complete list of one kind: what is missing in it was deleted."""
        looked_at: list[str] = []
        missing = dict(self._by_resource.get(resource, {}))
        for item in items:
            missing.pop(item.uid, None)
            looked_at += self.put(item)
        for uid in missing:
            looked_at += self.remove(uid)
        return looked_at

    def drop(self, resource: Resource) -> None:
        """The kind is no longer served. That says nothing about its objects, so nobody loses an owner."""
        for uid in list(self._by_resource.pop(resource, {})):
            self._forget(uid)

    def _relink(self, old: Item | None, new: Item) -> None:
        for owner in old.owners if old is not None else ():
            self._unlink(owner.uid, new.uid)
        for owner in new.owners:
            self._dependents.setdefault(owner.uid, {})[new.uid] = None

    def _unlink(self, owner: str, dependent: str) -> None:
        known = self._dependents.get(owner, {})
        known.pop(dependent, None)
        if not known:
            self._dependents.pop(owner, None)

    def _forget(self, uid: str) -> Item | None:
        item = self._items.pop(uid, None)
        if item is not None:
            self._by_resource.get(item.resource, {}).pop(uid, None)
            for owner in item.owners:
                self._unlink(owner.uid, uid)
        return item

    def _waiting(self, owners: Iterable[str]) -> list[str]:
        """Those of the owners that wait for their dependents to go."""
        return [uid for uid in owners if (item := self._items.get(uid)) and item.waits_for_dependents]
