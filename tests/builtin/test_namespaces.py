"""Namespaces: emptied, then gone; and a plain word about what one waits for."""

from __future__ import annotations

import asyncio

from tests.builtin.cluster import SHIPS, Cluster, cluster, config_map, config_map_path

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}


async def _make(world: Cluster) -> None:
    await world.create(NAMESPACE)
    await world.create(config_map("one", namespace="team"))
    await world.create(config_map("two", namespace="team"))


async def test_a_deleted_namespace_takes_its_content_with_it() -> None:
    async with cluster() as world:
        await world.create(SHIPS)
        await _make(world)
        await asyncio.sleep(1)
        metadata = {"name": "s", "namespace": "team"}
        await world.create({"apiVersion": "sea.example.com/v1", "kind": "Ship", "metadata": metadata})
        await world.create(config_map("elsewhere"))
        await world.delete("/api/v1/namespaces/team")
        await asyncio.sleep(5)
        assert await world.get("/api/v1/namespaces/team") is None
        assert await world.get(config_map_path("elsewhere")) is not None
        await world.create(NAMESPACE)
        assert await world.get(config_map_path("one", "team")) is None


async def test_a_namespace_says_what_it_waits_for() -> None:
    async with cluster() as world:
        await _make(world)
        await world.create(config_map("held", namespace="team", finalizers=["example.com/wait"]))
        await world.delete("/api/v1/namespaces/team")
        await asyncio.sleep(5)
        namespace = await world.get("/api/v1/namespaces/team")
        assert namespace is not None
        said = {one["type"]: one["message"] for one in namespace["status"]["conditions"]}
        assert said == {
            "NamespaceContentRemaining": "Some resources are remaining: configmaps. has 1 resource instances",
            "NamespaceFinalizersRemaining": (
                "Some content in the namespace has finalizers remaining: "
                "example.com/wait in 1 resource instances"
            ),
        }
        before = await world.revision()
        await asyncio.sleep(30)
        assert await world.revision() == before, "waiting writes nothing"
        await world.patch(config_map_path("held", "team"), {"metadata": {"finalizers": None}})
        await asyncio.sleep(5)
        assert await world.get("/api/v1/namespaces/team") is None
