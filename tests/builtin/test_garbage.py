"""The garbage collector against the embedded server: what goes, in which order, and what must not."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.simulation import loop
from tests.builtin.cluster import (
    SHIPS,
    Cluster,
    Json,
    cluster,
    config_map,
    config_map_path,
    reference,
    running,
)


async def _exists(world: Cluster, name: str) -> bool:
    return await world.get(config_map_path(name)) is not None


async def test_dependents_go_after_their_owner_all_the_way_down() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner"))
        child = await world.create(config_map("child", owner))
        await world.create(config_map("grandchild", child))
        await world.create(config_map("stranger"))
        await asyncio.sleep(1)
        await world.delete(config_map_path("owner"))
        await asyncio.sleep(1)
        assert not await _exists(world, "child")
        assert not await _exists(world, "grandchild")
        assert await _exists(world, "stranger")


async def test_a_dependent_lives_while_one_of_its_owners_lives() -> None:
    async with cluster() as world:
        first = await world.create(config_map("first"))
        second = await world.create(config_map("second"))
        await world.create(config_map("child", first, second))
        await world.delete(config_map_path("first"))
        await asyncio.sleep(1)
        child = await world.get(config_map_path("child"))
        assert child is not None
        assert child["metadata"]["ownerReferences"] == [reference(second)]
        await world.delete(config_map_path("second"))
        await asyncio.sleep(1)
        assert not await _exists(world, "child")


async def test_an_owner_that_never_was_leaves_no_dependents() -> None:
    async with cluster() as world:
        ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "no-such-uid"}}
        await world.create(config_map("child", ghost))
        await asyncio.sleep(1)
        assert not await _exists(world, "child")


async def test_an_owner_of_the_same_name_but_another_uid_is_another() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner"))
        stale = {**config_map("child"), "metadata": {**config_map("child")["metadata"]}}
        stale["metadata"]["ownerReferences"] = [reference(owner, uid="older-uid")]
        await world.create(stale)
        await asyncio.sleep(1)
        assert not await _exists(world, "child")


async def test_an_owner_in_another_namespace_is_none() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner", namespace="kube-public"))
        await world.create(config_map("child", owner))
        await asyncio.sleep(1)
        assert not await _exists(world, "child")


async def test_an_owner_in_another_namespace_is_told_of() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner", namespace="kube-public"))
        await world.create(config_map("child", owner))
        await asyncio.sleep(1)
        told = await world.get("/api/v1/namespaces/default/events")
        assert told is not None
        (event,) = [one for one in told["items"] if one["reason"] == "OwnerRefInvalidNamespace"]
        uid = owner["metadata"]["uid"]
        assert event["message"] == (
            f"ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {uid}] "
            'does not exist in namespace "default"'
        )
        assert event["involvedObject"]["name"] == "child"


async def test_a_cluster_scoped_object_never_goes_for_a_namespaced_owner() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner"))
        references = [reference(owner)]
        metadata = {"name": "n", "ownerReferences": references}
        await world.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        await asyncio.sleep(1)
        assert await world.get("/api/v1/nodes/n") is not None
        await world.delete(config_map_path("owner"))
        await asyncio.sleep(1)
        assert await world.get("/api/v1/nodes/n") is not None


async def test_a_wrong_reference_does_no_harm_to_right_ones() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner", namespace="kube-public"))
        child = config_map("child", owner, namespace="kube-public")
        wrong = config_map("wrong")
        wrong["metadata"]["ownerReferences"] = [reference(owner)]
        await asyncio.gather(world.create(wrong), world.create(child))
        await asyncio.sleep(2)
        assert not await _exists(world, "wrong")
        assert await world.get(config_map_path("child", "kube-public")) is not None


async def test_a_circle_of_owners_goes_in_the_foreground_too() -> None:
    async with cluster() as world:
        first = await world.create(config_map("first"))
        second = await world.create(config_map("second", first, blocking=True))
        path = config_map_path("first")
        await world.patch(path, {"metadata": {"ownerReferences": [reference(second, blocking=True)]}})
        await asyncio.sleep(1)
        await world.delete(path, "Foreground")
        await asyncio.sleep(5)
        assert not await _exists(world, "first")
        assert not await _exists(world, "second")


async def test_a_cluster_scoped_owner_keeps_its_dependents() -> None:
    async with cluster() as world:
        node = await world.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
        await world.create(config_map("child", node))
        await asyncio.sleep(1)
        assert await _exists(world, "child")
        await world.delete("/api/v1/nodes/n")
        await asyncio.sleep(1)
        assert not await _exists(world, "child")


async def test_an_owner_of_an_unknown_kind_is_no_reason_to_delete() -> None:
    async with cluster() as world:
        moon = {"apiVersion": "space.example.com/v1", "kind": "Moon", "metadata": {"name": "m", "uid": "u"}}
        await world.create(config_map("child", moon))
        await asyncio.sleep(300)
        assert await _exists(world, "child")


async def test_orphans_stay_without_their_owner() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner"))
        await world.create(config_map("child", owner))
        await asyncio.sleep(1)
        await world.delete(config_map_path("owner"), "Orphan")
        await asyncio.sleep(1)
        assert not await _exists(world, "owner")
        child = await world.get(config_map_path("child"))
        assert child is not None
        assert "ownerReferences" not in child["metadata"]


async def test_in_the_foreground_the_owner_goes_last() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner"))
        await world.create(config_map("child", owner, blocking=True, finalizers=["example.com/wait"]))
        await asyncio.sleep(1)
        await world.delete(config_map_path("owner"), "Foreground")
        await asyncio.sleep(5)
        child, waiting = await world.get(config_map_path("child")), await world.get(config_map_path("owner"))
        assert child is not None
        assert "deletionTimestamp" in child["metadata"]
        assert waiting is not None
        await world.patch(config_map_path("child"), {"metadata": {"finalizers": None}})
        await asyncio.sleep(1)
        assert not await _exists(world, "child")
        assert not await _exists(world, "owner")


async def test_the_foreground_reaches_grandchildren() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner"))
        child = await world.create(config_map("child", owner, blocking=True))
        await world.create(config_map("grandchild", child, blocking=True))
        await asyncio.sleep(1)
        await world.delete(config_map_path("owner"), "Foreground")
        await asyncio.sleep(2)
        assert [await _exists(world, name) for name in ("owner", "child", "grandchild")] == [False] * 3


async def test_a_dependent_that_does_not_block_does_not_delay_its_owner() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner"))
        await world.create(config_map("child", owner, finalizers=["example.com/wait"]))
        await asyncio.sleep(1)
        await world.delete(config_map_path("owner"), "Foreground")
        await asyncio.sleep(1)
        assert not await _exists(world, "owner")
        child = await world.get(config_map_path("child"))
        assert child is not None
        assert "deletionTimestamp" in child["metadata"]


async def test_kinds_that_appear_at_run_time_are_collected_too() -> None:
    async with cluster() as world:
        await world.create(SHIPS)
        await asyncio.sleep(1)
        ship = await world.create(
            {
                "apiVersion": "sea.example.com/v1",
                "kind": "Ship",
                "metadata": {"name": "s", "namespace": "default"},
            }
        )
        await world.create(config_map("cargo", ship))
        await asyncio.sleep(1)
        assert await _exists(world, "cargo")
        await world.delete("/apis/sea.example.com/v1/namespaces/default/ships/s")
        await asyncio.sleep(1)
        assert not await _exists(world, "cargo")
        await world.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ships.sea.example.com")
        await asyncio.sleep(60)


async def test_what_was_deleted_while_the_collector_was_away_is_made_up_for() -> None:
    async with cluster(controllers=False) as world:
        owner = await world.create(config_map("owner"))
        await world.create(config_map("child", owner))
        await world.delete(config_map_path("owner"))
        assert await _exists(world, "child")
        async with running(world.client, world.clock):
            await asyncio.sleep(2)
            assert not await _exists(world, "child")


async def test_the_second_run_writes_nothing() -> None:
    async with cluster() as world:
        owner = await world.create(config_map("owner"))
        await world.create(config_map("child", owner))
        await asyncio.sleep(5)
        before = await world.revision()
        async with running(world.client, world.clock):
            await asyncio.sleep(120)
        assert await world.revision() == before


@st.composite
def families(draw: st.DrawFn) -> tuple[list[list[int]], set[int]]:
    """For each object the older objects that own it; and which objects are deleted."""
    size = draw(st.integers(1, 7))
    owners = [
        draw(st.lists(st.integers(0, index - 1), unique=True, max_size=2)) if index else []
        for index in range(size)
    ]
    return owners, draw(st.sets(st.integers(0, size - 1)))


@settings(max_examples=25)
@given(families())
def test_exactly_those_live_that_have_a_living_owner_or_never_had_one(
    family: tuple[list[list[int]], set[int]],
) -> None:
    owners, deleted = family
    alive: list[bool] = []
    for index, its_owners in enumerate(owners):
        alive.append(index not in deleted and (not its_owners or any(alive[one] for one in its_owners)))

    async def live() -> list[bool]:
        async with cluster() as world:
            made: list[Json] = []
            for index, its_owners in enumerate(owners):
                made.append(await world.create(config_map(f"m{index}", *(made[one] for one in its_owners))))
            for index in sorted(deleted):
                if await _exists(world, f"m{index}"):
                    await world.delete(config_map_path(f"m{index}"))
            await asyncio.sleep(30)
            return [await _exists(world, f"m{index}") for index in range(len(owners))]

    assert loop.run(live()) == alive
