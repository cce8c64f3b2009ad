"""The one client: typed verbs on any Kubernetes API server, real, embedded or in the same process.

Every room that reads or writes API objects holds a `Client`; `with_manager` gives it the room's name as
field manager. All methods raise the tree of `springtide.client.errors`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar

from springtide.api.meta import Object
from springtide.api.resources import Resource
from springtide.client import discovery, prepare
from springtide.client.channel import Channel
from springtide.client.collection import Collection
from springtide.client.forms import Listing, Untyped, typed, untyped
from springtide.client.sharing import Pool, sharing
from springtide.client.transport import Response, Transport
from springtide.client.watch import Bookmark, WatchEvent

T = TypeVar("T", bound=Object)

Resources = list[Resource]


class Client:
    """An API server as seen by one field manager. Cheap to make; copies share the transport."""

    def __init__(
        self,
        transport: Transport,
        *,
        manager: str = "springtide",
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._channel = Channel(transport, manager, on_warning)

    @property
    def manager(self) -> str:
        """The field manager of this client's writes."""
        return self._channel.manager

    def with_manager(self, name: str) -> Client:
        """The same server as seen by another field manager (and user agent)."""
        client = object.__new__(Client)
        client._channel = dataclasses.replace(self._channel, manager=name)
        return client

    async def close(self) -> None:
        """Close the transport, for all copies of this client."""
        await self._channel.transport.close()

    # -- objects of a declared kind ----------------------------------------------------------------

    def collection(self, kind: type[T]) -> Collection[T]:
        """All verbs on one declared kind."""
        return Collection(self._channel, typed(kind))

    def sharing_collection(
        self, kind: type[T], pool: Pool, unreadable: Callable[[str], None]
    ) -> Collection[T]:
        """List and watch for a cache: equal parts kept once, unreadable objects told of (see `sharing`)."""
        return Collection(self._channel, sharing(kind, pool, unreadable))

    async def get(self, kind: type[T], name: str, namespace: str = "") -> T:
        """One object. Raises NotFound."""
        return await self.collection(kind).get(name, namespace)

    async def list(
        self,
        kind: type[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> Listing[T]:
        """Objects of one namespace, or of all when it is ""; one page when `limit` is set."""
        return await self.collection(kind).list(
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_=continue_,
            resource_version=resource_version,
        )

    def watch(
        self,
        kind: type[T],
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 300,
    ) -> AsyncGenerator[WatchEvent[T] | Bookmark, None]:
        """Changes since `resource_version`; see `Collection.watch`."""
        return self.collection(kind).watch(
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )

    async def create(self, obj: T, *, dry_run: bool = False) -> T:
        """Create an object and return it as stored. Raises AlreadyExists, Invalid."""
        return await self.collection(type(obj)).create(obj, dry_run=dry_run)

    async def update(self, obj: T, *, subresource: str = "") -> T:
        """Replace an object. Raises Conflict when its resourceVersion is stale."""
        return await self.collection(type(obj)).update(obj, subresource=subresource)

    async def patch(
        self,
        kind: type[T],
        name: str,
        namespace: str,
        body: prepare.PatchBody,
        *,
        patch_type: str = "merge",
        subresource: str = "",
        dry_run: bool = False,
    ) -> T:
        """Change some fields; `patch_type` is merge, json or strategic."""
        return await self.collection(kind).patch(
            name, namespace, body, patch_type=patch_type, subresource=subresource, dry_run=dry_run
        )

    async def apply(
        self,
        kind: type[T],
        name: str,
        namespace: str,
        fields: Mapping[str, Any],
        *,
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
    ) -> T:
        """Server-side apply of exactly the fields this client's manager owns."""
        return await self.collection(kind).apply(
            name, namespace, fields, force=force, subresource=subresource, dry_run=dry_run
        )

    async def delete(
        self,
        kind: type[T],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation: str = "Background",
    ) -> None:
        """Delete an object. Raises NotFound, and Conflict when it no longer has this `uid`."""
        await self.collection(kind).delete(
            name, namespace, uid=uid, grace_period_seconds=grace_period_seconds, propagation=propagation
        )

    # -- pods --------------------------------------------------------------------------------------

    async def bind(
        self, namespace: str, pod: str, node: str, *, uid: str = "", notes: Mapping[str, str] | None = None
    ) -> None:
        """Put a pod on a node through the Binding API. Raises Conflict when it is bound already.

        The pod gets `notes` as annotations.
        """
        path = prepare.object_path(discovery.PODS, namespace, pod, "binding")
        body = prepare.binding_body(namespace, pod, uid, node, notes)
        query = {"fieldManager": self.manager}
        await self._channel.call(prepare.request("POST", path, query, body=body))

    async def evict(self, namespace: str, pod: str, *, uid: str = "") -> None:
        """Ask a pod to go within its own grace. Raises TooManyRequests while a budget forbids it."""
        path = prepare.object_path(discovery.PODS, namespace, pod, "eviction")
        query = {"fieldManager": self.manager}
        body = prepare.eviction_body(namespace, pod, uid)
        await self._channel.call(prepare.request("POST", path, query, body=body), patience=0)

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        follow: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """Chunks of a container's log as they come; with `follow` until the container ends."""
        path = prepare.object_path(discovery.PODS, namespace, pod, "log")
        query = {
            "container": container,
            "follow": follow,
            "tailLines": tail_lines,
            "sinceSeconds": since_seconds,
            "timestamps": timestamps,
            "previous": previous,
        }
        async with self._channel.stream(prepare.request("GET", path, query, accept="*/*")) as chunks:
            async for chunk in chunks:
                yield chunk

    # -- anything else -----------------------------------------------------------------------------

    def dynamic(self, resource: Resource) -> Collection[Untyped]:
        """All verbs on a kind that only the server knows; its objects are dicts."""
        return Collection(self._channel, untyped(resource))

    async def discover(self) -> Resources:
        """Every kind the server serves, preferred versions first."""
        return await discovery.discover(self._channel)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: bytes = b"",
        content_type: str = prepare.JSON,
        accept: str = prepare.JSON,
    ) -> Response:
        """Any request, checked but not decoded (Table output, /version, /readyz)."""
        return await self._channel.call(
            prepare.request(method, path, query, body=body, content_type=content_type, accept=accept)
        )

    async def stream(
        self, path: str, *, query: Mapping[str, object] | None = None, accept: str = prepare.JSON
    ) -> AsyncGenerator[bytes, None]:
        """Chunks of any long answer as they come (a watch in Table form)."""
        async with self._channel.stream(prepare.request("GET", path, query, accept=accept)) as chunks:
            async for chunk in chunks:
                yield chunk
