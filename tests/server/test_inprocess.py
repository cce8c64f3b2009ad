"""The in-process transport: the platform's own client sees what it would see over HTTPS."""

from __future__ import annotations

import asyncio

import pytest

from springtide import client
from springtide.api.core import ConfigMap, Pod
from springtide.api.meta import ObjectMeta
from springtide.server import InProcessTransport
from tests.server.serving import serving


def named(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


async def test_create_get_list_apply_and_delete() -> None:
    async with serving() as api:
        room = client.Client(InProcessTransport(api.server)).with_manager("room")
        made = await room.create(named("a", x="1"))
        assert made.metadata.managed_fields[0].manager == "room"
        assert await room.get(ConfigMap, "a", "default") == made
        changed = await room.apply(ConfigMap, "a", "default", {"data": {"y": "2"}})
        assert changed.data == {"x": "1", "y": "2"}
        assert [one.metadata.name for one in (await room.list(ConfigMap, "default")).items] == ["a"]
        await room.delete(ConfigMap, "a", "default")
        with pytest.raises(client.NotFound, match='configmaps "a" not found'):
            await room.get(ConfigMap, "a", "default")


async def test_errors_are_those_of_the_client() -> None:
    async with serving() as api:
        room = client.Client(InProcessTransport(api.server))
        made = await room.create(named("a"))
        with pytest.raises(client.AlreadyExists):
            await room.create(named("a"))
        await room.patch(ConfigMap, "a", "default", {"data": {"x": "1"}})
        with pytest.raises(client.Conflict):
            await room.update(made)
        with pytest.raises(client.Invalid, match=r"spec\.containers"):
            await room.create(Pod(metadata=ObjectMeta(name="p", namespace="default")))


async def test_a_watch_is_the_same_stream_and_ends_when_closed() -> None:
    async with serving() as api:
        room = client.Client(InProcessTransport(api.server))
        version = (await room.list(ConfigMap)).resource_version
        watching = room.watch(ConfigMap, resource_version=version)
        first = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(1)
        made = await room.create(named("a"))
        assert await first == client.WatchEvent("ADDED", made)
        await watching.aclose()
        assert api.store.watchers == 0
        for _ in range(3):
            await room.create(named(f"b{_}"))
        api.store.compact(api.store.revision - 1)
        with pytest.raises(client.Gone):
            await anext(room.watch(ConfigMap, resource_version=version))
