"""All kinds of the server and all their objects' metadata, kept current as kinds come and go.

Made by `controller.register`; feeds the owner graph and tells the garbage collector what to look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from springtide.api.resources import Resource
from springtide.builtin.graph import Graph, Item
from springtide.builtin.metadata_watch import MetadataWatch
from springtide.client import ApiError, Client
from springtide.runtime import Backoff, Clock, logger

_CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
_UNWATCHED = frozenset({("", "events"), ("events.k8s.io", "events")})
"""Many, short-lived and never anyone's owner: not worth following."""

_NEEDED = frozenset({"list", "watch", "delete"})
"""Kinds without these verbs (reviews, metrics) are answered and not stored."""

log = logger("builtin.inventory")


class Inventory:
    """The kinds now served, and the graph of their objects."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.graph = Graph()
        self.resources: list[Resource] = []
        """One version of every kind, as the server prefers it."""
        self._client = client
        self._clock = clock
        self._watches: dict[Resource, tuple[MetadataWatch, asyncio.Task[None]]] = {}
        self._stale = asyncio.Event()
        self._complete = asyncio.Event()
        self._notify: Callable[[Iterable[str]], None] = lambda _: None
        self._backoff = Backoff(base_seconds=0.2, limit_seconds=30.0)

    @property
    def complete(self) -> bool:
        """Whether every kind that was there at the start has been listed: only then is absence meaningful."""
        return self._complete.is_set()

    def on_change(self, notify: Callable[[Iterable[str]], None]) -> None:
        """Call `notify` with uids whose fate may have changed; first with all that concern the collector."""
        self._notify = notify

    def find(self, group: str, kind: str) -> Resource | None:
        """The served resource of a kind, in any version."""
        matches = (one for one in self.resources if one.group == group and one.kind == kind)
        return next(matches, None)

    async def run(self) -> None:
        """Follow all kinds until cancelled."""
        async with asyncio.TaskGroup() as group:
            await self._refresh(group)
            await asyncio.gather(*(watch.listed.wait() for watch, _ in self._watches.values()))
            self._complete.set()
            self._notify(self.graph.candidates())
            while True:
                await self._stale.wait()
                self._stale.clear()
                await self._refresh(group)

    async def _refresh(self, group: asyncio.TaskGroup) -> None:
        """Discover, then start and stop watches so that there is one for each kind."""
        self.resources = await self._discover()
        wanted = [one for one in self.resources if (one.group, one.plural) not in _UNWATCHED]
        for resource in [known for known in self._watches if known not in wanted]:
            _, task = self._watches.pop(resource)
            task.cancel()
            self.graph.drop(resource)
        for resource in wanted:
            if resource not in self._watches or self._watches[resource][1].done():
                self._start(resource, group)

    def _start(self, resource: Resource, group: asyncio.TaskGroup) -> None:
        watch = MetadataWatch(
            self._client, resource, self._clock, on_list=self._take_list, on_event=self._take_event
        )
        task = group.create_task(watch.run(), name=f"metadata-{resource.plural}")
        self._watches[resource] = (watch, task)

    async def _discover(self) -> list[Resource]:
        failures = 0
        while True:
            try:
                found = await self._client.discover()
                break
            except ApiError as error:
                failures += 1
                log.warning("discovery failed", error=error.message)
                await asyncio.sleep(self._backoff.delay_seconds(failures))
        preferred: dict[tuple[str, str], Resource] = {}
        for resource in found:
            if set(resource.verbs) >= _NEEDED:
                preferred.setdefault((resource.group, resource.plural), resource)
        return list(preferred.values())

    def _take_list(self, resource: Resource, items: list[Item]) -> None:
        changed = self.graph.replace(resource, items)
        if self.complete:
            self._notify(changed)
        if (resource.group, resource.plural) == _CRDS and self.complete:
            self._stale.set()

    def _take_event(self, item: Item, deleted: bool) -> None:
        changed = self.graph.remove(item.uid) if deleted else self.graph.put(item)
        if self.complete:
            self._notify(changed)
        if (item.resource.group, item.resource.plural) == _CRDS:
            self._stale.set()
