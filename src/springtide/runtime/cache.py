"""What we know of the objects of one kind: kept current by an informer, read by plans, indexed.

Two streams write here: the informer's list and watch, and `observe`, with which a controller feeds back
what the server answered to its own writes, so that it reads them at once. The rule that keeps both right:
an object's newer resourceVersion wins, and an object the cache does not hold but whose version the watch
has already passed is one that was deleted.

Source of the comparison: resourceVersions of etcd-backed (and our) servers are increasing integers across
all kinds (Kubernetes KEP-5504); for any other server `observe` simply does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from springtide.api.meta import Object

T = TypeVar("T", bound=Object)

Index = Callable[[T], Iterable[str]]
"""The values under which an object is found by this index."""
OnChange = Callable[[T | None, T | None], None]
"""Called with the object before and after a change: (None, new), (old, new) or (old, None)."""


class Cache(Generic[T]):
    """Objects by `namespace/name`. Iteration order is that of first arrival, so runs can be replayed."""

    def __init__(
        self,
        indexes: Mapping[str, Index[T]] | None = None,
        *,
        accepts: Callable[[T], bool] | None = None,
    ) -> None:
        self._objects: dict[str, T] = {}
        self._index_by_name: dict[str, Index[T]] = {}
        self._indexed: dict[str, dict[str, dict[str, None]]] = {}
        self._callbacks: list[OnChange[T]] = []
        self._accepts = accepts
        self._seen = -1
        for name, index in (indexes or {}).items():
            self.add_index(name, index)

    # -- reading -----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: str) -> bool:
        return key in self._objects

    def get(self, key: str) -> T | None:
        """The object of this key, if any."""
        return self._objects.get(key)

    def by_index(self, name: str, value: str) -> list[T]:
        """The objects whose index `name` yields `value`. Raises KeyError for an index nobody added."""
        return [self._objects[key] for key in self._indexed[name].get(value, ())]

    def list(self) -> list[T]:
        """All objects."""
        return list(self._objects.values())

    # -- wiring ------------------------------------------------------------------------------------

    def add_index(self, name: str, index: Index[T]) -> None:
        """Add an index; the same function again is fine, another under a taken name raises ValueError."""
        known = self._index_by_name.setdefault(name, index)
        if known is not index:
            raise ValueError(f"index {name!r} exists with another function; choose another name")
        if name not in self._indexed:
            self._indexed[name] = {}
            for key, obj in self._objects.items():
                self._enter(name, key, obj)

    def on_change(self, callback: OnChange[T]) -> None:
        """Call `callback` for every change from now on, and at once for every object already here."""
        self._callbacks.append(callback)
        for obj in self.list():
            callback(None, obj)

    # -- writing -----------------------------------------------------------------------------------

    def observe(self, obj: T) -> None:
        """Take in the server's answer to a write, unless something newer is known already."""
        version = version_of(obj)
        if version is None or (self._accepts is not None and not self._accepts(obj)):
            return
        known = self._objects.get(obj.key)
        if known is None and version <= self._seen:
            return  # the watch is past this version and the object is not here: deleted since
        if known is None or _newer(obj, known):
            self._put(obj)

    def put(self, obj: T) -> None:
        """A watch's ADDED or MODIFIED."""
        self._advance(version_of(obj))
        self._take(obj)

    def remove(self, obj: T) -> None:
        """A watch's DELETED; `obj` is the last state, with the deletion's version."""
        self._advance(version_of(obj))
        known = self._objects.get(obj.key)
        if known is not None and not _newer(known, obj):
            self._pop(obj.key)

    def bookmark(self, resource_version: str) -> None:
        """Everything up to this version has been delivered."""
        self._advance(_number(resource_version))

    def replace(self, objects: Iterable[T], resource_version: str) -> None:
        """A complete list at this version: what is missing in it was deleted, unless written since."""
        at = _number(resource_version)
        if at is not None and at < self._seen:
            self._start_over()
        keys = set()
        for obj in objects:
            keys.add(obj.key)
            self._take(obj)
        for key in [key for key in self._objects if key not in keys]:
            version = version_of(self._objects[key])
            if at is None or version is None or version <= at:
                self._pop(key)
        self._advance(at)

    def _start_over(self) -> None:
        """The server is older than what it told before: restored from a backup. Nothing here counts."""
        self._seen = -1
        for key in list(self._objects):
            self._pop(key)

    def _take(self, obj: T) -> None:
        known = self._objects.get(obj.key)
        if known is None or _newer(obj, known):
            self._put(obj)
        elif obj.metadata.resource_version == known.metadata.resource_version:
            self._objects[obj.key] = obj  # the state observed before, now as the informer decodes it: smaller

    def _advance(self, version: int | None) -> None:
        if version is not None and version > self._seen:
            self._seen = version

    def _put(self, obj: T) -> None:
        key = obj.key
        old = self._objects.get(key)
        self._objects[key] = obj
        for name in self._indexed:
            self._reindex(name, key, old, obj)
        for callback in self._callbacks:
            callback(old, obj)

    def _pop(self, key: str) -> None:
        old = self._objects.pop(key)
        for name in self._indexed:
            self._reindex(name, key, old, None)
        for callback in self._callbacks:
            callback(old, None)

    def _reindex(self, name: str, key: str, old: T | None, new: T | None) -> None:
        index, entries = self._index_by_name[name], self._indexed[name]
        before = set(index(old)) if old is not None else set()
        after = dict.fromkeys(index(new)) if new is not None else {}
        for value in before - after.keys():
            members = entries[value]
            del members[key]
            if not members:
                del entries[value]
        for value in after:
            if value not in before:
                entries.setdefault(value, {})[key] = None

    def _enter(self, name: str, key: str, obj: T) -> None:
        self._reindex(name, key, None, obj)


def version_of(obj: Object) -> int | None:
    """The resourceVersion as a number, None where the server's versions are not numbers."""
    return _number(obj.metadata.resource_version)


def _number(resource_version: str) -> int | None:
    return int(resource_version) if resource_version.isdigit() else None


def _newer(obj: Object, known: Object) -> bool:
    """Whether `obj` should take the place of `known`. Versions that cannot be compared: the later arrival."""
    ours, theirs = version_of(obj), version_of(known)
    if ours is None or theirs is None:
        return obj.metadata.resource_version != known.metadata.resource_version
    return ours > theirs
