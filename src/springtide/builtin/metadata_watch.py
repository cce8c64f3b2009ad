"""Follows the metadata of all objects of one kind: one list, then a watch, as `PartialObjectMetadata`.

Run by `inventory`, once per kind. Unlike an informer it holds nothing itself and decodes only what ownership
needs, whatever the kind; so the collector's memory does not grow with the size of objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import msgspec

from springtide.api.meta import Status
from springtide.api.resources import Resource
from springtide.api.struct import decode
from springtide.builtin.graph import Item, Owner
from springtide.client import ApiError, Client, Gone, NotFound, error_of
from springtide.client.watch import LineSplitter
from springtide.runtime import Backoff, Clock, logger

LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
ONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
PAGE_SIZE = 2000
WATCH_SECONDS = 600
_GRACE_SECONDS = 15
RELIST_SECONDS = 1800.0
"""A complete list at least this often repairs what a faulty stream swallowed."""

log = logger("builtin.metadata_watch")


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] | None = None
    owner_references: tuple[Owner, ...] | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Object] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_read_object = msgspec.json.Decoder(_Object).decode
_read_list = msgspec.json.Decoder(_List).decode
_read_event = msgspec.json.Decoder(_Event).decode


class MetadataWatch:
    """One kind's feed. `on_list` gets every complete list, `on_event` every change (`deleted` or not)."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        clock: Clock,
        *,
        on_list: Callable[[Resource, list[Item]], None],
        on_event: Callable[[Item, bool], None],
    ) -> None:
        self.resource = resource
        self.listed = asyncio.Event()
        """Set once a complete list was delivered, or the kind turned out to be gone."""
        self._client = client
        self._clock = clock
        self._on_list = on_list
        self._on_event = on_event
        self._version = ""
        self._listed_at = float("-inf")
        self._failures = 0
        self._backoff = Backoff(base_seconds=0.2, limit_seconds=30.0)

    async def run(self) -> None:
        """List and watch until cancelled, or until the kind is no longer served."""
        while True:
            try:
                if not self._version or self._clock.monotonic() - self._listed_at >= RELIST_SECONDS:
                    await self._list()
                await self._watch()
                self._failures = 0
            except NotFound:
                self.listed.set()
                return
            except Gone:
                self._version = ""
                await self._pause()
            except ApiError as error:
                log.warning("watch interrupted", kind=self.resource.kind, error=error.message)
                await self._pause()

    async def _list(self) -> None:
        items: list[Item] = []
        token = ""
        while True:
            query = {"limit": PAGE_SIZE, "continue": token}
            answer = await self._client.request("GET", self.resource.path(), query=query, accept=LIST)
            page = _read_list(answer.body)
            items += [item_of(self.resource, one.metadata) for one in page.items or ()]
            token = page.metadata.continue_
            if not token:
                break
        self._version = page.metadata.resource_version
        self._listed_at = self._clock.monotonic()
        self._on_list(self.resource, items)
        self.listed.set()

    async def _watch(self) -> None:
        query = {
            "watch": True,
            "allowWatchBookmarks": True,
            "resourceVersion": self._version,
            "timeoutSeconds": WATCH_SECONDS,
        }
        lines = LineSplitter()
        stream = self._client.stream(self.resource.path(), query=query, accept=ONE)
        try:
            async with asyncio.timeout(WATCH_SECONDS + _GRACE_SECONDS), aclosing(stream) as chunks:
                async for chunk in chunks:
                    for line in lines.feed(chunk):
                        self._take(line)
        except TimeoutError:
            log.warning("watch outlived its time limit", kind=self.resource.kind)

    def _take(self, line: bytes) -> None:
        event = _read_event(line)
        if event.type == "ERROR":
            raise error_of(decode(Status, bytes(event.object)))
        self._failures = 0
        metadata = _read_object(event.object).metadata
        self._version = metadata.resource_version or self._version
        if event.type != "BOOKMARK":
            self._on_event(item_of(self.resource, metadata), event.type == "DELETED")

    async def _pause(self) -> None:
        self._failures += 1
        delay = self._backoff.delay_seconds(self._failures)
        await asyncio.sleep(delay * (1 - self._clock.random.random() / 2))


async def read_item(client: Client, resource: Resource, namespace: str, name: str) -> Item | None:
    """One object as it is at this moment; None if there is none."""
    path = resource.path(namespace if resource.namespaced else "", name)
    try:
        answer = await client.request("GET", path, accept=ONE)
    except NotFound:
        return None
    return item_of(resource, _read_object(answer.body).metadata)


async def read_items(client: Client, resource: Resource, namespace: str) -> list[Item]:
    """The objects of one kind in a namespace (the first page of them)."""
    query = {"limit": PAGE_SIZE}
    answer = await client.request("GET", resource.path(namespace), query=query, accept=LIST)
    return [item_of(resource, one.metadata) for one in _read_list(answer.body).items or ()]


def item_of(resource: Resource, metadata: _Metadata) -> Item:
    return Item(
        uid=metadata.uid,
        resource=resource,
        namespace=metadata.namespace,
        name=metadata.name,
        version=metadata.resource_version,
        owners=metadata.owner_references or (),
        deleting=metadata.deletion_timestamp is not None,
        finalizers=metadata.finalizers or (),
    )
