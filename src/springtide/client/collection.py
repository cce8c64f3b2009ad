"""The verbs of the API on the objects of one kind, each as prepare, send, interpret.

`Client` offers them by type (`client.get(Pod, …)`), `client.dynamic(resource)` for kinds that only the
server knows, with dicts as objects; both are this one class.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from springtide.client import prepare
from springtide.client.channel import Channel
from springtide.client.errors import BadRequest, Unreachable
from springtide.client.forms import Form, Listing
from springtide.client.transport import Request, Response
from springtide.client.watch import Bookmark, EventReader, WatchEvent

T = TypeVar("T")

WATCH_GRACE_SECONDS = 15.0
"""How long after its own time limit a watch may stay open before it counts as silently dropped."""


class Collection(Generic[T]):
    """All objects of one kind on one server."""

    def __init__(self, channel: Channel, form: Form[T]) -> None:
        self._channel = channel
        self._form = form
        self._resource = form.resource

    async def get(self, name: str, namespace: str = "", *, subresource: str = "") -> T:
        path = prepare.object_path(self._resource, namespace, name, subresource)
        return await self._object(prepare.request("GET", path))

    async def list(
        self,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> Listing[T]:
        """One page, or everything when `limit` is 0. `resource_version="0"` allows any cached state."""
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": limit or None,
            "continue": continue_,
            "resourceVersion": resource_version,
        }
        request = prepare.request("GET", prepare.collection_path(self._resource, namespace), query)
        return self._channel.read(request, await self._channel.call(request), self._form.decode_list)

    async def watch(
        self,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 300,
    ) -> AsyncGenerator[WatchEvent[T] | Bookmark, None]:
        """Changes after `resource_version`, until the server ends the watch (then it simply stops).

        Raises Gone when the version is too old, Unreachable when the connection breaks or outlives its
        time limit (a peer that vanished without a word). Close it early with `contextlib.aclosing`.
        """
        query = {
            "watch": True,
            "allowWatchBookmarks": True,
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": timeout_seconds,
        }
        request = prepare.request("GET", prepare.collection_path(self._resource, namespace), query)
        reader = EventReader(self._form, resource_version)
        deadline = asyncio.get_running_loop().time() + timeout_seconds + WATCH_GRACE_SECONDS
        async with self._channel.stream(request) as chunks:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        chunk = await anext(chunks, None)
                except TimeoutError as error:
                    raise Unreachable(
                        f"watch of {self._resource.plural}: still open {WATCH_GRACE_SECONDS:g} s after its "
                        f"time limit of {timeout_seconds} s; the connection is dead, watch again"
                    ) from error
                if chunk is None:
                    return
                for event in reader.feed(chunk):
                    yield event

    async def create(
        self, obj: T, *, namespace: str = "", dry_run: bool = False, field_validation: str = ""
    ) -> T:
        own_namespace, _ = self._form.address(obj)
        namespace = own_namespace or namespace
        if self._resource.namespaced:
            prepare.check_segment(self._resource, "metadata.namespace", namespace)
        path = self._resource.path(namespace)
        query = self._write_query(dry_run=dry_run, field_validation=field_validation)
        return await self._object(prepare.request("POST", path, query, body=self._form.encode(obj)))

    async def update(
        self, obj: T, *, subresource: str = "", dry_run: bool = False, field_validation: str = ""
    ) -> T:
        """Replace the whole object; a resourceVersion in it makes a concurrent change a Conflict."""
        path = prepare.object_path(self._resource, *self._form.address(obj), subresource)
        query = self._write_query(dry_run=dry_run, field_validation=field_validation)
        return await self._object(prepare.request("PUT", path, query, body=self._form.encode(obj)))

    async def patch(
        self,
        name: str,
        namespace: str,
        body: prepare.PatchBody,
        *,
        patch_type: str = "merge",
        subresource: str = "",
        dry_run: bool = False,
        field_validation: str = "",
    ) -> T:
        """Change some fields: `merge` (RFC 7386), `json` (RFC 6902) or `strategic` (built-in kinds only)."""
        if patch_type not in prepare.PATCH_TYPES or patch_type == "apply":
            raise BadRequest(f"patch type {patch_type!r} does not exist; use merge, json or strategic")
        query = self._write_query(dry_run=dry_run, field_validation=field_validation)
        return await self._patch(name, namespace, subresource, patch_type, msgspec.json.encode(body), query)

    async def apply(
        self,
        name: str,
        namespace: str,
        fields: Mapping[str, Any],
        *,
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
        field_validation: str = "",
    ) -> T:
        """Server-side apply: own exactly these fields; ones applied before and left out now are removed."""
        query = self._write_query(dry_run=dry_run, field_validation=field_validation) | {"force": force}
        body = prepare.apply_body(self._resource, namespace, name, fields)
        return await self._patch(name, namespace, subresource, "apply", body, query)

    async def delete(
        self,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> T | None:
        """Delete; returns the object while it lingers (grace period, finalizers), None once it is gone."""
        options = prepare.delete_options(uid, grace_period_seconds, propagation, dry_run=dry_run)
        path = prepare.object_path(self._resource, namespace, name)
        request = prepare.request("DELETE", path, body=options)
        response = await self._channel.call(request)
        if not _is_object(response):
            return None
        obj = self._channel.read(request, response, self._form.decode)
        return obj if self._lingers(response) else None

    def _lingers(self, response: Response) -> bool:
        metadata = _metadata.decode(response.body).metadata
        if metadata.deletion_timestamp is None:
            return False
        return metadata.deletion_grace_period_seconds not in (0, None) or bool(metadata.finalizers)

    def _write_query(self, *, dry_run: bool, field_validation: str) -> dict[str, object]:
        return {
            "fieldManager": self._channel.manager,
            "dryRun": "All" if dry_run else None,
            "fieldValidation": field_validation,
        }

    async def _patch(
        self,
        name: str,
        namespace: str,
        subresource: str,
        patch_type: str,
        body: bytes,
        query: dict[str, object],
    ) -> T:
        path = prepare.object_path(self._resource, namespace, name, subresource)
        content_type = prepare.PATCH_TYPES[patch_type]
        return await self._object(prepare.request("PATCH", path, query, body=body, content_type=content_type))

    async def _object(self, request: Request) -> T:
        return self._channel.read(request, await self._channel.call(request), self._form.decode)


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    finalizers: list[str] = []


class _Head(msgspec.Struct, frozen=True):
    kind: str = ""
    metadata: _Metadata = _Metadata()


_metadata = msgspec.json.Decoder(_Head)


def _is_object(response: Response) -> bool:
    return bool(response.body) and _metadata.decode(response.body).kind != "Status"
