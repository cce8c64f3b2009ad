"""Keeps a cache equal to the server: one list, then a watch from there, for as long as the program runs.

`Runtime.informer` makes one per kind and scope. A watch that ends resumes from the last version seen;
a version the server no longer has (410) lists again; a server that does not answer is retried with
jittered exponential backoff; a relist now and then repairs whatever a faulty proxy swallowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from springtide.api.meta import Object
from springtide.api.resources import resource_of
from springtide.client import ApiError, Client, Gone, NotFound, Pool
from springtide.client.watch import DELETED, Bookmark, WatchEvent
from springtide.runtime.cache import Cache, Index, OnChange
from springtide.runtime.clock import Clock
from springtide.runtime.log import logger
from springtide.runtime.queue import Backoff

T = TypeVar("T", bound=Object)

log = logger("runtime.informer")


@dataclass(frozen=True, slots=True)
class InformerSettings:
    """How an informer lists and watches."""

    page_size: int = 2000
    """Objects per list request; 0 asks for all in one."""
    watch_seconds: tuple[int, int] = (300, 600)
    """Each watch asks the server to end it after a random time in this range, so reconnects spread out."""
    relist_seconds: float = 3600.0
    """A full list at least this often, against lost events; `inf` turns it off."""
    failures_before_list: int = 5
    """After so many failures in a row the version is not trusted either (a server restored from a backup)."""
    backoff: Backoff = field(default_factory=lambda: Backoff(base_seconds=0.2, limit_seconds=30.0))
    """Wait between failing attempts; each is shortened by up to half at random."""
    pool: Callable[[], Pool] = Pool
    """Where equal parts of objects are kept once: one for each informer, unless many runtimes share one."""


@dataclass(frozen=True, slots=True)
class Scope(Generic[T]):
    """Which objects: a kind, in one namespace ("" for all), matching a field selector ("" for all)."""

    kind: type[T]
    namespace: str = ""
    field_selector: str = ""
    label_selector: str = ""


class Informer(Generic[T]):
    """One kind's cache and the task that keeps it current."""

    def __init__(
        self,
        client: Client,
        scope: Scope[T],
        clock: Clock,
        settings: InformerSettings | None = None,
        indexes: Mapping[str, Index[T]] | None = None,
    ) -> None:
        self._settings = settings or InformerSettings()
        self._server = client.sharing_collection(scope.kind, self._settings.pool(), self._unreadable)
        self._clock = clock
        self._version = ""
        self._listed_at = float("-inf")
        self._failures = 0
        self.scope = scope
        self.cache: Cache[T] = Cache(indexes, accepts=self._accepts)
        self._synced = asyncio.Event()

    @property
    def synced(self) -> bool:
        """Whether the cache has held a complete list."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait until the cache holds a complete list."""
        await self._synced.wait()

    def on_change(self, callback: OnChange[T]) -> None:
        """Call back with (old, new) for every change; see `Cache.on_change`."""
        self.cache.on_change(callback)

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if self._must_list():
                    await self._list()
                await self._watch()
                self._failures = 0
            except Gone as error:
                log.info("list again", kind=self._kind, reason=error.message)
                self._version = ""
                await self._pause()
            except NotFound as error:
                if self._may_be_missing:  # an alpha kind that this server does not serve: there are none
                    self._synced.set()
                else:
                    log.warning("watch interrupted", kind=self._kind, error=error.message)
                await self._pause()
            except ApiError as error:
                log.warning("watch interrupted", kind=self._kind, error=error.message)
                await self._pause()
                if self._failures >= self._settings.failures_before_list:
                    self._version = ""

    @property
    def _kind(self) -> str:
        return resource_of(self.scope.kind).kind

    @property
    def _may_be_missing(self) -> bool:
        resource = resource_of(self.scope.kind)
        return resource.builtin and "alpha" in resource.version

    def _must_list(self) -> bool:
        return not self._version or self._clock.monotonic() - self._listed_at >= self._settings.relist_seconds

    async def _list(self) -> None:
        """Read all pages at one version into the cache."""
        objects: list[T] = []
        token = ""
        while True:
            page = await self._server.list(
                self.scope.namespace,
                label_selector=self.scope.label_selector,
                field_selector=self.scope.field_selector,
                limit=self._settings.page_size,
                continue_=token,
            )
            objects += page.items
            token = page.continue_
            if not token:
                break
        self._version = page.resource_version
        self._listed_at = self._clock.monotonic()
        self.cache.replace(objects, page.resource_version)
        self._synced.set()

    async def _watch(self) -> None:
        """Follow changes until the server ends the watch or it is time to list again."""
        low, high = self._settings.watch_seconds
        left = self._settings.relist_seconds - (self._clock.monotonic() - self._listed_at)
        events = self._server.watch(
            self.scope.namespace,
            resource_version=self._version,
            label_selector=self.scope.label_selector,
            field_selector=self.scope.field_selector,
            timeout_seconds=max(1, int(min(self._clock.random.randint(low, high), left))),
        )
        async with aclosing(events) as stream:
            async for event in stream:
                self._take(event)

    def _take(self, event: WatchEvent[T] | Bookmark) -> None:
        self._failures = 0
        if isinstance(event, Bookmark):
            self.cache.bookmark(event.resource_version)
            self._version = event.resource_version or self._version
            return
        version = event.object.metadata.resource_version
        if event.type == DELETED:
            self.cache.remove(event.object)
        else:
            self.cache.put(event.object)
        self._version = version or self._version

    async def _pause(self) -> None:
        self._failures += 1
        delay = self._settings.backoff.delay_seconds(self._failures)
        await asyncio.sleep(delay * (1 - self._clock.random.random() / 2))

    def _unreadable(self, what: str) -> None:
        log.error("object left out: it does not fit its kind", kind=self._kind, error=what)

    def _accepts(self, obj: T) -> bool:
        """Which written objects belong here. With a selector only the watch can tell about new ones."""
        scope = self.scope
        if scope.namespace and obj.metadata.namespace != scope.namespace:
            return False
        return not (scope.field_selector or scope.label_selector) or obj.key in self.cache
